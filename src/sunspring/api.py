"""The Python interface: `train`, `load` and the `Model` that both give.

The command line is thin above it. Stands last in the street but for the command line; the package
itself exports what is public here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TextIO, Unpack

import numpy as np
from numpy.typing import NDArray

from sunspring.checkpoint import load_model, model_weights, read_json, save_model, write_json
from sunspring.corpus import Corpus, CorpusSettings, Split, TokenKind, encode_sources
from sunspring.decoding import ReadingOptions
from sunspring.drafts import WritingOptions, writing_settings
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
from sunspring.model import ModelConfig, RecurrentModel, count_parameters
from sunspring.plan import choose_budget
from sunspring.quantization import describe_quantization, measure_loss, quantize_network
from sunspring.request import TrainingRequest
from sunspring.result import TrainingResult
from sunspring.run_corpus import open_run_corpus
from sunspring.runs import train as run_training
from sunspring.vocabulary import Vocabulary, adapt_text


class Model:
    """A trained model: it writes, scores and is evaluated.

    Args:
        network: the recurrent network, on the device that shall compute.
        vocabulary: of the network.
        card: what is known of its training.
        record: its run.json, by which its text is found again; None if there is none.
        quantized: whether `save` writes the weights in 8 bits, as they were loaded or rounded to.

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
        self._record = record

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return self.network.config

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self.network, self.vocabulary)

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
        return surprisals(self.network, ids, self.vocabulary.start_id, index)

    def evaluate(
        self,
        sources: str | Path | Sequence[str | Path] = (),
        protocol: Literal["stream", "windows"] = "stream",
        reading: ReadingOptions | None = None,
        on_notice: Notice | None = None,
    ) -> tuple[Evaluation, dict[str, float]]:
        """Measure how well the model predicts a text.

        Args:
            sources: the text; none is the run's own held-out text.
            protocol: `stream` or `windows`.
            reading: how to read the sources; by default in documents as in training.
            on_notice: called with a line about what was left out or cannot be had.

        Returns:
            The figures, and the nats per character of n-gram models of the orders 1 to 6 that were
            fitted to the model's training text (empty where that is not at hand).

        Raises:
            ModelError: the run's own text is wanted and not at hand.
            SourceError: a source is at fault.
        """
        if protocol not in ("stream", "windows"):
            raise SettingsError(f"protocol is {protocol!r}: choose stream or windows")
        with self._text(_names(sources), reading, on_notice) as heldout:
            corpus = self._corpus_if_at_hand(on_notice or _ignore)
            start_id = self.vocabulary.start_id
            evaluate = evaluate_stream if protocol == "stream" else evaluate_windows
            return evaluate(self.network, heldout, start_id), self._baselines(corpus, heldout)

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
        names, loss = _names(sources), None
        network = quantize_network(self.network)
        try:
            with self._text(names, reading, on_notice) as text:
                loss = measure_loss(
                    self.network,
                    network,
                    text,
                    self.vocabulary.start_id,
                    "sources" if names else "heldout",
                )
        except SunspringError as error:
            if names:
                raise
            (on_notice or _ignore)(f"the loss is not known: {error}")
        card = {**self.card, "quantization": describe_quantization(network, loss)}
        return Model(network, self.vocabulary, card, self._record, quantized=True)

    def save(self, folder: str | Path) -> None:
        """Write a model folder: config.json, tokenizer.json, model.safetensors and card.json.

        Where the training text can be found again is written beside them, in run.json; without
        that file the folder says nothing of this machine.
        """
        path = Path(folder)
        weights = model_weights(self.network)
        save_model(path, self.config, self.vocabulary, weights, self.card, self.quantized)
        if self._record is not None:
            write_json(path / "run.json", self._record)

    def known_lines(self) -> frozenset[str]:
        """All lines of the text that the user gave, the held-out ones too, without blanks around.

        Raises:
            ModelError: the text is not at hand.
        """
        return frozenset(line.strip() for line in self._corpus(None).lines())

    @property
    def documents(self) -> Literal["none", "lines", "files"]:
        """What was a document in training; `none` where that is not known."""
        documents: Literal["none", "lines", "files"] = "none"
        if self._record is not None:
            documents = TrainingRequest.from_record(self._record).reading.documents
        return documents

    @contextmanager
    def _text(
        self, names: tuple[str, ...], reading: ReadingOptions | None, on_notice: Notice | None
    ) -> Iterator[Split]:
        """Open a text to measure on: what is named, or the run's own held-out text."""
        if not names:
            yield self._corpus(on_notice).heldout
            return
        reading = reading or ReadingOptions(self.documents)
        with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
            yield encode_sources(
                names, reading, self.vocabulary, self.config.labels, Path(folder), on_notice
            )

    def _corpus(self, on_notice: Notice | None) -> Corpus:
        if self._record is None:
            raise ModelError(
                "this model does not know its training text (it has no run.json): "
                "name a text, or use the run folder that it was trained in"
            )
        return open_run_corpus(self._record, on_notice or _ignore)

    def _corpus_if_at_hand(self, on_notice: Notice) -> Corpus | None:
        """Open the training text for what can do without it."""
        if self._record is None:
            return None
        try:
            return open_run_corpus(self._record, on_notice)
        except SunspringError as error:
            on_notice(f"no baselines, as the training text is not at hand: {error}")
            return None

    def _baselines(self, corpus: Corpus | None, heldout: Split) -> dict[str, float]:
        if corpus is None:
            return {}
        return baselines(corpus.train, heldout, self.vocabulary.size, self.vocabulary.start_id)


