"""Which parts of a text are copied word for word from another one, such as the training text.

The search is exact. Only the first text is kept in memory (a few hundred bytes per byte), as a
suffix automaton (in `src/native/engine`) through which the other text is streamed. To ask about
stretches of one fixed length in a text, see writing/stretches.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.errors import SettingsError
from sunspring.machine import usable_cores
from sunspring.network.native import HAS_ENGINE
from sunspring.notices import Notify, Work, counting, ignore

LEAST_COPIED = 20
"""Fewest characters of a stretch that counts as copied."""

LEAST_LINE = 10
"""Fewest characters of a line that counts as repeated, without outer spaces."""

_BETWEEN = b"\xff"  # separates texts; never part of UTF-8


class Stretch(NamedTuple):
    """Characters `begin` to `end` of a text, which occur in the other text too."""

    begin: int
    end: int


@dataclass(frozen=True)
class Copies:
    """Which stretches of a text are copied.

    Args:
        text: the text that was examined.
        lengths: (characters,) length of the longest copied stretch that ends with each character; 0
            if even the character itself is not in the other text.
    """

    text: str
    lengths: NDArray[np.int64]

    def new_shares(self, most: int = 50) -> NDArray[np.float64]:
        """Return the share of n-grams that are not in the other text, (most,), for n from 1 on.

        It is NaN if the text is shorter than n.
        """
        shares = np.full(most, np.nan)
        for n in range(1, min(most, len(self.lengths)) + 1):
            shares[n - 1] = np.mean(self.lengths[n - 1 :] < n)
        return shares

    def stretches(self, at_least: int) -> list[Stretch]:
        """Return the copied stretches that are not part of a longer one, in order.

        Args:
            at_least: fewest characters of a stretch, 1 or more.
        """
        grows = np.append(self.lengths[1:] > self.lengths[:-1], False)
        ends = np.flatnonzero((self.lengths >= at_least) & ~grows)
        return [Stretch(int(end + 1 - self.lengths[end]), int(end + 1)) for end in ends]

    def longest(self, at_least: int) -> list[Stretch]:
        """Return the same stretches, the longest first."""
        return sorted(self.stretches(at_least), key=lambda each: each.begin - each.end)

    def is_copied(self, at_least: int) -> NDArray[np.bool_]:
        """Return whether each character is part of such a stretch, (characters,)."""
        mask = np.zeros(len(self.lengths), np.bool_)
        for begin, end in self.stretches(at_least):
            mask[begin:end] = True
        return mask


def find_copies(
    texts: Sequence[str], pieces: Iterable[bytes | None], threads: int | None = None
) -> list[Copies]:
    """Find what some texts copy from another one, which is read once.

    Args:
        texts: the texts to examine; lone surrogates never count as copied.
        pieces: the other text in pieces, as UTF-8; no stretch continues across a None.
        threads: number of threads; None for one per core.

    Raises:
        SettingsError: this installation has no native engine.
    """
    if not HAS_ENGINE:
        raise SettingsError("finding copies needs the native engine: see sunspring doctor")
    from sunspring.network import engine

    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    finder = engine.CopyFinder(_BETWEEN.join(encoded))
    threads = usable_cores() if threads is None else threads
    for piece in pieces:
        if piece is None:
            finder.part()
        else:
            finder.read(piece, threads)
    lengths, begin, found = finder.longest(), 0, []
    for text, data in zip(texts, encoded, strict=True):
        found.append(_in_characters(text, data, lengths[begin : begin + len(data)]))
        begin += len(data) + len(_BETWEEN)
    return found


def _in_characters(text: str, data: bytes, lengths: NDArray[np.int64]) -> Copies:
    """Convert lengths of copied stretches from bytes to characters."""
    lengths = np.minimum(lengths, np.arange(1, len(data) + 1))  # none may begin before the text
    is_start = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    starts = np.flatnonzero(is_start)
    ends = np.append(starts, len(data))[1:]
    # index of the first whole character in the longest stretch of bytes
    first = np.searchsorted(starts, ends - lengths[ends - 1])
    return Copies(text, np.arange(1, len(starts) + 1) - first)


def repeated_lines(text: str, corpus: Corpus, notify: Notify = ignore) -> list[str]:
    """Find which lines of a text are whole lines of the training text.

    Outer spaces do not matter, and lines of fewer than 10 characters do not count.

    Args:
        text: the text to examine; only its lines are kept in memory.
        corpus: the corpus that the model was trained on.
        notify: shows the progress.

    Returns:
        These lines in order, each once, without outer spaces.
    """
    lines = dict.fromkeys(line.strip() for line in text.split("\n"))
    wanted = {line for line in lines if len(line) >= LEAST_LINE}
    found: set[str] = set()
    work = Work(notify, "looking for repeated lines")
    known = counting(corpus.training_lines(), corpus.train.characters, work)
    for line in known if wanted else ():
        if (bare := line.strip()) in wanted:
            found.add(bare)
    return [line for line in lines if line in found]


@dataclass(frozen=True)
class CopyReport:
    """What some texts copied from the training text.

    Args:
        copies: copied stretches of each text.
        lines: lines of each text that are whole lines of the training text.
    """

    copies: list[Copies]
    lines: list[list[str]]

    def to_json(self, place: int, offset: int) -> dict[str, Any]:
        """Return the part of `write --json` about the copies of one text.

        Args:
            place: index of the text.
            offset: added to all positions: the number of characters before the text.
        """
        copies = self.copies[place]
        one = CopyReport([copies], [self.lines[place]])
        return {
            "characters": one.characters,
            "longest": one.longest,
            "stretches": [
                {"begin": offset + begin, "end": offset + end}
                for begin, end in copies.stretches(LEAST_COPIED)
            ],
            "lines": self.lines[place],
        }

    @property
    def characters(self) -> int:
        """Number of characters in all texts that are part of a copied stretch."""
        return sum(int(each.is_copied(LEAST_COPIED).sum()) for each in self.copies)

    @property
    def longest(self) -> int:
        """Number of characters of the longest copied stretch; 0 if there is none."""
        longest = max((int(each.lengths.max(initial=0)) for each in self.copies), default=0)
        return longest if longest >= LEAST_COPIED else 0


def report_copies(texts: Sequence[str], corpus: Corpus, notify: Notify = ignore) -> CopyReport:
    """Find what some texts copied from the training text.

    Args:
        texts: texts that the model wrote.
        corpus: the corpus that the model was trained on.
        notify: shows the progress.

    Raises:
        SettingsError: this installation has no native engine.
    """
    repeated = {*repeated_lines("\n".join(texts), corpus, notify)}
    return CopyReport(
        find_copies(texts, corpus.training_bytes(Work(notify, "looking for copies"))),
        [
            [line for line in dict.fromkeys(map(str.strip, text.split("\n"))) if line in repeated]
            for text in texts
        ],
    )
