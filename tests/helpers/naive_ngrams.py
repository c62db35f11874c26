"""Witten and Bell's formula word for word, and small texts for it, for the tests of n-grams."""

from collections import Counter, defaultdict
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

VOCABULARY = 4
START = 3

documents = st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=12), max_size=5)


def join(texts: list[list[int]]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    starts = np.cumsum([0, *map(len, texts)])
    return np.array([token for text in texts for token in text], dtype=np.uint8), starts


class NaiveModel:
    """Witten and Bell's formula, word for word, over a dictionary of contexts."""

    def __init__(self, texts: list[list[int]], order: int) -> None:
        self._counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in texts:
            for place, token in enumerate(text):
                past = (START, *text[:place])
                for length in range(min(order, len(past) + 1)):
                    self._counts[past[len(past) - length :]][token] += 1

    def followers(self, context: tuple[int, ...]) -> Counter[int]:
        return self._counts.get(context, Counter())

    def probability(self, token: int, context: tuple[int, ...]) -> float:
        lower = self.probability(token, context[1:]) if context else 1 / VOCABULARY
        counts = self.followers(context)
        if not counts:
            return lower
        types = len(counts)
        return (counts[token] + types * lower) / (counts.total() + types)
