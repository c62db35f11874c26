"""Text on its way into a corpus: read once, spooled to disk, and cut into splits.

The spool holds the plain text of all documents with what was learned while reading it: lengths,
labels, counts of characters, a checksum. `assign_splits` decides which characters are held out.
"""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sunspring.sources import Passage

HELDOUT_SHARE = 0.1
SPLITS = ("train", "validation", "heldout")
TRAIN, VALIDATION, HELDOUT = range(3)
_BLOCK = 1 << 20  # characters handled at a time


class Spool:
    """The text of all documents, read once from the sources, with what was learned on the way.

    Args:
        file: empty, open for reading and writing; surrogates must pass.
        labels: that keep their indices; others are added as they come.
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...] = ()) -> None:
        self.file = file
        self.lengths = array("q")
        self.labels = array("H")
        self.label_names = {label: index for index, label in enumerate(labels)}
        self.counts: Counter[int] = Counter()
        self.content = hashlib.sha256()

    def add(self, passages: Iterator[Passage]) -> None:
        """Append documents; code points are counted in batches, so short documents stay cheap."""
        length, pending, pending_size = 0, list[str](), 0
        for passage in passages:
            pending.append(passage.text)
            pending_size += len(passage.text)
            length += len(passage.text)
            if passage.ends_document:
                self.lengths.append(length)
                if passage.label is not None:
                    self.labels.append(
                        self.label_names.setdefault(passage.label, len(self.label_names))
                    )
                length = 0
            if pending_size >= _BLOCK:
                self._write("".join(pending))
                pending, pending_size = [], 0
        self._write("".join(pending))

    def _write(self, text: str) -> None:
        self.file.write(text)
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        self.content.update(points.tobytes())
        counts = np.bincount(points, minlength=1)
        for point in np.flatnonzero(counts):
            self.counts[int(point)] += int(counts[point])

    def blocks(self) -> Iterator[str]:
        """Read the text from the beginning."""
        self.file.seek(0)
        while block := self.file.read(_BLOCK):
            yield block


@dataclass(frozen=True)
class Pieces:
    """Where the text is cut: at the end of each document and where a split begins within one.

    Args:
        ends: (pieces,) characters before the end of each piece, ascending.
        splits: (pieces,) index into `SPLITS`.
        document_ends: (pieces,) whether a document ends here.
        documents: (pieces,) which document it belongs to.
    """

    ends: NDArray[np.int64]
    splits: NDArray[np.uint8]
    document_ends: NDArray[np.bool_]
    documents: NDArray[np.int64]

    def characters(self, split: int, end_tokens: bool) -> int:
        """Count the characters of one split, with the documents' end tokens if there are any."""
        mine = self.splits == split
        characters = int(np.diff(self.ends, prepend=0)[mine].sum())
        return characters + (int(self.document_ends[mine].sum()) if end_tokens else 0)


def whole_split(lengths: NDArray[np.int64], split: int) -> Pieces:
    """Put all documents, of these lengths, into one split."""
    count = len(lengths)
    splits = np.full(count, split, dtype=np.uint8)
    return Pieces(np.cumsum(lengths), splits, np.ones(count, dtype=np.bool_), np.arange(count))


def assign_splits(
    lengths: NDArray[np.int64], training_documents: int, seed: int, whole: bool
) -> Pieces:
    """Decide which characters are held out; see `build_corpus` in corpus.py.

    Args:
        lengths: (documents,) characters of each document.
        training_documents: how many of them come from the training sources.
        seed: draws the held-out and validation documents.
        whole: the training sources are all for training, the held-out text follows them.
    """
    ends = np.cumsum(lengths)
    count = len(lengths)
    splits = np.zeros(count, dtype=np.uint8)
    splits[training_documents:] = HELDOUT
    cuts: list[tuple[int, int]] = []  # (character, split of what follows within the document)
    if not whole and count == 1:
        heldout_at = int(lengths[0] * (1 - HELDOUT_SHARE))
        cuts = [(_validation_start(0, heldout_at), VALIDATION), (heldout_at, HELDOUT)]
    else:
        drawn = np.random.default_rng(seed).permutation(training_documents)
        held = 0 if whole else max(1, round(training_documents * HELDOUT_SHARE))
        splits[drawn[:held]] = HELDOUT
        validation = training_documents // 50
        splits[drawn[held : held + validation]] = VALIDATION
        if validation == 0:
            last = int(np.flatnonzero(splits == TRAIN)[-1])
            begin, end = int(ends[last] - lengths[last]), int(ends[last])
            total = int(lengths[splits == TRAIN].sum())
            cuts = [(max(begin, end - (total - _validation_start(0, total))), VALIDATION)]
    documents = np.arange(count)
    document_ends = np.ones(count, dtype=np.bool_)
    for character, split in cuts:
        index = int(np.searchsorted(ends, character, side="right"))
        begin = int(ends[index - 1]) if index else 0
        if index == len(ends) or character == begin:
            continue
        ends = np.insert(ends, index, character)
        splits = np.insert(splits, index, splits[index])
        splits[index + 1] = split
        documents = np.insert(documents, index, documents[index])
        document_ends = np.insert(document_ends, index, False)
    return Pieces(ends, splits, document_ends, documents)


def _validation_start(begin: int, end: int) -> int:
    """Where the validation slice at the end of a training part begins.

    A fiftieth, but 5,000 characters where that is no more than a twentieth: fewer are too noisy to
    steer by.
    """
    length = end - begin
    return end - int(max(0.02 * length, min(0.05 * length, 5000)))


def cut_blocks(
    spool: Spool, pieces: Pieces
) -> Iterator[tuple[list[str], NDArray[np.int64], NDArray[np.bool_]]]:
    """Cut the text into parts of pieces, a block at a time.

    Yields:
        The texts, the piece that each belongs to, and whether that piece ends with it.
    """
    offset = 0
    for block in spool.blocks():
        first = int(np.searchsorted(pieces.ends, offset, side="right"))
        last = int(np.searchsorted(pieces.ends, offset + len(block), side="left"))
        bounds = np.minimum(pieces.ends[first : last + 1] - offset, len(block)).tolist()
        texts = [block[a:b] for a, b in itertools.pairwise([0, *bounds])]
        indices = np.arange(first, first + len(texts))
        yield texts, indices, pieces.ends[indices] <= offset + len(block)
        offset += len(block)


def training_text(spool: Spool, pieces: Pieces, most_characters: int) -> Iterator[str]:
    """Read only what is trained on: subwords must not be fitted to held-out text."""
    seen = 0
    for texts, indices, _ in cut_blocks(spool, pieces):
        for text, index in zip(texts, indices, strict=True):
            if pieces.splits[index] == TRAIN:
                yield text
                seen += len(text)
        if seen > most_characters:
            return
