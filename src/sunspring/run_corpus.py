"""The text of a run: encoded from its sources, or found again in the cache.

Stands right before runs.py in the street, which trains on it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sunspring.checkpoint import load_model
from sunspring.corpus import Corpus, build_corpus, open_corpus
from sunspring.downloads import cache_folder
from sunspring.errors import ModelError, SettingsError, SourceError
from sunspring.files import Notice, Progress
from sunspring.model import RecurrentModel
from sunspring.request import TrainingRequest, reading_record
from sunspring.vocabulary import Vocabulary

_SECONDS_BETWEEN = 3.0  # two lines of progress


def load_base(request: TrainingRequest) -> tuple[RecurrentModel, Vocabulary] | None:
    """Load the model that a request goes on from, if it names one.

    Raises:
        ModelError: it is missing or damaged.
    """
    return None if request.init_from is None else load_model(request.init_from)[:2]


def encode_request(
    request: TrainingRequest, base: tuple[RecurrentModel, Vocabulary] | None, say: Notice
) -> Corpus:
    """Encode the text that a request names, or open it from the cache.

    Args:
        request: names the text, and says how to read and encode it.
        base: model and vocabulary to go on from.
        say: told what was skipped or mended.

    Raises:
        SunspringError: a source is at fault, or the cache cannot be written.
    """
    labels = base[0].config.labels if base else ()
    vocabulary = base[1] if base else None
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
