"""How a model is trained: its objective, optimiser and batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sunspring.settings import check_settings, part_of, setting


@dataclass(frozen=True, kw_only=True)
class ObjectiveSettings:
    """Terms added to the loss.

    The penalty is that of Merity et al. 2017, "Revisiting activation regularization for language
    RNNs".
    """

    activation_penalty: float = setting(
        0.0,
        "Weight of a penalty on the last layer's outputs and on their change from token to token "
        "(mean squares); it curbs overfitting.",
        at_least=0,
    )
    network_loss: float = setting(
        0.0,
        "Weight of the loss without the pointer, so that the network does not leave to the pointer "
        "what it can learn itself.",
        at_least=0,
    )


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How the weights are updated.

    Raises:
        SettingsError: a value is impossible.
    """

    optimizer: Literal["adamw", "muon"] = setting(
        "muon",
        "AdamW for everything (Loshchilov & Hutter 2019), or Muon (Jordan et al. 2024) for the "
        "recurrent layers' matrices and AdamW for the rest.",
    )
    learning_rate: float = setting(3e-3, "Learning rate of AdamW.", above=0)
    head_rate_factor: float = setting(
        4.0,
        "Multiplies AdamW's rate for the head, which may learn faster than the rest; not if tied.",
        above=0,
    )
    muon_learning_rate: float = setting(0.02, "Learning rate of Muon.", above=0)
    muon_every: int = setting(
        4,
        "Update a matrix by Muon only every so many steps, by a step as many times larger; the "
        "momentum takes in every gradient.",
        at_least=1,
    )
    weight_decay: float = setting(0.01, "Weight decay, decoupled from the loss.", at_least=0)
    second_moment_decay: float = setting(0.99, "β₂ of AdamW.", above=0, below=1)
    warmup_steps: int = setting(
        50, "Steps over which the learning rates rise linearly from zero.", at_least=0
    )
    clip_norm: float = setting(
        1.0, "Clip the norm of the gradient to this; 0 for no clipping.", at_least=0
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class Recipe(ObjectiveSettings):
    """How a model is trained.

    Args:
        optimization: optimiser and learning rates.

    Raises:
        SettingsError: a value is impossible.
    """

    batching: Literal["windows", "lanes"] = setting(
        "lanes",
        "How batches are cut: windows (the article's shuffled sequences), or lanes (each row reads "
        "on and on, its state carried).",
    )
    batch_size: int = setting(32, "Rows in a batch.", at_least=1)
    window: int = setting(
        64, "Tokens that a row predicts in each step (the article's seq_len).", at_least=1
    )
    precision: Literal["auto", "fp32", "bf16"] = setting(
        "auto", "Number format of matrix products; auto measures which is faster here."
    )
    counts: float = setting(
        0.0,
        "Megabytes of the model for counts of which characters followed which in the training text "
        "(n-grams), mixed with what the network predicts; 0 for none.",
        at_least=0,
    )
    most_epochs: float = setting(
        0.0,
        "End after this many epochs even if time is left, to avoid overfitting; 0 for no limit.",
        at_least=0,
    )
    race: float = setting(
        0.1,
        "Share of the minutes in which auto may try other plans beside its own, on your text and "
        "machine; 0 to try none.",
        at_least=0,
        below=0.5,
    )
    optimization: OptimizerSettings = field(default_factory=OptimizerSettings)

    def __post_init__(self) -> None:
        check_settings(self)

    @property
    def objective(self) -> ObjectiveSettings:
        """The terms added to the loss."""
        return part_of(self, ObjectiveSettings)
