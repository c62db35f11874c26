"""Interpolated n-gram models: the baselines that a network must beat to have learned anything.

One `NGramModel` holds all orders, smoothed by Witten and Bell's method, so that every token has a
probability after every context and the probabilities sum to one. Reads ids, knows nothing of
text; stands right before evaluation in the street.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 20  # tokens scored at a time
_UNSEEN = -1  # id of a string that training never met


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
        start_id: the token that stands before each document's first; context only.
        highest_order: tokens in the longest n-gram counted.
        maximum_tokens: of a longer text only the last so many are counted, the ones nearest to a
            held-out end; time and memory are bounded by it.

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

    def log_probabilities(
        self, tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Score each token after those before it in its document.

        Args:
            tokens: (tokens,) ids of documents, one after another.
            starts: (documents + 1,) where each document begins, and the end.

        Returns:
            (highest_order, tokens) natural logarithms; row k is of order k + 1.
        """
        ids = tokens.astype(np.int64)
        result = np.empty((self.highest_order, len(tokens)))
        strings = ids
        probabilities = np.full(len(tokens), 1 / self.vocabulary_size)
        for order, level in enumerate(self._levels, start=1):
            contexts = self._contexts(strings, starts, order)
            strings = level.find(contexts, ids)
            probabilities = level.interpolate(contexts, strings, probabilities)
            np.log(probabilities, out=result[order - 1])
        return result

    def total_log_probabilities(
        self, tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Sum `log_probabilities` over all tokens, in bounded memory; (highest_order,)."""
        totals = np.zeros(self.highest_order)
        for begin in range(0, len(tokens), _BLOCK):
            overlap = min(begin, self.highest_order - 1)
            block = _slice(tokens, starts, begin - overlap, min(begin + _BLOCK, len(tokens)))
            totals += self.log_probabilities(*block)[:, overlap:].sum(axis=1)
        return totals

    def distribution(self, context: Sequence[int]) -> NDArray[np.float64]:
        """Give the probability of every token after a context, by the order that it fills.

        Args:
            context: ids, at most `highest_order - 1` of them count; none for order 1.

        Returns:
            (vocabulary_size,) probabilities.
        """
        tokens = np.arange(self.vocabulary_size)
        probabilities = np.full(self.vocabulary_size, 1 / self.vocabulary_size)
        for length, level in enumerate(self._levels[: len(context) + 1]):
            string = np.zeros(1, dtype=np.int64)
            for token, shorter in zip(context[len(context) - length :], self._levels, strict=False):
                string = shorter.find(string, np.array([token]))
            contexts = np.repeat(string, self.vocabulary_size)
            probabilities = level.interpolate(contexts, level.find(contexts, tokens), probabilities)
        return probabilities

    def _contexts(
        self, strings: NDArray[np.int64], starts: NDArray[np.int64], order: int
    ) -> NDArray[np.int64]:
        """Shift `strings`, one token shorter than those of `order`, to the token they precede."""
        if order == 1:
            return np.zeros_like(strings)
        contexts = np.roll(strings, 1)
        firsts = starts[:-1][starts[:-1] < starts[1:]]
        contexts[firsts] = self._start_id if order == 2 else _UNSEEN
        return contexts


@dataclass(frozen=True)
class _Level:
    """The n-grams of one order.

    A string of k tokens is known by its rank among the sorted keys of order k, and is the context
    in a key of order k + 1: key = context * vocabulary_size + token. So 64 bits hold the keys of
    any vocabulary. Each array ends with the entry of what was never seen, which `_UNSEEN` indexes.

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
    counts: NDArray[np.int64]
    totals: NDArray[np.int64]
    types: NDArray[np.int64]

    @property
    def number_of_strings(self) -> int:
        return len(self.keys) - 1

    def find(self, contexts: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids of the strings that contexts and their next tokens make; all (positions,)."""
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
    totals = np.bincount(contexts, counts, minlength=number_of_contexts + 1).astype(np.int64)
    types = np.bincount(contexts[counts > 0], minlength=number_of_contexts + 1)
    return _Level(
        vocabulary_size,
        np.append(keys, np.iinfo(np.int64).max),
        np.append(counts, 0),
        totals,
        np.maximum(types, 1),
    )


def _slice(
    tokens: NDArray[np.integer[Any]], starts: NDArray[np.int64], begin: int, end: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut out the tokens from `begin` to `end`, and where documents begin among them."""
    inside = starts[(starts > begin) & (starts < end)]
    bounds = np.concatenate(([begin], inside, [end])) - begin
    return tokens[begin:end].astype(np.int64), bounds
