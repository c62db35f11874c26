"""How a model is trained: what is made small, by which optimiser, in which batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sunspring.settings import check_settings, part_of, setting


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """What is added to the loss.

    The penalty is that of Merity et al. 2017, "Revisiting activation regularization for language
    RNNs".
    """

    activation_penalty: float = setting(
        0.0,
        "Times the mean square of the last layer's outputs plus that of their change from token to "
        "token: a penalty on learning a short text by heart.",
        at_least=0,
    )
    network_loss: float = setting(
        0.0,
        "Times the loss of what the network expects without its pointer, to which it would else "
        "leave what it could know itself.",
        at_least=0,
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How the weights are learned.

    Raises:
        SettingsError: a value is impossible.
    """

    optimizer: Literal["adamw", "muon"] = setting(
        "muon",
        "AdamW for everything (Loshchilov & Hutter 2019), or Muon (Jordan et al. 2024) for the "
        "recurrent layers' matrices and AdamW for the rest.",
    )
    learning_rate: float = setting(3e-3, "Rate of AdamW.", above=0)
    head_rate_factor: float = setting(
        4.0,
        "Times that for the head, unless its weights are the embedding's too: what stands right "
        "before the loss may learn faster than what it learns from.",
        above=0,
    )
    muon_learning_rate: float = setting(0.02, "Rate of Muon.", above=0)
    muon_every: int = setting(
        4,
        "Steps from one update of a matrix by Muon to the next, which is as many times larger; the "
        "momentum takes up every gradient.",
        at_least=1,
    )
    weight_decay: float = setting(
        0.01, "Decay of the weights, decoupled from the loss.", at_least=0
    )
    second_moment_decay: float = setting(0.99, "β₂ of AdamW.", above=0, below=1)
    warmup_steps: int = setting(
        50, "Steps over which the rates rise linearly from zero.", at_least=0
    )
    clip_norm: float = setting(
        1.0, "The gradient's norm is scaled down to this; 0 leaves it as it is.", at_least=0
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Recipe(ObjectiveSettings):
    """How a model is trained.

    Args:
        optimization: optimiser and rates.

    Raises:
        SettingsError: a value is impossible.
    """

    batching: Literal["windows", "lanes"] = setting(
        "lanes",
        "What a row of a batch reads: windows, the article's shuffled sequences, or lanes that "
        "read on and on, their state carried.",
    )
    batch_size: int = setting(32, "Rows of a batch.", at_least=1)
    window: int = setting(
        64, "Tokens that a row predicts in one step: the article's seq_len.", at_least=1
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Number format of the matrix products; auto measures which is faster here."
    )
    most_epochs: float = setting(
        0.0,
        "Epochs after which training ends though minutes are left, as more would be learning by "
        "heart; 0 for no end.",
        at_least=0,
    )
    optimization: OptimizerSettings = field(default_factory=OptimizerSettings)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def objective(self) -> ObjectiveSettings:
        """What is added to the loss."""
        return part_of(self, ObjectiveSettings)
