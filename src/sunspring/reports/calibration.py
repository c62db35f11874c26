"""Whether a model's probabilities are right, and which tokens it confuses.

Both are sums over the predicted distributions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.explanation.traces import read_parts
from sunspring.model import Model
from sunspring.reports.excerpts import Excerpt

_BINS = 20


@dataclass(frozen=True)
class Bin:
    """Predictions with about the same probability.

    Args:
        predicted: their mean probability.
        observed: the share of them that came true.
        count: number of predictions.
    """

    predicted: float
    observed: float
    count: int


@dataclass(frozen=True)
class TokenAccuracy:
    """How well one token is predicted.

    Args:
        token: its id.
        count: how often it occurred.
        probability: its mean probability when it occurred.
        first: how often it was the most probable token when it occurred.
        taken_for: ids that were the most probable instead, and how often, the most frequent first.
    """

    token: int
    count: int
    probability: float
    first: int
    taken_for: list[tuple[int, int]]


class Calibration(NamedTuple):
    """A comparison of what a model predicted with what occurred.

    Args:
        bins: twenty equally wide bins of probability, over all tokens of the vocabulary at all
            places (the reliability diagram of Guo et al. 2017), without the empty ones.
        accuracies: one for each token that occurred, the most frequent first.
    """

    bins: list[Bin]
    accuracies: list[TokenAccuracy]


def calibrate(model: Model, excerpts: Sequence[Excerpt]) -> Calibration:
    """Compare what a model predicts with what occurs.

    Args:
        model: reads each excerpt from a fresh state.
        excerpts: excerpts of a text that it has not learned from.

    Raises:
        SettingsError: there is no native engine.
    """
    size = model.vocabulary.size
    counts, hits, sums = (np.zeros(_BINS) for _ in range(3))
    guessed = np.zeros((size, size), np.int64)  # (token that occurred, most probable token)
    probability = np.zeros(size)
    for tokens, label in excerpts:
        first = 0
        for logs, _ in read_parts(model, tokens, label):
            came = tokens[first : first + len(logs)]
            first += len(came)
            chances = np.exp(logs)
            bins = np.minimum((chances * _BINS).astype(np.int64), _BINS - 1)
            counts += np.bincount(bins.ravel(), minlength=_BINS)
            sums += np.bincount(bins.ravel(), chances.ravel(), minlength=_BINS)
            own = np.arange(len(came)), came
            hits += np.bincount(bins[own], minlength=_BINS)
            np.add.at(guessed, (came, chances.argmax(1)), 1)
            probability += np.bincount(came, chances[own], minlength=size)
    filled = np.flatnonzero(counts)
    bins_found = [
        Bin(float(sums[i] / counts[i]), float(hits[i] / counts[i]), int(counts[i])) for i in filled
    ]
    return Calibration(bins_found, _accuracies(guessed, probability))


def _accuracies(
    guessed: NDArray[np.int64], probability: NDArray[np.float64]
) -> list[TokenAccuracy]:
    totals = guessed.sum(1)
    found = []
    for token in np.argsort(-totals, kind="stable")[: int((totals > 0).sum())]:
        others = guessed[token].copy()
        others[token] = 0
        order = np.argsort(-others, kind="stable")[: int((others > 0).sum())]
        taken_for = [(int(other), int(others[other])) for other in order]
        mean = float(probability[token] / totals[token])
        first = int(guessed[token, token])
        found.append(TokenAccuracy(int(token), int(totals[token]), mean, first, taken_for))
    return found
