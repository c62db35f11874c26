"""From logits to the next token: temperature, cut-offs, repetition, and the choice itself.

Pure functions over rows of logits; random numbers are passed in. The native engine does the same
in C++ (src/native/engine/sampling.cpp); this is the reference.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sunspring.writing.settings import SamplingSettings

Floats = NDArray[np.float64]

REPETITION_WINDOW = 64
"""How many of the latest tokens the repetition penalty looks at."""


def token_probabilities(
    logits: ArrayLike, settings: SamplingSettings, recent: NDArray[np.int64] | None = None
) -> Floats:
    """Turn logits into the probabilities to draw from, as the settings ask.

    Args:
        logits: (batch, vocabulary); minus infinity forbids a token.
        settings: temperature, cut-offs and penalty.
        recent: (batch, any number) ids of the latest tokens, for the repetition penalty.

    Returns:
        (batch, vocabulary) probabilities that sum to one.
    """
    scores = np.asarray(logits, np.float64)
    if settings.repetition_penalty != 1 and recent is not None:
        scores = _penalise(scores, recent, settings.repetition_penalty)
    if settings.temperature < np.finfo(np.float64).tiny:
        probabilities = np.zeros_like(scores)
        np.put_along_axis(probabilities, scores.argmax(-1, keepdims=True), 1, -1)
        return probabilities
    with np.errstate(over="ignore"):  # a low temperature makes logits minus infinity
        scores = (scores - scores.max(-1, keepdims=True)) / settings.temperature
    if 0 < settings.top_k < scores.shape[-1]:
        scores = _keep_ranks(scores, settings.top_k)
    if settings.top_p < 1:
        scores = _keep_nucleus(scores, settings.top_p)
    probabilities = _softmax(scores)
    if settings.min_p > 0:
        least = settings.min_p * probabilities.max(-1, keepdims=True)
        probabilities *= probabilities >= least
        probabilities /= probabilities.sum(-1, keepdims=True)
    return probabilities


def draw(probabilities: Floats, uniforms: Floats) -> NDArray[np.int64]:
    """Draw one token per row by inverting the cumulative distribution.

    Args:
        probabilities: (batch, vocabulary).
        uniforms: (batch,) random numbers in [0, 1), the only source of randomness.

    Returns:
        (batch,) ids, none of probability 0.
    """
    cumulative = probabilities.cumsum(-1)
    places = uniforms * cumulative[:, -1]
    tokens = (cumulative <= places[:, None]).sum(-1)
    # Rounding can move a place to the very end, where the last tokens may have probability 0.
    last = probabilities.shape[-1] - 1 - (probabilities > 0)[:, ::-1].argmax(-1)
    return np.asarray(np.minimum(tokens, last))


def _softmax(scores: Floats) -> Floats:
    """Softmax of scores, the largest in each row being 0."""
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def _penalise(scores: Floats, recent: NDArray[np.int64], penalty: float) -> Floats:
    seen = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(seen, recent, True, -1)
    weakened = np.where(scores > 0, scores / penalty, scores * penalty)
    return np.where(seen, weakened, scores)


def _ranking(scores: Floats) -> NDArray[np.int64]:
    """The tokens of each row, the most probable first; among equals the lower ids first."""
    return np.argsort(-scores, axis=-1, kind="stable")


def _keep_ranks(scores: Floats, count: int) -> Floats:
    """Forbid all but the `count` largest."""
    kept = np.full_like(scores, -np.inf)
    best = _ranking(scores)[:, :count]
    np.put_along_axis(kept, best, np.take_along_axis(scores, best, -1), -1)
    return kept


def _keep_nucleus(scores: Floats, share: float) -> Floats:
    """Forbid all tokens after the most probable ones that together reach `share`."""
    ranking = _ranking(scores)
    ranked = np.take_along_axis(_softmax(scores), ranking, -1)
    before = ranked.cumsum(-1) - ranked
    beyond = np.empty(scores.shape, np.bool_)
    np.put_along_axis(beyond, ranking, (before >= share) & (before > 0), -1)
    return np.where(beyond, -np.inf, scores)
