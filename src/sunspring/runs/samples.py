"""A callback that lets a model write a little in the course of its training.

It needs a writer, so it stands behind these and not right behind training.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.network.native import HAS_ENGINE, load_native
from sunspring.network.network import RecurrentModel
from sunspring.training.checkpoint import pack_model
from sunspring.training.trainer import Callback, EvaluationReport, Trainer
from sunspring.writing.drafts import WritingSettings
from sunspring.writing.sampling import SamplingSettings
from sunspring.writing.torch_writer import TorchWriter
from sunspring.writing.writer import Writer

_SAMPLE_TEMPERATURES = (0.5, 0.8, 1.0)
_SAMPLE_LENGTH = 160

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
        writer = _make_writer(self._model, self._vocabulary)
        for temperature in _SAMPLE_TEMPERATURES:
            settings = WritingSettings(
                length=_SAMPLE_LENGTH,
                sampling=SamplingSettings(temperature=temperature),
                label=self._label,
                seed=report.report.step,
            )
            text = writer.write("", settings)[0].text
            for listener in self._listeners:
                listener(report.report.step, temperature, text)


def _make_writer(model: RecurrentModel, vocabulary: Vocabulary) -> Writer[Any]:
    """Let the native engine write where it is there: it takes less of the training's time."""
    if not HAS_ENGINE:
        return TorchWriter(model, vocabulary)
    from sunspring.writing.native_writer import NativeWriter

    return NativeWriter(load_native(pack_model(model, vocabulary)), model.config, vocabulary)
