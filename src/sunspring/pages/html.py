"""HTML pages: one file each, with its style, script and data in it, and nothing from elsewhere.

Templates are jinja2's: those that all pages share lie in `templates/`, a page's own beside what
makes it. All text in them is escaped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sunspring.storage import write_atomically, writing

_SHARED = Path(__file__).parent / "templates"


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        ModelError: the file cannot be written.
    """
    with writing(path):
        write_atomically(path, page.encode("utf-8", "replace"))


def render(template: Path, *scripts: str, **values: Any) -> str:
    """Fill a template in.

    Args:
        template: the file; what it extends and includes lies beside it or is shared by all pages.
        scripts: files of JavaScript in the same places, which the page runs in this order.
        values: what the template shows.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folders = [template.parent, _SHARED]
    environment = Environment(
        loader=FileSystemLoader(folders), autoescape=True, undefined=StrictUndefined
    )
    return environment.get_template(template.name).render(
        style=_read("style.css", folders),
        script="\n".join(_read(name, folders) for name in scripts),
        **values,
    )


def _read(name: str, folders: list[Path]) -> str:
    path = next(folder / name for folder in folders if (folder / name).exists())
    return path.read_text(encoding="utf-8")
