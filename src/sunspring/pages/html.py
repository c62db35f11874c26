"""Pages: one HTML file each, with its style, script and data in it, and nothing from elsewhere.

Templates are jinja2's, in `templates/`; all text in them is escaped. Stands behind what the pages
show.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sunspring.explanation.copies import LEAST_COPIED
from sunspring.explanation.explanation import LEAST_CHARACTERS, Explanation, page_data
from sunspring.pages.charts import Chart, Line, Point
from sunspring.storage import write_atomically, writing

_FOLDER = Path(__file__).parent / "templates"
_SHOWN = 2000  # tokens of an explanation: with the outputs of all units they make the page large


def explanation_page(explanation: Explanation) -> str:
    """Give the page of `explain`."""
    data = page_data(explanation, _SHOWN)
    shares = data["copied"] or {"new_shares": [], "heldout_new_shares": []}
    return render(
        "explain.html",
        data=data,
        total=len(explanation.trace.tokens),
        least=LEAST_CHARACTERS,
        least_copied=LEAST_COPIED,
        curve=copying_chart(shares["new_shares"], shares["heldout_new_shares"]),
        script=script("passage.js", "explain.js"),
    )


def copying_chart(shares: Sequence[float], control: Sequence[float]) -> Chart:
    """Draw the share of n-grams that are new, for n from 1 on: of a text and of held-out text."""
    return Chart(
        "Share of stretches that are not in the training text, by their length",
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


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        ModelError: the file cannot be written.
    """
    with writing(path):
        write_atomically(path, page.encode("utf-8", "replace"))


def render(template: str, **values: Any) -> str:
    """Fill a template in; it has the style of all pages."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template).render(style=script("style.css"), **values)


def script(*names: str) -> str:
    """Give files of the templates' folder, one after another."""
    return "\n".join((_FOLDER / name).read_text(encoding="utf-8") for name in names)
