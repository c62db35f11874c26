"""The text of HTML, XHTML and Markdown: what a reader of the page sees of its body, as lines.

Scripts, styles, navigation and forms are left out. The HTML is read in a stream.
"""

from __future__ import annotations

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from html.parser import HTMLParser

from sunspring.errors import SourceError
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
_VOID = _tags("area base br col embed hr img input link meta param source track wbr")
_CELLS, _TABLES = _tags("td th"), _tags("table tr")
_DECLARED = re.compile(
    rb"""<meta\s[^>]*?charset\s*=\s*["']?\s*([\w.:-]+)|<\?xml\s[^>]*?encoding\s*=\s*["']([\w.:-]+)""",
    re.IGNORECASE,
)
_WHERE_DECLARED = 4096  # bytes at the beginning, generously: HTML says 1024
_LONGEST_TAG = 1 << 26  # characters of a tag, a comment or a script
_LARGEST_MARKDOWN = 1 << 25  # characters; it must be held in memory
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


class _Body(HTMLParser):
    """Adds the visible text of a page to lines."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines
        self._left_out: list[str] = []  # the elements open, from the one left out inwards
        self._preformatted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._left_out or tag in _LEFT_OUT:
            if tag not in _VOID:
                self._left_out.append(tag)
            return
        self._preformatted += tag == "pre"
        self._separate(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._left_out:
            self._separate(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._left_out:
            # an end that fits none of them is that of an element around them
            fits = tag in self._left_out
            while self._left_out and self._left_out.pop() != tag:
                pass
            if fits:
                return
        self._preformatted -= tag == "pre" and self._preformatted > 0
        if tag not in _CELLS:
            self._separate(tag)

    def handle_data(self, data: str) -> None:
        if self._left_out:
            return
        if self._preformatted:
            self._lines.add_as_it_is(data)
        else:
            self._lines.add(data)

    def _separate(self, tag: str) -> None:
        if tag in _CELLS:
            self._lines.cell()
        elif tag in _TABLES:
            self._lines.row()
        elif tag in _BLOCKS:
            self._lines.end()


def html_lines(name: str, text: Iterable[str]) -> Iterator[str]:
    """Read HTML or XHTML.

    Args:
        name: of the file, for messages.
        text: the page, in pieces.

    Yields:
        Lines, several at a time, each with its newline.

    Raises:
        SourceError: a tag, a comment or a script does not end.
    """
    lines = Lines()
    body = _Body(lines)
    for piece in text:
        body.feed(piece)
        if len(body.rawdata) > _LONGEST_TAG:
            raise SourceError(
                f"{name} has a tag, a comment or a script that does not end: mend it, or take "
                "--read-as text"
            )
        yield lines.take()
    body.close()
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
    return html_lines(content.file.name, whole.text(declared_encoding(head)))


def read_markdown(content: Content) -> Iterator[str]:
    """Read Markdown (CommonMark, with tables) as the page it makes, without its front matter.

    Raises:
        SourceError: it is too large to be held in memory.
    """
    from markdown_it import MarkdownIt

    pieces, size = [], 0
    for piece in content.text():
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST_MARKDOWN:
            raise SourceError(
                f"{content.file.name} has more than {_LARGEST_MARKDOWN:,} characters, too many "
                "for Markdown: cut it into several files, or take --read-as text"
            )
    text = _FRONT_MATTER.sub("", "".join(pieces), count=1) if pieces else ""
    page = MarkdownIt("commonmark").enable("table").render(text)
    return html_lines(content.file.name, [page])
