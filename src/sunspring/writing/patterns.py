"""What a text must match, as an automaton over a vocabulary's tokens.

A regular expression, phrases that must come and phrases that must not are automata over characters
(`automata.py`); their product is followed here by tokens, with how many characters each state still
needs for a match, so that a text can be made to match before its length is used up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import SURROGATES, Vocabulary
from sunspring.errors import SettingsError
from sunspring.notices import counted
from sunspring.writing.automata import (
    DEAD,
    Alphabet,
    Automaton,
    Bounds,
    ExpressionAutomaton,
    PhraseAutomaton,
    Table,
    check_size,
    sets_of,
    tabulate,
)
from sunspring.writing.character_sets import Ranges, single
from sunspring.writing.expressions import parse, shortened
from sunspring.writing.settings import ConstraintSettings
from sunspring.writing.utf8 import WHOLE, Utf8

UNREACHABLE = 1 << 60
"""More characters than any text has."""

_AROUND = 20  # characters of a prompt in a message
_MOST_SHOWN = 5  # constraints in a message
_BYTES_OF_A_MOVE = 24


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


@dataclass(frozen=True)
class Constraint:
    """Something that a text must match.

    Args:
        shown: in words, after "a text that".
        sets: the sets of characters that it tells apart.
        begin: makes its automaton, and finds the state after a prompt.
    """

    shown: str
    sets: Sequence[Ranges]
    begin: Callable[[Alphabet, Bounds, str], tuple[Automaton, Hashable]]

    def is_met(self, prompt: str, continuation: str) -> bool:
        """Tell whether a text matches."""
        alphabet = Alphabet(self.sets)
        automaton, begun = self.begin(alphabet, Bounds(self.shown), prompt)
        state: Hashable | None = begun
        for character in alphabet.read(continuation):
            state = automaton.step(state, character)
            if state is None:
                return False
        return automaton.is_final(state)


class Pattern:
    """What a text must match, as far as it continues a prompt.

    Args:
        constraints: all at once; with none, any text of whole characters matches.
        vocabulary: the tokens that make up the text.
        prompt: what the text begins with.

    Attributes:
        initial: the state after the prompt.
        tables: the automaton as arrays.

    Raises:
        SettingsError: no continuation matches that the model can write, or finding out would take
            too much time or memory.
    """

    initial = 0

    def __init__(
        self, constraints: Sequence[Constraint], vocabulary: Vocabulary, prompt: str = ""
    ) -> None:
        self._size = vocabulary.size
        self._constraints, self._prompt = constraints, prompt
        self.tables = _compile(constraints, vocabulary, prompt)
        if self.needed(self.initial) == UNREACHABLE:
            raise SettingsError(_reason(constraints, vocabulary, prompt))

    def check(self, length: int) -> None:
        """Check that a match is no longer than a text may be.

        Raises:
            SettingsError: it is.
        """
        if (needed := self.needed(self.initial)) > length:
            raise SettingsError(
                f"a text that {_listed(self._constraints)} needs {counted(needed, 'character')} "
                f"and length is {length:,}: raise --length"
            )

    def unmet(self, continuation: str) -> str:
        """Say what a text does not match, in words after "a text that"; empty if nothing."""
        missed = [each for each in self._constraints if not each.is_met(self._prompt, continuation)]
        return _listed(missed) if missed else ""

    def needed(self, state: int) -> int:
        """The fewest characters that lead from a state to a match."""
        return int(self.tables.needed[state])

    def is_final(self, state: int) -> bool:
        """Whether the text so far matches."""
        return bool(self.tables.finals[state])

    def is_complete(self, state: int) -> bool:
        """Whether nothing can follow that still leads to a match."""
        return bool(self.tables.begins[state] == self.tables.begins[state + 1])

    def characters(self, token: int) -> int:
        """Count the characters that begin in a token."""
        return int(self.tables.characters[token])

    def follow(self, state: int, token: int) -> int | None:
        """Return the state after a token, or None if no match continues with it."""
        moves = self._moves(state)
        (places,) = np.nonzero(self.tables.tokens[moves] == token)
        return int(self.tables.targets[moves][places[0]]) if len(places) else None

    def allowed(self, state: int, characters: int) -> NDArray[np.bool_]:
        """Return which tokens can lead to a match within so many characters, (vocabulary,)."""
        moves = self._moves(state)
        tokens, targets = self.tables.tokens[moves], self.tables.targets[moves]
        costs = self.tables.characters[tokens] + self.tables.needed[targets]
        mask = np.zeros(self._size, dtype=np.bool_)
        mask[tokens[costs <= characters]] = True
        return mask

    def _moves(self, state: int) -> slice:
        return slice(int(self.tables.begins[state]), int(self.tables.begins[state + 1]))


def constraints_of(settings: ConstraintSettings, vocabulary: Vocabulary) -> list[Constraint]:
    """Return what some settings ask of a text.

    Raises:
        SettingsError: the regular expression is none, or a phrase that must come has characters
            that the model cannot write.
    """
    for name in ("contains", "ends_with"):
        for phrase in settings.phrases(name):
            if lacking := sorted(vocabulary.unknown_characters(phrase)):
                raise SettingsError(
                    f"{name} is {shortened(phrase)}, and the model cannot write "
                    f"{', '.join(map(repr, lacking))}: choose characters of its training text"
                )
    writable = [each for each in settings.phrases("ban") if not SURROGATES.search(each)]
    return [
        *([] if settings.regex is None else [_expression(settings.regex)]),
        *(_phrase("does not have", each, is_banned=True) for each in writable),
        *(_phrase("contains", each, is_kept=True) for each in settings.phrases("contains")),
        *(_phrase("ends with", each) for each in settings.phrases("ends_with")),
    ]


def _expression(regex: str) -> Constraint:
    shown, tree = f"matches {shortened(regex)}", parse(regex)
    check_size(tree, shown)

    def begin(alphabet: Alphabet, bounds: Bounds, prompt: str) -> tuple[Automaton, Hashable]:
        automaton = ExpressionAutomaton(tree, alphabet, bounds)
        return automaton, _follow_prompt(automaton, alphabet, prompt, shown)

    return Constraint(shown, sets_of(tree), begin)


def _phrase(what: str, phrase: str, *, is_banned: bool = False, **kind: bool) -> Constraint:
    def begin(alphabet: Alphabet, bounds: Bounds, prompt: str) -> tuple[Automaton, Hashable]:
        automaton = PhraseAutomaton(alphabet.read(phrase), is_banned=is_banned, **kind)
        # a banned phrase may not begin in the prompt either; others must come after it
        return automaton, automaton.after(
            alphabet.read(prompt[-len(phrase) :] if is_banned else "")
        )

    return Constraint(f"{what} {shortened(phrase)}", [*map(single, phrase)], begin)


def _follow_prompt(
    automaton: ExpressionAutomaton, alphabet: Alphabet, prompt: str, shown: str
) -> Hashable:
    state = automaton.start
    for place, character in enumerate(alphabet.read(prompt)):
        following = automaton.step(state, character)
        if following is None:
            begin = max(place - _AROUND, 0)
            around = f"{'…' * (begin > 0)}{prompt[begin : place + 1]}"
            raise SettingsError(
                f"no text that {shown} begins with the prompt: it fails at character "
                f"{place + 1:,} ({around!r}), and the whole text must match, prompt included"
            )
        state = following
    return state


def _listed(constraints: Sequence[Constraint]) -> str:
    shown = [each.shown for each in constraints] or ["has whole characters"]
    if len(shown) > _MOST_SHOWN:
        shown[_MOST_SHOWN:] = [f"meets {len(shown) - _MOST_SHOWN} more conditions"]
    *most, last = shown
    return f"{', '.join(most)} and {last}" if most else last


def _reason(constraints: Sequence[Constraint], vocabulary: Vocabulary, prompt: str) -> str:
    """Say what cannot be met: as few constraints as contradict one another."""
    bounds = Bounds("what cannot be met")
    needed = list(constraints)
    for each in constraints:
        others = [other for other in needed if other is not each]
        try:
            bounds.check()
            tables = _compile(others, vocabulary, prompt)
        except SettingsError:
            break
        if tables.needed[Pattern.initial] == UNREACHABLE:
            needed = others
    after = " after this prompt" if prompt else ""
    return (
        f"the model can write no text that {_listed(needed)}{after}: "
        "it lacks the characters, or these contradict each other"
    )


class _Walk(NamedTuple):
    """An automaton over the symbols that tokens are spelled in: classes of characters, or bytes.

    Args:
        steps: (states, symbols) the state after each, or `DEAD`.
        needed: (states,) fewest characters from there to a match.
        finals: (states,) whether what has been read is a match.
        spelled: each token's symbols.
    """

    steps: NDArray[np.int32]
    needed: NDArray[np.int64]
    finals: NDArray[np.bool_]
    spelled: Mapping[int, Sequence[int]]


def _compile(
    constraints: Sequence[Constraint], vocabulary: Vocabulary, prompt: str
) -> PatternTables:
    """Make the automaton of the texts that match all constraints, as arrays."""
    bounds = Bounds(f"a text that {_listed(constraints)}")
    alphabet = Alphabet(ranges for each in constraints for ranges in each.sets)
    begun = [each.begin(alphabet, bounds, prompt) for each in constraints]
    pieces = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
    spelled = {
        token: piece
        for token, piece in enumerate(pieces)
        if piece and token != vocabulary.unknown_id
    }
    walk = _by_characters if vocabulary.kind == "chars" else _by_bytes
    steps, needed, finals, spelling = walk(begun, alphabet, spelled, bounds)
    steps[(steps != DEAD) & (needed[steps] == UNREACHABLE)] = DEAD
    begins, tokens, targets = _moves(steps, spelling, bounds)
    characters = np.array([*map(_count_characters, pieces)], np.int32)
    return PatternTables(begins, tokens, targets, needed, finals.astype(np.uint8), characters)


def _by_characters(
    begun: Sequence[tuple[Automaton, Hashable]],
    alphabet: Alphabet,
    pieces: Mapping[int, bytes],
    bounds: Bounds,
) -> _Walk:
    spelled = {token: alphabet.read(piece.decode()) for token, piece in pieces.items()}
    writable = {character for each in spelled.values() for character in each}
    table = tabulate(begun, alphabet.count, writable, bounds)
    return _Walk(table.targets, _distances(table), table.finals, spelled)


def _by_bytes(
    begun: Sequence[tuple[Automaton, Hashable]],
    alphabet: Alphabet,
    pieces: Mapping[int, bytes],
    bounds: Bounds,
) -> _Walk:
    """Put UTF-8 before the automaton: state q within character u is the number q · nodes + u."""
    table, utf8 = tabulate(begun, alphabet.count, range(alphabet.count), bounds), Utf8(alphabet)
    nodes, alike = np.unique(utf8.nodes, axis=1, return_inverse=True)  # bytes as their columns
    states, size = len(table.targets), len(nodes)
    bounds.check(states * nodes.size * 4)
    first = np.arange(states, dtype=np.int32)[:, None] * size
    steps = np.full((states, *nodes.shape), DEAD, np.int32)
    goes_on, is_whole = nodes > DEAD, nodes < DEAD
    steps[:, goes_on] = first + nodes[goes_on]
    reached = table.targets[:, WHOLE - nodes[is_whole]]
    steps[:, is_whole] = np.where(reached == DEAD, DEAD, reached * size)
    needed = np.full((states, size), UNREACHABLE)
    needed[:, 0] = distances = _distances(table)
    for character in range(alphabet.count):  # those that a begun character may become
        reached = table.targets[:, character]
        after = np.where(reached == DEAD, UNREACHABLE, distances[reached])[:, None]
        begun_nodes = np.flatnonzero(utf8.completes[1:, character]) + 1
        needed[:, begun_nodes] = np.minimum(needed[:, begun_nodes], after)
    finals = np.zeros((states, size), np.bool_)
    finals[:, 0] = table.finals
    columns = alike.reshape(-1).tolist()
    spelled = {token: [columns[byte] for byte in piece] for token, piece in pieces.items()}
    return _Walk(steps.reshape(-1, steps.shape[2]), needed.reshape(-1), finals.reshape(-1), spelled)


def _distances(table: Table) -> NDArray[np.int64]:
    """Count the characters of each state's shortest way to a match, from the matches backwards."""
    sources, characters = np.nonzero(table.targets != DEAD)
    targets = table.targets[sources, characters]
    sources = sources[np.argsort(targets, kind="stable")]
    begins = np.searchsorted(np.sort(targets), np.arange(len(table.targets) + 1))
    distances = np.where(table.finals, 0, UNREACHABLE)
    reached, distance = np.flatnonzero(table.finals), 0
    while len(reached):
        distance += 1
        before = np.unique(sources[_places(begins[reached], begins[reached + 1])])
        reached = before[distances[before] == UNREACHABLE]
        distances[reached] = distance
    return distances


