"""A callback that lets a model write a little in the course of its training."""

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
_TRIES = 4  # texts of which one is shown that is not blank

OnSample = Callable[[int, float, str], None]
"""Called with the step, a temperature and what was written at it."""


class SampleWriter(Callback):
    """Lets the model write a little every so often, at three temperatures.

    Args:
        vocabulary: of the model.
        label: the label to write under, for a model that has labels.
        listeners: are given each sample.
        samples: how often, in the course of a training.
    """

    def __init__(
        self, vocabulary: Vocabulary, label: str | None, listeners: list[OnSample], samples: int
    ) -> None:
        self._vocabulary = vocabulary
        self._label = label
        self._listeners = listeners
        self._every = 1 / samples if samples else math.inf  # of what is to be spent
        self._next = 0.5 * self._every
        self._model: RecurrentModel | None = None

    def on_start(self, trainer: Trainer) -> None:
        """Take hold of the model."""
        self._model = trainer.model

    def on_evaluation(self, report: EvaluationReport) -> None:
        """Write when it is time."""
        if self._model is None or report.report.spent < self._next:
            return
        self._next = report.report.spent + self._every
        # the native engine where it is there: it takes less of the training's time
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
