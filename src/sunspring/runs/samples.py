"""A callback that lets a model write short samples during its training."""

from __future__ import annotations

import math
from collections.abc import Callable

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import pack_model
from sunspring.training.trainer import Callback, EvaluationReport, Trainer
from sunspring.writing.engines import open_engine
from sunspring.writing.settings import WritingSettings
from sunspring.writing.writer import choose_visible

_SAMPLE_TEMPERATURES = (0.5, 0.8, 1.0)
_SAMPLE_LENGTH = 160
_TRIES = 4  # texts to write, of which one that is not blank is shown

OnSample = Callable[[int, float, str], None]
"""Called with the step, a temperature and the text written at it."""


class SampleWriter(Callback):
    """Lets the model write a short sample now and then, at three temperatures.

    Args:
        vocabulary: the model's.
        label: the label to write under, for a model that has labels.
        listeners: called with each sample.
        samples: how often to write during a training.
    """

    def __init__(
        self, vocabulary: Vocabulary, label: str | None, listeners: list[OnSample], samples: int
    ) -> None:
        self._vocabulary = vocabulary
        self._label = label
        self._listeners = listeners
        self._every = 1 / samples if samples else math.inf  # share of the budget
        self._next = 0.5 * self._every
        self._model: RecurrentModel | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Remember the model."""
        self._model = trainer.model

    def on_evaluation(self, report: EvaluationReport) -> None:
        """Write when it is time."""
        if self._model is None or report.report.spent < self._next:
            return
        self._next = report.report.spent + self._every
        # the native engine if possible: it takes less time from training
        writer = open_engine(pack_model(self._model, self._vocabulary)).writer()
        for temperature in _SAMPLE_TEMPERATURES:
            settings = WritingSettings(
                length=_SAMPLE_LENGTH,
                temperature=temperature,
                label=self._label,
                seed=report.report.step,
            )
            written = writer.write(writer.begin(settings), _TRIES)
            (visible,) = choose_visible(written, 1)
            for listener in self._listeners:
                listener(report.report.step, temperature, visible.text)
