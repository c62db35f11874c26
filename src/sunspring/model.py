"""`Model`: one façade over a model folder.

It writes, scores, evaluates, mixes, adapts, quantizes and saves. The work is done in the rooms;
PyTorch, and what reads texts, are imported only where something needs them. One file, although it
is long: it is one interface, most of it is documentation, and its methods only delegate.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.spelling import Spelling
from sunspring.corpus.vocabulary import ByteVocabulary, Vocabulary, compose
from sunspring.errors import ModelError, SettingsError, SunspringError
from sunspring.folders import contents, kind_of
from sunspring.machine import check_device
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.notices import Notify, Progress, Work, counting, ignore, reading_on, unnoticed
from sunspring.pages.notebook import Surprisals, table_html
from sunspring.runs.request import Names
from sunspring.settings import several, takes
from sunspring.storage import read_json, write_json
from sunspring.text.options import DocumentKind, FileOptions, ReadingOptions
from sunspring.writing.engine import Engine, EngineName
from sunspring.writing.engines import open_engine
from sunspring.writing.settings import (
    ConstraintSettings,
    EngineChoice,
    ProposalSettings,
    WritingSettings,
)
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Prompt, Proposal, Task, Writer, Writing

if TYPE_CHECKING:
    from sunspring.corpus.corpus import Corpus
    from sunspring.evaluation.protocols import Evaluation, Protocol
    from sunspring.evaluation.settings import LearningSettings
    from sunspring.network import engine as native
    from sunspring.network.network import RecurrentModel
    from sunspring.network.predictor import Predictor
    from sunspring.runs.corpus import RunText
    from sunspring.runs.result import TrainingResult
    from sunspring.text.files import Sources

_REMEMBERED = 10_000  # tokens of the pages that a writer reads first: its state remembers fewer


class Model:
    """A trained model.

    Args:
        files: the contents of its folder.
        record: its run.json, which tells where its text is; None if there is none.
        device: `auto`, `cpu` or `cuda`: where PyTorch computes.
        engine: `auto`, `native` or `torch`: what writes and scores.

    Attributes:
        training: how the training went, if it was trained in this process.

    It can be pickled and copied, and so be passed to other processes: with all that it consists of,
    since its folder may be gone or changed where it arrives.

    Raises:
        SettingsError: the device is unknown, or the engine not available, or not on it.
        ModelError: the weights are damaged, or the engine does not run their architecture.
    """

    def __init__(
        self,
        files: ModelFiles,
        record: Mapping[str, Any] | None = None,
        device: str = "cpu",
        engine: EngineChoice = "auto",
    ) -> None:
        check_device(device)
        self.training: TrainingResult | None = None
        self._files = files
        self._network: RecurrentModel | None = None  # once built, it replaces the files
        self._record = record
        self._device = device
        self._engine_choice = engine
        # added to the network
        self._mixture: Predictor | None = None  # network and n-grams
        self._pages: NDArray[np.int64] | None = None  # every text continues them
        self._blend: tuple[tuple[Model, float], ...] = ()
        # made from the above on first use
        self._engine: Engine | None = None
        self._writer: Writer[Any] | None = None
        self._known: dict[int, KnownStretches] = {}
        self._open()  # so that a damaged model is an error now

    def __copy__(self) -> Model:
        """Return a model that shares the network, and all that was made from it, with this one."""
        model = object.__new__(type(self))
        vars(model).update(vars(self))
        return model

    def __getstate__(self) -> dict[str, Any]:
        """Return what it consists of, without what can be made from that."""
        made: dict[str, Any] = {"_network": None, "_engine": None, "_writer": None, "_known": {}}
        return {**vars(self), "_files": self.files, **made}

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", engine: EngineChoice = "auto") -> Model:
        """Load a model folder, or the model of a run.

        Args:
            folder: a folder written by `train` or `Model.save`, on this machine or another, or the
                name of a bundled model.
            device: `auto`, `cpu` or `cuda`; where it was trained does not matter.
            engine: what writes and scores: `native`, which needs no PyTorch, or `torch`; `auto`
                takes the native one wherever it can.

        Raises:
            ModelError: the folder is missing, incomplete or damaged.
            SettingsError: the device is unknown, or the engine not available, or not on it.
        """
        files, record_path = ModelFiles.read(Path(folder)), Path(folder) / "run.json"
        record = read_json(record_path) if record_path.exists() else None
        return cls(files, record, device, engine)

    @property
    def config(self) -> ModelConfig:
        """The architecture."""
        return self._files.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary: what each token stands for."""
        return self._files.vocabulary

    @property
    def card(self) -> Mapping[str, Any]:
        """What is known about its training."""
        return self._files.card

    @property
    def quantized(self) -> bool:
        """Whether its weights are in 8 bits, also when saved."""
        return self._files.quantization is not None

    @property
    def documents(self) -> DocumentKind:
        """What counted as a document in training; `none` if that is not known."""
        return self._text.documents

    @property
    def _text(self) -> RunText:
        from sunspring.runs.corpus import RunText

        return RunText(self._record)

    @property
    def engine(self) -> EngineName:
        """The engine that writes and scores."""
        return self._open().name

    @property
    def network(self) -> RecurrentModel:
        """The network in PyTorch; changes to it apply to all that is written and saved later.

        Raises:
            ModelError: the weights are damaged or belong to another model.
        """
        network = self._build_network()
        self._engine = self._writer = None
        return network

    def _build_network(self) -> RecurrentModel:
        if self._network is None:
            from sunspring.machine import choose_device
            from sunspring.network.weights import build_network

            self._network = build_network(self._files).to(choose_device(self._device))
        return self._network

    @property
    def files(self) -> ModelFiles:
        """What its folder would hold now, with all changes to the network."""
        if self._network is None:
            return self._files
        from sunspring.network.weights import pack_model

        counts = self._files.counts
        return pack_model(self._network, self.vocabulary, self.card, self.quantized, counts)

    def _open(self) -> Engine:
        if self._engine is None:
            self._engine = open_engine(
                self.files,
                self._engine_choice,
                self._device,
                network=self._build_network,
                predictor=self._mixture,
            )
        return self._engine

    def _with(self, files: ModelFiles) -> Model:
        return Model(files, self._record, self._device, self._engine_choice)

    @property
    def summary(self) -> str:
        """The model in a few words."""
        config = self.config
        parameters = f"{config.parameters:,} parameters{' in 8 bits' * self.quantized}"
        return (
            f"sunspring.Model: {config.layers} × {config.hidden_size} {config.cell}, "
            f"{parameters}, {config.vocabulary_size} tokens"
        )

    def __repr__(self) -> str:
        return f"<{self.summary}>"

    def _repr_html_(self) -> str:
        config, trained = self.config, self.card
        figures = {
            "network": f"{config.layers} × {config.hidden_size} {config.cell}",
            "parameters": f"{config.parameters:,}{' in 8 bits' * self.quantized}",
            "tokens": f"{config.vocabulary_size:,} {self.vocabulary.kind}",
            "engine": self.engine,
        }
        if config.labels:
            figures["labels"] = ", ".join(config.labels)
        if heldout := trained.get("heldout"):
            figures["held-out text"] = f"{heldout['bpc']:.3f} bits per character"
            figures["trained"] = f"{trained['budget']}, {trained['epochs']:.1f} epochs"
        return table_html("sunspring.Model", figures)

    @takes(WritingSettings)
    def write(self, settings: WritingSettings) -> str:
        """Write one text, which begins with the prompt.

        Args:
            settings: by name.

        Raises:
            SettingsError: a setting is impossible, or a label is missing.
        """
        return self.writings(settings)[0].text

    @takes(WritingSettings)
    def write_many(self, count: int, settings: WritingSettings) -> list[Writing]:
        """Write several texts, each with a seed of its own.

        Args:
            count: how many texts.
            settings: by name.

        Raises:
            SettingsError: a setting is impossible, or a label is missing.
            SunspringError: the model does not give enough texts that differ as asked.
        """
        return self.writings(settings, count)

    @takes(WritingSettings)
    def stream(self, settings: WritingSettings) -> Iterator[str]:
        """Write one text, piece by piece; the first piece is the prompt.

        Args:
            settings: by name.

        Raises:
            SettingsError: a setting is impossible, or needs the whole text before any is shown.
        """
        return self.pieces(settings)

    @takes(WritingSettings)
    def write_bytes(self, settings: WritingSettings) -> bytes:
        """Write as `write` does, but bytes as they are, for a model of bytes that are no text.

        `length` counts bytes, and `regex` takes each byte for a character from U+0000 to U+00FF. A
        prompt that is no text is given as `prompt.decode("utf-8", "surrogateescape")`.

        Args:
            settings: by name.

        Raises:
            SettingsError: the model does not read bytes, or a setting is impossible.
        """
        return b"".join(self.raw_pieces(settings))

    @takes(ProposalSettings)
    def propose(self, text: str, settings: ProposalSettings) -> list[Proposal]:
        """Propose pieces that may follow a text, the most probable first.

        Args:
            text: the text so far.
            settings: by name.

        Raises:
            SettingsError: a setting is impossible, or nothing that follows can match.
        """
        return self.proposals(text, settings)

    def writings(
        self, settings: WritingSettings, count: int = 1, notify: Notify = ignore
    ) -> list[Writing]:
        """Do what `write_many` does, with the settings as one object; see `each_writing`."""
        return list(self.each_writing(settings, count, notify))

    def each_writing(
        self, settings: WritingSettings, count: int, notify: Notify = ignore
    ) -> Iterator[Writing]:
        """Do what `write_many` does, but give each text as soon as it is finished.

        Args:
            settings: what to write.
            count: how many texts.
            notify: shows the progress.
        """
        if type(count) is not int or not 0 <= count < 1 << 63:
            raise SettingsError(
                f"count is {count!r}: it must be a whole number, at least 0 and below 2**63"
            )
        writer, task = self._begin(settings, notify)
        progress = Work(notify, "writing")
        if not settings.unique and not settings.novel:
            return writer.write_each(task, range(task.seed, task.seed + count), progress)
        excluded = self.known_lines(notify) if settings.novel else frozenset()
        return writer.write_distinct(
            task, count, unique=settings.unique, excluded=excluded, on_progress=progress
        )

    def pieces(
        self, settings: WritingSettings, notify: Notify = ignore
    ) -> Generator[str, None, Writing]:
        """Do what `stream` does, with the settings as one object, and return the whole text."""
        if settings.novel:
            raise SettingsError(
                "whether a text is novel is known only at its end: leave out novel, or use write"
            )
        writer, task = self._begin(settings, notify)
        return writer.stream(task)

    def raw_pieces(self, settings: WritingSettings, notify: Notify = ignore) -> Iterator[bytes]:
        """Yield piece by piece what `write_bytes` returns, with the settings as one object."""
        vocabulary = self.vocabulary
        if not isinstance(vocabulary, ByteVocabulary):
            raise SettingsError(
                f"the model writes {vocabulary.kind}, which are always text: leave out raw"
            )
        if self._mixture or self._blend or self._pages is not None or settings.no_copies_over:
            raise SettingsError(
                "bytes are written without mixture, blend, pages to adapt to or no_copies_over: "
                "leave these out, or raw"
            )
        model = self._with(replace(self.files, vocabulary=vocabulary.as_characters()))
        in_latin = replace(
            settings,
            prompt=_in_latin(settings.prompt),
            stop=tuple(map(_in_latin, settings.stops)),
            ban=tuple(map(_in_latin, settings.phrases("ban"))),
            contains=tuple(map(_in_latin, settings.phrases("contains"))),
            ends_with=settings.ends_with and _in_latin(settings.ends_with),
        )
        return (piece.encode("latin-1") for piece in model.pieces(in_latin, notify))

    def proposals(
        self, text: str, settings: ProposalSettings, notify: Notify = ignore
    ) -> list[Proposal]:
        """Do what `propose` does, with the settings as one object; see `each_writing`."""
        return self._open_writer().proposals(text, settings, self._known_for(settings, notify))

    def read_prompt(self, text: str) -> Prompt:
        """Return a prompt as the model reads it, with the characters that had to be replaced."""
        return Prompt.read(text, self.vocabulary)

    def _begin(self, settings: WritingSettings, notify: Notify) -> tuple[Writer[Any], Task]:
        writer, known = self._open_writer(), self._known_for(settings, notify)
        return writer, writer.begin(settings, known, Work(notify, "reading the prompt"))

    def _known_for(self, settings: ConstraintSettings, notify: Notify) -> KnownStretches | None:
        most = settings.no_copies_over
        return self.known_stretches(most + 1, notify) if most else None

    def _open_writer(self) -> Writer[Any]:
        if self._writer is None:
            blend = [(other._open_writer(), share) for other, share in self._blend]
            self._writer = self._open().writer(self._pages, blend)
        return self._writer

    def blended(self, other: Model, share: float) -> Self:
        """Blend another model's predictions into this one's when it writes.

        The other model's predictions of characters that this one lacks do not count, and it does
        not read characters that it lacks itself.

        Args:
            other: a model with the same kind of tokens.
            share: weight of the other's probabilities, above 0; all shares add up to at most 1.

        Raises:
            SettingsError: a share is impossible, the kinds of tokens differ, or one of the models
                does not write with the native engine.
        """
        model = copy.copy(self)
        model._writer, model._blend = None, (*self._blend, (other, share))
        model._open_writer()  # so that impossible settings are an error now
        return model

    def score(self, text: str, label: str | None = None) -> Surprisals:
        """Return the surprisal of each token of a text, in bits, (tokens,).

        A character that the model does not know costs as much as naming any one of Unicode, 20.1
        bits. They are added to the next token that it knows (or to the last one).

        Args:
            text: read from a fresh state.
            label: the text's label, for a model with labels.

        Raises:
            SettingsError: the label is unknown, or missing.
        """
        (costs,) = self.score_many([text], label)
        return Surprisals(costs, lambda: self.spell(text).pieces(costs))

    def spell(self, text: str) -> Spelling:
        """Encode a text, and tell which part of it each token stands for."""
        return self.vocabulary.spell(compose([text], self.vocabulary)[0])

    def score_many(
        self,
        texts: Sequence[str],
        label: str | None = None,
        on_progress: Progress = unnoticed,
    ) -> list[NDArray[np.float64]]:
        """Score many texts at once, each from a fresh state; see `score` and `score_tokens`."""
        read = compose(_texts(texts), self.vocabulary)
        scored = self.score_tokens(*self.vocabulary.encode_batch(read), label, on_progress)
        for place in np.flatnonzero(self.vocabulary.unseen_counts(read)).tolist():
            scored[place] = self.vocabulary.spell(read[place]).costs(scored[place])
        return scored

    def score_tokens(
        self,
        ids: NDArray[np.int32],
        counts: NDArray[np.int64],
        label: str | None = None,
        on_progress: Progress = unnoticed,
    ) -> list[NDArray[np.float64]]:
        """Score many texts that are already encoded.

        Args:
            ids: (tokens,) the texts' token ids, one text after another.
            counts: (texts,) number of tokens of each.
            label: see `score`.
            on_progress: called now and then with the tokens read so far, and their number.
        """
        labels = self._labels(label, len(counts))
        if not len(counts):
            return []
        nats = self._open().score(ids, counts, labels, on_progress)
        return np.split(nats / np.log(2), np.cumsum(counts)[:-1])

    def encode(
        self,
        texts: Sequence[str],
        label: str | None = None,
        on_progress: Progress = unnoticed,
    ) -> NDArray[np.float32]:
        """Turn texts into vectors: the layers' outputs after the last character.

        Texts that the model would continue in a similar way have similar vectors.

        Args:
            texts: each is read from a fresh state.
            label: the texts' label, for a model with labels.
            on_progress: called now and then with the tokens read so far, and their number.

        Returns:
            The vectors (texts, vector_size), with values from -1 to 1.

        Raises:
            SettingsError: the texts are a single one, or the label is unknown or missing.
        """
        ids, counts = self.vocabulary.encode_batch(compose(_texts(texts), self.vocabulary))
        labels = self._labels(label, len(counts))
        return self._open().encode(ids, counts, labels, on_progress)

    @property
    def vector_size(self) -> int:
        """Numbers in a vector of `encode`: the units of all layers."""
        return self.config.layers * self.config.hidden_size

    def _labels(self, label: str | None, texts: int) -> NDArray[np.int64] | None:
        index = self.config.label_index(label)
        return None if index is None else np.full(texts, index)

    def reader(self, label: str | None = None) -> native.Reader:
        """Return a reader of the native engine, which reads a text token by token.

        Raises:
            SettingsError: the model runs on PyTorch, or the label is unknown or missing.
        """
        return self._open().reader(self.config.label_index(label))

    def evaluate(
        self,
        sources: Names = (),
        protocol: Protocol = "stream",
        reading: ReadingOptions | None = None,
        notify: Notify = ignore,
        *,
        mixture: bool = False,
        dynamic: bool | LearningSettings = False,
    ) -> tuple[Evaluation, dict[str, float]]:
        """Measure how well the model predicts a text.

        Args:
            sources: the text; the run's own held-out text if none is named.
            protocol: `stream` or `windows`.
            reading: how to read the sources; by default split into documents as in training.
            notify: called with a line about what was left out or is not available.
            mixture: also measure the model mixed with n-grams; see `mixed`.
            dynamic: also measure it while it learns from each token that it has scored; the
                settings say how fast. Only by `stream`.

        Returns:
            The figures (their `beyond` holds those of `mixture`, `dynamic` and, for both together,
            `dynamic_mixture`), and the nats per character of n-gram models of orders 1 to 6 fitted
            to the model's training text (empty if that text is not available).

        Raises:
            ModelError: the run's own text is needed and not available.
            SourceError: a source is at fault, or the training text is too short for a mixture.
            SettingsError: the protocol is unknown, or learning is asked for by `windows`.
        """
        from sunspring.evaluation.measure import check_protocol, measure
        from sunspring.evaluation.settings import LearningSettings
        from sunspring.network.mixture import with_counts

        check_protocol(protocol, dynamic=bool(dynamic))
        with self._text.to_measure(
            several(sources), reading, self.vocabulary, self.config.labels, notify
        ) as heldout:
            corpus = (self._text.open if mixture else self._text.open_if_at_hand)(notify)
            network = self.network
            figures, ngrams = measure(
                network,
                heldout,
                corpus,
                self.vocabulary,
                protocol,
                engine=self._open(),
                predictor=self._mixture or with_counts(network, self._files),
                mixture=mixture,
                learning=LearningSettings() if dynamic is True else dynamic or None,
                notify=notify,
            )
            if corpus is not None:
                overlap = corpus.overlap_with(heldout) if several(sources) else corpus.overlap
                figures = figures.with_overlap(overlap)
        return figures, ngrams

    def mixed(self, notify: Notify = ignore) -> Model:
        """Mix the model with n-grams of its training text.

        Their weights are learned on the validation part of that text (`learn_mixture`).

        Args:
            notify: called with a line about what was repaired.

        Returns:
            A model that writes, scores and evaluates as the mixture, in place of its own counts.
            The mixture is not saved.

        Raises:
            SettingsError: the native engine was asked for.
            ModelError: the training text is not available.
            SourceError: it is too short.
        """
        if self._engine_choice == "native":
            raise SettingsError(
                "the native engine does not mix in n-grams: leave out --engine native or --mixture"
            )
        from sunspring.evaluation.mixture import learn_mixture

        model = copy.copy(self)
        model._engine = model._writer = None
        model._mixture = learn_mixture(self.network, self._text.open(notify), notify)
        return model

    def reading(self, files: FileOptions | None = None) -> ReadingOptions:
        """Return how to read a text for the model: split into documents as in training.

        Args:
            files: how files become text.
        """
        return ReadingOptions(documents=self.documents, **vars(files or FileOptions()))

    def arriving_lines(
        self, source: str | Path, files: FileOptions | None = None, notify: Notify = ignore
    ) -> Iterator[tuple[int, list[str]]]:
        """Read the lines of a source as they arrive, as for training; see `read_lines`.

        Args:
            source: named as for training.
            files: how files become text.
            notify: called with a line about what was left out.

        Raises:
            SourceError: the source is at fault.
        """
        from sunspring.text.sources import read_lines

        yield from read_lines(self._find_text(source, files, notify), notify)

    def arriving_text(
        self, source: str | Path, files: FileOptions | None = None, notify: Notify = ignore
    ) -> Iterator[str]:
        """Read the text of a source as it arrives; see `arriving_lines`."""
        from sunspring.text.sources import read_text

        yield from read_text(self._find_text(source, files, notify), notify)

    def _find_text(self, source: str | Path, files: FileOptions | None, notify: Notify) -> Sources:
        reading = ReadingOptions(**vars(files or FileOptions()))
        return self._find((str(source),), reading, notify)

    def _find(self, names: tuple[str, ...], reading: ReadingOptions, notify: Notify) -> Sources:
        from sunspring.text.files import find_sources

        return find_sources(
            names,
            reading,
            as_bytes=self.vocabulary.kind == "bytes",
            on_progress=reading_on(notify),
            notify=notify,
        )

    def adapted(
        self,
        sources: Names,
        label: str | None = None,
        settings: LearningSettings | None = None,
        notify: Notify = ignore,
        files: FileOptions | None = None,
    ) -> Model:
        """Read some pages and learn from them, as in dynamic evaluation.

        Args:
            sources: the pages, split into documents as in training. Characters that the model lacks
                are replaced or left out, as in a prompt.
            label: the label to read them under, for a model with labels.
            settings: how fast it learns.
            notify: called with a line about what was left out.
            files: how the files become text.

        Returns:
            A model that has learned from them and continues where they end (if documents are lines,
            it begins a new one). This model stays as it is.

        Raises:
            SourceError: a source is at fault.
            SettingsError: the label is unknown, or missing.
        """
        from sunspring.corpus.corpus import encode_sources
        from sunspring.evaluation.dynamic import learn_from
        from sunspring.network.weights import pack_model

        index, vocabulary = self.config.label_index(label), self.vocabulary
        reading = self.reading(files)
        found = self._find(several(sources), reading, notify)
        with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
            pages = encode_sources(
                found,
                vocabulary,
                (),
                Path(folder),
                notify,
                nearest=True,
                on_progress=reading_on(notify),
            )
            progress = Work(notify, "learning from the pages")
            learned = learn_from(
                self.network, pages, vocabulary.start_id, settings, index, progress
            )
            counts = self._files.counts
            model = self._with(pack_model(learned, vocabulary, self.card, counts=counts))
            if reading.documents != "lines":
                last = pages.tokens[pages.starts[-2] :].astype(np.int64)
                model._pages = last[last != vocabulary.end_id][-_REMEMBERED:]
            return model

    def quantize(
        self,
        sources: Names = (),
        reading: ReadingOptions | None = None,
        notify: Notify = ignore,
    ) -> Model:
        """Copy the model with its weights rounded to 8 bits: a quarter of the bytes, once saved.

        The copy's card says under `quantization` what that saves, and what it costs in nats per
        character by `stream`: on the first million tokens of the sources, or of the run's own
        held-out text. If no text is available the cost is None, and `notify` is called.

        Args:
            sources: the text to measure on; the run's own held-out text if none is named.
            reading: how to read the sources; by default split into documents as in training.
            notify: called with a line about what was left out or is not available.

        Raises:
            ModelError: the model is already in 8 bits, or has weights that are not numbers.
            SourceError: a source is at fault.
        """
        if self.quantized:
            raise ModelError("the model is already in 8 bits: quantize the one it was made from")
        from sunspring.evaluation.quantization import quantize_model

        names = several(sources)
        with ExitStack() as stack:
            text = None
            try:
                text = stack.enter_context(
                    self._text.to_measure(
                        names, reading, self.vocabulary, self.config.labels, notify
                    )
                )
            except SunspringError as error:
                if names:
                    raise
                notify(f"the loss of quality was not measured: {error}")
            kind: Any = "sources" if names else "heldout"
            files = quantize_model(
                self.network, self.vocabulary, self.card, self._files.counts, text, kind, notify
            )
            return self._with(files)

    def save(self, folder: str | Path) -> None:
        """Write a model folder: config.json, tokenizer.json, model.safetensors and card.json.

        A fifth file, run.json, says where the training text is; without that file the folder says
        nothing about this machine.

        Args:
            folder: a new or empty folder, or that of a model, which is replaced.

        Raises:
            ModelError: it holds something else, or cannot be written.
        """
        path = Path(folder)
        if kind_of(path) != "model" and (held := contents(path)):
            raise ModelError(f"{path} {held}: name another folder")
        self.files.write(path)
        if self._record is not None:
            write_json(path / "run.json", self._record)
        else:  # that of a model which is replaced says nothing about this one
            (path / "run.json").unlink(missing_ok=True)

    def open_text(self, notify: Notify = ignore) -> Corpus:
        """Open the text that the model was trained and evaluated on.

        Args:
            notify: called with a line about what was repaired.

        Raises:
            SunspringError: it is not available.
        """
        return self._text.open(notify)

    def known_lines(self, notify: Notify = ignore) -> frozenset[str]:
        """Return all lines of the user's text, also the held-out ones, stripped of outer spaces.

        Args:
            notify: called with a line about what was repaired; shows the progress.

        Raises:
            ModelError: the text is not available.
        """
        corpus, work = self._text.open(notify), Work(notify, "reading the known lines")
        lines = counting(corpus.lines(), corpus.characters, work)
        return frozenset(line.strip() for line in lines)

    def known_stretches(self, size: int, notify: Notify = ignore) -> KnownStretches:
        """Return all stretches of a given length in the training text.

        They are kept, in 8 bytes for each of its characters.

        Args:
            size: characters of a stretch, at least 2.
            notify: called with a line about what was repaired; shows the progress.

        Raises:
            SunspringError: the text is not available.
        """
        if size not in self._known:
            corpus, work = self._text.open(notify), Work(notify, "reading what must not be copied")
            self._known[size] = KnownStretches(size, corpus.training_bytes(work))
        return self._known[size]


def _in_latin(text: str) -> str:
    """Return a text whose characters are the bytes of another one."""
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def _texts(texts: Sequence[str]) -> Sequence[str]:
    """Check that texts are a list of texts, and not a single one."""
    if isinstance(texts, str):
        raise SettingsError(f"texts is the single text {texts[:20]!r}: put it in a list, [text]")
    for text in texts:
        if not isinstance(text, str):
            raise SettingsError(f"{text!r:.40} is no text: give str, one for each text")
    return texts
