"""Where the text of a corpus is cut, and which part each piece belongs to.

Parts are drawn as whole documents, over all labels alike, until they have their share of the
characters. Where documents are too few or too unequal for that, the ends of some are cut off. Only
lengths and labels are looked at, as the text may be larger than memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import HELDOUT, SPLITS, TRAIN, VALIDATION, Cut
from sunspring.notices import Notify, counted, first_of

_TOLERANCE = 0.25  # how far whole documents may miss the size of their part, as a share of it
_MOST_OF_A_LABEL = 0.5  # of its characters, that one part may take
_SHORTEST_CUT = 200  # characters: rather than shorter ends of many documents, cut fewer
_MOST_HELD_OUT = 2_000_000  # characters: the figure is exact to 0.002 nats, and takes seconds
_SHOWN = 20  # labels named in a notice
_BLOCK = 1 << 16  # documents handled at a time
_USES = {HELDOUT: "held out", VALIDATION: "the validation part"}

_Indices = NDArray[np.integer[Any]]


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


def whole_documents(ends: NDArray[np.int64], labels: NDArray[np.uint16] | None) -> Pieces:
    """Hold out all documents, uncut; arguments as of `Pieces`."""
    splits = np.full(len(ends), HELDOUT, np.uint8)
    return Pieces(ends, splits, np.ones(len(ends), dtype=np.bool_), labels)


def draw_pieces(
    documents: Pieces,
    count: int,
    *,
    label_names: Sequence[str],
    seed: int,
    whole: bool,
    notify: Notify,
) -> Pieces:
    """Decide which characters are held out and which are for validation.

    A label's only document stays in training, at least with its beginning. The validation part of
    a single text, and of a document whose end is held out, is its middle: the text right before
    the held-out part teaches most about it.

    Args:
        documents: all documents, uncut; their splits are overwritten.
        count: how many of them are training sources; those after them are held out.
        label_names: the name of each label.
        seed: determines the draw.
        whole: hold out nothing of the training sources.
        notify: called with a message about what could not be split as whole documents.
    """
    drawing = _Drawing(documents, count, seed)
    length = int(documents.ends[count - 1])
    size = 0 if whole else min(length - int(length * 0.9), _MOST_HELD_OUT)
    drawing.draw(HELDOUT, size, notify)
    if missing := drawing.labels_without(HELDOUT) if size else []:
        shown = first_of([label_names[label] for label in missing], _SHOWN)
        notify(f"nothing is held out of labels that have too few documents: {shown}")
    drawing.draw(VALIDATION, _validation_size(drawing.characters), notify)
    return _cut(documents, drawing.stretches)


def draw_by_number(documents: Pieces, count: int, *, seed: int, whole: bool) -> Pieces:
    """Draw as corpora of format 2 did: a tenth of the documents, whatever their size and label.

    Arguments are those of `draw_pieces`; there must be several training documents.
    """
    splits = documents.splits[:count]
    held, validation = 0 if whole else max(1, round(count * 0.1)), count // 50
    splits[: count - held] = TRAIN
    splits[:validation] = VALIDATION
    np.random.default_rng(seed).shuffle(splits)
    if validation:
        return documents
    kept = np.flatnonzero(splits == TRAIN)
    sizes = np.diff(documents.ends[:count], prepend=0)[kept]
    size = min(_validation_size(int(sizes.sum())), int(sizes[-1]))
    end = int(documents.ends[kept[-1]])
    return _cut(documents, [_Stretch(end - size, end, VALIDATION)])


def locate_cuts(pieces: Pieces, starts: Sequence[NDArray[np.int64]]) -> list[Cut]:
    """Find where documents are cut, in tokens.

    Args:
        pieces: where they are cut.
        starts: for each split, its tokens before each of its pieces, and all of them.
    """
    goes_on = np.flatnonzero(~pieces.document_ends)
    cut = np.union1d(goes_on, goes_on + 1)
    found = list[Cut]()
    if not len(cut):
        return found
    # which piece of its split each of them is, counted from 1
    places = {code: np.cumsum(pieces.splits == code)[cut] for code in range(len(SPLITS))}
    for number, split in enumerate(pieces.splits[cut].tolist()):
        if split != TRAIN:
            at = int(starts[TRAIN][places[TRAIN][number]])
            begin, end = starts[split][places[split][number] - 1 :][:2].tolist()
            found.append(Cut(at, split, begin, end))
    return found


def _validation_size(length: int) -> int:
    """Return how many characters of a training part to use for validation.

    A fiftieth, or 5,000 characters if that is more, but then at most a twentieth: fewer are too
    noisy to steer by.
    """
    return int(max(0.02 * length, min(0.05 * length, 5000)))


class _Stretch(NamedTuple):
    """Characters `begin` to `end` of the text, within one document, and the split they go to."""

    begin: int
    end: int
    split: int


class _Drawing:
    """Moves documents, or parts of them, from the training part to the others.

    Args:
        documents: all documents, uncut; their splits are overwritten.
        count: how many of them may be drawn, from the first on.
        seed: determines their order.

    Attributes:
        stretches: what was cut out of documents.
    """

    def __init__(self, documents: Pieces, count: int, seed: int) -> None:
        self._ends = documents.ends[:count]
        self._splits = documents.splits[:count]
        self._splits[:] = TRAIN
        self._labels = None if documents.labels is None else documents.labels[:count]
        self._left = np.diff(self._ends, prepend=0)  # characters in the training part
        # half the memory, if there are no more documents than that
        dtype: type[np.integer[Any]] = np.uint32 if count < 1 << 32 else np.int64
        ranks = np.arange(count, dtype=dtype)
        np.random.default_rng(seed).shuffle(ranks)
        self._order: _Indices = np.empty(count, dtype)
        self._order[ranks] = np.arange(count, dtype=dtype)
        self.stretches: list[_Stretch] = []

    @property
    def characters(self) -> int:
        """How many characters are in the training part."""
        return int(self._left.sum())

    def draw(self, split: int, size: int, notify: Notify) -> None:
        """Move about `size` characters to a split, from each label in proportion."""
        if size == 0:
            return
        characters, carried = self.characters, 0.0
        for group in self._groups(backwards=split == HELDOUT):
            sizes = self._left[group]
            total = int(sizes.sum())
            wanted = carried + size * total / characters
            # what a label cannot give is carried to the next
            affordable = min(wanted, _MOST_OF_A_LABEL * total)
            chosen = group[_choose(sizes[:-1], affordable, _TOLERANCE * size)]
            carried = wanted - int(self._left[chosen].sum())
            self._splits[chosen] = split
            self._left[chosen] = 0
        if carried > _TOLERANCE * size:
            self._cut_ends(split, round(carried), notify)

    def labels_without(self, split: int) -> list[int]:
        """Return the labels of which nothing is in a split."""
        if self._labels is None:
            return []
        missing = np.setdiff1d(self._labels, self._labels[self._documents_in(split)])
        return [int(label) for label in missing]

    def _documents_in(self, split: int) -> _Indices:
        """Return the documents that are in a split, or a part of them is."""
        return np.concatenate([np.flatnonzero(self._splits == split), self._cut_for(split)])

    def _cut_for(self, *splits: int) -> _Indices:
        """Return the documents of which a part is in one of some splits."""
        begins = [stretch.begin for stretch in self.stretches if stretch.split in splits]
        return np.searchsorted(self._ends, np.array(begins, np.int64), "right")

    def _groups(self, *, backwards: bool) -> Iterator[_Indices]:
        """Yield the training documents of each label in order; labels of few documents first.

        The last one of each is to stay; it is the one that is cut, if there is one.
        """
        documents: _Indices = self._order[::-1] if backwards else self._order
        documents = documents[self._splits[documents] == TRAIN]
        if self.stretches:
            is_cut = np.isin(documents, self._cut_for(HELDOUT, VALIDATION))
            documents = np.concatenate([documents[~is_cut], documents[is_cut]])
        groups: list[_Indices] = [documents]
        if self._labels is not None:
            labels = self._labels[documents]
            documents = documents[np.argsort(labels, kind="stable")]
            groups = np.split(documents, np.cumsum(np.bincount(labels))[:-1])
        yield from sorted((group for group in groups if len(group)), key=len)

    def _cut_ends(self, split: int, size: int, notify: Notify) -> None:
        """Move `size` characters of the longest documents to a split, in proportion."""
        documents = self._longest(split, 2 * size)
        lengths = self._left[documents]
        sums = np.cumsum(lengths)
        needed = int(np.searchsorted(sums, 2 * size)) + 1
        count = max(needed, np.count_nonzero(lengths / sums * size >= _SHORTEST_CUT))
        documents, lengths, sums = documents[:count], lengths[:count], sums[:count]
        several = len(self._ends) > 1
        sizes = np.diff(np.rint(sums / sums[-1] * size).astype(np.int64), prepend=0)
        sizes = np.minimum(sizes, lengths - several)
        for document, cut in zip(documents.tolist(), sizes.tolist(), strict=True):
            if cut == 0:
                continue
            length = int(self._left[document])
            end = (int(self._ends[document - 1]) if document else 0) + length
            if split == VALIDATION and not (several and end == self._ends[document]):
                end -= (length - cut) // 2
            self.stretches.append(_Stretch(end - cut, end, split))
            self._left[document] -= cut
        count = int(np.count_nonzero(sizes))
        if several and count:
            notify(
                "the documents are too few, or too unequal in length, to take whole ones: "
                f"{counted(int(sizes.sum()), 'character')} of {'one' if count == 1 else count} are "
                f"{_USES[split]}"
            )

    def _longest(self, split: int, size: int) -> _Indices:
        """Return the longest training document of each label, the longest first.

        Rather than of all labels, of those that have several documents, or of which nothing is in
        the split, if these have `size` characters.
        """
        documents = np.argsort(self._left, kind="stable")[::-1]
        documents = documents[: np.count_nonzero(self._left)]
        if self._labels is None:
            return documents[:1]
        labels, first = np.unique(self._labels[documents], return_index=True)
        several = np.bincount(self._labels)[labels] > 1
        lacking = np.isin(labels, self.labels_without(split))
        for chosen in (several & lacking, several, lacking):
            if self._left[documents[first[chosen]]].sum() >= size:
                return documents[np.sort(first[chosen])]
        return documents[np.sort(first)]


def _choose(sizes: NDArray[np.int64], wanted: float, most_over: float) -> _Indices:
    """Choose documents whose sizes add up to nearly `wanted`, and to `most_over` more at most.

    The first ones are chosen, but for those that are too long.
    """
    chosen = np.zeros(len(sizes), np.bool_)
    for offset in range(0, len(sizes), _BLOCK):
        block = sizes[offset : offset + _BLOCK]
        places = np.arange(len(block))
        while len(places := places[block[places] <= wanted]):
            ends = np.cumsum(block[places])
            fitting = int(np.searchsorted(ends, wanted, "right"))
            chosen[offset + places[:fitting]] = True
            wanted -= int(ends[fitting - 1])
            places = places[fitting:]
    nearer = ~chosen & (sizes < min(2 * wanted, wanted + most_over))
    if nearer.any():
        chosen[np.argmax(nearer)] = True
    return np.flatnonzero(chosen)


def _cut(documents: Pieces, stretches: Sequence[_Stretch]) -> Pieces:
    """Cut stretches out of documents, and put them into their splits."""
    if not stretches:
        return documents
    bounds = np.array([[each.begin, each.end] for each in stretches], np.int64).reshape(-1)
    inner = np.setdiff1d(bounds, [0, *documents.ends[np.isin(documents.ends, bounds)].tolist()])
    places = np.searchsorted(documents.ends, inner)
    pieces = Pieces(
        np.insert(documents.ends, places, inner),
        np.insert(documents.splits, places, documents.splits[places]),
        np.insert(documents.document_ends, places, False),
        None
        if documents.labels is None
        else np.insert(documents.labels, places, documents.labels[places]),
    )
    for begin, end, split in stretches:
        first, last = np.searchsorted(pieces.ends, [begin, end], "right")
        pieces.splits[first:last] = split
    return pieces
