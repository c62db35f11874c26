"""Pieces of a corpus to look at a model with: documents, or stretches of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import Split
from sunspring.model import Model

_STRETCH = 1000  # tokens, so that many are read at once; a fresh state costs little of that


class Excerpt(NamedTuple):
    """Tokens that are read from a fresh state, and their label.

    Args:
        tokens: (tokens,) ids, at least one.
        label: name of the document's label; None without labels.
    """

    tokens: NDArray[np.int64]
    label: str | None


def first_documents(split: Split, labels: Sequence[str], most: int) -> list[Excerpt]:
    """Give the first documents of a part of a corpus, or the beginning of the only one.

    Args:
        split: of the corpus.
        labels: of the corpus.
        most: tokens in all.
    """
    found, left = [], most
    for document in range(split.document_count):
        first, end = split.starts[document : document + 2]
        tokens = np.asarray(split.tokens[first : min(end, first + left)], np.int64)
        label = None if split.labels is None else labels[split.labels[document]]
        if len(tokens):
            found.append(Excerpt(tokens, label))
        left -= len(tokens)
        if not left:
            break
    return found


def spread_excerpts(split: Split, labels: Sequence[str], most: int) -> list[Excerpt]:
    """Give documents from all over a part of a corpus, or stretches of the only one.

    There are none of an empty part.

    Args:
        split: of the corpus.
        labels: of the corpus.
        most: tokens in all.
    """
    if not len(split.tokens):
        return []
    lengths = np.diff(split.starts)
    stretches = np.minimum(lengths, _STRETCH)
    wanted = max(1, most // max(1, int(stretches.mean())))
    if split.document_count == 1:
        begins = np.linspace(0, lengths[0] - stretches[0], wanted).astype(np.int64)
        documents = np.zeros(wanted, np.int64)
    else:
        documents = np.unique(np.linspace(0, split.document_count - 1, wanted).astype(np.int64))
        begins = split.starts[documents]
    return [
        Excerpt(
            np.asarray(split.tokens[begin : begin + stretches[document]], np.int64),
            None if split.labels is None else labels[split.labels[document]],
        )
        for begin, document in zip(begins.tolist(), documents.tolist(), strict=True)
        if stretches[document]
    ]


def bits_per_token(model: Model, excerpts: Sequence[Excerpt]) -> float:
    """Score excerpts, a thousand tokens at a time from fresh states: the mean.

    It is a little above what `stream` gives, and the same for every text. NaN without any.
    """
    stretches: dict[str | None, list[NDArray[np.int64]]] = {}
    for tokens, label in excerpts:
        cut = np.split(tokens, range(_STRETCH, len(tokens), _STRETCH))
        stretches.setdefault(label, []).extend(cut)
    bits: list[NDArray[np.float64]] = []
    for label, texts in stretches.items():
        counts = np.array([len(text) for text in texts])
        bits += model.score_tokens(np.concatenate(texts).astype(np.int32), counts, label)
    return float(np.concatenate(bits).mean()) if bits else float("nan")
