"""What of a text stands word for word in another one, as in the text that a model learned from.

Exact, and in memory for the first text alone (a few hundred bytes a byte of it): the other is read
through the first one's suffix automaton, which is in `src/native/engine`. (Which stretches of one
length stand in a text, whatever is asked later, is writing/stretches.py.)
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

LEAST_COPIED = 20
"""Characters of a stretch that counts as copied."""

LEAST_LINE = 10
"""Characters of a line that counts as repeated, without blanks around."""

_BETWEEN = b"\xff"  # texts; no UTF-8 has it


class Stretch(NamedTuple):
    """Characters `begin` to `end` of a text, which stand in the other one too."""

    begin: int
    end: int


@dataclass(frozen=True)
class Copies:
    """Which characters of a text are copied, and how far back.

    Args:
        text: that was looked at.
        lengths: (characters,) of the longest stretch that ends with a character and stands in the
            other text; 0 where even the character does not.
    """

    text: str
    lengths: NDArray[np.int64]

    def new_shares(self, most: int = 50) -> NDArray[np.float64]:
        """Give the share of n-grams that are not in the other text, (most,) for n from 1 on.

        It is NaN where the text is shorter than n.
        """
        shares = np.full(most, np.nan)
        for n in range(1, min(most, len(self.lengths)) + 1):
            shares[n - 1] = np.mean(self.lengths[n - 1 :] < n)
        return shares

    def stretches(self, at_least: int) -> list[Stretch]:
        """Give the stretches that are copied and part of no longer one, in their order.

        Args:
            at_least: characters that a stretch must have, at least 1.
        """
        grows = np.append(self.lengths[1:] > self.lengths[:-1], False)
        ends = np.flatnonzero((self.lengths >= at_least) & ~grows)
        return [Stretch(int(end + 1 - self.lengths[end]), int(end + 1)) for end in ends]

    def longest(self, at_least: int) -> list[Stretch]:
        """Give the same, the longest first."""
        return sorted(self.stretches(at_least), key=lambda each: each.begin - each.end)

    def is_copied(self, at_least: int) -> NDArray[np.bool_]:
        """Tell of each character whether it is part of such a stretch, (characters,)."""
        mask = np.zeros(len(self.lengths), np.bool_)
        for begin, end in self.stretches(at_least):
            mask[begin:end] = True
        return mask


def find_copies(
    texts: Sequence[str], pieces: Iterable[bytes | None], threads: int | None = None
) -> list[Copies]:
    """Find what of each of some texts stands in another one, which is read once.

    Args:
        texts: to look at; lone surrogates are copied from nowhere.
        pieces: of the other one, UTF-8; no stretch goes on over None.
        threads: that read; None for one on each core.

    Raises:
        SettingsError: this installation has no native engine.
    """
    if not HAS_ENGINE:
        raise SettingsError("copies are found by the native engine alone: see sunspring doctor")
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
    """Give what of a text is copied, from the lengths of its bytes."""
    lengths = np.minimum(lengths, np.arange(1, len(data) + 1))  # none begins before the text
    is_start = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    starts = np.flatnonzero(is_start)
    ends = np.append(starts, len(data))[1:]
    # the first whole character of the longest stretch of bytes
    first = np.searchsorted(starts, ends - lengths[ends - 1])
    return Copies(text, np.arange(1, len(starts) + 1) - first)


def repeated_lines(text: str, corpus: Corpus) -> list[str]:
    """Find which lines of a text are lines of the text that a model learned from, as a whole.

    Blanks around a line do not count, nor do lines of fewer than 10 characters.

    Args:
        text: to look at; its lines alone are kept in memory.
        corpus: that the model was trained on.

    Returns:
        These lines in their order, each once, without the blanks.
    """
    lines = dict.fromkeys(line.strip() for line in text.split("\n"))
    wanted = {line for line in lines if len(line) >= LEAST_LINE}
    found: set[str] = set()
    for line in corpus.training_lines() if wanted else ():
        if (bare := line.strip()) in wanted:
            found.add(bare)
    return [line for line in lines if line in found]


@dataclass(frozen=True)
class CopyReport:
    """What of some texts is copied from the training text.

    Args:
        copies: of each text.
        lines: of each text that are whole lines of the training text.
    """

    copies: list[Copies]
    lines: list[list[str]]

    def to_json(self, place: int, offset: int) -> dict[str, Any]:
        """Give what `write --json` has of one text's copies.

        Args:
            place: of the text.
            offset: characters before it, from which on places are counted.
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
        """Characters in all texts that are part of a copied stretch."""
        return sum(int(each.is_copied(LEAST_COPIED).sum()) for each in self.copies)

    @property
    def longest(self) -> int:
        """Characters of the longest copied stretch."""
        longest = max((int(each.lengths.max(initial=0)) for each in self.copies), default=0)
        return longest if longest >= LEAST_COPIED else 0


def report_copies(texts: Sequence[str], corpus: Corpus) -> CopyReport:
    """Look for what of some texts stands in the text that a model learned from.

    Args:
        texts: that it wrote.
        corpus: that it was trained on.

    Raises:
        SettingsError: this installation has no native engine.
    """
    repeated = {*repeated_lines("\n".join(texts), corpus)}
    return CopyReport(
        find_copies(texts, corpus.training_bytes()),
        [
            [line for line in dict.fromkeys(map(str.strip, text.split("\n"))) if line in repeated]
            for text in texts
        ],
    )
