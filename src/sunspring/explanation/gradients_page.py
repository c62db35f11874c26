"""The page of `explain --gradients`: turns the figures into charts and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.explanation.gradient_curves import (
    NAMES,
    REACH,
    Curve,
    GradientFlow,
    Trained,
    faded_at,
)
from sunspring.notices import counted
from sunspring.pages.charts import Chart, Line, short
from sunspring.pages.html import render

_TEMPLATE = Path(__file__).parent / "templates" / "gradients.html"
_TABLED = (0, 1, 10, 50, 100, 200)  # steps back in the table
_FAR = 100  # steps back from which on the change of the gradient per step is given
_EXPLODED = 2  # times the gradient at k = 1
_LOWEST = 1e-16  # lowest value drawn: about the relative precision of a double
_MOST_PEAKS = 150
_COLOURS = {"rnn": 0, "gru": 2, "lstm": 1, "rnn-doubled": 3}


def gradients_page(flow: GradientFlow) -> str:
    """Return the page of `explain --gradients`."""
    return render(
        _TEMPLATE,
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
    """Return the figures of a network for the tables."""
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
    """Draw the gradients over the steps back, for the trained networks or the untrained ones."""
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
        "Size of the gradient of the loss with respect to the state k steps before, "
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
    """Draw the norm of the weights' gradient over the steps of the trainings without clipping."""
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
    """Keep the largest of every few steps, so that no peak is lost where many are drawn."""
    together = math.ceil(len(norms) / _MOST_PEAKS)
    return [
        (float(begin + together), float(norms[begin : begin + together].max()))
        for begin in range(0, len(norms), together)
    ]


def _trained_words(flow: GradientFlow) -> list[str]:
    """Say in a few sentences what the curves of the trained networks show."""
    curves = {each.network: each.curve for each in flow.clipped}
    left = {name: float(curve[-1] / curve[1]) for name, curve in curves.items()}
    rates = {
        name: (curve[-1] / curve[_FAR]) ** (1 / (REACH - _FAR)) for name, curve in curves.items()
    }
    parts = [
        f"{short(left[name])} in the {NAMES[name]} (from k = {_FAR} on, each step multiplies it by "
        f"{rates[name]:.2f})"
        for name in sorted(left, key=lambda name: -left[name])
    ]
    return [
        _fading_words(curves),
        f"At k = {REACH} the gradient is this multiple of that at k = 1: {', '.join(parts)}.",
        _growth_words(flow),
    ]


def _fading_words(curves: Mapping[str, Curve]) -> str:
    parts = []
    for name, curve in curves.items():
        at = faded_at(curve)
        steps = f"after {counted(at, 'step')} back" if at else f"not within {REACH} steps back"
        parts.append(f"in the {NAMES[name]} {steps}")
    return f"The gradient falls to a hundredth of that at k = 1 {', '.join(parts)}."


def _growth_words(flow: GradientFlow) -> str:
    """Say in which networks the gradient grows on its way back."""
    grown = [
        f"{each.name} (to {short(each.curve[1:].max() / each.curve[1])} times that at k = 1, at "
        f"k = {int(each.curve[1:].argmax()) + 1})"
        for each in flow.trained
        if each.curve[1:].max() >= _EXPLODED * each.curve[1]
    ]
    if grown:
        return f"It explodes (grows on its way back) in: {', '.join(grown)}."
    return f"In no network does it grow to {_EXPLODED} times that at k = 1 on its way back."


def _clipping_words(flow: GradientFlow) -> str:
    """Say how often clipping was active, and what that changed."""
    parts = [
        f"{each.steps_over(flow.clip_norm)} of {counted(flow.steps, 'step')} of the "
        f"{NAMES[each.network]} (at most {short(float(each.norms.max()))})"
        for each in flow.unclipped
    ]
    words = (
        f"Without clipping, gradients longer than {flow.clip_norm:g} occurred in "
        f"{', '.join(parts)}."
    )
    untouched = [
        NAMES[each.network] for each in flow.clipped if not each.steps_over(flow.clip_norm)
    ]
    if untouched:
        words += (
            f" Where there were none ({', '.join(untouched)}), clipping changes nothing: both "
            "trainings are the same, and so are their lines."
        )
    return words
