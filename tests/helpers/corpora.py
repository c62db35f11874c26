"""Corpora built from small files, for the tests of corpus.py and spool.py."""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from files import write
from hypothesis import strategies as st
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus, build_corpus
from sunspring.corpus.settings import TokenSettings
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import Vocabulary
from sunspring.notices import Notify, ignore
from sunspring.text.files import Sources, find_sources
from sunspring.text.options import ReadingOptions

PLAIN = ReadingOptions()
LINES = ReadingOptions(documents="lines")
FILES = ReadingOptions(documents="files")
TOKENS: list[Literal["chars", "bytes", "subwords"]] = ["chars", "bytes", "subwords"]
every_token = pytest.mark.parametrize("tokens", TOKENS)

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")
texts = st.text(st.one_of(st.sampled_from("ab \n\n"), characters), min_size=1).filter(
    lambda text: not text.isspace()
)
lines_of_text = st.lists(
    st.text(characters.filter(lambda one: one != "\n"), min_size=1).filter(
        lambda text: not text.isspace()
    ),
    min_size=1,
    max_size=120,
)


def build(
    names: str | list[str],
    reading: ReadingOptions = PLAIN,
    *,
    heldout: list[str] | None = None,
    base: Vocabulary | None = None,
    base_labels: tuple[str, ...] = (),
    corpus_format: int | None = None,
    notify: Notify = ignore,
    seed: int = 0,
    **chosen: Any,
) -> Corpus:
    as_bytes = (base.kind if base else chosen.get("tokens")) == "bytes"

    def find(found: list[str]) -> Sources:
        return find_sources(found, reading, as_bytes=as_bytes, notify=notify)

    return build_corpus(
        find([names] if isinstance(names, str) else names),
        TokenSettings(**chosen),
        Path("cache"),
        seed=seed,
        heldout=find(heldout) if heldout else None,
        base=base,
        base_labels=base_labels,
        corpus_format=corpus_format,
        notify=notify,
    )


def build_text(text: str, reading: ReadingOptions = PLAIN, **more: Any) -> Corpus:
    """Build from a file that no other text was ever in, so that the cache never stands for it."""
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return build(write(name, text.encode("utf-8", "surrogateescape")), reading, **more)


def documents_of(split: Split, vocabulary: Vocabulary) -> list[str]:
    return [vocabulary.decode(split.tokens[a:b]) for a, b in pairwise(split.starts)]


def ids_in_order(corpus: Corpus) -> NDArray[Any]:
    """All ids as they follow one another in the text, the validation part at its place."""
    before, after = np.split(corpus.train.tokens, [corpus.validation_at])
    return np.concatenate([before, corpus.validation.tokens, after, corpus.heldout.tokens])


def split_texts(corpus: Corpus) -> tuple[list[str], list[str], list[str]]:
    train, validation, heldout = (
        documents_of(split, corpus.vocabulary)
        for split in (corpus.train, corpus.validation, corpus.heldout)
    )
    return train, validation, heldout
