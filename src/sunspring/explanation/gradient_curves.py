"""Gradient flow as it was measured: as JSON and as a page, with charts, and words from the figures.

It knows no PyTorch. Stands behind pages.py, right before gradient_flow.py, which measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.network.config import ModelConfig
from sunspring.pages.charts import Chart, Line, short
from sunspring.pages.html import render
from sunspring.training.plan import Recipe

REACH = 200
"""Steps back from the loss to the farthest state whose gradient is measured."""

NAMES = {"rnn": "plain RNN", "gru": "GRU", "lstm": "LSTM", "rnn-doubled": "RNN × 2"}
"""What the networks are called."""

Curve = NDArray[np.float64]
"""(REACH + 1,) sizes of the gradient of the loss at t with respect to the state at t - k: the
geometric mean over sequences of its Euclidean norm, for k = 0, 1, …"""

_TABLED = (0, 1, 10, 50, 100, 200)  # steps back that a table shows
_FAR = 100  # steps back, beyond which the gradient's fall per step is told
_FADED = 1 / 100  # of the gradient at k = 1
_EXPLODED = 2  # times that
_LOWEST = 1e-16  # shown: what a double can tell from 1
_END = 0.1  # of the steps, over which the last loss is averaged
_DIGITS = 6
_MOST_PEAKS = 150
_COLOURS = {"rnn": 0, "gru": 2, "lstm": 1, "rnn-doubled": 3}


@dataclass(frozen=True)
class Trained:
    """A network after its training.

    Args:
        network: one of `NAMES`.
        clipped: whether the gradient of its weights was clipped in training.
        nats: (steps,) training loss a token.
        norms: (steps,) Euclidean norm of the gradient of all weights, before it was clipped.
        curve: of the trained network.
    """

    network: str
    clipped: bool
    nats: NDArray[np.float64]
    norms: NDArray[np.float64]
    curve: Curve

    @property
    def name(self) -> str:
        """What it is called beside others."""
        return NAMES[self.network] + ("" if self.clipped else ", unclipped")

    @property
    def last_nats(self) -> float:
        """The training loss at the end, averaged over a tenth of the steps."""
        return float(self.nats[-max(1, round(_END * len(self.nats))) :].mean())

    def steps_over(self, clip_norm: float) -> int:
        """Count the steps whose gradient was longer than clipping leaves it."""
        return int((self.norms > clip_norm).sum())


@dataclass(frozen=True)
class GradientFlow:
    """How the gradient flows back in networks that were trained alike.

    Args:
        config: the architecture, but for the kind of layers.
        recipe: how they were trained.
        characters: of the text that they were trained on.
        sequences: over which each curve is a mean.
        untrained: a curve for each network, of the weights that training began with.
        trained: each network with and without clipping.
    """

    config: ModelConfig
    recipe: Recipe
    characters: int
    sequences: int
    untrained: Mapping[str, Curve]
    trained: Sequence[Trained]

    @property
    def steps(self) -> int:
        """Of each training."""
        return len(self.trained[0].nats)

    @property
    def clip_norm(self) -> float:
        """What clipping leaves of the gradient's length."""
        return self.recipe.optimization.clip_norm

    @property
    def clipped(self) -> list[Trained]:
        """The networks that were trained with clipping."""
        return [each for each in self.trained if each.clipped]

    @property
    def unclipped(self) -> list[Trained]:
        """The others."""
        return [each for each in self.trained if not each.clipped]


def faded_at(curve: Curve) -> int | None:
    """Find the first k at which a gradient is a hundredth of that at k = 1; None if there is none.

    Args:
        curve: from k = 0 on.
    """
    faded = np.flatnonzero(curve[1:] <= _FADED * curve[1])
    return int(faded[0]) + 1 if len(faded) else None


def gradients_json(flow: GradientFlow) -> dict[str, Any]:
    """Give the object that `explain --gradients --json` prints."""
    config, recipe = flow.config, flow.recipe
    return {
        "settings": {
            "layers": config.layers,
            "hidden_size": config.hidden_size,
            "embedding_size": config.embedding_size,
            "batch_size": recipe.batch_size,
            "window": recipe.window,
            "learning_rate": recipe.optimization.learning_rate,
            "clip_norm": flow.clip_norm,
            "steps": flow.steps,
            "characters": flow.characters,
            "sequences": flow.sequences,
        },
        "untrained": [
            {"network": network, **_curve_json(curve)} for network, curve in flow.untrained.items()
        ],
        "trained": [
            {
                "network": each.network,
                "clipped": each.clipped,
                **_curve_json(each.curve),
                "training_nats": _rounded(each.nats),
                "training_norms": _rounded(each.norms),
                "steps_over_clip": each.steps_over(flow.clip_norm),
            }
            for each in flow.trained
        ],
    }


def _curve_json(curve: Curve) -> dict[str, Any]:
    return {"gradients": _rounded(curve), "faded_at": faded_at(curve)}


def _rounded(values: NDArray[np.float64]) -> list[float | None]:
    """Give numbers with few digits; those that JSON lacks become null."""
    return [
        float(f"{value:.{_DIGITS}g}") if math.isfinite(value) else None for value in values.tolist()
    ]


