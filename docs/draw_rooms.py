"""Draw the rooms of architecture.md, and the imports between them, as docs/rooms.svg.

    python docs/draw_rooms.py

A test compares the picture with the code.
"""

import ast
import re
from collections import Counter
from html import escape
from pathlib import Path

_DOCS = Path(__file__).parent
_PACKAGE = _DOCS.parent / "src" / "sunspring"
_ROW, _TOP, _LEFT, _RIGHT, _WIDTH = 34, 46, 12, 420, 640
_STYLE = """
text { font: 14px system-ui, sans-serif; fill: #222 }
.name { font-family: ui-monospace, monospace; font-weight: 600 }
.what, .note { fill: #666 }
.note { font-size: 12px }
rect { fill: #fff6ee; stroke: #d9b99b }
path { fill: none; stroke: #c2571a; stroke-opacity: 0.45 }
circle { fill: #c2571a }
@media (prefers-color-scheme: dark) {
  text { fill: #ddd }
  .what, .note { fill: #aaa }
  rect { fill: #2b2420; stroke: #6b523d }
  path, circle { stroke: #ff9f68 }
  circle { fill: #ff9f68 }
}
"""


def rooms() -> list[tuple[list[str], str]]:
    """Read the table: for each row, the names of the rooms and what they turn into what."""
    page = (_DOCS / "architecture.md").read_text(encoding="utf-8")
    table = page.split("\n## The rooms\n\n")[1].split("\n\n")[0]
    cells = [row.strip("|").split("|") for row in table.splitlines()[2:]]
    return [(re.findall(r"`([\w./]+)`", names), what.strip()) for names, what, *_ in cells]


def imports() -> Counter[tuple[str, str]]:
    """Count how often each entry of the package imports from each other one."""
    found: Counter[tuple[str, str]] = Counter()
    for path in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sunspring."):
                names = [node.module or ""]
            elif isinstance(node, ast.ImportFrom) and node.module == "sunspring":
                names = [f"sunspring.{each.name}" for each in node.names]
            else:
                continue
            own = path.relative_to(_PACKAGE).parts[0].removesuffix(".py")
            found.update((own, name.split(".")[1]) for name in names)
    return found


def picture() -> str:
    """Draw the rooms from top to bottom, with an arc from each room up to those it imports from."""
    table = rooms()
    row_of = {
        re.sub(r"\.py$|/$", "", name): row for row, (names, _) in enumerate(table) for name in names
    }
    height = _TOP + _ROW * len(table) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}"><style>{_STYLE}</style>',
        f'<text class="note" x="{_LEFT}" y="18">Text flows from top to bottom. An arc leads from a '
        "room up to one that it imports from;</text>",
        f'<text class="note" x="{_LEFT}" y="34">the thicker, the more imports. Arcs to the '
        "first row, which all import, are not drawn.</text>",
    ]
    for row, (names, what) in enumerate(table):
        y = _TOP + _ROW * row
        first, *others = names
        shown = f"{first} …" if len(others) > 1 else " ".join(names)
        parts.append(
            f'<rect x="{_LEFT}" y="{y}" width="{_RIGHT - _LEFT}" height="{_ROW - 6}" rx="5"/>'
            f'<text class="name" x="{_LEFT + 10}" y="{y + 19}">{escape(shown)}</text>'
            f'<text class="what" x="{_LEFT + 190}" y="{y + 19}">{escape(what)}</text>'
        )
    arcs: Counter[tuple[int, int]] = Counter()
    for (own, other), count in imports().items():
        if row_of[own] != row_of[other] and row_of[other]:
            arcs[row_of[own], row_of[other]] += count
    for (low, high), count in sorted(arcs.items()):
        start, end = (_TOP + _ROW * row + _ROW / 2 - 3 for row in (low, high))
        bend = f"{_RIGHT + 6 + (start - end) * 0.52:.0f}"
        parts.append(
            f'<path d="M{_RIGHT} {start:g}C{bend} {start:g} {bend} {end:g} {_RIGHT} {end:g}" '
            f'stroke-width="{0.6 + 0.5 * count**0.5:.1f}"/>'
            f'<circle cx="{_RIGHT}" cy="{end:g}" r="3"/>'
        )
    return "\n".join((*parts, "</svg>\n"))


if __name__ == "__main__":
    (_DOCS / "rooms.svg").write_text(picture(), encoding="utf-8")
