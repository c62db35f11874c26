"""Pages: one HTML file each, with its style, script and data in it, and nothing from elsewhere.

Templates are jinja2's, in `templates/`; all text in them is escaped. Stands behind what the pages
show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sunspring.explanation import LEAST_CHARACTERS, LEAST_COPIED, Explanation, page_data
from sunspring.storage import write_atomically, writing

_FOLDER = Path(__file__).parent / "templates"
_SHOWN = 2000  # tokens of an explanation: with the outputs of all units they make the page large


def explanation_page(explanation: Explanation) -> str:
    """Give the page of `explain`."""
    data = page_data(explanation, _SHOWN)
    shares = data["copied"] or {"new_shares": [], "heldout_new_shares": []}
    return _render(
        "explain.html",
        data=data,
        total=len(explanation.trace.tokens),
        least=LEAST_CHARACTERS,
        least_copied=LEAST_COPIED,
        curve=_curve(shares["new_shares"]),
        heldout_curve=_curve(shares["heldout_new_shares"]),
        curve_words=_curve_in_words(shares["new_shares"]),
        script=_read("explain.js"),
    )


def _curve(shares: list[float]) -> str:
    """Give the points of a line in the template's box, shares of stretches of 1, 2, … long."""
    return " ".join(f"{40 + 510 * n / 49:.1f},{190 - 180 * y:.1f}" for n, y in enumerate(shares))


def _curve_in_words(shares: list[float]) -> str:
    return ", ".join(f"{n}: {shares[n - 1]:.0%}" for n in (5, 10, 20, 50) if n <= len(shares))


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        ModelError: the file cannot be written.
    """
    with writing(path):
        write_atomically(path, page.encode("utf-8", "replace"))


def _render(name: str, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(name).render(style=_read("style.css"), **values)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")
