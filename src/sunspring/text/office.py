"""The text of word processor files, `.docx` and `.odt`: paragraphs, headings, lists, table rows.

Footnotes and endnotes come after the text. Comments, headers and footers, what a tracked change has
deleted, hidden text of Word's, and tables of contents that the program makes, are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sunspring.text.content import Content
from sunspring.text.packing import encrypted
from sunspring.text.paragraphs import Lines
from sunspring.text.zipped import Handler, Parts, opened

_OFF = ("0", "false", "off")
_CONTENTS_STYLE = re.compile(r"TOC[1-9]")


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


@dataclass
class _Element:
    """An element that is open.

    Args:
        name: its local name.
        is_shown: whether the text was told of it.
        hides: whether it hides what it holds.
    """

    name: str
    is_shown: bool
    hides: bool = False


class _Shown:
    """Passes on what Word shows; hears the elements of a part (`zipped.Handler`).

    Not shown are hidden text and a table of contents, which is a control, paragraphs of a style of
    its own, or the result of a field: what stands between its instruction and its end.

    Args:
        text: hears the rest.
    """

    def __init__(self, text: _Text) -> None:
        self._text = text
        self._open: list[_Element] = []
        self._hiding = 0  # open elements that hide what they hold
        self._fields: list[str] = []  # instructions of the fields that have begun
        self._contents = 0  # the number of these that have begun with one that makes contents

    def start(self, name: str, attributes: dict[str, str]) -> None:
        is_shown = not self._hiding and not self._contents
        self._hide(name, attributes)
        self._open.append(_Element(name, is_shown, hides=_makes_contents(name, attributes)))
        self._hiding += self._open[-1].hides
        if is_shown:
            self._text.start(name, attributes)

    def end(self, name: str) -> None:
        element = self._open.pop()
        self._hiding -= element.hides
        if element.is_shown:
            self._text.end(name)

    def text(self, text: str) -> None:
        if self._open[-1].name == "instrText" and self._fields:
            self._fields[-1] += text
        if not self._hiding and not self._contents:
            self._text.text(text)

    def _hide(self, name: str, attributes: Mapping[str, str]) -> None:
        """Take note of an element that says what is not shown."""
        value = attributes.get("val", "")
        if name == "vanish" and value not in _OFF:
            self._hide_around("r", "rPr")
        elif name == "pStyle" and _CONTENTS_STYLE.fullmatch(value):
            self._hide_around("p", "pPr")
        elif name == "docPartGallery" and value == "Table of Contents":
            self._hide_around("sdt", "sdtPr", "docPartObj")
        elif name == "fldChar":
            self._follow_field(attributes.get("fldCharType"))

    def _hide_around(self, *path: str) -> None:
        """Hide what the first element of a path holds, if the path ends in the innermost one."""
        inner = self._open[-len(path) :]
        if [each.name for each in inner] == [*path] and not inner[0].hides:
            inner[0].hides = True
            self._hiding += 1

    def _follow_field(self, what: str | None) -> None:
        if what == "begin":
            self._fields.append("")
        elif what == "separate" and self._fields and not self._contents:
            self._contents = len(self._fields) if _is_contents(self._fields[-1]) else 0
        elif what == "end" and self._fields:
            if self._contents == len(self._fields):
                self._contents = 0
            self._fields.pop()


def _makes_contents(name: str, attributes: Mapping[str, str]) -> bool:
    """Tell whether an element is a field in one piece whose result is a table of contents."""
    return name == "fldSimple" and _is_contents(attributes.get("instr", ""))


def _is_contents(instruction: str) -> bool:
    """Tell whether a field's instruction makes a table of contents."""
    return instruction.split()[:1] == ["TOC"]


def _is_separator(name: str, attributes: dict[str, str]) -> bool:
    """Tell whether an element is a note of Word's that only draws the line above the notes."""
    return name in ("footnote", "endnote") and attributes.get("type", "normal") != "normal"


def _read(parts: Parts, dialect: _Dialect, *names: str) -> Iterator[str]:
    """Read parts one after another, and then the notes within them."""
    notes = Lines()
    for part in names:
        lines = Lines()
        text = _Text(dialect, lines, notes)
        handler: Handler = _Shown(text) if dialect is _WORD else text
        for _ in parts.parse(part, handler):
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
