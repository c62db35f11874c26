"""The text of a run: encoded from its sources, or found again in the cache."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sunspring.corpus.corpus import (
    OLDEST_FORMAT,
    Corpus,
    build_corpus,
    encode_sources,
    open_corpus,
)
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import SURROGATES, Vocabulary
from sunspring.errors import ModelError, SettingsError, SourceError, SunspringError
from sunspring.network.model_folder import ModelHead, read_head
from sunspring.notices import Notify, ignore, reading_on
from sunspring.runs.request import TrainingRequest, reading_record
from sunspring.storage import cache_folder, caching
from sunspring.text.files import Sources, find_sources
from sunspring.text.options import DocumentKind, ReadingOptions

_LOOKED_AT = 1_000_000  # bytes at the beginning of a text
_STRANGE = 0.01  # share of them that may be no text without a word


class RequestedText:
    """The text that a request names, found but not read yet.

    Args:
        request: names the text, and says how to read and encode it.
        base: the model to start from.
        notify: called with a message about anything skipped or repaired.

    Raises:
        SunspringError: a source is missing, or does not fit the request, or the model does not.
    """

    def __init__(self, request: TrainingRequest, base: ModelHead | None, notify: Notify) -> None:
        if base is not None and request.tokens not in ("chars", base.vocabulary.kind):
            raise SettingsError(
                f"{request.base} reads {base.vocabulary.kind}, not {request.tokens}: leave out "
                "--tokens"
            )
        self._request = request
        self._base = base
        self._notify = notify
        self._progress = reading_on(notify)
        self._sources = self._find(request.source_names)
        self._heldout = self._find(request.heldout_names) if request.heldout_names else None

    def _find(self, names: tuple[str, ...]) -> Sources:
        kind = self._request.tokens if self._base is None else self._base.vocabulary.kind
        return find_sources(
            names,
            self._request.reading,
            as_bytes=kind == "bytes",
            on_progress=self._progress,
            notify=self._notify,
        )

    @property
    def lasts(self) -> bool:
        """Whether it can be read more than once."""
        parts = (self._sources, self._heldout)
        return all(each is None or each.signature() is not None for each in parts)

    def encode(self, corpus_format: int | None = None) -> Corpus:
        """Encode it, or open it from the cache.

        Args:
            corpus_format: see `build_corpus`.

        Raises:
            SunspringError: a source cannot be used, or the cache cannot be written.
        """
        base, cache = self._base, cache_folder() / "corpora"
        with caching("the encoded text", cache):
            return build_corpus(
                self._sources,
                self._request.tokenization,
                cache,
                seed=self._request.seed,
                heldout=self._heldout,
                base=base.vocabulary if base else None,
                base_labels=base.config.labels if base else (),
                corpus_format=corpus_format,
                on_progress=self._progress,
                notify=self._notify,
            )


class RunText:
    """The text that a model was trained on, if that can be found again.

    Args:
        record: the model's run.json, or None.
    """

    def __init__(self, record: Mapping[str, Any] | None) -> None:
        self.record = record

    @property
    def documents(self) -> DocumentKind:
        """What counted as a document in training; `none` if that is not known."""
        if self.record is None:
            return "none"
        return TrainingRequest.from_record(self.record).documents

    def open(self, notify: Notify = ignore) -> Corpus:
        """Open it, or encode it again; `notify` is called with messages about that.

        Raises:
            SunspringError: it is not available.
        """
        if self.record is None:
            raise ModelError(
                "the training text of this model is not known (it has no run.json): "
                "name a text, or use the run folder that it was trained in"
            )
        return open_run_corpus(self.record, notify)

    @contextlib.contextmanager
    def to_measure(
        self,
        names: tuple[str, ...],
        reading: ReadingOptions | None,
        vocabulary: Vocabulary,
        labels: tuple[str, ...],
        notify: Notify = ignore,
    ) -> Iterator[Split]:
        """Open a text to measure a model on: the one named, or the run's own held-out text.

        Raises:
            SunspringError: it is not available, or a source cannot be used.
        """
        if not names:
            yield self.open(notify).heldout
            return
        reading = reading or ReadingOptions(documents=self.documents)
        as_bytes, progress = vocabulary.kind == "bytes", reading_on(notify)
        sources = find_sources(
            names, reading, as_bytes=as_bytes, on_progress=progress, notify=notify
        )
        with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
            yield encode_sources(
                sources, vocabulary, labels, Path(folder), notify, on_progress=progress
            )

    def open_if_at_hand(self, notify: Notify = ignore) -> Corpus | None:
        """Open it if it is available, and otherwise give a message."""
        if self.record is None:
            return None
        try:
            return self.open(notify)
        except SunspringError as error:
            notify(f"no baselines, as the training text is not available: {error}")
            return None


def say_if_binary(corpus: Corpus, notify: Notify) -> None:
    """Say how bytes that are no text are written, if the beginning of the text has many of them."""
    if corpus.vocabulary.kind != "bytes":
        return
    beginning = corpus.train.tokens[:_LOOKED_AT]
    strange = SURROGATES.findall(corpus.vocabulary.decode(beginning))
    if len(strange) > _STRANGE * len(beginning):
        notify(
            f"{len(strange) / len(beginning):.0%} of the bytes are no UTF-8 text and are shown as "
            "\ufffd; to have them as they are, write with --raw"
        )


def open_run_corpus(
    record: Mapping[str, Any], notify: Notify, renamed: TrainingRequest | None = None
) -> Corpus:
    """Open the text of a run: from the cache, or encoded again from its sources.

    The cache knows a text by the sizes and times of its files. Where these have changed, the text
    is read and compared; an edited one is reported, and the one in the cache goes on being used.

    Args:
        record: the run.json.
        notify: called with a message about a text that is gone or has changed.
        renamed: the run's request, with its text under another name; that is not taken from the
            cache unless it is the same.

    Raises:
        SourceError: a source is missing, and the cache does not have the text either.
        ModelError: the text is no longer the one that the run was trained on.
    """
    request = TrainingRequest.from_record(record)
    with reading_record():
        recorded = record["corpus"]
        folder, fingerprint = Path(recorded["folder"]), recorded["fingerprint"]
        corpus_format = recorded.get("format", OLDEST_FORMAT)
    cached = None if renamed else _open_same(folder, fingerprint)
    if renamed is None and "-" in (*request.source_names, *request.heldout_names):
        if cached is None:
            raise ModelError(
                f"the text was read from standard input and is no longer in the cache ({folder}): "
                "train again from a file"
            )
        return cached
    request = renamed or request
    try:
        base = None if request.base is None else read_head(request.base)
        text = RequestedText(request, base, notify)
        if cached is not None and not text.lasts:
            return cached
        corpus = text.encode(corpus_format)
    except SunspringError as error:
        if cached is None:
            if renamed is None and isinstance(error, SourceError):
                raise SourceError(
                    f"{error} (if the text was moved, name it anew: "
                    "sunspring train TEXT --out RUN --resume)"
                ) from None
            raise
        notify(f"using the training text as it is in the cache, because {error}")
        return cached
    if corpus.fingerprint == fingerprint:
        return corpus
    named = ", ".join((*request.source_names, *request.heldout_names)) or "this Python"
    if renamed is not None:
        raise ModelError(
            f"{named} is not the text that the run was trained on: name that text, or train on "
            "this one with --init-from and another --out"
        )
    changed = f"the text of {named} has changed since the run began"
    if cached is None:
        raise ModelError(f"{changed}: restore it, or train again with another --out")
    notify(f"{changed}: using it as it was then, from the cache")
    return cached


def _open_same(folder: Path, fingerprint: str) -> Corpus | None:
    """Open an encoded text if it is intact, and the one with this fingerprint."""
    with contextlib.suppress(SourceError):
        corpus = open_corpus(folder)
        return corpus if corpus.fingerprint == fingerprint else None
    return None
