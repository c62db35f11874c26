"""Finite automata that read a text character by character, and their product.

Characters that nothing tells apart are one class, so the automata read a few numbers, however large
the alphabet is. Building stops at a bound of time and memory. Knows nothing of tokens.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from sunspring.errors import SettingsError
from sunspring.writing import expressions
from sunspring.writing.character_sets import (
    END_OF_UNICODE,
    SURROGATES,
    Ranges,
)
from sunspring.writing.expressions import Node

DEAD = -1
"""What follows where no match can."""

_MOST_SECONDS = 1.0  # of this thread, for one automaton
_MOST_BYTES = 256 << 20  # of one automaton
_MOST_PARTS = 200_000  # of an expression whose repetitions are written out


class Bounds:
    """How much time and memory the building of an automaton may still take.

    Args:
        shown: what it is built from, for the message.
    """

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._end = time.thread_time() + _MOST_SECONDS

    def check(self, size: int = 0) -> None:
        """Check that time is left, and that so many bytes are not too many.

        Raises:
            SettingsError: the bound is reached.
        """
        if size > _MOST_BYTES:
            self._refuse(f"more than {_MOST_BYTES >> 20} MB")
        if time.thread_time() > self._end:
            self._refuse(f"more than {_MOST_SECONDS:g} second of computing")

    def _refuse(self, what: str) -> None:
        raise SettingsError(
            f"{self._shown} would take {what} to follow: shorten what is repeated or listed"
        )


class Alphabet:
    """All characters, divided into classes that none of some sets tells apart.

    Args:
        sets: whose characters must be told apart from others.

    Attributes:
        begins: (ranges,) first code point of each range of characters of the same class, sorted.
        classes: (ranges,) the class of each; `DEAD` for lone surrogates.
        count: how many classes there are.
    """

    def __init__(self, sets: Iterable[Ranges]) -> None:
        distinct = [*dict.fromkeys(sets)]
        ends = {0, *SURROGATES, *(end for each in distinct for pair in each for end in pair)}
        self.begins = np.array(sorted(ends - {END_OF_UNICODE}), np.int64)
        members = {each: self._within(each) for each in distinct}
        kinds: dict[bytes, int] = {}
        is_surrogate = self._within((SURROGATES,))
        table = np.array([*members.values()], np.bool_).reshape(len(members), len(self.begins)).T
        self.classes = np.array(
            [
                DEAD if dead else kinds.setdefault(row.tobytes(), len(kinds))
                for row, dead in zip(table, is_surrogate.tolist(), strict=True)
            ],
            np.int64,
        )
        self.count = len(kinds)
        self._of_set = {
            each: frozenset(self.classes[held & ~is_surrogate].tolist())
            for each, held in members.items()
        }

    def _within(self, ranges: Ranges) -> NDArray[np.bool_]:
        """Return which ranges of the alphabet lie in a set, (ranges,)."""
        ends = np.array([end for pair in ranges for end in pair], np.int64)
        return np.asarray(np.searchsorted(ends, self.begins, "right") % 2 == 1)

    def classes_of(self, ranges: Ranges) -> frozenset[int]:
        """Return the classes that make up one of the alphabet's sets."""
        return self._of_set[ranges]

    def read(self, text: str) -> list[int]:
        """Return the class of each character of a text."""
        points = np.array([*map(ord, text)], np.int64)
        found: list[int] = self.classes[np.searchsorted(self.begins, points, "right") - 1].tolist()
        return found


class Automaton(Protocol):
    """Reads characters by their classes; its states are values."""

    def step(self, state: Any, character: int) -> Hashable | None:
        """Return the state after a character, or None if no match can follow."""

    def is_final(self, state: Any) -> bool:
        """Return whether what has been read is a match."""


class PhraseAutomaton:
    """Looks for a phrase (Knuth, Morris and Pratt 1977); its state is how much of it came last.

    Args:
        phrase: the classes of its characters, each alone in its class; at least one.
        is_banned: whether no text with the phrase matches; otherwise only a text with it does.
        is_kept: whether the text may go on after it; otherwise it must end with the phrase.
    """

    def __init__(
        self, phrase: Sequence[int], *, is_banned: bool = False, is_kept: bool = False
    ) -> None:
        self._size = len(phrase)
        self._is_banned = is_banned
        self._is_kept = is_kept
        # for each state what leads elsewhere than to its begin
        self._next: list[dict[int, int]] = [{phrase[0]: 1}]
        shorter = 0  # the state after the phrase without its first character
        for size in range(1, self._size + 1):
            following = dict(self._next[shorter])
            if size < self._size:
                shorter = self._next[shorter].get(phrase[size], 0)
                following[phrase[size]] = size + 1
            self._next.append(following)

    def step(self, state: int, character: int) -> int | None:
        """See `Automaton.step`."""
        if self._is_kept and state == self._size:
            return state
        reached = self._next[state].get(character, 0)
        return None if self._is_banned and reached == self._size else reached

    def after(self, text: Iterable[int]) -> int:
        """Return the state after a text that may hold the phrase, whatever that means."""
        state = 0
        for character in text:
            state = self._next[state].get(character, 0)
        return state

    def is_final(self, state: int) -> bool:
        """See `Automaton.is_final`."""
        return self._is_banned or state == self._size


Positions = frozenset[int]


