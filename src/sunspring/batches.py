"""Batches of training sequences: the article's shuffled windows, and lanes that read on.

Both cut the documents of a split into stretches of targets; the input at each place is the token
before the target. Windows start from a fresh state and come in shuffled order; a lane goes on
through its stretch window by window, its state carried (truncated backpropagation through time).
Where a batch is, is a small JSON value, so a run can be resumed at any step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus import Split
from sunspring.errors import SourceError

IGNORED = -100
"""The target of a place that holds no token: a loss skips it."""

_RELEASE_EVERY = 32  # batches; each may leave 64 KiB of the file resident for every row


class Batch(NamedTuple):
    """One training step's sequences.

    Args:
        inputs: (batch, time) ids.
        targets: (batch, time) the same text shifted by one; `IGNORED` beyond a row's end.
        fresh: (batch,) whether a row starts from a fresh state.
        labels: (batch,) label index of each row's document, or None.
    """

    inputs: NDArray[np.int64]
    targets: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    labels: NDArray[np.int64] | None


class _Stretches(NamedTuple):
    """Runs of targets, each within one document: first target, end, document; all (stretches,)."""

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    document: NDArray[np.int64]


def split_window(window: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split a sequence of `seq_len + 1` tokens into the input and the target shifted by one.

    "Hello my name" becomes "Hello my nam" and "ello my name".
    """
    return window[..., :-1], window[..., 1:]


class Batches(ABC):
    """An endless stream of batches over a split.

    Args:
        split: what to read.
        start_id: the token that stands before a document's first.
        batch_size: rows of a batch.
        window: the most targets of a row, `seq_len` in the article.
        seed: draws the order of each epoch.

    Raises:
        SourceError: the text is too short for one window.
    """

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        if len(split.tokens) < window + 1 and split.documents <= 1:
            raise SourceError(
                f"the training part of the text has {len(split.tokens)} tokens and one window "
                f"needs {window + 1}: give more text, or set a smaller one with --set window=N"
            )
        self.split = split
        self.start_id = start_id
        self.batch_size = batch_size
        self.window = window
        self.seed = seed
        self._epoch = 0
        self._read = 0  # targets of this epoch so far
        self._given = 0

    @property
    @abstractmethod
    def epoch_targets(self) -> int:
        """Number of targets in one epoch."""

    @property
    def epochs(self) -> float:
        """Epochs read so far, with the fraction of the current one."""
        return self._epoch + min(1.0, self._read / self.epoch_targets)

    @abstractmethod
    def next(self) -> Batch:
        """Give the next batch; an epoch follows the other without end."""

    @abstractmethod
    def position(self) -> dict[str, Any]:
        """Say where the stream is, as a JSON value for `seek`."""

    @abstractmethod
    def seek(self, position: dict[str, Any]) -> None:
        """Go on from where `position` was taken."""

    def _random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self._epoch])

    def _gather(
        self,
        first: NDArray[np.int64],
        end: NDArray[np.int64],
        fresh: NDArray[np.bool_],
        document: NDArray[np.int64],
    ) -> Batch:
        """Read the targets [first, end) of each row, padded to the longest, and their inputs."""
        time = min(self.window, int((end - first).max()))
        places = first[:, None] + np.arange(-1, time)
        tokens = self.split.tokens[np.clip(places, 0, len(self.split.tokens) - 1)].astype(np.int64)
        tokens[places < 0] = self.start_id
        inputs, targets = split_window(tokens)
        targets = np.where(places[:, 1:] < end[:, None], targets, IGNORED)
        labels = None if self.split.labels is None else self.split.labels[document].astype(np.int64)
        self._read += int(np.minimum(end - first, time).clip(0).sum())
        self._given += 1
        if self._given % _RELEASE_EVERY == 0:
            self.split.release_pages()
        return Batch(inputs, targets, fresh, labels)


