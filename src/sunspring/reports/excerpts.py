"""Excerpts of a corpus to test a model on: whole documents, or stretches of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import Split
from sunspring.model import Model

_STRETCH = 1000  # tokens: short, to read many at once; long, so that a fresh state costs little


class Excerpt(NamedTuple):
    """Tokens to read from a fresh state, and their label.

    Args:
        tokens: (tokens,) ids, at least one.
        label: the document's label; None without labels.
    """

    tokens: NDArray[np.int64]
    label: str | None


def first_documents(split: Split, labels: Sequence[str], most: int) -> list[Excerpt]:
    """Return the first documents of a split, or the beginning of its only one.

    Args:
        split: part of a corpus.
        labels: label names of the corpus.
        most: maximum number of tokens in total.
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
    """Return documents spread over a split, or stretches spread over its only one.

    An empty split has none.

    Args:
        split: part of a corpus.
        labels: label names of the corpus.
        most: maximum number of tokens in total, about.
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
    """Return the mean surprisal of excerpts, cut into thousands of tokens read from fresh states.

    It is a little higher than by `stream`, but comparable between texts. NaN without excerpts.
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
