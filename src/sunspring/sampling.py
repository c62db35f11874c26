"""From logits to the next token: temperature, cut-offs, repetition, and the choice itself.

Pure functions over rows of logits; randomness comes in as numbers. Stands after training in the
street, and generation is built on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sunspring.errors import SettingsError

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
    logits: Tensor, settings: SamplingSettings, recent: Tensor | None = None
) -> Tensor:
    """Turn logits into the probabilities that the settings leave.

    Args:
        logits: (batch, vocabulary); minus infinity forbids a token.
        settings: temperature, cut-offs and penalty.
        recent: (batch, any number) ids of the latest tokens, for the repetition penalty.

    Returns:
        (batch, vocabulary) probabilities that sum to one.
    """
    if settings.repetition_penalty != 1 and recent is not None:
        logits = _penalise(logits, recent, settings.repetition_penalty)
    if settings.temperature < torch.finfo(logits.dtype).tiny:
        return torch.zeros_like(logits).scatter_(-1, logits.argmax(-1, keepdim=True), 1)
    # From the largest on, so that a low temperature makes the others minus infinity and no NaN.
    logits = (logits - logits.amax(-1, keepdim=True)) / settings.temperature
    if 0 < settings.top_k < logits.shape[-1]:
        logits = _keep_ranks(logits, settings.top_k)
    if settings.top_p < 1:
        logits = _keep_nucleus(logits, settings.top_p)
    probabilities = logits.softmax(-1)
    if settings.min_p > 0:
        least = settings.min_p * probabilities.amax(-1, keepdim=True)
        probabilities = probabilities * (probabilities >= least)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Pick a token a row by the inverse of the cumulative distribution.

    Args:
        probabilities: (batch, vocabulary).
        uniforms: (batch,) numbers in [0, 1), one a row: the only randomness there is.

    Returns:
        (batch,) ids, none of probability 0.
    """
    cumulative = probabilities.cumsum(-1)
    places = (uniforms * cumulative[:, -1]).unsqueeze(-1)
    tokens = torch.searchsorted(cumulative, places, right=True).squeeze(-1)
    # Rounding can push a place to the very end, where the last tokens may have probability 0.
    last = (probabilities > 0).long().cumsum(-1).argmax(-1)
    return torch.minimum(tokens, last)


def _penalise(logits: Tensor, recent: Tensor, penalty: float) -> Tensor:
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter_(-1, recent, True)
    weakened = torch.where(logits > 0, logits / penalty, logits * penalty)
    return torch.where(seen, weakened, logits)


def _keep_ranks(logits: Tensor, count: int) -> Tensor:
    """Forbid all but the `count` largest; of equal ones the lower ids stay."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    return logits.scatter(-1, order[..., count:], -torch.inf)


def _keep_nucleus(logits: Tensor, share: float) -> Tensor:
    """Forbid what comes after the most probable tokens that reach `share` together."""
    order = logits.argsort(dim=-1, descending=True, stable=True)
    sorted_probabilities = logits.gather(-1, order).softmax(-1)
    before = sorted_probabilities.cumsum(-1) - sorted_probabilities
    beyond = torch.zeros_like(logits, dtype=torch.bool).scatter(
        -1, order, (before >= share) & (before > 0)
    )
    return logits.masked_fill(beyond, -torch.inf)
