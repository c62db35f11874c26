"""Sets of characters, as ranges of code points; those of Unicode's classes among them.

Everything here is a value of a few hundred numbers at most, however many characters it stands for.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import cache, lru_cache

Ranges = tuple[tuple[int, int], ...]
"""Sorted ranges of code points that do not touch, each without its end."""

END_OF_UNICODE = 0x110000
SURROGATES = (0xD800, 0xE000)

EVERYTHING: Ranges = ((0, SURROGATES[0]), (SURROGATES[1], END_OF_UNICODE))
"""All characters; lone surrogates are none."""

_END_OF_CASES = 0x1F000  # no character beyond has an upper and a lower case


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """Return what is in any of some sets."""
    joined: list[tuple[int, int]] = []
    for begin, end in sorted(each for one in sets for each in one):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        elif begin < end:
            joined.append((begin, end))
    return tuple(joined)


def complement(ranges: Ranges) -> Ranges:
    """Return all characters that are not in a set."""
    ends = [0, *(end for each in union(ranges, [SURROGATES]) for end in each), END_OF_UNICODE]
    return union(zip(ends[::2], ends[1::2], strict=True))


def single(*characters: str) -> Ranges:
    """Return the set of some characters."""
    return union((ord(each), ord(each) + 1) for each in characters)


@cache
def unicode_class(escape: str) -> Ranges:
    r"""Return what Python's `re` takes for `\\d`, `\\s` or `\\w`."""
    everything = "".join(map(chr, range(END_OF_UNICODE)))
    return tuple(each.span() for each in re.finditer(f"{escape}+", everything))


@lru_cache(64)
def unicode_category(name: str) -> Ranges:
    """Return the characters of a general category of Unicode, such as `L` or `Lu`; perhaps none."""
    return union(
        (point, point + 1)
        for begin, end in EVERYTHING
        for point in range(begin, end)
        if unicodedata.category(chr(point)).startswith(name)
    )


@lru_cache(256)
def in_any_case(ranges: Ranges) -> Ranges:
    """Return a set with the upper and lower cases of all its characters."""
    ends = [end for each in ranges for end in each]
    others = [
        alike
        for point, alike in _other_cases().items()
        if bisect_right(ends, point) % 2  # it lies in a range
    ]
    return union(ranges, *others)


@cache
def _other_cases() -> dict[int, Ranges]:
    """Return for each character that has several cases all of them."""
    alike: dict[str, list[str]] = defaultdict(list)
    for character in map(chr, range(_END_OF_CASES)):
        upper = character.upper() if len(character.upper()) == 1 else character
        alike[upper.lower() if len(upper.lower()) == 1 else upper].append(character)
    return {
        ord(each): single(*group) for group in alike.values() if len(group) > 1 for each in group
    }
