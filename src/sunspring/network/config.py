"""The architecture of a network: everything that is needed to build it again.

Its fields are the keys of a model folder's config.json.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sunspring.errors import ModelError, SettingsError
from sunspring.settings import check_settings, setting

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
"""Number of stacked matrices in each kind of cell: those of its gates and its candidate."""

DROPOUTS = ("embedding_dropout", "layer_dropout", "output_dropout", "recurrent_dropout")
"""The fields of `ModelConfig` that are shares dropped in training; nothing else uses them."""


@dataclass(frozen=True)
class ModelConfig:
    """The architecture.

    Skip connections and attention are those of DeepMoji (Felbo et al. 2017, figure 2 and section
    3.3), the attention made causal; the pointer is that of Merity et al. 2017, "Pointer sentinel
    mixture models"; dropout of recurrent weights is that of Merity et al. 2018, section 2.

    Args:
        vocabulary_size: number of token ids.
        labels: names of the labels that condition the writing; none by default.

    Raises:
        SettingsError: a value is impossible, or two do not fit together.
    """

    vocabulary_size: int
    cell: Literal["rnn", "gru", "lstm"] = setting(
        "lstm", "Kind of the recurrent layers: plain (Elman, tanh), GRU or LSTM."
    )
    layers: int = setting(2, "Number of recurrent layers.", at_least=1)
    hidden_size: int = setting(256, "Units in each recurrent layer.", at_least=1)
    embedding_size: int = setting(64, "Length of a token's vector.", at_least=1)
    embedding_activation: Literal["none", "tanh"] = setting(
        "none", "Squash the embedding with tanh, as DeepMoji does."
    )
    skip: bool = setting(
        False, "Feed the embedding to every layer, and the embedding and all layers to the head."
    )
    attention: bool = setting(
        False, "Also feed the head the attention-weighted average of everything before."
    )
    pointer: int = setting(
        0,
        "How many steps a pointer looks back, to repeat what followed there; 0 for no pointer.",
        at_least=0,
    )
    pointer_size: int = setting(64, "Length of the pointer's keys and queries.", at_least=1)
    tied: bool = setting(
        False, "Let the head share the embedding's weights; its input must be embedding_size wide."
    )
    embedding_dropout: float = setting(
        0.0, "Share of the embedding's values dropped in training.", at_least=0, below=1
    )
    layer_dropout: float = setting(
        0.0, "Share of the values dropped between recurrent layers.", at_least=0, below=1
    )
    output_dropout: float = setting(
        0.0, "Share of the head's inputs dropped in training.", at_least=0, below=1
    )
    recurrent_dropout: float = setting(
        0.0,
        "Share of the recurrent weights dropped, drawn anew for each step.",
        at_least=0,
        below=1,
    )
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_settings(self)
        size = self.vocabulary_size
        if type(size) is not int or size < 1:
            raise SettingsError(
                f"vocabulary_size is {size!r}: it must be a whole number, at least 1"
            )
        if not all(isinstance(label, str) for label in self.labels):
            raise SettingsError(f"labels are {self.labels!r}: each must be a text")
        if self.tied and self.features_size != self.embedding_size:
            remedy = "skip=false" if self.skip else f"embedding_size={self.features_size}"
            raise SettingsError(
                f"tied needs a head input as wide as the embedding, but that is "
                f"{self.features_size} and embedding_size is {self.embedding_size}: "
                f"set {remedy}, or tied=false"
            )

    @property
    def layer_features_size(self) -> int:
        """Width of what the recurrent layers pass on at each step."""
        if self.skip:
            return self.embedding_size + self.layers * self.hidden_size
        return self.hidden_size

    @property
    def features_size(self) -> int:
        """Width of the head's input."""
        return self.layer_features_size * (2 if self.attention else 1)

    @property
    def parameters(self) -> int:
        """Number of trainable values; tied weights count once."""
        hidden, embedding, features = self.hidden_size, self.embedding_size, self.features_size
        layers = sum(GATES[self.cell] * hidden * (width + hidden + 2) for width in self.input_sizes)
        embeddings = (self.vocabulary_size + len(self.labels)) * embedding
        head = self.vocabulary_size * (1 + (0 if self.tied else features))
        attention = self.layer_features_size if self.attention else 0
        pointer = features * (2 * self.pointer_size + 1) + 3 if self.pointer else 0
        return embeddings + layers + attention + head + pointer

    @property
    def input_sizes(self) -> list[int]:
        """Width of each layer's input."""
        above = self.hidden_size + (self.embedding_size if self.skip else 0)
        return [self.embedding_size] + [above] * (self.layers - 1)

    @property
    def first_label(self) -> str | None:
        """The label to write under if none is given; None for a model without labels."""
        return self.labels[0] if self.labels else None

    def label_index(self, label: str | None) -> int | None:
        """Find a label's index in `labels`; None for a model without labels.

        Raises:
            SettingsError: the label is unknown, or the model needs one and none is given.
        """
        if label is None and not self.labels:
            return None
        if label not in self.labels:
            asked = "needs a label" if label is None else f"does not know the label {label!r}"
            listed = ", ".join(self.labels) or "none, as it was trained without"
            raise SettingsError(f"the model {asked}: its labels are {listed}")
        return self.labels.index(label)

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> ModelConfig:
        """Read a config.json.

        Raises:
            ModelError: the file is missing, is not JSON, or has unknown or wrong settings.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return cls.from_dict(values)
        except FileNotFoundError:
            raise ModelError(
                f"{path.parent} is not a model, as it has no {path.name}: name a folder that "
                "sunspring train or Model.save wrote"
            ) from None
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            RecursionError,
            SettingsError,
        ) as error:
            raise ModelError(
                f"{path} is damaged or from another version ({error}): "
                "train or save the model again"
            ) from None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Build from the values of a config.json; wrong keys raise `TypeError`."""
        labels = values.get("labels", [])
        if not isinstance(labels, list | tuple):
            raise TypeError(f"labels are {labels!r}, not a list")
        return cls(**{**values, "labels": tuple(labels)})


def least_parameters(config: ModelConfig) -> int:
    """A lower bound on a model's number of trainable values, found without building it."""
    gates = GATES[config.cell]
    hidden, embedding = config.hidden_size, config.embedding_size
    layers = gates * hidden * (config.layers * hidden + embedding)
    pointer = 2 * config.pointer_size * config.features_size if config.pointer else 0
    return layers + pointer + config.vocabulary_size * max(embedding, config.features_size)


def check_labels(names: Sequence[str], labels: object) -> None:
    """Make sure that texts have labels if the model needs them.

    Args:
        names: the model's labels.
        labels: the texts' labels, or None.

    Raises:
        SettingsError: the model has labels and the texts have none.
    """
    if names and labels is None:
        raise SettingsError(
            "the model was trained with labels and the text has none: "
            f"give one of {', '.join(names)}"
        )