def gradients_page(flow: GradientFlow) -> str:
    """Give the page of `explain --gradients`."""
    return render(
        "gradients.html",
        flow=flow,
        tabled=_TABLED,
        lowest=_LOWEST,
        rows=[_row(each, flow.clip_norm) for each in flow.trained],
        trained=_curves_chart(flow, trained=True),
        trained_words=_trained_words(flow),
        untrained=_curves_chart(flow, trained=False),
        untrained_words=_fading_words(flow.untrained),
        norms=_norms_chart(flow),
        clipping_words=_clipping_words(flow),
    )


def _row(trained: Trained, clip_norm: float) -> dict[str, Any]:
    """Give the figures of a network as the tables have them."""
    return {
        "network": NAMES[trained.network],
        "clipped": "yes" if trained.clipped else "no",
        "sizes": [short(float(trained.curve[k])).replace("-", "−") for k in _TABLED],
        "faded_at": faded_at(trained.curve) or f"above {REACH}",
        "nats": f"{trained.last_nats:.3f}",
        "longest": short(float(trained.norms.max())),
        "over": trained.steps_over(clip_norm),
    }


def _curves_chart(flow: GradientFlow, *, trained: bool) -> Chart:
    """Draw the gradients against the steps back, of the trained networks or the untrained."""
    if trained:
        lines = [
            _curve_line(each.name, each.network, each.curve, not each.clipped)
            for each in flow.trained
        ]
    else:
        lines = [
            _curve_line(NAMES[network], network, curve, False)
            for network, curve in flow.untrained.items()
        ]
    highest = max((y for line in lines for _, y in line.points if math.isfinite(y)), default=1.0)
    return Chart(
        "Size of the gradient of the loss with respect to the state so many steps before, "
        + ("after training" if trained else "before training"),
        "k, steps back",
        "size of the gradient",
        lines,
        log_y=True,
        x_range=(0, REACH),
        y_range=(_LOWEST, max(1.0, highest)),
    )


def _curve_line(name: str, network: str, curve: Curve, dashed: bool) -> Line:
    points = [(float(k), float(size)) for k, size in enumerate(curve) if size >= _LOWEST]
    return Line(name, points, _COLOURS[network], dashed)


def _norms_chart(flow: GradientFlow) -> Chart:
    """Draw the norm of the weights' gradient over the steps, where nothing clipped it."""
    level = Line("clipped to", [(1, flow.clip_norm), (flow.steps, flow.clip_norm)], straight=True)
    return Chart(
        "Norm of the gradient of all weights at each step of the trainings without clipping",
        "steps of training",
        "norm of the gradient",
        [
            level,
            *(
                Line(NAMES[each.network], _peaks(each.norms), _COLOURS[each.network])
                for each in flow.unclipped
            ),
        ],
        log_y=True,
    )


def _peaks(norms: NDArray[np.float64]) -> list[tuple[float, float]]:
    """Give the largest of every few steps, so that none is lost where many are drawn."""
    together = math.ceil(len(norms) / _MOST_PEAKS)
    return [
        (float(begin + together), float(norms[begin : begin + together].max()))
        for begin in range(0, len(norms), together)
    ]


def _trained_words(flow: GradientFlow) -> list[str]:
    """Say what the trained networks' curves show, a sentence or two for each matter."""
    curves = {each.network: each.curve for each in flow.clipped}
    left = {name: float(curve[-1] / curve[1]) for name, curve in curves.items()}
    rates = {
        name: (curve[-1] / curve[_FAR]) ** (1 / (REACH - _FAR)) for name, curve in curves.items()
    }
    parts = [
        f"{short(left[name])} in the {NAMES[name]} (from k = {_FAR} on each step multiplies it by "
        f"{rates[name]:.2f})"
        for name in sorted(left, key=lambda name: -left[name])
    ]
    return [
        _fading_words(curves),
        f"Of the gradient at k = 1 there is left at k = {REACH}: {', '.join(parts)}.",
        _growth_words(flow),
    ]


def _fading_words(curves: Mapping[str, Curve]) -> str:
    parts = []
    for name, curve in curves.items():
        at = faded_at(curve)
        steps = f"after {at} steps back" if at else f"not within {REACH} steps back"
        parts.append(f"in the {NAMES[name]} {steps}")
    return f"The gradient is down to a hundredth of that at k = 1 {', '.join(parts)}."


def _growth_words(flow: GradientFlow) -> str:
    """Say whose gradient grows on its way back."""
    grown = [
        f"{each.name} (to {short(each.curve[1:].max() / each.curve[1])} times that at k = 1, at "
        f"k = {int(each.curve[1:].argmax()) + 1})"
        for each in flow.trained
        if each.curve[1:].max() >= _EXPLODED * each.curve[1]
    ]
    if grown:
        return f"It explodes, growing on its way back, in: {', '.join(grown)}."
    return f"In none of them does it grow on its way back to {_EXPLODED} times that at k = 1."


def _clipping_words(flow: GradientFlow) -> str:
    """Say how often clipping acted, and what that changed."""
    parts = [
        f"{each.steps_over(flow.clip_norm)} of {flow.steps} steps of the {NAMES[each.network]} "
        f"(at most {short(float(each.norms.max()))})"
        for each in flow.unclipped
    ]
    words = (
        f"Without clipping the gradient was longer than {flow.clip_norm:g} in {', '.join(parts)}."
    )
    untouched = [
        NAMES[each.network] for each in flow.clipped if not each.steps_over(flow.clip_norm)
    ]
    if untouched:
        words += (
            f" Where it never was ({', '.join(untouched)}) clipping changes nothing: both "
            "trainings are the same, and so are their lines."
        )
    return words
