"""Interpolated n-gram models, as baselines and as part of a mixture.

One `NGramModel` holds all orders, smoothed by Witten and Bell's method, so that every token has a
probability after every context and the probabilities sum to one. It reads ids and knows nothing of
text.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.notices import Progress, unnoticed

_BLOCK = 1 << 20  # tokens scored at a time
UNSEEN = -1
"""The id of a string that did not occur in training."""


class NGramModel:
    """Witten–Bell smoothed n-gram models of the orders 1 to `highest_order`.

    P_k(w | c) = (count(c, w) + T(c) P_{k-1}(w | c')) / (count(c) + T(c)), where T(c) is the number
    of different tokens seen after the k - 1 tokens c, and c' is c without its oldest token; P_0 is
    uniform, and P_k = P_{k-1} after a context that was never seen (Witten and Bell 1991, method C;
    in this interpolated form in Chen and Goodman 1999, section 2.5).

    A context begins no earlier than its document's start token, so it is shorter there.

    Args:
        levels: the n-grams of each order from 1 on.
        start_id: the token read before each document's first; context only.
    """

    def __init__(self, levels: Sequence[Level], start_id: int) -> None:
        self.levels = tuple(levels)
        self.highest_order = len(levels)
        self.vocabulary_size = levels[0].vocabulary_size
        self._start_id = start_id

    @property
    def trained_on(self) -> int:
        """Number of tokens that were counted."""
        return int(self.levels[0].counts.sum())

    def __deepcopy__(self, memo: dict[int, Any]) -> NGramModel:
        """Return itself: the counts never change, so copies can share them."""
        return self

    def initial_contexts(self, rows: int) -> NDArray[np.int64]:
        """Return the contexts before any text, including the start token; see `contexts`.

        Returns:
            (rows, highest_order), as `contexts` takes them.
        """
        contexts = np.full((rows, self.highest_order), UNSEEN)
        contexts[:, 0] = 0
        return contexts

    def contexts(self, tokens: NDArray[np.int64], before: NDArray[np.int64]) -> NDArray[np.int64]:
        """Read tokens, and return the contexts for predicting what follows each.

        A context is represented by the number of its string of tokens among those of its length.

        Args:
            tokens: (rows, time) ids.
            before: (rows, highest_order) the contexts before the first token.

        Returns:
            (highest_order, rows, time) the contexts after each token; row k is of order k + 1: the
            last k tokens.
        """
        contexts = np.zeros((self.highest_order, *tokens.shape), dtype=np.int64)
        for length, level in enumerate(self.levels[:-1]):
            earlier = np.concatenate((before[:, length, None], contexts[length]), axis=1)[:, :-1]
            contexts[length + 1] = level.find(earlier, tokens)
        return contexts

    def totals_and_types(
        self, contexts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return how often each context was seen, and T(c), but 1 where that is 0.

        Args:
            contexts: (highest_order, positions).

        Returns:
            Both (highest_order, positions).
        """
        pairs = [
            (level.totals[each], level.types[each])
            for level, each in zip(self.levels, contexts, strict=True)
        ]
        totals, types = zip(*pairs, strict=True)
        return np.stack(totals), np.stack(types)

    def probabilities(
        self, contexts: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return the probability of one token after each context.

        Args:
            contexts: (highest_order, positions).
            tokens: (positions,) ids.

        Returns:
            (highest_order, positions); row k is of order k + 1.
        """
        result = np.empty(contexts.shape)
        probabilities = np.full(len(tokens), 1 / self.vocabulary_size)
        for order, level in enumerate(self.levels):
            strings = level.find(contexts[order], tokens)
            probabilities = level.interpolate(contexts[order], strings, probabilities)
            result[order] = probabilities
        return result

    def distributions(self, contexts: NDArray[np.int64]) -> Iterator[NDArray[np.float64]]:
        """Yield the probability of every token after each context, order by order.

        Args:
            contexts: (highest_order, positions).

        Yields:
            (positions, vocabulary_size) of the orders 1 to `highest_order`, each in the same array.
        """
        probabilities = np.full((contexts.shape[1], self.vocabulary_size), 1 / self.vocabulary_size)
        for level, each in zip(self.levels, contexts, strict=True):
            level.interpolate_all(each, probabilities)
            yield probabilities

    def log_probabilities(
        self, tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Score each token given those before it in its document.

        Args:
            tokens: (tokens,) ids of documents, one after another.
            starts: (documents + 1,) where each document begins, and the end.

        Returns:
            (highest_order, tokens) natural logarithms; row k is of order k + 1.
        """
        ids = tokens.astype(np.int64)
        contexts = np.empty((self.highest_order, len(ids)), dtype=np.int64)
        strings = ids
        for order, level in enumerate(self.levels, start=1):
            contexts[order - 1] = _contexts(strings, starts, order, self._start_id)
            strings = level.find(contexts[order - 1], ids)
        result: NDArray[np.float64] = np.log(self.probabilities(contexts, ids))
        return result

    def total_log_probabilities(
        self,
        tokens: NDArray[np.integer[Any]],
        starts: NDArray[np.int64],
        on_progress: Progress = unnoticed,
    ) -> NDArray[np.float64]:
        """Sum `log_probabilities` over all tokens, in bounded memory; (highest_order,).

        `on_progress` is called with the tokens scored so far, and their number.
        """
        totals = np.zeros(self.highest_order)
        for begin in range(0, len(tokens), _BLOCK):
            overlap = min(begin, self.highest_order - 1)
            end = min(begin + _BLOCK, len(tokens))
            block = _slice(tokens, starts, begin - overlap, end)
            totals += self.log_probabilities(*block)[:, overlap:].sum(axis=1)
            on_progress(end, len(tokens))
        return totals


@dataclass(frozen=True)
class Level:
    """The n-grams of one order of an `NGramModel`.

    A string of k tokens is represented by its rank among the sorted keys of order k, and is the
    context in a key of order k + 1: key = context * vocabulary_size + token. So 64 bits hold the
    keys of any vocabulary. Each array ends with the entry for unseen strings, which `UNSEEN`
    indexes.

    Args:
        vocabulary_size: number of ids.
        keys: (strings + 1,) sorted.
        counts: (strings + 1,) count(c, w).
        totals: (contexts + 1,) count(c).
        types: (contexts + 1,) T(c), but 1 where that is 0: such a context leaves the lower order's
            probability as it is.
        suffixes: (strings,) each string without its oldest token, as a string of the order below.
    """

    vocabulary_size: int
    keys: NDArray[np.int64]
    counts: NDArray[np.int32]
    totals: NDArray[np.int32]
    types: NDArray[np.int32]
    suffixes: NDArray[np.int64]

    @property
    def number_of_strings(self) -> int:
        """Number of different strings."""
        return len(self.keys) - 1

    def find(self, contexts: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the ids of the strings of contexts and their next tokens; all (positions,)."""
        wanted = contexts * self.vocabulary_size + tokens
        places = np.searchsorted(self.keys, wanted)
        return np.where(self.keys[places] == wanted, places, UNSEEN)

    def interpolate(
        self,
        contexts: NDArray[np.int64],
        strings: NDArray[np.int64],
        lower: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Compute P_k from `lower`, P_{k-1}; all (positions,)."""
        types = self.types[contexts]
        probabilities: NDArray[np.float64] = (self.counts[strings] + types * lower) / (
            self.totals[contexts] + types
        )
        return probabilities

    def interpolate_all(
        self, contexts: NDArray[np.int64], probabilities: NDArray[np.float64]
    ) -> None:
        """Turn P_{k-1} of every token into P_k, in place; (positions, vocabulary_size)."""
        types = self.types[contexts]
        probabilities *= types[:, None]
        begins = np.searchsorted(self.keys, contexts * self.vocabulary_size)
        sizes = np.searchsorted(self.keys, (contexts + 1) * self.vocabulary_size) - begins
        rows, ranks = places(sizes)
        strings = begins[rows] + ranks  # those that continue one context are adjacent
        tokens = self.keys[strings] - contexts[rows] * self.vocabulary_size
        probabilities[rows, tokens] += self.counts[strings]
        probabilities /= (self.totals[contexts] + types)[:, None]


def count_ngrams(
    tokens: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    vocabulary_size: int,
    start_id: int,
    *,
    highest_order: int = 6,
    maximum_tokens: int = 10_000_000,
    on_progress: Progress = unnoticed,
) -> NGramModel:
    """Count all orders of a text up to the highest; see `growing_ngrams`.

    `on_progress` is called with the orders counted so far, and their number.
    """
    growing = growing_ngrams(tokens, starts, vocabulary_size, start_id, maximum_tokens)
    for order in range(1, highest_order):
        next(growing)
        on_progress(order, highest_order)
    return next(growing)


def growing_ngrams(
    tokens: NDArray[np.integer[Any]],
    starts: NDArray[np.int64],
    vocabulary_size: int,
    start_id: int,
    maximum_tokens: int,
) -> Iterator[NGramModel]:
    """Count a text, order by order.

    Args:
        tokens: (tokens,) ids of the training documents, one after another.
        starts: (documents + 1,) document i is `tokens[starts[i]:starts[i + 1]]`.
        vocabulary_size: number of ids.
        start_id: the token read before each document's first; context only.
        maximum_tokens: count only this many tokens at the end of a longer text, nearest to a
            held-out end; bounds time and memory.

    Yields:
        A model of the first order, one of the first two, and so on without end.
    """
    begin = max(0, len(tokens) - maximum_tokens)
    ids, starts = _slice(tokens, starts, begin, len(tokens))
    levels = [_count_tokens(ids, vocabulary_size)]
    strings = ids
    for order in itertools.count(2):
        yield NGramModel(levels, start_id)
        contexts = _contexts(strings, starts, order, start_id)
        level, strings = _count(contexts, ids, strings, levels[-1])
        levels.append(level)


def make_level(
    keys: NDArray[np.int64],
    counts: NDArray[np.integer[Any]],
    suffixes: NDArray[np.int64],
    vocabulary_size: int,
    number_of_contexts: int,
) -> Level:
    """Make a level of its strings, given as (strings,) keys, counts and suffixes: see `Level`."""
    contexts = keys // vocabulary_size
    totals = np.bincount(contexts, counts, minlength=number_of_contexts + 1).astype(np.int32)
    types = np.bincount(contexts[counts > 0], minlength=number_of_contexts + 1)
    return Level(
        vocabulary_size,
        np.append(keys, np.iinfo(np.int64).max),
        np.append(counts, 0).astype(np.int32),
        totals,
        np.maximum(types, 1).astype(np.int32),
        suffixes,
    )


def places(sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Number so many places of each owner in turn; returns each one's owner, and its number there.

    Both are (sum of `sizes`,).
    """
    owners = np.repeat(np.arange(len(sizes)), sizes)
    return owners, np.arange(len(owners)) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def token_level(counts: NDArray[np.integer[Any]]) -> Level:
    """Make the level of order 1 from how often each token was counted, (vocabulary_size,).

    A string's id is the token itself, for the start token too, which is not counted.
    """
    size = len(counts)
    return make_level(np.arange(size), counts, np.zeros(size, np.int64), size, 1)


def _contexts(
    strings: NDArray[np.int64], starts: NDArray[np.int64], order: int, start_id: int
) -> NDArray[np.int64]:
    """Shift `strings`, one token shorter than those of `order`, to the token after each."""
    if order == 1:
        return np.zeros_like(strings)
    contexts = np.roll(strings, 1)
    firsts = starts[:-1][starts[:-1] < starts[1:]]
    contexts[firsts] = start_id if order == 2 else UNSEEN
    return contexts


def _count_tokens(tokens: NDArray[np.int64], vocabulary_size: int) -> Level:
    return token_level(np.bincount(tokens, minlength=vocabulary_size))


def _count(
    contexts: NDArray[np.int64],
    tokens: NDArray[np.int64],
    shorter: NDArray[np.int64],
    below: Level,
) -> tuple[Level, NDArray[np.int64]]:
    """Count one order's n-grams; returns them and the string that ends at each token.

    Args:
        contexts: (tokens,) the context before each token.
        tokens: (tokens,) ids.
        shorter: (tokens,) the string of the order below that ends at each token.
        below: that order.
    """
    whole = contexts != UNSEEN
    keys, ranks, counts = np.unique(
        contexts[whole] * below.vocabulary_size + tokens[whole],
        return_inverse=True,
        return_counts=True,
    )
    strings = np.full(len(tokens), UNSEEN)
    strings[whole] = ranks
    suffixes = np.empty(len(keys), dtype=np.int64)
    suffixes[ranks] = shorter[whole]
    contexts_below = below.number_of_strings
    return make_level(keys, counts, suffixes, below.vocabulary_size, contexts_below), strings


def _slice(
    tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64], begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut out the tokens from `begin` to `end`, and where documents begin among them."""
    inside = starts[(starts > begin) & (starts < end)]
    bounds = np.concatenate(([begin], inside, [end])) - begin
    return tokens[begin:end].astype(np.int64), bounds
