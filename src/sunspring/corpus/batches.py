"""Batches of training sequences: the article's shuffled windows, or lanes that keep their state.

Both cut the documents of a split into stretches of targets; the input at each position is the
token before the target. Windows start from a fresh state and come in shuffled order; a lane reads
its stretch window by window, carrying its state (truncated backpropagation through time). The
position in the text is a small JSON value, so a run can be resumed at any step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import Split
from sunspring.errors import SourceError
from sunspring.notices import counted

IGNORED = -100
"""The target at a position without a token: losses skip it."""

_RELEASE_AFTER = 512  # rows; each may leave 400 KiB of the files in memory
_POOL = 1 << 20  # documents or windows shuffled together


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

    def take(self, which: slice | NDArray[np.int64]) -> _Stretches:
        """Select some, in the order given."""
        return _Stretches(self.first[which], self.end[which], self.document[which])


def split_window(window: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Split a sequence of `seq_len + 1` tokens into the input and the target shifted by one.

    "Hello my name" becomes "Hello my nam" and "ello my name".
    """
    return window[..., :-1], window[..., 1:]


def check_window(split: Split, window: int) -> None:
    """Make sure that a text is long enough for one window.

    Raises:
        SourceError: the text is too short.
    """
    if len(split.tokens) < window + 1 and split.document_count <= 1:
        raise SourceError(
            f"the training part of the text has {counted(len(split.tokens), 'token')} and one "
            f"window needs {window + 1}: give more text, or set a smaller window with --set "
            "window=N"
        )


