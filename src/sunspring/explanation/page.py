"""The page of `explain`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sunspring.explanation.copies import LEAST_COPIED
from sunspring.explanation.explanation import LEAST_CHARACTERS, Explanation
from sunspring.explanation.traces import rounded
from sunspring.pages.charts import Chart, Line, Point
from sunspring.pages.html import render

_TEMPLATE = Path(__file__).parent / "templates" / "explain.html"
_SHOWN = 2000  # characters or longer tokens on the page: the outputs of all units take much room


def explanation_page(explanation: Explanation) -> str:
    """Return the page: all figures and, for the first tokens, the output of every unit."""
    trace, size = explanation.trace, explanation.hidden_size
    ends = np.append(trace.spelling.begins[1:], len(trace.tokens))[:_SHOWN] - 1
    outputs = trace.outputs[ends]
    data = explanation.to_json(0) | trace.passage(_SHOWN)
    for shown, gate in zip(data["gates"], explanation.gates, strict=True):
        shown["openness"] = rounded(gate.openness[ends])
    data |= {
        "shown": len(ends),
        "hidden_size": size,
        "layers": outputs.shape[1] // size,
        "outputs": _as_bytes(outputs),
    }
    shares = data["copied"] or {"new_shares": [], "heldout_new_shares": []}
    return render(
        _TEMPLATE,
        "passage.js",
        "explain.js",
        data=data,
        total=len(trace.spelling.begins),
        least=LEAST_CHARACTERS,
        least_copied=LEAST_COPIED,
        curve=copying_chart(shares["new_shares"], shares["heldout_new_shares"]),
    )


def _as_bytes(outputs: NDArray[np.float32]) -> str:
    """Round outputs between -1 and 1 to bytes, unit by unit, in base64."""
    as_whole = np.rint(127 * outputs.T).astype(np.int8)
    return base64.b64encode(np.ascontiguousarray(as_whole).tobytes()).decode()


def copying_chart(shares: Sequence[float], control: Sequence[float]) -> Chart:
    """Draw the share of new n-grams for n from 1 on, of a text and of held-out text."""
    return Chart(
        "Share of stretches that are not in the training text, by length",
        "characters of a stretch",
        "new, in per cent",
        [
            Line("held-out text", _in_per_cent(control), 1, dashed=True),
            Line("this text", _in_per_cent(shares), 0),
        ],
        y_range=(0.0, 100.0),
    )


def _in_per_cent(shares: Sequence[float]) -> list[Point]:
    return [(float(n), 100 * share) for n, share in enumerate(shares, start=1)]
