"""The page of `compare`."""

from __future__ import annotations

from pathlib import Path

from sunspring.pages.charts import Chart, Line
from sunspring.pages.html import render
from sunspring.reports.compare import Comparison
from sunspring.reports.report import WRITTEN_AT

_TEMPLATE = Path(__file__).parent / "templates" / "compare.html"
_COLOURS = 4


def comparison_page(comparison: Comparison) -> str:
    """Return the page as HTML."""
    lines = [
        Line(Path(each.name).name, each.course, index % _COLOURS, dashed=index >= _COLOURS)
        for index, each in enumerate(comparison.models)
    ]
    chart = Chart(
        "Bits per character of the validation text during each training",
        "seconds of training",
        "bits per character",
        lines,
        log_x=True,
    )
    has_course = any(each.course for each in comparison.models)
    return render(
        _TEMPLATE,
        compared=comparison.models,
        chart=chart if has_course else None,
        written_at=WRITTEN_AT,
    )
