"""The text of a run: encoded from its sources, or found again in the cache.

Stands right before runs.py in the street, which trains on it.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sunspring.corpus.corpus import Corpus, Split, build_corpus, encode_sources, open_corpus
from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import ModelError, SettingsError, SourceError, SunspringError
from sunspring.network.model_folder import ModelFiles
from sunspring.runs.request import TrainingRequest, reading_record
from sunspring.text.decoding import ReadingOptions
from sunspring.text.downloads import cache_folder
from sunspring.text.files import Notice, Progress

_SECONDS_BETWEEN = 3.0  # two lines of progress


def load_base(request: TrainingRequest) -> ModelFiles | None:
    """Read the model that a request goes on from, if it names one.

    Raises:
        ModelError: it is missing or damaged.
    """
    return None if request.init_from is None else ModelFiles.read(request.init_from)


def encode_request(request: TrainingRequest, base: ModelFiles | None, say: Notice) -> Corpus:
    """Encode the text that a request names, or open it from the cache.

    Args:
        request: names the text, and says how to read and encode it.
        base: the model to go on from.
        say: told what was skipped or mended.

    Raises:
        SunspringError: a source is at fault, or the cache cannot be written.
    """
    labels = base.config.labels if base else ()
    vocabulary = base.vocabulary if base else None
    if vocabulary is not None and request.encoding.tokens not in ("chars", vocabulary.kind):
        raise SettingsError(
            f"{request.init_from} reads {vocabulary.kind}, not {request.encoding.tokens}: "
            "leave out --tokens"
        )
    cache = cache_folder() / "corpora"
    try:
        return build_corpus(
            request.sources,
            request.reading,
            replace(request.encoding, split_seed=request.seed),
            cache,
            heldout=request.heldout,
            base=vocabulary,
            base_labels=labels,
            on_progress=_reading_progress(say),
            on_notice=say,
        )
    except OSError as error:
        raise SourceError(
            f"the encoded text cannot be kept in {cache} ({error.strerror or error}): make room, "
            "or name another folder in the environment variable SUNSPRING_CACHE"
        ) from None


def _reading_progress(say: Notice) -> Progress:
    """Tell every few seconds how far a long reading is."""
    told = time.monotonic()

    def tell(done: int, total: int | None) -> None:
        nonlocal told
        if time.monotonic() - told >= _SECONDS_BETWEEN:
            told = time.monotonic()
            say(f"reading: {done / 1e6:,.0f} MB" + (f" of {total / 1e6:,.0f}" if total else ""))

    return tell


class RunText:
    """The text that a model was trained on, if that can be found again.

    Args:
        record: the model's run.json, or None.
    """

    def __init__(self, record: Mapping[str, Any] | None) -> None:
        self.record = record

    @property
    def documents(self) -> Literal["none", "lines", "files"]:
        """What was a document in training; `none` where that is not known."""
        if self.record is None:
            return "none"
        return TrainingRequest.from_record(self.record).reading.documents

    def open(self, say: Notice | None = None) -> Corpus:
        """Open it; `say` is told what was mended or read again.

        Raises:
            SunspringError: it is not at hand.
        """
        if self.record is None:
            raise ModelError(
                "this model does not know its training text (it has no run.json): "
                "name a text, or use the run folder that it was trained in"
            )
        return open_run_corpus(self.record, say or _ignore)

    @contextlib.contextmanager
    def to_measure(
        self,
        names: tuple[str, ...],
        reading: ReadingOptions | None,
        vocabulary: Vocabulary,
        labels: tuple[str, ...],
        say: Notice | None = None,
    ) -> Iterator[Split]:
        """Open a text to measure a model on: what is named, or the run's own held-out text.

        Raises:
            SunspringError: it is not at hand, or a source is at fault.
        """
        if not names:
            yield self.open(say).heldout
            return
        reading = reading or ReadingOptions(self.documents)
        with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
            yield encode_sources(names, reading, vocabulary, labels, Path(folder), say)

    def open_if_at_hand(self, say: Notice | None = None) -> Corpus | None:
        """Open it for what can do without it."""
        if self.record is None:
            return None
        try:
            return self.open(say)
        except SunspringError as error:
            (say or _ignore)(f"no baselines, as the training text is not at hand: {error}")
            return None


def open_run_corpus(record: Mapping[str, Any], say: Notice) -> Corpus:
    """Open the text of a run: from the cache, or encoded again from its sources.

    Raises:
        SourceError: a source is gone.
        ModelError: the text is no longer the one that the run was trained on.
    """
    request = TrainingRequest.from_record(record)
    with reading_record():
        folder, fingerprint = Path(record["corpus"]["folder"]), record["corpus"]["fingerprint"]
    with contextlib.suppress(SourceError):
        corpus = open_corpus(folder)
        if corpus.fingerprint == fingerprint:
            return corpus
    if "-" in (*request.sources, *request.heldout):
        raise ModelError(
            f"the text was read from standard input and is no longer in the cache ({folder}): "
            "train again from a file"
        )
    base = load_base(request)
    corpus = encode_request(request, base, say)
    if corpus.fingerprint != fingerprint:
        raise ModelError(
            f"the text of {', '.join(request.sources) or 'this Python'} has changed since the run "
            "began: restore it, or train again with another --out"
        )
    return corpus


def _ignore(line: str) -> None:
    pass
