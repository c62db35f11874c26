"""The parts of a corpus: ids, document starts and labels in memory-mapped files.

Opens them, and reads them in pieces, since they may be larger than memory.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.spelling import UNSEEN_BITS
from sunspring.corpus.vocabulary import Vocabulary

SPLITS = ("train", "validation", "heldout")
TRAIN, VALIDATION, HELDOUT = range(3)
_RUN = 1 << 20  # tokens read at a time


@dataclass(frozen=True)
class Split:
    """One part of a corpus.

    Args:
        tokens: (tokens,) memory-mapped ids of the documents, one after another; each ends with
            the end token, unless the text is a single one without documents.
        starts: (documents + 1,) document i is `tokens[starts[i]:starts[i + 1]]`.
        labels: (documents,) index of each document's label, or None.
        characters: number of characters; an end token counts as one (it replaces the newline).
        pages: the files behind the arrays.
        unknown_id: the token of all characters that have none of their own; None without one.
        left_out: number of characters that the vocabulary lacks and that have no token at all.
    """

    tokens: NDArray[np.unsignedinteger[Any]]
    starts: NDArray[np.int64]
    labels: NDArray[np.uint16] | None
    characters: int
    pages: tuple[mmap.mmap, ...] = field(default=(), repr=False)
    unknown_id: int | None = None
    left_out: int = 0

    @property
    def document_count(self) -> int:
        """Number of documents, or of parts of documents where a split cuts through one."""
        return len(self.starts) - 1

    @property
    def unseen_nats(self) -> float:
        """What the characters cost that the vocabulary lacks, besides their tokens."""
        unknown = 0 if self.unknown_id is None else np.count_nonzero(self.tokens == self.unknown_id)
        return (self.left_out + int(unknown)) * UNSEEN_BITS * math.log(2)

    def release_pages(self) -> None:
        """Drop the files' pages from memory; they are loaded again when read."""
        if hasattr(mmap, "MADV_DONTNEED"):
            for pages in self.pages:
                pages.madvise(mmap.MADV_DONTNEED)


class Cut(NamedTuple):
    """Where a text goes on in another part: after `at` tokens of the training part.

    Args:
        at: number of training tokens before the cut.
        split: index into `SPLITS` of the other part.
        begin: first of its tokens that belong there.
        end: the token after the last of them.
    """

    at: int
    split: int
    begin: int
    end: int


def id_type(vocabulary_size: int) -> type[np.unsignedinteger[Any]]:
    """Pick the smallest unsigned type that holds every id."""
    if vocabulary_size <= 1 << 8:
        return np.uint8
    return np.uint16 if vocabulary_size <= 1 << 16 else np.uint32


def open_split(folder: Path, name: str, characters: int, vocabulary: Vocabulary) -> Split:
    """Open one part of a corpus.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged.
    """
    tokens, *pages = _map(folder / f"{name}.tokens", id_type(vocabulary.size))
    starts, *more_pages = _map(folder / f"{name}.starts", np.int64)
    labels, *most_pages = _map(folder / f"{name}.labels", np.uint16)
    if len(starts) == 0 or starts[-1] != len(tokens) or len(labels) not in (0, len(starts) - 1):
        raise ValueError(f"the files of {name} do not fit together")
    return Split(
        tokens,
        starts,
        labels if len(labels) else None,
        characters,
        (*pages, *more_pages, *most_pages),
        vocabulary.unknown_id,
    )


def _map(path: Path, dtype: type[Any]) -> tuple[Any, ...]:
    """Map a file into memory as an array; its pages follow, if it has any."""
    if path.stat().st_size == 0:
        return (np.zeros(0, dtype),)
    with path.open("rb") as file:
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, dtype), pages


def read_runs(
    splits: Sequence[Split], separators: Sequence[int], *, every: bool
) -> Iterator[NDArray[Any]]:
    """Cut splits, one after another, into runs of tokens that end with a separator.

    Args:
        splits: what to read.
        separators: ids after which a run may end.
        every: end a run at every separator, not only at the last one in each block.
    """
    begun: list[NDArray[Any]] = []
    for split in splits:
        for offset in range(0, len(split.tokens), _RUN):
            block = split.tokens[offset : offset + _RUN]
            ends = np.flatnonzero(np.isin(block, separators)) + 1
            begin = 0
            for end in ends if every else ends[-1:]:
                yield np.concatenate([*begun, block[begin:end]]) if begun else block[begin:end]
                begun, begin = [], end
            if begin < len(block):
                begun.append(block[begin:].copy())
            split.release_pages()
    if begun:
        yield np.concatenate(begun)
