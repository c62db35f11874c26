"""A model that is ready to run: the interface that the native engine and PyTorch share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network.config import ModelConfig
from sunspring.notices import Progress, unnoticed
from sunspring.writing.writer import Tokens, Writer

if TYPE_CHECKING:
    from sunspring.network import engine as native

EngineName = Literal["native", "torch"]

CANNOT_BLEND = "only the native engine can blend models: see sunspring doctor"

Ids = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]
Floats = NDArray[np.floating]
Blend = Sequence[tuple[Writer[Any], float]]


class Engine(ABC):
    """A model that is ready to write, to score and to encode.

    Args:
        config: the model's architecture.
        vocabulary: the model's.
    """

    name: EngineName

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        self.config = config
        self.vocabulary = vocabulary

    @abstractmethod
    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """Return a writer.

        Args:
            before: a text that every prompt continues.
            blend: writers of other models, each with its share of every prediction.

        Raises:
            SettingsError: the shares are out of range, another model reads other kinds of tokens,
                or one of the engines cannot blend.
        """

    @abstractmethod
    def score(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> Floats:
        """Return the surprisal of each token of some texts, (tokens,) in nats.

        Args:
            ids: (tokens,) of all texts, one after another; each is read from a zero state.
            counts: (texts,) number of tokens in each.
            labels: (texts,) label index of each, for a model that has labels.
            on_progress: called now and then with the tokens read so far, and their number.

        Raises:
            SettingsError: the model needs labels, and there are none.
        """

    @abstractmethod
    def encode(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> NDArray[np.float32]:
        """Return the outputs of all layers after each text, (texts, layers * hidden_size).

        See `score` for the arguments.
        """

    @abstractmethod
    def reader(self, label: int | None = None) -> native.Reader:
        """Return a reader that starts from a zero state and shows what happens inside the model.

        Raises:
            SettingsError: this engine cannot show it.
        """
