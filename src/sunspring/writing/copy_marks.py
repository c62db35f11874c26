"""A text as it comes, with what of it is copied marked.

What is marked is the same as what explanation/copies.py finds in a whole text.
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
    """Mark what of a text is part of known stretches.

    What may still turn out to be copied is held back: one character less than a stretch has.

    Args:
        pieces: of the text.
        known: the stretches.
    """
    waiting, copied = "", 0  # characters of its beginning that are copied
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
