"""From logits to the next token: temperature, cut-offs, repetition, and the choice itself.

Pure functions over rows of logits; randomness comes in as numbers. The native engine does the same
in C++ (engine/sampling.cpp); what is here is the reference. Generation is built on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sunspring.errors import SettingsError

Floats = NDArray[np.float64]

REPETITION_WINDOW = 64
"""How many of the latest tokens the repetition penalty looks at."""


@dataclass(frozen=True)
class SamplingSettings:
    """How freely the next token is drawn; the defaults draw from the model as it is.

    The cut-offs apply one after another, in the order of the fields, after the temperature.

    Args:
        temperature: logits are divided by it: below 1 bolder, above 1 wilder, 0 always takes the
            most probable token.
        top_k: keep only so many of the most probable tokens; 0 keeps all.
        top_p: keep the fewest most probable tokens whose probabilities reach this sum (nucleus
            sampling, Holtzman et al. 2020).
        min_p: drop what is less probable than this share of the most probable (Nguyen et al. 2024).
        repetition_penalty: above 1 it makes the latest `REPETITION_WINDOW` tokens less probable
            (Keskar et al. 2019, section 4.1; negative logits are multiplied by it instead).

    Raises:
        SettingsError: a value is out of its range.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        ranges = {
            "temperature": (0 <= self.temperature <= 100, "between 0 and 100"),
            "top_k": (self.top_k >= 0, "at least 0"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_p": (0 <= self.min_p <= 1, "between 0 and 1"),
            "repetition_penalty": (0.01 <= self.repetition_penalty <= 100, "between 0.01 and 100"),
        }
        for name, (fits, wanted) in ranges.items():
            if not fits:
                raise SettingsError(f"{name} is {getattr(self, name)}: it must be {wanted}")


def token_probabilities(
    logits: ArrayLike, settings: SamplingSettings, recent: NDArray[np.int64] | None = None
) -> Floats:
    """Turn logits into the probabilities that the settings leave.

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
    """Pick a token a row by the inverse of the cumulative distribution.

    Args:
        probabilities: (batch, vocabulary).
        uniforms: (batch,) numbers in [0, 1), one a row: the only randomness there is.

    Returns:
        (batch,) ids, none of probability 0.
    """
    cumulative = probabilities.cumsum(-1)
    places = uniforms * cumulative[:, -1]
    tokens = (cumulative <= places[:, None]).sum(-1)
    # Rounding can push a place to the very end, where the last tokens may have probability 0.
    last = probabilities.shape[-1] - 1 - (probabilities > 0)[:, ::-1].argmax(-1)
    return np.asarray(np.minimum(tokens, last))


def _softmax(scores: Floats) -> Floats:
    """Of scores whose largest is 0."""
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum(-1, keepdims=True))


def _penalise(scores: Floats, recent: NDArray[np.int64], penalty: float) -> Floats:
    seen = np.zeros(scores.shape, np.bool_)
    np.put_along_axis(seen, recent, True, -1)
    weakened = np.where(scores > 0, scores / penalty, scores * penalty)
    return np.where(seen, weakened, scores)


def _ranking(scores: Floats) -> NDArray[np.int64]:
    """The tokens of each row, the most probable first; of equal ones the lower ids."""
    return np.argsort(-scores, axis=-1, kind="stable")


def _keep_ranks(scores: Floats, count: int) -> Floats:
    """Forbid all but the `count` largest."""
    kept = np.full_like(scores, -np.inf)
    best = _ranking(scores)[:, :count]
    np.put_along_axis(kept, best, np.take_along_axis(scores, best, -1), -1)
    return kept


def _keep_nucleus(scores: Floats, share: float) -> Floats:
    """Forbid what comes after the most probable tokens that reach `share` together."""
    ranking = _ranking(scores)
    ranked = np.take_along_axis(_softmax(scores), ranking, -1)
    before = ranked.cumsum(-1) - ranked
    beyond = np.empty(scores.shape, np.bool_)
    np.put_along_axis(beyond, ranking, (before >= share) & (before > 0), -1)
    return np.where(beyond, -np.inf, scores)
