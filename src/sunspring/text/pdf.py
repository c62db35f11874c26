"""The text of PDF files: their printed lines, put together again into paragraphs.

A PDF knows only where characters stand on pages. Paragraphs are guessed from that, and so is what
belongs to the page rather than to the text, which is counted and said.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from statistics import median
from typing import TYPE_CHECKING, Any

from sunspring.errors import SourceError
from sunspring.notices import counted
from sunspring.text.content import Content
from sunspring.text.packing import encrypted
from sunspring.text.paragraphs import resolved

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage

_HYPHEN = "\x02"  # PDFium's sign for a hyphen at the end of a line
_LINE = re.compile(rf"[^\r\n{_HYPHEN}]+{_HYPHEN}?")
_NUMBER = re.compile(r"[0-9]+")
_NEAR = 2  # pages: left and right ones may differ
_MOST_RUNNING = 2  # lines at the top of a page, and as many at its bottom
_INDENTED = 0.5  # of a line's height
_APART = 1.4  # times the usual distance between lines
_LARGER = 1.15  # times the height of another line: a heading
_SPACE = 0.25  # of a line's height: between words
_FEWEST_FULL, _LEAST_FULL = 2, 0.25  # lines of a page without room, if it is prose and not verse
_WRONG_PASSWORD = 4  # FPDF_ERR_PASSWORD


@dataclass(frozen=True)
class _Line:
    """A line as it is printed; lengths are in points, and heights count from below.

    Args:
        text: what it says; `_HYPHEN` ends it if a word was divided there.
        left: where it begins.
        right: where it ends.
        base: how high it stands.
        height: of its tallest character.
        first_word: the width of its first word.
    """

    text: str
    left: float
    right: float
    base: float
    height: float
    first_word: float


def read_pdf(content: Content) -> Iterator[str]:
    """Read a PDF page after page.

    Running titles and page numbers are left out: a first or last line that stands on a page nearby
    again, with the same words and with numbers that have moved on by as many pages, or not at all.

    Yields:
        Lines, several at a time, each with its newline; most are whole paragraphs.

    Raises:
        SourceError: it has a password, is damaged, or has no text but only pictures.
    """
    import pypdfium2

    name = content.file.name
    with content.spooled() as file:
        try:
            document = pypdfium2.PdfDocument(file)
        except pypdfium2.PdfiumError as error:
            if error.err_code == _WRONG_PASSWORD:
                raise encrypted(name) from None
            raise SourceError(
                f"{name} is damaged, or no PDF: open it in a viewer, and print it into a new PDF"
            ) from None
        try:
            yield from _read(document, content)
        except pypdfium2.PdfiumError as error:
            raise SourceError(
                f"{name} is damaged ({error}): open it in a viewer, and print it into a new PDF"
            ) from None
        finally:
            document.close()


def _read(document: PdfDocument, content: Content) -> Iterator[str]:
    name = content.file.name
    paragraphs = _Paragraphs()
    left_out = 0
    for window in _windows(map(_lines, document)):
        page = window[_NEAR]
        top, bottom = _running(window, from_top=True), _running(window, from_top=False)
        left_out += top + bottom
        yield paragraphs.add(page[top : len(page) - bottom])
    yield paragraphs.rest()
    if left_out:
        lines = counted(left_out, "line")
        content.notify(f"{name}: left out {lines} of running titles and page numbers")
    if paragraphs.found:
        return
    fault = (
        f"{name} has no text, only pictures of pages: make a PDF with text from it, for example "
        "with ocrmypdf"
    )
    if not content.file.is_member:
        raise SourceError(fault)
    content.notify(f"skipped: {fault}")


def _lines(page: PdfPage) -> list[_Line]:
    """Find the printed lines of a page, in the order in which the page writes them."""
    from pypdfium2 import raw

    characters: Any = page.get_textpage()
    text = "".join(
        chr(raw.FPDFText_GetUnicode(characters, index)) for index in range(characters.count_chars())
    )
    lines = []
    for found in _LINE.finditer(text):
        printed = found[0].strip()
        if not printed.strip(_HYPHEN):
            continue
        first = found.start() + found[0].index(printed)
        last = first + len(printed.rstrip(_HYPHEN)) - 1
        first_word_end = first + len(printed.rstrip(_HYPHEN).split()[0]) - 1
        left, base, _, top = characters.get_charbox(first, loose=True)
        right = characters.get_charbox(last, loose=True)[2]
        first_word = characters.get_charbox(first_word_end, loose=True)[2] - left
        lines.append(_Line(_valid(printed), left, right, base, top - base, first_word))
    characters.close()
    page.close()
    return lines


def _valid(text: str) -> str:
    """Join the halves of characters that PDFium gives in UTF-16, and drop those without meaning."""
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "")


def _windows(pages: Iterable[list[_Line]]) -> Iterator[Sequence[list[_Line]]]:
    """Yield each page between those near it; beyond the ends of the book, pages are empty."""
    beyond: list[list[_Line]] = [[]] * _NEAR
    window: deque[list[_Line]] = deque(maxlen=2 * _NEAR + 1)
    for page in chain(beyond, pages, beyond):
        window.append(page)
        if len(window) == window.maxlen:
            yield window


def _running(window: Sequence[list[_Line]], *, from_top: bool) -> int:
    """Count the lines at one edge of the middle page that run through the pages near it."""
    page = window[_NEAR]
    near = [(at - _NEAR, other) for at, other in enumerate(window) if at != _NEAR]
    for count in range(_MOST_RUNNING):
        place = count if from_top else -1 - count
        if not any(
            min(len(page), len(other)) > 2 * _MOST_RUNNING
            and _runs_on(page[place].text, other[place].text, distance)
            for distance, other in near
        ):
            return count
    return _MOST_RUNNING


def _runs_on(line: str, other: str, distance: int) -> bool:
    """Tell whether a line stands again on a page some pages away, with numbers moved on."""
    if _NUMBER.sub("#", line) != _NUMBER.sub("#", other):
        return False
    numbers = zip(_NUMBER.findall(line), _NUMBER.findall(other), strict=True)
    return all(int(there) - int(here) in (0, distance) for here, there in numbers)


class _Paragraphs:
    """Puts printed lines together into paragraphs, also across pages."""

    def __init__(self) -> None:
        self.found = False
        self._text = ""
        self._last: _Line | None = None
        self._margin: float | None = None  # of the last line; None if its page is no prose

    def add(self, page: Sequence[_Line]) -> str:
        """Add the lines of a page, and return the paragraphs that end before or in it."""
        margins = _margins(page)
        pairs = [*zip(pairwise(page), margins[:-1], strict=True)] if page else []
        full = sum(not _has_room(last, line, margin) for (last, line), margin in pairs)
        is_prose = full >= max(_FEWEST_FULL, _LEAST_FULL * len(pairs))
        usual = median([abs(last.base - line.base) for (last, line), _ in pairs] or [0.0])
        ended = []
        for line, margin in zip(page, margins, strict=True):
            self.found = True
            if self._last and self._begins(line, self._last, usual):
                ended.append(self.rest())
            self._text = _joined(self._text, line.text)
            self._last, self._margin = line, margin if is_prose else None
        return "".join(ended)

    def rest(self) -> str:
        """End the paragraph, and return it."""
        text, self._text = resolved(self._text.replace(_HYPHEN, "-")), ""
        return f"{text}\n" if text else ""

    def _begins(self, line: _Line, last: _Line, usual: float) -> bool:
        """Tell whether a line begins a paragraph, rather than continuing that of the last one.

        It does if its first word would still have fitted into the last line; if it is indented, far
        below it, or of another size; and everywhere in verse.
        """
        if last.text.endswith(_HYPHEN):
            return False
        large, small = max(line.height, last.height), min(line.height, last.height)
        return (
            self._margin is None
            or _has_room(last, line, self._margin)
            or (line.base < last.base and line.left > last.left + _INDENTED * line.height)
            or last.base - line.base > _APART * usual
            or large > _LARGER * small
        )


def _margins(page: Sequence[_Line]) -> list[float]:
    """Find how far to the right each line of a page could have gone: as far as the farthest one.

    Lines that begin only to the right of it are in another column.
    """
    by_left = sorted(page, key=lambda line: line.left)
    farthest = [*accumulate((line.right for line in by_left), max)]
    lefts = [line.left for line in by_left]
    return [farthest[bisect_right(lefts, line.right) - 1] for line in page]


def _has_room(last: _Line, line: _Line, margin: float) -> bool:
    """Tell whether the first word of a line would have fitted into the one before it."""
    return last.right + _SPACE * last.height + line.first_word <= margin


def _joined(text: str, line: str) -> str:
    """Continue a text with its next line; a divided word becomes whole."""
    if text.endswith(_HYPHEN):
        is_divided = text[-2:-1].islower() and line[:1].islower()
        return text[:-1] + ("" if is_divided else "-") + line
    return f"{text} {line}" if text and not text.endswith("-") else text + line
