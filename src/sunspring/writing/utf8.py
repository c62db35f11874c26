"""UTF-8 as an automaton: bytes in, and at the end of each character its class."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np
from numpy.typing import NDArray

from sunspring.writing.automata import DEAD, Alphabet
from sunspring.writing.character_sets import END_OF_UNICODE

WHOLE = DEAD - 1
"""See `Utf8.nodes`."""

_LEAST = (0, 0x80, 0x800, 0x10000)
"""The first code point that takes so many bytes after the first one (RFC 3629)."""


class Utf8:
    """Reads bytes, and knows the class of each character that they make up.

    Args:
        alphabet: has the classes.

    Attributes:
        nodes: (nodes, 256) the node after each byte, node 0 being between characters; `DEAD` where
            no character goes on so; and `WHOLE - c` where one of class c is complete.
        completes: (nodes, classes) whether a character of a class can be completed from there.
    """

    def __init__(self, alphabet: Alphabet) -> None:
        self._begins: list[int] = [*alphabet.begins.tolist(), END_OF_UNICODE]
        self._classes: list[int] = alphabet.classes.tolist()
        self._rows = [[DEAD] * 256]
        self._numbers: dict[tuple[int, ...], int] = {}
        for more, first, last in ((0, 0, 0x80), (1, 0xC2, 0xE0), (2, 0xE0, 0xF0), (3, 0xF0, 0xF5)):
            for byte in range(first, last):
                begin = (byte & (0x3F >> more if more else 0x7F)) << 6 * more
                self._rows[0][byte] = self._node(begin, more, _LEAST[more])
        self.nodes: NDArray[np.int64] = np.array(self._rows, np.int64)
        self.completes = np.zeros((len(self.nodes), alphabet.count), np.bool_)
        for place in (*range(1, len(self.nodes)), 0):  # those that a node leads to come before it
            row = self.nodes[place]
            self.completes[place, WHOLE - row[row < DEAD]] = True
            self.completes[place] |= self.completes[row[row > DEAD]].any(0)

    def _node(self, begin: int, more: int, least: int) -> int:
        """Return the node for the code points from one on that so many more bytes tell apart."""
        end = begin + (1 << 6 * more)
        if end <= least or begin >= END_OF_UNICODE:
            return DEAD
        place = bisect_right(self._begins, begin) - 1
        if begin >= least and end <= self._begins[place + 1]:
            return self._alike(self._classes[place], more)
        size = 1 << 6 * (more - 1)
        return self._joined([self._node(each, more - 1, least) for each in range(begin, end, size)])

    def _alike(self, character: int, more: int) -> int:
        """Return the node where every so many bytes complete a character of the same class."""
        if character == DEAD or more == 0:
            return DEAD if character == DEAD else WHOLE - character
        return self._joined([self._alike(character, more - 1)] * 64)

    def _joined(self, following: list[int]) -> int:
        """Return the node with what follows each of the 64 bytes that may."""
        if all(each == DEAD for each in following):
            return DEAD
        if (key := tuple(following)) not in self._numbers:
            self._numbers[key] = len(self._rows)
            self._rows.append([*[DEAD] * 0x80, *following, *[DEAD] * 0x40])
        return self._numbers[key]
