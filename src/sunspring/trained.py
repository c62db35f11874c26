"""A trained model in Python: it writes and scores, is evaluated, mixed, adapted and saved."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from sunspring.checkpoint import model_weights, save_model, write_json
from sunspring.config import ModelConfig
from sunspring.corpus import Split, encode_sources
from sunspring.decoding import ReadingOptions
from sunspring.drafts import WritingOptions, writing_settings
from sunspring.dynamic import LearningSettings, evaluate_dynamic, learn_from
from sunspring.errors import ModelError, SettingsError, SunspringError
from sunspring.evaluation import (
    Evaluation,
    baselines,
    evaluate_stream,
    evaluate_windows,
    surprisals,
)
from sunspring.files import Notice
from sunspring.generation import Proposal, Writer, Writing
from sunspring.mixing import learn_mixture
from sunspring.mixture import Predictor
from sunspring.model import RecurrentModel, count_parameters
from sunspring.quantization import describe_quantization, measure_loss, quantize_network
from sunspring.result import TrainingResult
from sunspring.run_corpus import RunText
from sunspring.vocabulary import Vocabulary, adapt_text

_REMEMBERED = 10_000  # tokens of pages that a writer reads again: its state forgets sooner


class Model:
    """A trained model: it writes, scores and is evaluated.

    Args:
        network: the recurrent network, on the device that shall compute.
        vocabulary: of the network.
        card: what is known of its training.
        record: its run.json, by which its text is found again; None if there is none.
        quantized: whether its weights are those of 8 bits, and shall be saved so.

    Attributes:
        training: how the training went, if this process trained it.
    """

    def __init__(
        self,
        network: RecurrentModel,
        vocabulary: Vocabulary,
        card: Mapping[str, Any],
        record: Mapping[str, Any] | None = None,
        quantized: bool = False,
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.card = card
        self.quantized = quantized
        self.training: TrainingResult | None = None
        self._text = RunText(record)
        self._predictor: Predictor = network
        self._pages: NDArray[np.int64] | None = None

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return self.network.config

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self._predictor, self.vocabulary, self._pages)

    def __repr__(self) -> str:
        config = self.config
        parameters = f"{count_parameters(self.network):,} parameters"
        return (
            f"<sunspring.Model: {config.layers} × {config.hidden_size} {config.cell}, "
            f"{parameters}{' in 8 bits' * self.quantized}, {config.vocabulary_size} tokens>"
        )

    def write(self, prompt: str = "", length: int = 500, **settings: Unpack[WritingOptions]) -> str:
        """Write one text; it begins with the prompt.

        Args:
            prompt: what to go on from; characters that the model lacks are mapped or left out.
            length: the most characters after the prompt.
            settings: see `writing_settings`.

        Raises:
            SettingsError: a setting is impossible, or a label is missing.
        """
        return self.write_many(1, prompt, length, **settings)[0].text

    def write_many(
        self,
        count: int,
        prompt: str = "",
        length: int = 500,
        *,
        unique: bool = False,
        novel: bool = False,
        **settings: Unpack[WritingOptions],
    ) -> list[Writing]:
        """Write several texts, each with a seed of its own.

        Args:
            count: how many.
            prompt: what each goes on from.
            length: the most characters after the prompt.
            unique: no text twice.
            novel: no text that is a line of the text that the model was trained or judged on.
            settings: see `writing_settings`.

        Raises:
            SunspringError: the model does not give so many.
        """
        wanted = writing_settings(length=length, **settings)
        if not unique and not novel:
            return self._writer.write(prompt, wanted, count)
        excluded = self.known_lines() if novel else frozenset()
        return list(
            self._writer.write_distinct(prompt, wanted, count, unique=unique, excluded=excluded)
        )

    def stream(
        self, prompt: str = "", length: int = 500, **settings: Unpack[WritingOptions]
    ) -> Iterator[str]:
        """Write one text, piece by piece; the first piece is the prompt.

        Args:
            prompt: what to go on from.
            length: the most characters after the prompt.
            settings: see `writing_settings`.
        """
        return self._writer.stream(prompt, writing_settings(length=length, **settings))

    def propose(
        self, text: str, count: int = 5, **settings: Unpack[WritingOptions]
    ) -> list[Proposal]:
        """Propose pieces that may follow a text, with their probabilities."""
        return self._writer.proposals(text, writing_settings(**settings), count)

    def adapt(self, prompt: str) -> tuple[str, dict[str, str]]:
        """Give a prompt as the model reads it, and what became of characters it lacks."""
        return adapt_text(prompt, self.vocabulary)

    def score(self, text: str, label: str | None = None) -> NDArray[np.float64]:
        """Bits that each token of a text costs the model: its surprisal, (tokens,).

        Args:
            text: read from a fresh state.
            label: of the text, for a model that has labels.
        """
        ids = self.vocabulary.encode(text)
        index = self.config.label_index(label)
        return surprisals(self._predictor, ids, self.vocabulary.start_id, index)

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
        names, start_id = source_names(sources), self.vocabulary.start_id
        evaluate = evaluate_stream if protocol == "stream" else evaluate_windows
        with self._to_measure(names, reading, on_notice) as heldout:
            corpus = (self._text.open if mixture else self._text.open_if_at_hand)(on_notice)
            figures, beyond = evaluate(self._predictor, heldout, start_id), {}
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
            ModelError: the training text is not at hand.
            SourceError: it is too short.
        """
        mixture = learn_mixture(self.network, self._text.open())
        return self._with(self.network, mixture, self._pages)

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
            if reading.documents == "lines":
                return self._with(learned, learned, None)
            last = pages.tokens[pages.starts[-2] :].astype(np.int64)
            last = last[last != self.vocabulary.end_id][-_REMEMBERED:]
            return self._with(learned, learned, last)

    def _to_measure(
        self, names: tuple[str, ...], reading: ReadingOptions | None, say: Notice | None
    ) -> AbstractContextManager[Split]:
        return self._text.to_measure(names, reading, self.vocabulary, self.config.labels, say)

    def _with(
        self, network: RecurrentModel, predictor: Predictor, pages: NDArray[np.int64] | None
    ) -> Model:
        quantized = self.quantized and network is self.network
        model = Model(network, self.vocabulary, self.card, self._text.record, quantized)
        model._predictor, model._pages = predictor, pages
        return model

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
        names, loss = source_names(sources), None
        network = quantize_network(self.network)
        try:
            with self._to_measure(names, reading, on_notice) as text:
                kind: Literal["sources", "heldout"] = "sources" if names else "heldout"
                start_id = self.vocabulary.start_id
                loss = measure_loss(self.network, network, text, start_id, kind)
        except SunspringError as error:
            if names:
                raise
            if on_notice is not None:
                on_notice(f"the loss is not known: {error}")
        card = {**self.card, "quantization": describe_quantization(network, loss)}
        return Model(network, self.vocabulary, card, self._text.record, quantized=True)

    def save(self, folder: str | Path) -> None:
        """Write a model folder: config.json, tokenizer.json, model.safetensors and card.json.

        Where the training text can be found again is written beside them, in run.json; without
        that file the folder says nothing of this machine.
        """
        path = Path(folder)
        weights = model_weights(self.network)
        save_model(path, self.config, self.vocabulary, weights, self.card, self.quantized)
        if self._text.record is not None:
            write_json(path / "run.json", self._text.record)

    def known_lines(self) -> frozenset[str]:
        """All lines of the text that the user gave, the held-out ones too, without blanks around.

        Raises:
            ModelError: the text is not at hand.
        """
        return frozenset(line.strip() for line in self._text.open().lines())

    @property
    def documents(self) -> Literal["none", "lines", "files"]:
        """What was a document in training; `none` where that is not known."""
        return self._text.documents


def source_names(sources: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    """Give one name or many as a tuple of texts."""
    if isinstance(sources, str | Path):
        return (str(sources),)
    return tuple(str(source) for source in sources)
