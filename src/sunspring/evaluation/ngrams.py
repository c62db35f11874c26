"""Interpolated n-gram models, as baselines and as part of a mixture.

One `NGramModel` holds all orders, smoothed by Witten and Bell's method, so that every token has a
probability after every context and the probabilities sum to one. It reads ids and knows nothing of
text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.notices import Progress, unnoticed

_BLOCK = 1 << 20  # tokens scored at a time
_UNSEEN = -1  # id of a string that did not occur in training


class NGramModel:
    """Witten–Bell smoothed n-gram models of the orders 1 to `highest_order`.

    P_k(w | c) = (count(c, w) + T(c) P_{k-1}(w | c')) / (count(c) + T(c)), where T(c) is the number
    of different tokens seen after the k - 1 tokens c, and c' is c without its oldest token; P_0 is
    uniform, and P_k = P_{k-1} after a context that was never seen (Witten and Bell 1991, method C;
    in this interpolated form in Chen and Goodman 1999, section 2.5).

    A context begins no earlier than its document's start token, so it is shorter there.

    Args:
        tokens: (tokens,) ids of the training documents, one after another.
        starts: (documents + 1,) document i is `tokens[starts[i]:starts[i + 1]]`.
        vocabulary_size: number of ids.
        start_id: the token read before each document's first; context only.
        highest_order: tokens in the longest n-gram counted.
        maximum_tokens: count only this many tokens at the end of a longer text, nearest to a
            held-out end; bounds time and memory.
        on_progress: called with the orders counted so far, and their number.

    Attributes:
        trained_on: number of tokens counted.
    """

    def __init__(
        self,
        tokens: NDArray[np.integer[Any]],
        starts: NDArray[np.int64],
        vocabulary_size: int,
        start_id: int,
        *,
        highest_order: int = 6,
        maximum_tokens: int = 10_000_000,
        on_progress: Progress = unnoticed,
    ) -> None:
        begin = max(0, len(tokens) - maximum_tokens)
        tokens, starts = _slice(tokens, starts, begin, len(tokens))
        self.vocabulary_size = vocabulary_size
        self.highest_order = highest_order
        self.trained_on = len(tokens)
        self._start_id = start_id
        self._levels = [_count_tokens(tokens, vocabulary_size)]
        strings = tokens
        for order in range(2, highest_order + 1):
            contexts = self._contexts(strings, starts, order)
            level, strings = _count(
                contexts, tokens, vocabulary_size, self._levels[-1].number_of_strings
            )
            self._levels.append(level)
            on_progress(order, highest_order)

    def __deepcopy__(self, memo: dict[int, Any]) -> NGramModel:
        """Return itself: the counts never change, so copies can share them."""
        return self

    def initial_contexts(self, rows: int) -> NDArray[np.int64]:
        """Return the contexts before any text, including the start token; see `contexts`.

        Returns:
            (rows, highest_order), as `contexts` takes them.
        """
        contexts = np.full((rows, self.highest_order), _UNSEEN)
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
        for length, level in enumerate(self._levels[:-1]):
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
            for level, each in zip(self._levels, contexts, strict=True)
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
        for order, level in enumerate(self._levels):
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
        for level, each in zip(self._levels, contexts, strict=True):
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
        for order, level in enumerate(self._levels, start=1):
            contexts[order - 1] = self._contexts(strings, starts, order)
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

    def _contexts(
        self, strings: NDArray[np.int64], starts: NDArray[np.int64], order: int
    ) -> NDArray[np.int64]:
        """Shift `strings`, one token shorter than those of `order`, to the token after each."""
        if order == 1:
            return np.zeros_like(strings)
        contexts = np.roll(strings, 1)
        firsts = starts[:-1][starts[:-1] < starts[1:]]
        contexts[firsts] = self._start_id if order == 2 else _UNSEEN
        return contexts


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order.

    A string of k tokens is represented by its rank among the sorted keys of order k, and is the
    context in a key of order k + 1: key = context * vocabulary_size + token. So 64 bits hold the
    keys of any vocabulary. Each array ends with the entry for unseen strings, which `_UNSEEN`
    indexes.

    Args:
        vocabulary_size: number of ids.
        keys: (strings + 1,) sorted.
        counts: (strings + 1,) count(c, w).
        totals: (contexts + 1,) count(c).
        types: (contexts + 1,) T(c), but 1 where that is 0: such a context leaves the lower order's
            probability as it is.
    """

    vocabulary_size: int
    keys: NDArray[np.int64]
    counts: NDArray[np.int32]
    totals: NDArray[np.int32]
    types: NDArray[np.int32]

    @property
    def number_of_strings(self) -> int:
        return len(self.keys) - 1

    def find(self, contexts: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Find the ids of the strings of contexts and their next tokens; all (positions,)."""
        wanted = contexts * self.vocabulary_size + tokens
        places = np.searchsorted(self.keys, wanted)
        return np.where(self.keys[places] == wanted, places, _UNSEEN)

    def interpolate(
        self,
        contexts: NDArray[np.int64],
        strings: NDArray[np.int64],
        lower: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """P_k from `lower`, P_{k-1}; all (positions,)."""
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
        rows = np.repeat(np.arange(len(contexts)), sizes)
        # the strings that continue one context are adjacent
        strings = np.arange(len(rows)) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
        tokens = self.keys[strings] - contexts[rows] * self.vocabulary_size
        probabilities[rows, tokens] += self.counts[strings]
        probabilities /= (self.totals[contexts] + types)[:, None]


def _count_tokens(tokens: NDArray[np.int64], vocabulary_size: int) -> _Level:
    """Order 1: a string's id is the token itself, for the start token too, which is not counted."""
    counts = np.bincount(tokens, minlength=vocabulary_size)
    return _make_level(np.arange(vocabulary_size), counts, vocabulary_size, 1)


def _count(
    contexts: NDArray[np.int64],
    tokens: NDArray[np.int64],
    vocabulary_size: int,
    number_of_contexts: int,
) -> tuple[_Level, NDArray[np.int64]]:
    """Count one order's n-grams; returns them and the string that ends at each token."""
    whole = contexts != _UNSEEN
    keys, ranks, counts = np.unique(
        contexts[whole] * vocabulary_size + tokens[whole], return_inverse=True, return_counts=True
    )
    strings = np.full(len(tokens), _UNSEEN)
    strings[whole] = ranks
    return _make_level(keys, counts, vocabulary_size, number_of_contexts), strings


def _make_level(
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    vocabulary_size: int,
    number_of_contexts: int,
) -> _Level:
    contexts = keys // vocabulary_size
    totals = np.bincount(contexts, counts, minlength=number_of_contexts + 1).astype(np.int32)
    types = np.bincount(contexts[counts > 0], minlength=number_of_contexts + 1)
    return _Level(
        vocabulary_size,
        np.append(keys, np.iinfo(np.int64).max),
        np.append(counts, 0).astype(np.int32),
        totals,
        np.maximum(types, 1).astype(np.int32),
    )


def _slice(
    tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64], begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut out the tokens from `begin` to `end`, and where documents begin among them."""
    inside = starts[(starts > begin) & (starts < end)]
    bounds = np.concatenate(([begin], inside, [end])) - begin
    return tokens[begin:end].astype(np.int64), bounds
