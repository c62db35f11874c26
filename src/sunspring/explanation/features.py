"""Simple features of a text, character by character, to correlate the units of a network with.

Each depends only on its character and those before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import code_points

Feature = NDArray[np.float32]

_OPENING, _CLOSING = "([{", ")]}"
_FARTHEST, _LONGEST = 40, 20  # largest distance and length of a repetition
_SPEAKER = re.compile(r"[ \t]*[A-Z][A-Za-z .'\-]{0,30}:[ \t]*$")


def text_features(text: str) -> Mapping[str, Feature]:
    """Compute features by name, each (characters,); constant ones are left out."""
    points = code_points(text)
    found = {
        "position in the line": _position_in_line(points),
        "indentation": _indentation(points),
        "position in the word": _run(_is(points, str.isalpha)),
        "run of capitals": _run(_is(points, str.isupper)),
        "inside quotes": _inside_quotes(points),
        "depth of brackets": _depth(points),
        "speaker's line": _speaker_lines(text),
        "lines since a blank one": _lines_since_blank(points),
        "repetition of earlier text": _repetition(points),
        "capital letter": _is(points, str.isupper),
        "digit": _is(points, str.isdigit),
        "punctuation": _is(points, lambda c: not c.isalnum() and not c.isspace()),
        "vowel": _is(points, lambda c: c.lower() in "aeiouy"),
        "space": _is(points, lambda c: c == " "),
        "newline": _is(points, lambda c: c == "\n"),
    }
    kept = {name: values.astype(np.float32) for name, values in found.items()}
    return {name: values for name, values in kept.items() if len(values) and np.ptp(values) > 0}


def _is(points: NDArray[np.uint32], holds: Callable[[str], bool]) -> Feature:
    """Whether each character satisfies a condition."""
    kinds, places = np.unique(points, return_inverse=True)
    return np.array([holds(chr(point)) for point in kinds], np.float32)[places]


def _last(is_here: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The last place with a mark at or before each place; -1 if there is none."""
    return np.maximum.accumulate(np.where(is_here, np.arange(len(is_here)), -1))


def _line_begins(points: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Where the line of each character begins; a newline belongs to the line that it ends."""
    return _last(np.concatenate(([False], points == ord("\n")))[:-1]).clip(0)


def _position_in_line(points: NDArray[np.uint32]) -> Feature:
    return (np.arange(len(points)) - _line_begins(points)).astype(np.float32)


def _run(holds: NDArray[Any]) -> Feature:
    """For how many characters a condition has held; 0 where it does not."""
    return (np.arange(len(holds)) - _last(holds == 0)).astype(np.float32)


def _indentation(points: NDArray[np.uint32]) -> Feature:
    """How many spaces and tabs the line began with."""
    is_blank = (points == ord(" ")) | (points == ord("\t"))
    begins = _line_begins(points)
    last_leading = _last(is_blank & (_last(~is_blank) < begins))
    return np.where(last_leading >= begins, last_leading - begins + 1, 0).astype(np.float32)


def _inside_quotes(points: NDArray[np.uint32]) -> Feature:
    """Whether a double quotation mark is open; a blank line closes it."""
    is_quote = np.isin(points, [ord(mark) for mark in '"“”'])
    return _since_blank_line(points, is_quote) % 2


def _depth(points: NDArray[np.uint32]) -> Feature:
    """How many brackets are open; unmatched closing ones do not count."""
    steps = np.isin(points, [ord(mark) for mark in _OPENING]).astype(int)
    steps -= np.isin(points, [ord(mark) for mark in _CLOSING])
    sums = np.cumsum(steps)
    return (sums - np.minimum.accumulate(np.minimum(sums, 0))).astype(np.float32)


def _speaker_lines(text: str) -> Feature:
    """Whether the line is a name and a colon, as in a play."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    is_name = [bool(_SPEAKER.match(line.removesuffix("\n"))) for line in lines]
    return np.repeat(np.array(is_name, np.float32), [len(line) for line in lines])


def _lines_since_blank(points: NDArray[np.uint32]) -> Feature:
    return _since_blank_line(points, points == ord("\n"))


def _repetition(points: NDArray[np.uint32]) -> Feature:
    """How many characters in a row are the same as those at some fixed distance before them."""
    longest = np.zeros(len(points), np.float32)
    for distance in range(2, min(_FARTHEST, len(points) - 1) + 1):
        is_same = points[distance:] == points[:-distance]
        longest[distance:] = np.maximum(longest[distance:], _run(is_same))
    return np.minimum(longest, _LONGEST)


def _since_blank_line(points: NDArray[np.uint32], is_here: NDArray[np.bool_]) -> Feature:
    """How many marks there were since the last blank line."""
    is_newline = points == ord("\n")
    is_after_newline = np.concatenate(([True], is_newline))[:-1]
    last = _last(is_newline & is_after_newline)
    count = np.cumsum(is_here)
    before = np.where(last >= 0, count[last], 0)
    return (count - before).astype(np.float32)
