"""How far back a model remembers: the surprisal of a token by how much was read before it.

After Khandelwal et al. 2018, "Sharp nearby, fuzzy far away", section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sunspring.model import Model
from sunspring.reports.excerpts import Excerpt

CONTEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Numbers of tokens read before the one that is scored."""

_FEWEST = 30  # places for a mean


def memory_curve(
    model: Model,
    excerpts: Sequence[Excerpt],
    places: int = 100,
    contexts: Sequence[int] = CONTEXTS,
) -> Mapping[int, float]:
    """Score the same places of a text with more and more context before them.

    Args:
        model: reads each stretch from a fresh state.
        excerpts: excerpts of a text that it has not learned from.
        places: how many to score, spread evenly over those with enough context.
        contexts: how many tokens to read before, in rising order; lengths for which there are too
            few places are left out.

    Returns:
        Mean bits per token over the places, by the number of tokens read before.
    """
    for most in reversed(contexts):
        spots = [
            (excerpt, place) for excerpt in excerpts for place in range(most, len(excerpt.tokens))
        ]
        if len(spots) >= _FEWEST:
            break
    else:
        return {}
    chosen = np.unique(np.linspace(0, len(spots) - 1, places).astype(np.int64))
    by_label: dict[str | None, list[tuple[Excerpt, int]]] = {}
    for index in chosen:
        by_label.setdefault(spots[index][0].label, []).append(spots[index])
    curve = {}
    for context in contexts[: contexts.index(most) + 1]:
        costs: list[float] = []
        for label, own in by_label.items():
            windows = [excerpt.tokens[place - context : place + 1] for excerpt, place in own]
            counts = np.full(len(own), context + 1)
            scored = model.score_tokens(np.concatenate(windows).astype(np.int32), counts, label)
            costs += [float(bits[-1]) for bits in scored]
        curve[context] = float(np.mean(costs))
    return curve
