"""The reference engine: a model in PyTorch, on any device."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.network.config import check_labels
from sunspring.network.network import RecurrentModel
from sunspring.network.predictor import Predictor
from sunspring.network.scoring import final_outputs, score_texts
from sunspring.writing.engines import Blend, Counts, Engine, Floats, Ids
from sunspring.writing.torch_writer import TorchWriter
from sunspring.writing.writer import CANNOT_BLEND, Tokens, Writer


class TorchEngine(Engine):
    """A network, or a mixture of one with n-grams, in PyTorch.

    Args:
        network: encodes texts, and predicts if nothing else does.
        vocabulary: of the network.
        predictor: a mixture that the network is part of; it predicts.
    """

    name = "torch"

    def __init__(
        self, network: RecurrentModel, vocabulary: Vocabulary, predictor: Predictor | None = None
    ) -> None:
        super().__init__(network.config, vocabulary)
        self._network = network
        self._predictor: Predictor = network if predictor is None else predictor

    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """See `Engine.writer`."""
        if blend:
            raise SettingsError(CANNOT_BLEND)
        return TorchWriter(self._predictor, self.config, self.vocabulary, before)

    def score(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> Floats:
        """See `Engine.score`."""
        return score_texts(self._predictor, ids, counts, self.vocabulary.start_id, labels)

    def encode(self, ids: Ids, counts: Counts, labels: Counts | None = None) -> NDArray[np.float32]:
        """See `Engine.encode`."""
        parts = np.split(ids, np.cumsum(counts)[:-1]) if len(counts) else []
        start_id = self.vocabulary.start_id
        check_labels(self.config.labels, labels)
        own: list[int | None] = [None] * len(parts) if labels is None else labels.tolist()
        vectors = [
            final_outputs(self._network, part, start_id, label)
            for part, label in zip(parts, own, strict=True)
        ]
        size = self.config.layers * self.config.hidden_size
        return np.array(vectors, np.float32).reshape(len(counts), size)
