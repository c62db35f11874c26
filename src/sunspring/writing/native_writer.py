"""The native engine: whole texts are written in C++, many at once, and without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.machine import usable_cores
from sunspring.network import engine
from sunspring.network.config import ModelConfig, check_labels
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import load_native
from sunspring.notices import Progress, unnoticed
from sunspring.writing.drafts import Piece
from sunspring.writing.engine import CANNOT_BLEND, Blend, Counts, Engine, Floats, Ids
from sunspring.writing.session import Request, Session, Voice
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Reader, Task, Tokens, Writer

_LANES = 32  # texts that a thread writes at once: more save no time per text
_SLICE = 0.02  # seconds until pieces or progress are passed on, and Ctrl-C is noticed
_PART = 1 << 12  # tokens of a prompt to read before Ctrl-C is noticed


class NativeReader:
    """A text being read by the engine.

    Args:
        model: as the engine holds it.
        label: see `Task`.
        threads: number of threads that read a long text.

    Attributes:
        state: the engine's own reader.
        logits: (vocabulary,) of the next token; empty before the first.
    """

    def __init__(self, model: engine.Model, label: int | None, threads: int) -> None:
        self.state = engine.Reader(model, label or 0)
        self._threads = threads
        self.logits: NDArray[np.floating] = np.zeros(0, np.float32)

    def read(self, tokens: Tokens, on_progress: Progress = unnoticed) -> NDArray[np.floating]:
        """See `Reader.read`."""
        for first in range(0, len(tokens), _PART):
            self.logits = self.state.read(tokens[first : first + _PART], self._threads)
            on_progress(min(first + _PART, len(tokens)), len(tokens))
        return self.logits

    def copy(self) -> NativeReader:
        """Return another reader that has read the same."""
        other = object.__new__(NativeReader)
        other.state, other._threads = self.state.copy(), self._threads
        other.logits = self.logits
        return other


class BlendedReader:
    """A text being read by several models, whose probabilities are added up by their shares.

    Args:
        readers: of the main model and of each voice; they have read the text so far.
        voices: the other models.
    """

    def __init__(self, readers: Sequence[NativeReader], voices: Sequence[Voice]) -> None:
        self._readers = readers
        self._voices = voices

    def read(self, tokens: Tokens, on_progress: Progress = unnoticed) -> NDArray[np.floating]:
        """See `Reader.read`."""
        own, *others = self._readers
        own.read(tokens, on_progress)
        for reader, voice in zip(others, self._voices, strict=True):
            heard = voice.tokens[tokens]
            reader.read(heard[heard >= 0])
        return self.mixed()

    def mixed(self) -> NDArray[np.floating]:
        """Return the logits (vocabulary,) of the next token."""
        own, *others = [reader.logits for reader in self._readers]
        mixed = (1 - sum(voice.share for voice in self._voices)) * _softmax(own)
        for logits, voice in zip(others, self._voices, strict=True):
            is_known = voice.tokens >= 0
            mixed[is_known] += voice.share * _softmax(logits[voice.tokens[is_known]])
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(mixed))

    def copy(self) -> BlendedReader:
        """Return another reader that has read the same."""
        return BlendedReader([reader.copy() for reader in self._readers], self._voices)


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return np.asarray(weights / weights.sum())


class NativeWriter(Writer[NativeReader]):
    """Writes with a model of the native engine.

    Args:
        model: as the engine holds it.
        config: the model's architecture.
        vocabulary: the model's.
        before: see `Writer`.
        threads: number of threads to use.
        blend: other writers, each with its share of every prediction.

    Raises:
        SettingsError: the shares are out of range, another model reads other kinds of tokens, or
            it is not in the native engine.
    """

    def __init__(
        self,
        model: engine.Model,
        config: ModelConfig,
        vocabulary: Vocabulary,
        before: Tokens | None = None,
        threads: int = 1,
        blend: Blend = (),
    ) -> None:
        super().__init__(config, vocabulary, before)
        self._model = model
        self._threads = threads
        shares = [share for _, share in blend]
        if not all(share > 0 for share in shares) or sum(shares) > 1:
            listed = ", ".join(f"{share:g}" for share in shares)
            raise SettingsError(
                f"the shares of a blend are {listed}: they must be above 0, and at most 1 together"
            )
        self._blend: list[tuple[NativeWriter, Voice]] = []
        for other, share in blend:
            if not isinstance(other, NativeWriter):
                raise SettingsError(CANNOT_BLEND)
            tokens = _known_tokens(vocabulary, other.vocabulary)
            self._blend.append((other, Voice(other._model, share, tokens)))
        self._indexed: tuple[KnownStretches, engine.KnownStretches] | None = None

    def open_session(self, lanes: int) -> Session:
        """Open a session that writes up to `lanes` texts at once."""
        voices = [voice for _, voice in self._blend]
        return Session(self._model, voices, lanes=lanes, threads=self._threads)

    def request(self, task: Task, seeds: range) -> Request:
        """Read the prompt of a task, so that a session can continue it."""
        known = self._index(task.known) if task.known else None
        read = self._readers_after(task.prompt.tokens, task.settings.label, task.on_progress)
        readers = [reader.state for reader in read]
        return Request(task, seeds, readers, self.recent(task), known)

    def fresh_reader(self, label: int | None) -> NativeReader:
        """Return a reader that has read nothing."""
        return NativeReader(self._model, label, self._threads)

    def write_pieces(self, task: Task, seeds: range) -> Iterator[Piece]:
        """Write one text for each seed, all at once, each in pieces until its finish reason."""
        session = self.open_session(min(len(seeds), _LANES * self._threads))
        session.add(self.request(task, seeds))
        while not session.is_over:
            for _, piece in session.run(_SLICE):
                yield piece

    def _index(self, known: KnownStretches) -> engine.KnownStretches:
        """Pass known stretches to the engine, and keep the index: a large one takes a while."""
        if self._indexed is None or self._indexed[0] is not known:
            self._indexed = known, engine.KnownStretches(known.keys, known.size)
        return self._indexed[1]

    def listen(self, tokens: Tokens, label: str | None) -> tuple[Reader, NDArray[np.floating]]:
        """See `Writer.listen`."""
        if not self._blend:
            return super().listen(tokens, label)
        voices = [voice for _, voice in self._blend]
        reader = BlendedReader(self._readers_after(tokens, label), voices)
        return reader, reader.mixed()

    def _readers_after(
        self, tokens: Tokens, label: str | None, on_progress: Progress = unnoticed
    ) -> list[NativeReader]:
        """Return readers of all models, which have read a prompt."""
        own = self._after(tokens, self.config.label_index(label), on_progress)
        return [own, *(other._heard(voice.tokens[tokens], label) for other, voice in self._blend)]

    def _after(
        self, tokens: Tokens, label: int | None, on_progress: Progress = unnoticed
    ) -> NativeReader:
        """Return a reader that has read a prompt."""
        reader = self.reader(label)
        reader.read(self.after_start(tokens), on_progress)
        return reader

    def _heard(self, tokens: Tokens, label: str | None) -> NativeReader:
        """Return a reader that has read another model's prompt, less the tokens unknown here."""
        index = self.config.label_index(label if self.config.labels else None)
        return self._after(tokens[tokens >= 0], index)


