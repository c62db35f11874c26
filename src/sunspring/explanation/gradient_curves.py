"""Results of measuring gradient flow: curves and figures of each network, without PyTorch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.network.config import ModelConfig
from sunspring.training.recipe import Recipe

REACH = 200
"""Steps back from the loss to the farthest state whose gradient is measured."""

NAMES = {"rnn": "plain RNN", "gru": "GRU", "lstm": "LSTM", "rnn-doubled": "RNN × 2"}
"""Names of the networks for people."""

Curve = NDArray[np.float64]
"""(REACH + 1,) sizes of the gradient of the loss at t with respect to the state at t - k: its
Euclidean norm, as geometric mean over sequences, for k = 0, 1, …"""

_FADED = 1 / 100  # of the gradient at k = 1
_END = 0.1  # share of the steps over which the last loss is averaged
_DIGITS = 6


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Args:
        network: one of `NAMES`.
        clipped: whether the gradient of its weights was clipped in training.
        nats: (steps,) training loss per token.
        norms: (steps,) Euclidean norm of the gradient of all weights, before it was clipped.
        curve: the curve of the trained network.
    """

    network: str
    clipped: bool
    nats: NDArray[np.float64]
    norms: NDArray[np.float64]
    curve: Curve

    @property
    def name(self) -> str:
        """Its name for people, with the clipping."""
        return NAMES[self.network] + ("" if self.clipped else ", unclipped")

    @property
    def last_nats(self) -> float:
        """The training loss at the end, as mean over the last tenth of the steps."""
        return float(self.nats[-max(1, round(_END * len(self.nats))) :].mean())

    def steps_over(self, clip_norm: float) -> int:
        """Count the steps at which the gradient was longer than `clip_norm`."""
        return int((self.norms > clip_norm).sum())


@dataclass(frozen=True)
class GradientFlow:
    """How the gradient flows back in networks that were trained in the same way.

    Args:
        config: the architecture, except for the kind of layers.
        recipe: how they were trained.
        characters: length of the text that they were trained on.
        sequences: number of sequences that each curve is a mean of.
        untrained: the curve of each network before training.
        trained: each network, with and without clipping.
    """

    config: ModelConfig
    recipe: Recipe
    characters: int
    sequences: int
    untrained: Mapping[str, Curve]
    trained: Sequence[Trained]

    @property
    def steps(self) -> int:
        """Number of steps of each training."""
        return len(self.trained[0].nats)

    @property
    def clip_norm(self) -> float:
        """The norm that clipping limits the gradient to."""
        return self.recipe.optimization.clip_norm

    @property
    def clipped(self) -> list[Trained]:
        """The networks that were trained with clipping."""
        return [each for each in self.trained if each.clipped]

    @property
    def unclipped(self) -> list[Trained]:
        """The networks that were trained without clipping."""
        return [each for each in self.trained if not each.clipped]

    def to_json(self) -> dict[str, Any]:
        """Return the object that `explain --gradients --json` prints."""
        config, recipe = self.config, self.recipe
        return {
            "settings": {
                "layers": config.layers,
                "hidden_size": config.hidden_size,
                "embedding_size": config.embedding_size,
                "batch_size": recipe.batch_size,
                "window": recipe.window,
                "learning_rate": recipe.optimization.learning_rate,
                "clip_norm": self.clip_norm,
                "steps": self.steps,
                "characters": self.characters,
                "sequences": self.sequences,
            },
            "untrained": [
                {"network": network, **_curve_json(curve)}
                for network, curve in self.untrained.items()
            ],
            "trained": [
                {
                    "network": each.network,
                    "clipped": each.clipped,
                    **_curve_json(each.curve),
                    "training_nats": _rounded(each.nats),
                    "training_norms": _rounded(each.norms),
                    "steps_over_clip": each.steps_over(self.clip_norm),
                }
                for each in self.trained
            ],
        }


def faded_at(curve: Curve) -> int | None:
    """Find the first k at which the gradient is a hundredth of that at k = 1; None without one.

    Args:
        curve: the curve, from k = 0 on.
    """
    faded = np.flatnonzero(curve[1:] <= _FADED * curve[1])
    return int(faded[0]) + 1 if len(faded) else None


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {"gradients": _rounded(curve), "faded_at": faded_at(curve)}


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Round numbers for JSON; those that JSON lacks become null."""
    return [
        float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()
    ]
