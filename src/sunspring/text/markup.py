"""The text of HTML and XHTML: what a reader of the page sees of its body, as lines.

Scripts, styles, navigation, forms, what is hidden, and the numbers of a book's notes are left out.
The HTML is read in a stream.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from sunspring.text.content import Content
from sunspring.text.paragraphs import Lines


def _tags(names: str) -> frozenset[str]:
    return frozenset(names.split())


_BLOCKS = _tags(
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset "
    "figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr legend li main ol option p "
    "pre section summary tbody tfoot thead ul"
)
_LEFT_OUT = _tags(
    "audio button canvas iframe nav noscript object rp rt script select style svg template "
    "textarea title video"
)
_NOTE_NUMBERS = _tags("noteref doc-noteref")
_HIDDEN_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden)\s*(?:!\s*important\s*)?(?:;|$)",
    re.IGNORECASE,
)
_CELLS, _TABLES = _tags("td th"), _tags("table tr")
_DECLARED = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
_WHERE_DECLARED = 4096  # bytes at the beginning, generously: HTML says 1024


class _Body:
    """Adds the visible text of a page to lines; hears its elements (a target of lxml's parser)."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._left_out = 0  # elements open, from the one left out inwards
        self._preformatted = 0

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._left_out or tag in _LEFT_OUT or _is_unseen(tag, attributes):
            self._left_out += 1
            return
        self._preformatted += tag == "pre"
        self._separate(tag)

    def end(self, tag: str) -> None:
        if self._left_out:
            self._left_out -= 1
            return
        self._preformatted -= tag == "pre"
        if tag not in _CELLS:
            self._separate(tag)

    def data(self, text: str) -> None:
        if self._left_out:
            return
        if self._preformatted:
            self._lines.add_as_it_is(text)
        else:
            self._lines.add(text)

    def close(self) -> None:
        pass

    def _separate(self, tag: str) -> None:
        if tag in _CELLS:
            self._lines.cell()
        elif tag in _TABLES:
            self._lines.row()
        elif tag in _BLOCKS:
            self._lines.end()


def _is_unseen(tag: str, attributes: Mapping[str, str]) -> bool:
    """Tell whether an element is hidden, an icon, or the number of a note, as books mark it."""
    kinds = f"{attributes.get('epub:type', '')} {attributes.get('role', '')}".split()
    is_icon = tag == "i" and attributes.get("aria-hidden") == "true"
    is_hidden = "hidden" in attributes or _HIDDEN_STYLE.search(attributes.get("style", ""))
    return is_icon or bool(is_hidden) or not _NOTE_NUMBERS.isdisjoint(kinds)


def html_lines(text: Iterable[str]) -> Iterator[str]:
    """Read HTML or XHTML, given in pieces.

    Yields:
        Lines, several at a time, each with its newline.
    """
    from lxml import etree

    lines = Lines()
    parser = etree.HTMLParser(target=_Body(lines), huge_tree=True, encoding="utf-8")
    for piece in text:
        parser.feed(piece.encode("utf-8", "replace"))
        yield lines.take()
    with suppress(etree.XMLSyntaxError):  # an empty page
        parser.close()
    yield lines.rest()


def declared_encoding(head: bytes) -> str | None:
    """Find the encoding that a page declares in its first bytes, if Python knows it."""
    found = _DECLARED.search(head[:_WHERE_DECLARED])
    if not found:
        return None
    try:
        return codecs.lookup((found[1] or found[2]).decode()).name
    except LookupError:
        return None


def read_html(content: Content) -> Iterator[str]:
    """Read a page in the encoding that it declares, unless the user gives one; see `html_lines`."""
    head = next(content.chunks, b"")
    whole = replace(content, chunks=itertools.chain([head], content.chunks))
    return html_lines(whole.text(declared_encoding(head) or "utf-8"))