class ExpressionAutomaton:
    """Follows a regular expression; its state is the set of places reached (Thompson 1968).

    Args:
        tree: the expression.
        alphabet: tells its sets apart.
        bounds: of the building; also of following.
    """

    def __init__(self, tree: Node, alphabet: Alphabet, bounds: Bounds) -> None:
        self._alphabet = alphabet
        self._bounds = bounds
        # of each place: the classes that lead to the next place, and where nothing leads, too
        self._classes: list[frozenset[int]] = []
        self._free: list[list[int]] = []
        self._end = self._add(tree, self._place())
        self._next: dict[Positions, dict[int, Positions]] = {}
        self.start = self._closure([0])

    def step(self, state: Positions, character: int) -> Positions | None:
        """See `Automaton.step`."""
        if state not in self._next:
            self._next[state] = self._steps(state)
        return self._next[state].get(character)

    def is_final(self, state: Positions) -> bool:
        """See `Automaton.is_final`."""
        return self._end in state

    def _steps(self, state: Positions) -> dict[int, Positions]:
        """Return the states that follow one, by character."""
        reached: dict[int, list[int]] = {}
        for place in state:
            for character in self._classes[place]:
                reached.setdefault(character, []).append(place + 1)
        closures: dict[tuple[int, ...], Positions] = {}
        for places in map(tuple, reached.values()):
            if places not in closures:
                closures[places] = self._closure(places)
        return {character: closures[tuple(places)] for character, places in reached.items()}

    def _closure(self, places: Iterable[int]) -> Positions:
        """Return the places that some lead to without a character; only those that matter."""
        self._bounds.check()
        seen, waiting = {*places}, [*places]
        while waiting:
            for target in self._free[waiting.pop()]:
                if target not in seen:
                    seen.add(target)
                    waiting.append(target)
        return frozenset(place for place in seen if self._classes[place] or place == self._end)

    def _place(self) -> int:
        self._classes.append(frozenset())
        self._free.append([])
        return len(self._classes) - 1

    def _add(self, node: Node, begin: int) -> int:
        """Add the places of a part after the last one so far; returns the part's end, the last."""
        self._bounds.check()
        if isinstance(node, expressions.Characters):
            self._classes[begin] = self._alphabet.classes_of(node.ranges)
            return self._place()
        if isinstance(node, expressions.Sequence):
            for part in node.parts:
                begin = self._add(part, begin)
            return begin
        if isinstance(node, expressions.Choice):
            ends = [self._add(part, self._from(begin)) for part in node.parts]
            return self._from(*ends)
        assert isinstance(node, expressions.Repetition)
        for _ in range(node.least):
            begin = self._add(node.part, begin)
        if node.most is None:
            again = self._from(begin)
            self._free[self._add(node.part, self._from(again))].append(again)
            return self._from(again)
        ends = [begin]
        for _ in range(node.most - node.least):
            begin = self._add(node.part, self._from(begin))
            ends.append(begin)
        return self._from(*ends)

    def _from(self, *places: int) -> int:
        """Add a place that some lead to without a character."""
        added = self._place()
        for place in places:
            self._free[place].append(added)
        return added


def sets_of(node: Node) -> list[Ranges]:
    """Return the sets of characters in an expression."""
    if isinstance(node, expressions.Characters):
        return [node.ranges]
    if isinstance(node, expressions.Repetition):
        return sets_of(node.part)
    return [each for part in node.parts for each in sets_of(part)]


def check_size(node: Node, shown: str) -> None:
    """Check that an expression is not too large to be written out, which takes no time.

    Raises:
        SettingsError: it is.
    """
    if _size(node) > _MOST_PARTS:
        raise SettingsError(
            f"a text that {shown} would take more than {_MOST_PARTS:,} parts to describe: "
            "lower the numbers in {}"
        )


def _size(node: Node) -> int:
    """Count the parts of an expression whose repetitions are written out."""
    if isinstance(node, expressions.Characters):
        return 1
    if isinstance(node, expressions.Repetition):
        return 1 + _size(node.part) * max(node.least, node.most or 1)
    return 1 + sum(map(_size, node.parts))


class Table(NamedTuple):
    """A product of automata, its states numbered from the first one on.

    Args:
        targets: (states, classes) the state after each character, or `DEAD`.
        finals: (states,) whether what has been read is a match of all.
    """

    targets: NDArray[np.int32]
    finals: NDArray[np.bool_]


def tabulate(
    begun: Sequence[tuple[Automaton, Hashable]],
    classes: int,
    writable: Iterable[int],
    bounds: Bounds,
) -> Table:
    """Find all states that the product of some automata can reach.

    Args:
        begun: what a text must match, all at once, and the state that each begins with.
        classes: how many there are of characters.
        writable: those of them that can come.
        bounds: of the building.

    Raises:
        SettingsError: a bound is reached.
    """
    automata, start = [each for each, _ in begun], tuple(state for _, state in begun)
    numbers, waiting, rows = {start: 0}, [start], list[list[int]]()
    for state in waiting:  # which grows meanwhile
        row = [DEAD] * classes
        for character in writable:
            if (reached := _all_steps(automata, state, character)) is not None:
                row[character] = numbers.setdefault(reached, len(numbers))
                if row[character] == len(waiting):
                    waiting.append(reached)
        rows.append(row)
        bounds.check(len(waiting) * classes * 8)
    finals = [
        all(each.is_final(part) for each, part in zip(automata, state, strict=True))
        for state in waiting
    ]
    return Table(np.array(rows, np.int32).reshape(len(rows), classes), np.array(finals, np.bool_))


def _all_steps(
    automata: Sequence[Automaton], state: tuple[Hashable, ...], character: int
) -> tuple[Hashable, ...] | None:
    """Return the state after a character, or None if one of the automata has none."""
    reached = []
    for each, part in zip(automata, state, strict=True):
        following = each.step(part, character)
        if following is None:
            return None
        reached.append(following)
    return tuple(reached)
