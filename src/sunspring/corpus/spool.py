"""Text on its way into a corpus: read once, spooled to disk, and cut into splits.

The spool holds the plain text of all documents and what was noted while reading it: their ends,
labels, character counts, a checksum. `assign_splits` decides which characters are held out.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import HELDOUT, SPLITS, TRAIN, VALIDATION, id_type
from sunspring.corpus.vocabulary import Vocabulary, code_points, replace_unknown
from sunspring.errors import SettingsError
from sunspring.notices import Notify
from sunspring.text.sources import Passage

HELDOUT_SHARE = 0.1
_BLOCK = 1 << 20  # characters handled at a time
_MOST_LABELS = 1 << 16
_SHOWN = 20  # characters named in a notice


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

    def blocks(self) -> Iterator[str]:
        """Read the text from the beginning."""
        self.file.seek(0)
        while block := self.file.read(_BLOCK):
            yield block


@dataclass(frozen=True)
class Pieces:
    """Where the text is cut: at the end of each document and where a split begins within one.

    Args:
        ends: (pieces,) number of characters before the end of each piece, ascending.
        splits: (pieces,) index into `SPLITS`.
        document_ends: (pieces,) whether a document ends here.
        labels: (pieces,) index of the document's label, or None.
    """

    ends: NDArray[np.int64]
    splits: NDArray[np.uint8]
    document_ends: NDArray[np.bool_]
    labels: NDArray[np.uint16] | None


def whole_split(spool: Spool, split: int) -> Pieces:
    """Put all documents into one split."""
    ends = np.frombuffer(spool.ends, np.int64)
    labels = np.frombuffer(spool.labels, np.uint16) if spool.labels else None
    return Pieces(
        ends, np.full(len(ends), split, np.uint8), np.ones(len(ends), dtype=np.bool_), labels
    )


def assign_splits(spool: Spool, training_documents: int, seed: int, whole: bool) -> Pieces:
    """Decide which characters are held out; see `build_corpus` in corpus.py.

    Args:
        spool: all documents.
        training_documents: how many of them come from the training sources.
        seed: chooses the held-out and validation documents.
        whole: hold out nothing of the training sources; the held-out text follows them.
    """
    pieces = whole_split(spool, HELDOUT)
    splits = pieces.splits[:training_documents]
    if training_documents == 1:
        splits[0] = TRAIN
        length = int(pieces.ends[0])
        kept = length if whole else int(length * (1 - HELDOUT_SHARE))
        pieces = _cut(pieces, 0, length - kept, HELDOUT)
        if size := _validation_size(kept):
            # From the middle: the text right before the held-out text teaches most about it.
            pieces = _cut(pieces, 0, (kept - size) // 2, TRAIN)
            pieces = _cut(pieces, 0, size, VALIDATION)
        return pieces
    held = 0 if whole else max(1, round(training_documents * HELDOUT_SHARE))
    validation = training_documents // 50
    splits[: training_documents - held] = TRAIN
    splits[:validation] = VALIDATION
    np.random.default_rng(seed).shuffle(splits)
    if validation:
        return pieces
    mine = np.flatnonzero(splits == TRAIN)
    sizes = np.diff(pieces.ends[:training_documents], prepend=0)[mine]
    size = min(_validation_size(int(sizes.sum())), int(sizes[-1]))
    return _cut(pieces, int(mine[-1]), size, VALIDATION)


def _validation_size(length: int) -> int:
    """Return how many characters of a training part to use for validation.

    A fiftieth, or 5,000 characters if that is more, but then at most a twentieth: fewer are too
    noisy to steer by.
    """
    return int(max(0.02 * length, min(0.05 * length, 5000)))


def _cut(pieces: Pieces, index: int, size: int, split: int) -> Pieces:
    """Put the last `size` characters of a piece, perhaps none or all, into another split."""
    begin = int(pieces.ends[index - 1]) if index else 0
    end = int(pieces.ends[index])
    if size == end - begin:
        pieces.splits[index] = split
    if size in (0, end - begin):
        return pieces
    labels = pieces.labels
    return Pieces(
        np.insert(pieces.ends, index, end - size),
        np.insert(pieces.splits, index + 1, split),
        np.insert(pieces.document_ends, index, False),
        None if labels is None else np.insert(labels, index, labels[index]),
    )


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


def write_ids(
    spool: Spool,
    pieces: Pieces,
    vocabulary: Vocabulary,
    folder: Path,
    notify: Notify,
    nearest: bool = False,
) -> tuple[list[int], int]:
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
        Each split's characters, and how many training tokens come before the validation part.
    """
    dtype = id_type(vocabulary.size)
    replaced = _replaced(spool, vocabulary, notify, nearest)
    written, characters = [0] * len(SPLITS), [0] * len(SPLITS)
    validation_at: int | None = None
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
            if validation_at is None and (codes == VALIDATION).any():
                before = np.arange(len(codes)) < np.argmax(codes == VALIDATION)
                validation_at = written[TRAIN] + int(sizes[before & (codes == TRAIN)].sum())
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
    return characters, written[TRAIN] if validation_at is None else validation_at


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
    read = [f"{one!r} is read as {other!r}" for one, other in sorted(replaced.items()) if other]
    if read:
        shown = ", ".join(read[:_SHOWN]) + ", …" * (len(read) > _SHOWN)
        notify(f"characters that the model has never seen: {shown}")
    dropped = sorted(ord(one) for one, other in replaced.items() if not other)
    if dropped:
        shown = "".join(map(chr, dropped[:_SHOWN])) + "…" * (len(dropped) > _SHOWN)
        notify(
            f"{sum(spool.counts[point] for point in dropped)} characters "
            f"that the model does not know are left out: {shown!r}"
        )
    return {ord(one): other for one, other in replaced.items()}