def _places(begins: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all numbers of some ranges, one range after another."""
    sizes = ends - begins
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(np.repeat(begins, sizes) + within)


def _moves(
    steps: NDArray[np.int32], spelled: Mapping[int, Sequence[int]], bounds: Bounds
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Follow every token from every state; returns `begins`, `tokens`, `targets` of the moves."""
    everywhere = np.arange(len(steps), dtype=np.int32)
    paths, path = [(everywhere, everywhere)], list[int]()  # where each beginning of `path` leads
    sources, tokens, targets = ([np.zeros(0, np.int32)] for _ in range(3))
    size = 0
    for token, symbols in sorted(spelled.items(), key=lambda item: [*item[1]]):
        pairs = zip(path, symbols, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        del paths[shared + 1 :]
        for symbol in symbols[shared:]:
            begun, reached = paths[-1]
            following = steps[reached, symbol]
            lives = following != DEAD
            paths.append((begun[lives], following[lives]))
            bounds.check()
        path = [*symbols]
        sources.append(paths[-1][0])
        targets.append(paths[-1][1])
        tokens.append(np.full(len(paths[-1][0]), token, np.int32))
        size += len(paths[-1][0])
        bounds.check(size * _BYTES_OF_A_MOVE)
    joined = np.concatenate(sources)
    order = np.argsort(joined, kind="stable")
    begins = np.searchsorted(joined[order], np.arange(len(steps) + 1))
    return begins, np.concatenate(tokens)[order], np.concatenate(targets)[order]


def _count_characters(piece: bytes) -> int:
    """Count the characters that begin in a piece of UTF-8."""
    return sum(byte & 0xC0 != 0x80 for byte in piece)
