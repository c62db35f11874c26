"""The text of word processor files, `.docx` and `.odt`: paragraphs, headings, lists, table rows.

Footnotes and endnotes come after the text. Comments, headers and footers, what a tracked
change has deleted, and LibreOffice's tables of contents, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sunspring.text.content import Content
from sunspring.text.packing import encrypted
from sunspring.text.paragraphs import Lines
from sunspring.text.zipped import Parts, opened


@dataclass(frozen=True)
class _Dialect:
    """What the elements of a kind of document mean, by their local names.

    Args:
        ends: they end a line, at both of their ends.
        spaces: they stand for white space.
        signs: they stand for a character.
        rows: rows of tables.
        cells: cells of a row.
        holds: elements whose own text is text of the document.
        left_out: elements that are left out whole.
        notes: notes within the text, whose lines come after it.
    """

    ends: frozenset[str]
    spaces: frozenset[str]
    signs: dict[str, str]
    rows: frozenset[str]
    cells: frozenset[str]
    holds: frozenset[str]
    left_out: frozenset[str]
    notes: frozenset[str]


_WORD = _Dialect(
    ends=frozenset(("p", "br", "cr")),
    spaces=frozenset(("tab", "ptab")),
    signs={"noBreakHyphen": "-"},
    rows=frozenset(("tbl", "tr")),
    cells=frozenset(("tc",)),
    holds=frozenset(("t",)),  # w:delText and w:instrText are none
    left_out=frozenset(("moveFrom", "Fallback", "pPr", "rPr", "tblPr")),
    notes=frozenset(),
)
_OPEN = _Dialect(
    ends=frozenset(("p", "h", "line-break")),
    spaces=frozenset(("s", "tab")),
    signs={},
    rows=frozenset(("table", "table-row")),
    cells=frozenset(("table-cell",)),
    holds=frozenset(("p", "h", "span", "a", "ruby-base", "meta", "meta-field")),
    left_out=frozenset(
        (
            *("annotation", "tracked-changes", "note-citation", "ruby-text", "desc", "title"),
            *("forms", "table-of-content"),
        )
    ),
    notes=frozenset(("note",)),
)


class _Text:
    """Adds the text of a part to lines; hears its elements (`zipped.Handler`).

    Args:
        dialect: what the elements mean.
        lines: get the text.
        notes: get the text of notes.
    """

    def __init__(self, dialect: _Dialect, lines: Lines, notes: Lines) -> None:
        self._dialect = dialect
        self._text = lines
        self._notes = notes
        self._lines = lines
        self._open: list[bool] = []  # whether the own text of each open element counts
        self._left_out = 0  # elements open, from the one left out inwards

    def start(self, name: str, attributes: dict[str, str]) -> None:
        dialect = self._dialect
        if self._left_out or name in dialect.left_out or _is_separator(name, attributes):
            self._left_out += 1
            return
        self._open.append(name in dialect.holds)
        if name in dialect.notes:
            self._lines = self._notes
            self._lines.end()
        elif name in dialect.ends:
            self._lines.end()
        elif name in dialect.rows:
            self._lines.row()
        elif name in dialect.cells:
            self._lines.cell()
        elif name in dialect.spaces:
            self._lines.space()
        elif name in dialect.signs:
            self._lines.add(dialect.signs[name])

    def end(self, name: str) -> None:
        if self._left_out:
            self._left_out -= 1
            return
        self._open.pop()
        if name in self._dialect.notes:
            self._lines = self._text
        elif name in self._dialect.ends:
            self._lines.end()
        elif name in self._dialect.rows:
            self._lines.row()

    def text(self, text: str) -> None:
        if not self._left_out and self._open[-1]:
            self._lines.add(text)


def _is_separator(name: str, attributes: dict[str, str]) -> bool:
    """Tell whether an element is a note of Word's that only draws the line above the notes."""
    return name in ("footnote", "endnote") and attributes.get("type", "normal") != "normal"


def _read(parts: Parts, dialect: _Dialect, *names: str) -> Iterator[str]:
    """Read parts one after another, and then the notes within them."""
    notes = Lines()
    for part in names:
        lines = Lines()
        for _ in parts.parse(part, _Text(dialect, lines, notes)):
            yield lines.take()
        yield lines.rest()
    yield notes.rest()


def read_docx(content: Content) -> Iterator[str]:
    """Read a document of Word.

    Yields:
        Lines, several at a time, each with its newline.

    Raises:
        SourceError: it is encrypted or damaged.
    """
    with opened(content, "docx") as parts:
        notes = [part for part in ("word/footnotes.xml", "word/endnotes.xml") if part in parts]
        yield from _read(parts, _WORD, "word/document.xml", *notes)


def read_odt(content: Content) -> Iterator[str]:
    """Read a text of LibreOffice or another program that writes OpenDocument; see `read_docx`."""
    with opened(content, "odt") as parts:
        manifest = "META-INF/manifest.xml"
        if manifest in parts and b"encryption-data" in b"".join(parts.read(manifest)):
            raise encrypted(parts.name)
        yield from _read(parts, _OPEN, "content.xml")