def _known_tokens(vocabulary: Vocabulary, other: Vocabulary) -> Tokens:
    """Find each token of a vocabulary in another one, (vocabulary,); -1 where it is missing."""
    if vocabulary.kind != other.kind:
        raise SettingsError(
            f"a model of {vocabulary.kind} and one of {other.kind} cannot be blended: "
            "choose models of the same --tokens"
        )
    places = {token: place for place, token in enumerate(other.tokens)}
    return np.array([places.get(token, -1) for token in vocabulary.tokens], np.int64)


class NativeEngine(Engine):
    """A model in the native engine.

    Args:
        files: the model's.

    Attributes:
        model: as the engine holds it.
    """

    name = "native"

    def __init__(self, files: ModelFiles) -> None:
        super().__init__(files.config, files.vocabulary)
        self.model = load_native(files)

    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """See `Engine.writer`."""
        model, threads = self.model, usable_cores()
        return NativeWriter(model, self.config, self.vocabulary, before, threads, blend)

    def reader(self, label: int | None = None) -> engine.Reader:
        """See `Engine.reader`."""
        return engine.Reader(self.model, label or 0)

    def score(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> Floats:
        """See `Engine.score`."""
        return self._read(ids, counts, labels, on_progress, outputs=False)

    def encode(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> NDArray[np.float32]:
        """See `Engine.encode`."""
        flat = self._read(ids, counts, labels, on_progress, outputs=True)
        return flat.reshape(len(counts), self.config.layers * self.config.hidden_size)

    def _read(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None,
        on_progress: Progress,
        *,
        outputs: bool,
    ) -> NDArray[np.float32]:
        """Read texts in slices of time, so that Ctrl-C is noticed between them."""
        check_labels(self.config.labels, labels)
        given = np.zeros(0, np.int64) if labels is None else labels
        tokens, threads = ids.astype(np.int64), usable_cores()
        reading = engine.Reading(
            self.model, tokens, counts, given, outputs=outputs, threads=threads
        )
        while not reading.is_over:
            reading.run(_SLICE)
            on_progress(reading.tokens_read, len(tokens))
        return reading.take_result()
