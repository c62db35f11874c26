"""A model that is ready to run: what the native engine and PyTorch have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network.config import ModelConfig
from sunspring.writing.writer import Tokens, Writer

if TYPE_CHECKING:
    from sunspring.network import engine as native

EngineName = Literal["native", "torch"]

CANNOT_BLEND = "models are blended by the native engine alone: see sunspring doctor"

Ids = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]
Floats = NDArray[np.floating]
Blend = Sequence[tuple[Writer[Any], float]]


class Engine(ABC):
    """A model that is ready to write, to score and to encode.

    Args:
        config: of the model.
        vocabulary: of the model.
    """

    name: EngineName

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        self.config = config
        self.vocabulary = vocabulary

    @abstractmethod
    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """Give what writes.

        Args:
            before: a text that every prompt goes on from.
            blend: writers of other models, each with its share in every prediction.

        Raises:
            SettingsError: the shares leave nothing, another model reads other kinds of tokens, or
                one of the engines cannot blend.
        """

    @abstractmethod
    def score(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> Floats:
        """Give what each token of some texts costs, (tokens,) in nats.

        Args:
            ids: (tokens,) of the texts, one after another; each is read from a zero state.
            counts: (texts,) tokens of each.
            labels: (texts,) index of the label of each, for a model that has labels.

        Raises:
            SettingsError: the model needs labels, and there are none.
        """

    @abstractmethod
    def encode(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> NDArray[np.float32]:
        """Give the outputs of all layers after each text, (texts, layers * hidden_size).

        See `score` for the arguments.
        """

    @abstractmethod
    def reader(self, label: int | None = None) -> native.Reader:
        """Give what reads a text token by token, from a zero state, and shows what is inside.

        Raises:
            SettingsError: this engine does not show it.
        """
