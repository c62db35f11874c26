"""How much of the held-out text stands word for word in the rest of a text.

A figure says how well a model predicts new text only if the held-out text is new. Lines are
compared, as they are what is repeated: names, log records, a file that was copied.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

LARGE_OVERLAP = 0.1
"""From this share on, held-out text is no longer called new; a play, with its names, has 0.05."""

_LEAST_TOLD, _ALMOST_ALL = 0.01, 0.995
_MOST_LINES = 1 << 20  # held-out lines looked up, 16 bytes each in memory
_LONGEST = 1 << 16  # characters: longer lines are compared in pieces, so that memory is bounded


def measure_overlap(heldout: Iterable[str], rest: Iterable[str]) -> float:
    """Return the share of a held-out text that is in lines which are also lines of the rest.

    Args:
        heldout: the held-out text in blocks of any size; only its first million lines count.
        rest: the text to find them in, likewise; it is read once.

    Returns:
        A share of the characters of all lines, without their newlines.
    """
    sizes, keys, lines = list[NDArray[np.int64]](), list[NDArray[np.int64]](), 0
    for block in _blocks_of_lines(heldout):
        sizes.append(np.fromiter(map(len, block), np.int64, len(block)))
        keys.append(_keys(block))
        lines += len(block)
        if lines >= _MOST_LINES:
            break
    if not lines:
        return 0.0
    wanted, which = np.unique(np.concatenate(keys), return_inverse=True)
    found = np.zeros(len(wanted), np.bool_)
    for block in _blocks_of_lines(rest):
        seen = _keys(block)
        places = np.minimum(np.searchsorted(wanted, seen), len(wanted) - 1)
        found[places[wanted[places] == seen]] = True
    weights = np.concatenate(sizes)
    return float(weights[found[which]].sum() / max(1, weights.sum()))


def describe_overlap(overlap: float | None) -> str | None:
    """Say of a text how much is not new; None if that is next to nothing, or not known."""
    if overlap is None or overlap < _LEAST_TOLD:
        return None
    if overlap < LARGE_OVERLAP:
        return f"{overlap:.0%} of it is in lines that are in the training text too"
    much = "all" if overlap >= _ALMOST_ALL else f"{overlap:.0%}"
    return (
        f"{much} of it is in the training text too, line for line: the figure does not tell how "
        "well the model predicts new text"
    )


def _keys(lines: list[str]) -> NDArray[np.int64]:
    """Hash lines; two different ones have the same hash about once in 2^64."""
    return np.fromiter(map(hash, lines), np.int64, len(lines))


def _blocks_of_lines(blocks: Iterable[str]) -> Iterator[list[str]]:
    """Cut a text into lines, and lines that are too long into pieces, counted from their begin."""
    begun = ""
    for block in blocks:
        *lines, begun = (begun + block).split("\n")
        if max(map(len, lines), default=0) > _LONGEST:
            lines = [*itertools.chain.from_iterable(map(_pieces, lines))]
        if len(begun) > _LONGEST:
            *pieces, begun = _pieces(begun)
            lines += pieces
        yield lines
    yield [begun] if begun else []


def _pieces(line: str) -> list[str]:
    return [line[begin : begin + _LONGEST] for begin in range(0, len(line), _LONGEST)]
