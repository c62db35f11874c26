"""Mark the copied parts of a text while it is being written.

The same parts are marked that explanation/copies.py finds in a finished text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from sunspring.writing.stretches import KnownStretches


class MarkedText(NamedTuple):
    """A part of a text, and whether it is copied."""

    text: str
    is_copied: bool


def mark_copies(pieces: Iterable[str], known: KnownStretches) -> Iterator[MarkedText]:
    """Mark the parts of a text that belong to known stretches.

    One character less than a stretch has is held back, as it may still turn out to be copied.

    Args:
        pieces: the text, piece by piece.
        known: the stretches.
    """
    waiting, copied = "", 0  # text held back, and how many of its first characters are copied
    for piece in pieces:
        waiting += piece
        ready = len(waiting) + 1 - known.size
        if ready <= 0:
            continue
        marks = []
        for place, is_known in enumerate(known.contains(waiting).tolist()):
            copied = max(copied, place + known.size) if is_known else copied
            marks.append(place < copied)
        yield from _runs(waiting[:ready], marks)
        waiting, copied = waiting[ready:], max(0, copied - ready)
    yield from _runs(waiting, [place < copied for place in range(len(waiting))])


def _runs(text: str, marks: list[bool]) -> Iterator[MarkedText]:
    """Cut a text where its marks change."""
    for is_copied, run in groupby(zip(text, marks, strict=True), key=lambda each: each[1]):
        yield MarkedText("".join(character for character, _ in run), is_copied)
