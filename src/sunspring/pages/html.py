"""HTML pages: each is one file that contains its style, scripts and data, and loads nothing.

The templates are for jinja2. Those that all pages share are in `templates/`; those of a single page
are next to the code that fills them in. All text in them is escaped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sunspring.storage import check_replaceable, write_atomically, writing

_SHARED = Path(__file__).parent / "templates"


def is_page(head: bytes) -> bool:
    """Tell by its first bytes whether a file is a page of this package."""
    return b'<meta name="generator" content="Sunspring">' in head


def check_page(path: Path) -> None:
    """Make sure that a page can be written without the loss of another file.

    Raises:
        ModelError: the file exists and is no page of this package.
    """
    check_replaceable(path, is_page, "a page of Sunspring")


def write_page(path: Path, page: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        ModelError: the file cannot be written, or holds something else.
    """
    check_page(path)
    with writing(path):
        write_atomically(path, page.encode("utf-8", "replace"))


def render(template: Path, *scripts: str, **values: Any) -> str:
    """Fill in a template.

    Args:
        template: its file; it may extend and include templates next to it and the shared ones.
        scripts: names of JavaScript files in the same folders, which the page runs in this order.
        values: the values that the template shows.
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
