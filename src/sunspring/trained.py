"""`Model`: what a training leaves. It is evaluated, mixed, adapted and quantized, in PyTorch.

PyTorch is imported where that is asked for; to write and score see loaded.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sunspring.corpus.corpus import Split, encode_sources
from sunspring.errors import ModelError, SettingsError, SunspringError
from sunspring.loaded import LoadedModel
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import Engine
from sunspring.text.decoding import ReadingOptions
from sunspring.text.files import Notice

if TYPE_CHECKING:
    from sunspring.evaluation.dynamic import LearningSettings
    from sunspring.evaluation.protocols import Evaluation
    from sunspring.runs.result import TrainingResult

_REMEMBERED = 10_000  # tokens of pages that a writer reads again: its state forgets sooner


class Model(LoadedModel):
    """A trained model: it writes, scores and is evaluated.

    Args:
        files: what its folder holds.
        record: its run.json, by which its text is found again; None if there is none.
        device: `auto`, `cpu` or `cuda`, for what PyTorch computes.
        engine: `auto`, `native` or `torch`: what writes and scores.

    Attributes:
        training: how the training went, if this process trained it.

    Raises:
        SettingsError: the engine cannot be had, or not on this device.
    """

    def __init__(
        self,
        files: ModelFiles,
        record: Mapping[str, Any] | None = None,
        device: str = "cpu",
        engine: Engine = "auto",
    ) -> None:
        super().__init__(files, record, device, engine)
        self.training: TrainingResult | None = None

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path] = (),
        protocol: Literal["stream", "windows"] = "stream",
        reading: ReadingOptions | None = None,
        on_notice: Notice | None = None,
        *,
        mixture: bool = False,
        dynamic: bool | LearningSettings = False,
    ) -> tuple[Evaluation, dict[str, float]]:
        """Measure how well the model predicts a text.

        Args:
            sources: the text; none is the run's own held-out text.
            protocol: `stream` or `windows`.
            reading: how to read the sources; by default in documents as in training.
            on_notice: called with a line about what was left out or cannot be had.
            mixture: measure the model mixed with n-grams too; see `mixed`.
            dynamic: measure it while it goes on learning, too, each token after it was scored; the
                settings say how fast. By `stream` alone.

        Returns:
            The figures (in their `beyond`, those of `mixture`, `dynamic` and, of both together,
            `dynamic_mixture`), and the nats per character of n-gram models of the orders 1 to 6
            that were fitted to the model's training text (empty where that is not at hand).

        Raises:
            ModelError: the run's own text is wanted and not at hand.
            SourceError: a source is at fault, or the training text too short for a mixture.
            SettingsError: the protocol is unknown, or `windows` and learning is asked for.
        """
        if protocol not in ("stream", "windows"):
            raise SettingsError(f"protocol is {protocol!r}: choose stream or windows")
        if dynamic and protocol == "windows":
            raise SettingsError(
                "dynamic evaluation reads a text in order, and windows are drawn from all over it: "
                "choose the protocol stream"
            )
        from sunspring.evaluation.dynamic import LearningSettings, evaluate_dynamic
        from sunspring.evaluation.mixing import learn_mixture
        from sunspring.evaluation.protocols import baselines, evaluate_stream, evaluate_windows

        names, start_id = source_names(sources), self.vocabulary.start_id
        evaluate = evaluate_stream if protocol == "stream" else evaluate_windows
        with self._to_measure(names, reading, on_notice) as heldout:
            corpus = (self._text.open if mixture else self._text.open_if_at_hand)(on_notice)
            figures, beyond = evaluate(self._mixture or self.network, heldout, start_id), {}
            mixed = learn_mixture(self.network, corpus) if mixture and corpus else None
            if mixed:
                beyond["mixture"] = evaluate(mixed, heldout, start_id)
            if dynamic:
                settings = LearningSettings() if dynamic is True else dynamic
                beyond |= evaluate_dynamic(self.network, heldout, start_id, settings, mixed)
            figures = replace(figures, beyond=beyond)
            size, train = self.vocabulary.size, corpus and corpus.train
            return figures, baselines(train, heldout, size, start_id) if train else {}

    def mixed(self) -> Model:
        """Mix the model with n-grams of its training text.

        How far to trust either is learned on the validation part of that text (`learn_mixture`).

        Returns:
            A model that writes, scores and is evaluated as the mixture; it is saved as the network.

        Raises:
            SettingsError: the native engine was asked for.
            ModelError: the training text is not at hand.
            SourceError: it is too short.
        """
        if self._asked_engine == "native":
            raise SettingsError(
                "the native engine does not mix in n-grams: leave out --engine native or --mixture"
            )
        from sunspring.evaluation.mixing import learn_mixture

        model = self._with(self.files)
        model._mixture, model._pages = learn_mixture(self.network, self._text.open()), self._pages
        return model

    def adapted(
        self,
        sources: str | Path | Sequence[str | Path],
        label: str | None = None,
        settings: LearningSettings | None = None,
        on_notice: Notice | None = None,
    ) -> Model:
        """Read some pages and go on learning from them, as in dynamic evaluation.

        Args:
            sources: the pages, in documents as in training. Characters that the model lacks are
                mapped or left out, as in a prompt.
            label: under which to read them, for a model that has labels.
            settings: how fast it learns.
            on_notice: called with a line about what was left out.

        Returns:
            A model that has learned from them and writes on where they end (of documents that are
            lines: a new one). This one stays as it is.

        Raises:
            SourceError: a source is at fault.
            SettingsError: the label is unknown, or missing.
        """
        from sunspring.evaluation.dynamic import learn_from
        from sunspring.training.checkpoint import pack_model

        index = self.config.label_index(label)
        with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
            reading = ReadingOptions(self.documents)
            pages = encode_sources(
                source_names(sources),
                reading,
                self.vocabulary,
                (),
                Path(folder),
                on_notice,
                nearest=True,
            )
            learned = learn_from(self.network, pages, self.vocabulary.start_id, settings, index)
            model = self._with(pack_model(learned, self.vocabulary, self.card))
            if reading.documents != "lines":
                last = pages.tokens[pages.starts[-2] :].astype(np.int64)
                model._pages = last[last != self.vocabulary.end_id][-_REMEMBERED:]
            return model

    def _to_measure(
        self, names: tuple[str, ...], reading: ReadingOptions | None, say: Notice | None
    ) -> AbstractContextManager[Split]:
        return self._text.to_measure(names, reading, self.vocabulary, self.config.labels, say)

    def _with(self, files: ModelFiles) -> Model:
        return Model(files, self._text.record, self._device, self._asked_engine)

    def quantize(
        self,
        sources: str | Path | Sequence[str | Path] = (),
        reading: ReadingOptions | None = None,
        on_notice: Notice | None = None,
    ) -> Model:
        """Copy the model with its weights rounded to 8 bits: a quarter of the bytes, once saved.

        The copy's card says under `quantization` what that saves, and what it costs in nats per
        character by `stream`: on the first million tokens of the sources, or of the run's own
        held-out text. Where that is not at hand the cost is None, and `on_notice` is told.

        Args:
            sources: the text to measure on; none is the run's own held-out text.
            reading: how to read the sources; by default in documents as in training.
            on_notice: called with a line about what was left out or cannot be had.

        Raises:
            ModelError: the model is in 8 bits already, or has weights that are no numbers.
            SourceError: a source is at fault.
        """
        if self.quantized:
            raise ModelError("the model is in 8 bits already: quantize the one it was made from")
        from sunspring.evaluation.quantization import describe_quantization, measure_loss
        from sunspring.training.checkpoint import pack_model

        names, loss = source_names(sources), None
        whole = pack_model(self.network, self.vocabulary, self.card)
        files = pack_model(self.network, self.vocabulary, self.card, quantized=True)
        try:
            with self._to_measure(names, reading, on_notice) as text:
                kind: Literal["sources", "heldout"] = "sources" if names else "heldout"
                loss = measure_loss(self.network, files, text, kind)
        except SunspringError as error:
            if names:
                raise
            if on_notice is not None:
                on_notice(f"the loss is not known: {error}")
        figures = describe_quantization(whole.weights, files.weights, loss)
        return self._with(replace(files, card={**self.card, "quantization": figures}))


def source_names(sources: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Give one name or many as a tuple of texts."""
    if isinstance(sources, str | Path):
        return (str(sources),)
    return tuple(str(source) for source in sources)
