"""Text on its way into a corpus: read once, spooled to disk, and written to its splits.

The spool holds the plain text of all documents and what was noted while reading it: their ends,
labels, character counts, a checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.pieces import Pieces, whole_documents
from sunspring.corpus.spelling import describe_unseen
from sunspring.corpus.splits import HELDOUT, SPLITS, TRAIN, id_type
from sunspring.corpus.vocabulary import Vocabulary, code_points, replace_unknown
from sunspring.errors import SettingsError
from sunspring.notices import Notify
from sunspring.text.sources import Passage

_BLOCK = 1 << 20  # characters handled at a time
_MOST_LABELS = 1 << 16


class Spool:
    """The text of all documents, read once from the sources, and what was noted on the way.

    Args:
        file: empty, open for reading and writing; must accept surrogates.
        labels: known labels, which keep their indices; new ones are added as they come.

    Attributes:
        ends: number of characters before the end of each document.
        labels: index of each document's label; empty if documents have none.
        label_names: the index of each label.
        counts: how often each code point occurs.
        content: checksum of the text, the ends and the labels.
    """

    def __init__(self, file: TextIO, labels: tuple[str, ...] = ()) -> None:
        self.file = file
        self.ends = array("q")
        self.labels = array("H")
        self.label_names = {label: index for index, label in enumerate(labels)}
        self.counts: Counter[int] = Counter()
        self.content = hashlib.sha256()

    def add(self, passages: Iterator[Passage]) -> None:
        """Append documents; code points are counted in batches, so short documents stay cheap.

        Raises:
            SettingsError: there are too many labels.
        """
        end, pending, pending_size = self.ends[-1] if self.ends else 0, list[str](), 0
        for text, ends_document, label in passages:
            pending.append(text)
            pending_size += len(text)
            end += len(text)
            if ends_document:
                self.ends.append(end)
                if label is not None:
                    self.labels.append(self._index(label))
            if pending_size >= _BLOCK:
                self._write("".join(pending))
                pending, pending_size = [], 0
        self._write("".join(pending))
        self.content.update(self.ends)
        self.content.update(self.labels)

    def _index(self, label: str) -> int:
        index = self.label_names.setdefault(label, len(self.label_names))
        if index >= _MOST_LABELS:
            raise SettingsError(
                f"there are more than {_MOST_LABELS} different labels, the last one {label!r}: "
                "choose a column that holds kinds of text"
            )
        return index

    def _write(self, text: str) -> None:
        self.file.write(text)
        points = code_points(text)
        self.content.update(points.data)
        counts = np.bincount(points, minlength=1)
        for point in np.flatnonzero(counts):
            self.counts[int(point)] += int(counts[point])

    def documents(self) -> Pieces:
        """Return all documents, uncut and held out."""
        labels = np.frombuffer(self.labels, np.uint16) if self.labels else None
        return whole_documents(np.frombuffer(self.ends, np.int64), labels)

    def blocks(self) -> Iterator[str]:
        """Read the text from the beginning."""
        self.file.seek(0)
        while block := self.file.read(_BLOCK):
            yield block


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
    """Yield the training part alone: subwords must not be fitted to held-out text."""
    seen = 0
    for texts, indices, _ in cut_blocks(spool, pieces):
        for text, index in zip(texts, indices, strict=True):
            if pieces.splits[index] == TRAIN:
                yield text
                seen += len(text)
        if seen > most_characters:
            return


def lines_of(spool: Spool, pieces: Pieces, *, heldout: bool) -> Iterator[str]:
    """Yield the held-out text, or all the rest, in blocks; documents end with a newline too."""
    is_wanted = (pieces.splits == HELDOUT) == heldout
    breaks = pieces.document_ends.copy()
    breaks[:-1] |= is_wanted[1:] != is_wanted[:-1]
    for texts, indices, piece_ends in cut_blocks(spool, pieces):
        chosen = np.flatnonzero(is_wanted[indices])
        ends = (piece_ends & breaks[indices])[chosen]
        yield "".join(
            f"{texts[place]}\n" if ends_here else texts[place]
            for place, ends_here in zip(chosen.tolist(), ends.tolist(), strict=True)
        )


def write_ids(
    spool: Spool,
    pieces: Pieces,
    vocabulary: Vocabulary,
    folder: Path,
    notify: Notify,
    nearest: bool = False,
) -> list[int]:
    """Write each split's ids, document starts and labels.

    Args:
        spool: all documents.
        pieces: where they are cut.
        vocabulary: encodes the text.
        folder: an empty one for the files.
        notify: called with a message about characters that cannot be encoded.
        nearest: replace such characters by the nearest known, if any, as `replace_unknown` does
            in a prompt; otherwise they are left out.

    Returns:
        Each split's characters.
    """
    dtype = id_type(vocabulary.size)
    replaced = _replaced(spool, vocabulary, notify, nearest)
    written, characters = [0] * len(SPLITS), [0] * len(SPLITS)
    with contextlib.ExitStack() as stack:
        tokens_files, starts_files, labels_files = (
            [stack.enter_context((folder / f"{name}.{kind}").open("wb")) for name in SPLITS]
            for kind in ("tokens", "starts", "labels")
        )
        for file in starts_files:
            file.write(np.zeros(1, np.int64).tobytes())
        for texts, indices, piece_ends in cut_blocks(spool, pieces):
            if replaced:
                texts = [text.translate(replaced) for text in texts]
            ids, counts = vocabulary.encode_batch(texts)
            document_ends = piece_ends & pieces.document_ends[indices]
            end_tokens = document_ends & (vocabulary.end_id is not None)
            sizes = counts + end_tokens
            positions = np.cumsum(sizes) - sizes
            tokens = np.full(int(sizes.sum()), vocabulary.end_id or 0, dtype=dtype)
            tokens[
                np.repeat(positions - (np.cumsum(counts) - counts), counts) + np.arange(len(ids))
            ] = ids
            lengths = np.fromiter(map(len, texts), np.int64, len(texts)) + end_tokens
            codes = pieces.splits[indices]
            for code in range(len(SPLITS)):
                mine = codes == code
                if not mine.any():
                    continue
                tokens_files[code].write(
                    (tokens if mine.all() else tokens[np.repeat(mine, sizes)]).tobytes()
                )
                ends = written[code] + np.cumsum(sizes[mine])
                starts_files[code].write(ends[piece_ends[mine]].tobytes())
                written[code] = int(ends[-1])
                characters[code] += int(lengths[mine].sum())
                if pieces.labels is not None:
                    labels_files[code].write(pieces.labels[indices[mine & piece_ends]].tobytes())
    return characters


def _replaced(
    spool: Spool,
    vocabulary: Vocabulary,
    notify: Notify,
    nearest: bool,
) -> dict[int, str]:
    """Map the characters that cannot be encoded, for `str.translate`, and report them."""
    replaced: dict[str, str] = {}
    if nearest:
        replaced = replace_unknown("".join(map(chr, sorted(spool.counts))), vocabulary)[1]
    elif vocabulary.unknown_id is None:
        characters = map(chr, sorted(spool.counts))
        replaced = {one: "" for one in characters if vocabulary.unknown_characters(one)}
    if replaced:
        notify(describe_unseen(replaced, sum(spool.counts[ord(one)] for one in replaced)))
    return {ord(one): other for one, other in replaced.items()}