def train(
    sources: str | Path | Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    preset: str = "auto",
    tokens: TokenKind = "chars",
    documents: Literal["none", "lines", "files"] = "none",
    heldout: str | Path | Sequence[str | Path] = (),
    device: str = "auto",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    init_from: str | Path | None = None,
    progress: TextIO | bool | None = True,
) -> Model:
    """Teach a network to write like a text.

    Args:
        sources: files, folders, patterns, addresses, `gutenberg:ID` …; none is the embedded text.
        out: the run folder to make; by default the run is kept in memory alone.
        minutes: when to stop, 3 if nothing else is given.
        epochs: when to stop.
        steps: when to stop.
        preset: `auto`, `article`, `deepmoji`, `tiny`, `small`, `large`, `rnn` or `gru`.
        tokens: `chars`, `bytes` or `subwords`.
        documents: `none`, `lines` or `files`: what starts from a fresh state and has an end.
        heldout: sources of the held-out text, if it shall not be cut from the others.
        device: `auto`, `cpu` or `cuda`.
        seed: of everything that is drawn.
        settings: single settings by name, as `--set` takes them, e.g. `{"hidden_size": 384}`.
        init_from: a model folder to go on from.
        progress: where progress and samples go; True is the standard error, None for silence.

    Returns:
        The model; with its `training` it says how it went.

    Raises:
        SunspringError: something that the user can mend.
    """
    with tempfile.TemporaryDirectory(prefix="sunspring-") as temporary:
        folder = Path(out) if out is not None else Path(temporary) / "run"
        request = TrainingRequest(
            sources=_names(sources),
            out=folder,
            budget=choose_budget(minutes, epochs, steps),
            preset=preset,
            device=device,
            seed=seed,
            reading=ReadingOptions(documents),
            encoding=CorpusSettings(tokens),
            heldout=_names(heldout),
            overrides={key: str(value) for key, value in (settings or {}).items()},
            init_from=None if init_from is None else Path(init_from),
        )
        stream = sys.stderr if progress is True else progress or None
        result = run_training(request, stream)
        model = load(folder)
        model.training = result
        return model


def load(folder: str | Path, device: str = "cpu") -> Model:
    """Load a model folder, or the model of a run.

    Args:
        folder: what `train` or `Model.save` wrote, on this machine or another.
        device: `auto`, `cpu` or `cuda`; where it was trained does not matter.

    Raises:
        ModelError: the folder is missing, incomplete or damaged.
    """
    from sunspring.machine import choose_device

    network, vocabulary, card, quantized = load_model(Path(folder))
    record_path = Path(folder) / "run.json"
    record = read_json(record_path) if record_path.exists() else None
    return Model(network.to(choose_device(device)), vocabulary, card, record, quantized)


def _names(sources: str | Path | Sequence[str | Path]) -> tuple[str, ...]:
    if isinstance(sources, str | Path):
        return (str(sources),)
    return tuple(str(source) for source in sources)


def _ignore(line: str) -> None:
    pass
