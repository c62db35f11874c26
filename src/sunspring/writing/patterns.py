"""Regular expressions as automata over a vocabulary's tokens.

`outlines-core` compiles the expression; what this module adds is how many characters each state
still needs for a match, so that a text can be made to match before its length is used up.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.writing.settings import WritingSettings

_UNREACHABLE = 1 << 60
_MARK = "\U0010ffff"  # not a character, by Unicode's definition


class PatternTables(NamedTuple):
    """An automaton as arrays.

    Args:
        begins: (states + 1,); the moves of state s are those from begins[s] to begins[s + 1].
        tokens: (moves,) the token of each.
        targets: (moves,) the state that each leads to.
        needed: (states,) fewest characters from there to a match.
        finals: (states,) 1 if the text that led there matches, else 0.
        characters: (vocabulary,) number of characters that begin in a token.
    """

    begins: NDArray[np.int64]
    tokens: NDArray[np.int32]
    targets: NDArray[np.int32]
    needed: NDArray[np.int64]
    finals: NDArray[np.uint8]
    characters: NDArray[np.int32]


class Pattern:
    """A regular expression that a whole text must match.

    Args:
        regex: in the syntax of Rust's `regex`, without look-around; anchored at both ends.
        vocabulary: the tokens that make up the text.

    Attributes:
        initial: the state before any token.

    Raises:
        SettingsError: the expression is not valid, or the vocabulary cannot write any match.
    """

    def __init__(self, regex: str, vocabulary: Vocabulary) -> None:
        from outlines_core import Index
        from outlines_core import Vocabulary as TokenTable

        writable: dict[bytes, list[int]] = defaultdict(list)
        for token in range(vocabulary.size):
            piece = vocabulary.token_bytes(token)
            if piece and token != vocabulary.unknown_id:
                writable[piece].append(token)
        # Two ids that no token has. outlines-core wants one for the end, but (0.2.14) loses the
        # moves from a matching state to one that does not match; so we append a mark of our own to
        # the regex, and a text matches where the mark may come next.
        ended, mark = vocabulary.size, vocabulary.size + 1
        table = TokenTable(ended, {**writable, _MARK.encode(): [mark]})
        try:
            index = Index(f"(?:{regex}){_MARK}", table)
        except (ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise SettingsError(
                f"the pattern {regex!r} cannot be used ({reason}): correct it, "
                "or check that the model knows its characters"
            ) from None
        transitions, ends = index.get_transitions(), index.get_final_states()
        # A state without moves is not a match, as from a match the mark leads on.
        number = {state: place for place, state in enumerate(transitions)}
        self.initial: int = number[index.get_initial_state()]
        self._size = vocabulary.size
        self._final = [moves.get(mark) in ends for moves in transitions.values()]
        self._next = [
            {t: number[target] for t, target in moves.items() if t < ended and target in number}
            for moves in transitions.values()
        ]
        self._characters = [_characters(vocabulary.token_bytes(t)) for t in range(vocabulary.size)]
        self._needed = self._measure()
        self._costs: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = {}
        if self.needed(self.initial) == _UNREACHABLE:
            raise SettingsError(
                f"no text that the model can write matches {regex!r}: it lacks the characters"
            )

    def needed(self, state: int) -> int:
        """The fewest characters that lead from a state to a match."""
        return self._needed[state]

    def is_final(self, state: int) -> bool:
        """Whether the text so far matches."""
        return self._final[state]

    def is_complete(self, state: int) -> bool:
        """Whether nothing can follow that still leads to a match."""
        return not self.allowed(state, _UNREACHABLE - 1).any()

    def characters(self, token: int) -> int:
        """Count the characters that begin in a token."""
        return self._characters[token]

    def follow(self, state: int, token: int) -> int | None:
        """Return the state after a token, or None if no match continues with it."""
        target = self._next[state].get(token)
        return target if target is not None and self.needed(target) < _UNREACHABLE else None

    def allowed(self, state: int, characters: int) -> NDArray[np.bool_]:
        """Return which tokens can lead to a match within so many characters, (vocabulary,)."""
        if state not in self._costs:
            moves = self._next[state]
            costs = [self._characters[t] + self.needed(target) for t, target in moves.items()]
            self._costs[state] = np.array([*moves], np.int64), np.array(costs, np.int64)
        tokens, costs_of_tokens = self._costs[state]
        mask = np.zeros(self._size, dtype=np.bool_)
        mask[tokens[costs_of_tokens <= characters]] = True
        return mask

    def tables(self) -> PatternTables:
        """Return the automaton as arrays, for the native engine."""
        moves = [
            {token: target for token, target in each.items() if self.needed(target) < _UNREACHABLE}
            for each in self._next
        ]
        return PatternTables(
            np.cumsum([0, *map(len, moves)], dtype=np.int64),
            np.array([token for each in moves for token in each], np.int32),
            np.array([target for each in moves for target in each.values()], np.int32),
            np.array(self._needed, np.int64),
            np.array(self._final, np.uint8),
            np.array(self._characters, np.int32),
        )

    def _measure(self) -> list[int]:
        """Find each state's shortest way to a match, from the matches backwards (Dijkstra)."""
        sources: dict[int, dict[int, int]] = defaultdict(dict)
        for state, moves in enumerate(self._next):
            for token, target in moves.items():
                cost = self._characters[token]
                sources[target][state] = min(cost, sources[target].get(state, cost))
        needed = [0 if is_final else _UNREACHABLE for is_final in self._final]
        queue = [(0, state) for state, is_final in enumerate(self._final) if is_final]
        while queue:
            distance, state = heapq.heappop(queue)
            if distance > needed[state]:
                continue
            for source, cost in sources[state].items():
                if distance + cost < needed[source]:
                    needed[source] = distance + cost
                    heapq.heappush(queue, (distance + cost, source))
        return needed


def follow_prompt(
    pattern: Pattern, tokens: NDArray[np.int64], prompt: str, settings: WritingSettings
) -> int:
    """Follow a pattern through a prompt, and check that it can still be matched in time.

    Args:
        pattern: made from `settings.regex`.
        tokens: (time,) of the prompt.
        prompt: its text, for messages.
        settings: what to write.

    Returns:
        The state after the prompt.

    Raises:
        SettingsError: it cannot be matched.
    """
    state: int | None = pattern.initial
    for token in tokens.tolist():
        state = None if state is None else pattern.follow(state, token)
    if state is None:
        raise SettingsError(
            f"no text that begins with {prompt!r} matches {settings.regex!r}: "
            "the pattern must match the whole text, prompt included"
        )
    if pattern.needed(state) > settings.length:
        raise SettingsError(
            f"a match of {settings.regex!r} needs {pattern.needed(state)} characters and "
            f"length is {settings.length}: raise --length"
        )
    return state


def _characters(piece: bytes) -> int:
    """Count the characters that begin in a piece of UTF-8."""
    return sum(byte & 0xC0 != 0x80 for byte in piece)