class Windows(Batches):
    """The article's batches: shuffled windows, each from a fresh state.

    A text is cut into sequences of `seq_len + 1` tokens and what is left over is dropped, like the
    last batch that is not full (`drop_remainder`); both only where something remains without it.
    Documents are cut into windows of their own and keep their shorter last one, padded.
    """

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        super().__init__(split, start_id, batch_size=batch_size, window=window, seed=seed)
        if split.documents <= 1:
            first = np.arange(1, len(split.tokens) - window + 1, window + 1)
            self._windows = _Stretches(first, first + window, np.zeros_like(first))
        else:
            self._windows = _cut_documents(split.starts, window)
        self.batch_size = min(batch_size, len(self._windows.first))
        self._per_epoch = len(self._windows.first) // self.batch_size
        self._next = 0
        self._order = self._random().permutation(len(self._windows.first))

    @property
    def epoch_targets(self) -> int:
        """Number of targets in one epoch; which windows are dropped changes it slightly."""
        share = self._per_epoch * self.batch_size / len(self._windows.first)
        return round(share * int((self._windows.end - self._windows.first).sum()))

    def next(self) -> Batch:
        """Give the next batch of windows, all rows fresh."""
        if self._next == self._per_epoch:
            self._epoch += 1
            self._next = self._read = 0
            self._order = self._random().permutation(len(self._windows.first))
        rows = self._order[self._next * self.batch_size :][: self.batch_size]
        self._next += 1
        first, end, document = (column[rows] for column in self._windows)
        return self._gather(first, end, np.ones(len(rows), dtype=np.bool_), document)

    def position(self) -> dict[str, Any]:
        """Say where the stream is."""
        return {"epoch": self._epoch, "next": self._next, "read": self._read}

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from there."""
        self._epoch, self._next = position["epoch"], position["next"]
        self._read = position["read"]
        self._order = self._random().permutation(len(self._windows.first))


class Lanes(Batches):
    """Rows that each read a stretch on and on, window by window, the state carried.

    Documents shorter than a stretch are read whole, in batches of similar lengths so that little
    is padding; longer ones, or a single text, are cut so that there are about four stretches a
    lane, at places that move from epoch to epoch.
    """

    _STRETCHES_PER_LANE = 4
    _POOL = 64  # batches of documents sorted by length together

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        super().__init__(split, start_id, batch_size=batch_size, window=window, seed=seed)
        self.batch_size = max(1, min(batch_size, len(split.tokens) // (window + 1)))
        share = len(split.tokens) // (self._STRETCHES_PER_LANE * self.batch_size)
        self._stretch = max(window, share // window * window)
        self._stretches, self._order = self._draw()
        self._next = 0
        self._first = np.zeros(self.batch_size, dtype=np.int64)
        self._end = np.zeros(self.batch_size, dtype=np.int64)
        self._document = np.zeros(self.batch_size, dtype=np.int64)

    @property
    def epoch_targets(self) -> int:
        """Number of targets in one epoch: every token once."""
        return len(self.split.tokens)

    def next(self) -> Batch:
        """Give each lane's next window; a lane at its end takes up the next stretch, fresh."""
        fresh = self._first >= self._end
        for lane in np.flatnonzero(fresh):
            if self._next == len(self._order):
                self._epoch += 1
                self._next = 0
                self._read -= self.epoch_targets
                self._stretches, self._order = self._draw()
            stretch = self._order[self._next]
            self._next += 1
            self._first[lane] = self._stretches.first[stretch]
            self._end[lane] = self._stretches.end[stretch]
            self._document[lane] = self._stretches.document[stretch]
        batch = self._gather(self._first, self._end, fresh, self._document)
        self._first = self._first + batch.inputs.shape[1]
        return batch

    def position(self) -> dict[str, Any]:
        """Say where the stream is."""
        return {
            "epoch": self._epoch,
            "next": self._next,
            "read": self._read,
            "first": self._first.tolist(),
            "end": self._end.tolist(),
            "document": self._document.tolist(),
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from there."""
        self._epoch, self._next = position["epoch"], position["next"]
        self._read = position["read"]
        self._first = np.array(position["first"], dtype=np.int64)
        self._end = np.array(position["end"], dtype=np.int64)
        self._document = np.array(position["document"], dtype=np.int64)
        self._stretches, self._order = self._draw()

    def _draw(self) -> tuple[_Stretches, NDArray[np.int64]]:
        """Cut this epoch's stretches and draw their order."""
        random = self._random()
        shift = int(random.integers(self._stretch)) if self._epoch else 0
        stretches = _cut_documents(self.split.starts, self._stretch, shift)
        order = random.permutation(len(stretches.first))
        if self.split.documents > 1:
            order = self._group_by_length(stretches, order, random)
        return stretches, order

    def _group_by_length(
        self, stretches: _Stretches, order: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Reorder so that each batch's rows are of similar length, the batches in random order."""
        lengths = stretches.end - stretches.first
        pool = np.arange(len(order)) // (self._POOL * self.batch_size)
        order = order[np.lexsort((lengths[order], pool))]
        whole = len(order) // self.batch_size * self.batch_size
        batches = random.permutation(order[:whole].reshape(-1, self.batch_size))
        return np.concatenate((batches.reshape(-1), order[whole:]))


def _cut_documents(starts: NDArray[np.int64], length: int, shift: int = 0) -> _Stretches:
    """Cut documents into stretches of at most `length` targets.

    Args:
        starts: (documents + 1,) where each document begins.
        length: the most targets of a stretch.
        shift: how much earlier the cuts of the documents longer than `length` fall.
    """
    begins, ends = np.asarray(starts[:-1]), np.asarray(starts[1:])
    sizes = ends - begins
    shifts = np.where(sizes > length, shift, 0)
    counts = -(-(sizes + shifts) // length)
    document = np.repeat(np.arange(len(begins)), counts)
    rank = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    cut = (begins - shifts)[document] + rank * length
    first = np.maximum(begins[document], cut)
    return _Stretches(first, np.minimum(ends[document], cut + length), document)