class Batches(ABC):
    """An endless stream of batches over a split.

    To bound memory, an epoch is read in pools of up to a million documents or windows, each pool
    spread evenly over the split.

    Args:
        split: what to read.
        start_id: the token read before a document's first.
        batch_size: rows in a batch.
        window: most targets in a row, `seq_len` in the article.
        seed: determines the order of each epoch.

    Raises:
        SourceError: the text is too short for one window.
    """

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        check_window(split, window)
        self.split = split
        self.start_id = start_id
        self.batch_size = batch_size
        self.window = window
        self.seed = seed
        self._pools = -(-self._count() // _POOL)
        self._epoch = self._pool = self._next = 0
        self._rows_read = 0

    @property
    @abstractmethod
    def epochs(self) -> float:
        """Epochs read so far, including the fraction of the current one."""

    @abstractmethod
    def next(self) -> Batch:
        """Return the next batch; one epoch follows another without end."""

    def position(self) -> dict[str, Any]:
        """Return the position in the stream, as a JSON value for `seek`."""
        return {"epoch": self._epoch, "pool": self._pool, "next": self._next}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue from a position that `position` returned."""
        self._epoch, self._pool = position["epoch"], position["pool"]
        self._next = position["next"]
        self._stretches = self._draw()

    @abstractmethod
    def _count(self) -> int:
        """Count the documents or windows to shuffle."""

    @abstractmethod
    def _draw(self) -> _Stretches:
        """Cut the current pool into stretches, in the order in which to read them."""

    def _turn(self) -> None:
        """Move to the next pool, which may begin the next epoch."""
        self._pool = (self._pool + 1) % self._pools
        self._epoch += self._pool == 0
        self._next = 0
        self._stretches = self._draw()

    def _random(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self._epoch, self._pool])

    def _cut_documents(self, length: int, shift: int = 0) -> _Stretches:
        """Cut the current pool's documents into stretches of at most `length` targets.

        Args:
            length: most targets in a stretch.
            shift: how many tokens earlier to cut documents longer than `length`.
        """
        starts = self.split.starts
        begins = np.array(starts[:-1][self._pool :: self._pools])
        ends = np.array(starts[1:][self._pool :: self._pools])
        self.split.release_pages()
        sizes = ends - begins
        shifts = np.where(sizes > length, shift, 0)
        counts = -(-(sizes + shifts) // length)
        document = np.repeat(np.arange(len(begins)), counts)
        rank = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
        cut = (begins - shifts)[document] + rank * length
        return _Stretches(
            np.maximum(begins[document], cut),
            np.minimum(ends[document], cut + length),
            document * self._pools + self._pool,
        )

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
        self._rows_read += len(first)
        if self._rows_read >= _RELEASE_AFTER:
            self._rows_read = 0
            self.split.release_pages()
        return Batch(inputs, targets, fresh, labels)


class Windows(Batches):
    """The article's batches: shuffled windows, each from a fresh state.

    A single text is cut into sequences of `seq_len + 1` tokens; what is left over is dropped, and
    so is a last batch that is not full (`drop_remainder`), unless it is the only one. Several
    documents are cut one by one and keep their shorter last window, padded.
    """

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        super().__init__(split, start_id, batch_size=batch_size, window=window, seed=seed)
        self._stretches = self._draw()
        self.batch_size = min(batch_size, len(self._stretches.first))

    @property
    def epochs(self) -> float:
        """Epochs read so far, including the fraction of the current one."""
        batches = len(self._stretches.first) // self.batch_size
        return self._epoch + (self._pool + self._next / batches) / self._pools

    def next(self) -> Batch:
        """Return the next batch of windows, all rows fresh."""
        rows = slice(self._next * self.batch_size, (self._next + 1) * self.batch_size)
        if rows.stop > len(self._stretches.first):
            self._turn()
            rows = slice(self.batch_size)
        self._next += 1
        first, end, document = self._stretches.take(rows)
        return self._gather(first, end, np.ones(len(first), dtype=np.bool_), document)

    def _count(self) -> int:
        if self.split.document_count > 1:
            return self.split.document_count
        return len(self.split.tokens) // (self.window + 1)

    def _draw(self) -> _Stretches:
        if self.split.document_count > 1:
            stretches = self._cut_documents(self.window)
        else:
            step = self.window + 1
            first = np.arange(
                1 + self._pool * step, len(self.split.tokens) - step + 2, self._pools * step
            )
            stretches = _Stretches(first, first + self.window, np.zeros_like(first))
        return stretches.take(self._random().permutation(len(stretches.first)))


class Lanes(Batches):
    """Rows that each read a stretch from end to end, window by window, carrying the state.

    Documents shorter than a stretch are read whole, in batches of similar lengths so that little
    is padding; longer ones, or a single text, are cut into about four stretches per lane, at
    places that change from epoch to epoch. Every fourth lane is reset to a fresh state about every
    256 tokens, since writing and much scoring start from a fresh state too.
    """

    _STRETCHES_PER_LANE = 4
    _RESET_LANES = 4  # one lane in this many is reset regularly
    _RESET_AFTER = 256  # tokens that such a lane reads between resets, at most
    _SORTED = 64  # batches of documents sorted by length together

    def __init__(
        self, split: Split, start_id: int, *, batch_size: int, window: int, seed: int
    ) -> None:
        super().__init__(split, start_id, batch_size=batch_size, window=window, seed=seed)
        self.batch_size = max(1, min(batch_size, len(split.tokens) // (window + 1)))
        share = len(split.tokens) // (self._STRETCHES_PER_LANE * self.batch_size)
        self._stretch = max(window, share // window * window)
        self._stretches = self._draw()
        self._lanes = _Stretches(*np.zeros((3, self.batch_size), dtype=np.int64))
        self._read = 0  # targets, in all epochs together

    @property
    def epochs(self) -> float:
        """Epochs read so far, including the fraction of the current one."""
        return self._read / len(self.split.tokens)

    def next(self) -> Batch:
        """Return each lane's next window; a lane at its end begins the next stretch, fresh."""
        fresh = self._lanes.first >= self._lanes.end
        waiting = np.flatnonzero(fresh)
        while len(waiting):
            if self._next == len(self._stretches.first):
                self._turn()
            taken = self._stretches.take(slice(self._next, self._next + len(waiting)))
            count = len(taken.first)
            for column, values in zip(self._lanes, taken, strict=True):
                column[waiting[:count]] = values
            self._next += count
            waiting = waiting[count:]
        fresh[:: self._RESET_LANES] |= self._is_time_to_reset()[:: self._RESET_LANES]
        batch = self._gather(self._lanes.first, self._lanes.end, fresh, self._lanes.document)
        self._read += int((batch.targets != IGNORED).sum())
        self._lanes.first[:] += batch.inputs.shape[1]
        return batch

    def position(self) -> dict[str, Any]:
        """Return the position in the stream."""
        lanes = [column.tolist() for column in self._lanes]
        return {**super().position(), "read": self._read, "lanes": lanes}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue from there."""
        super().seek(position)
        self._read = position["read"]
        self._lanes = _Stretches(*np.array(position["lanes"], dtype=np.int64))

    def _is_time_to_reset(self) -> NDArray[np.bool_]:
        """Return which lanes are due for a reset: a multiple of `_RESET_AFTER` tokens is left."""
        windows = -(-(self._lanes.end - self._lanes.first) // self.window)
        filled: NDArray[np.bool_] = windows % max(1, self._RESET_AFTER // self.window) == 0
        return filled

    def _count(self) -> int:
        return self.split.document_count

    def _draw(self) -> _Stretches:
        random = self._random()
        shift = int(random.integers(self._stretch)) if self._epoch else 0
        stretches = self._cut_documents(self._stretch, shift)
        order = random.permutation(len(stretches.first))
        if self.split.document_count > 1:
            order = self._group_by_length(stretches, order, random)
        return stretches.take(order)

    def _group_by_length(
        self, stretches: _Stretches, order: NDArray[np.int64], random: np.random.Generator
    ) -> NDArray[np.int64]:
        """Reorder so that each batch's rows are of similar length, the batches in random order."""
        lengths = stretches.end - stretches.first
        sorted_together = np.arange(len(order)) // (self._SORTED * self.batch_size)
        order = order[np.lexsort((lengths[order], sorted_together))]
        whole = len(order) // self.batch_size * self.batch_size
        batches = random.permutation(order[:whole].reshape(-1, self.batch_size))
        return np.concatenate((batches.reshape(-1), order[whole:]))
