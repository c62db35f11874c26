"""The text of electronic books (`.epub`), chapter after chapter in their reading order."""

from __future__ import annotations

import codecs
import posixpath
from collections.abc import Iterator
from urllib.parse import unquote

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.markup import declared_encoding, html_lines
from sunspring.text.packing import damaged, encrypted
from sunspring.text.zipped import Parts, opened

_PAGES = ("application/xhtml+xml", "text/html")
_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"


class _Package:
    """What a book says of its parts; hears elements (`zipped.Handler`)."""

    def __init__(self) -> None:
        self.packages: list[str] = []  # where books are described
        self.encrypted: set[str] = set()
        self._pages: dict[str, str] = {}
        self._order: list[str] = []

    @property
    def chapters(self) -> list[str]:
        """Where the chapters are, in reading order, as seen from the description."""
        return [self._pages[each] for each in self._order if each in self._pages]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "rootfile":
            self.packages.append(attributes.get("full-path", ""))
        elif name == "CipherReference":
            self.encrypted.add(unquote(attributes.get("URI", "")))
        elif name == "item" and attributes.get("media-type") in _PAGES:
            if "nav" not in attributes.get("properties", "").split():
                self._pages[attributes.get("id", "")] = unquote(attributes.get("href", ""))
        elif name == "itemref" and attributes.get("linear") != "no":
            self._order.append(attributes.get("idref", ""))

    def end(self, name: str) -> None:
        pass

    def text(self, text: str) -> None:
        pass


def read_epub(content: Content) -> Iterator[str]:
    """Read a book.

    Yields:
        Lines, several at a time, each with its newline.

    Raises:
        SourceError: it is encrypted (by its shop), damaged, or not decodable.
    """
    with opened(content, "epub") as parts:
        package = _Package()
        if _ENCRYPTION in parts:
            _hear(parts, _ENCRYPTION, package)
        _hear(parts, _CONTAINER, package)
        if not package.packages:
            raise damaged(parts.name, "epub", "it does not say where its book is")
        described = package.packages[0]
        _hear(parts, described, package)
        for chapter in package.chapters:
            part = posixpath.normpath(posixpath.join(posixpath.dirname(described), chapter))
            if part in package.encrypted:
                raise encrypted(parts.name)
            yield from html_lines(_decoded(parts, part))


def _hear(parts: Parts, part: str, package: _Package) -> None:
    for _ in parts.parse(part, package):
        pass


def _decoded(parts: Parts, part: str) -> Iterator[str]:
    """Decode a chapter, which is in UTF-8 unless it says otherwise."""
    chunks = parts.read(part)
    head = next(chunks, b"")
    is_wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = "utf-16" if is_wide else declared_encoding(head) or "utf-8"
    if encoding == "utf-8":
        encoding = "utf-8-sig"  # which skips a byte order mark
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        yield decoder.decode(head)
        yield from map(decoder.decode, chunks)
        yield decoder.decode(b"", True)
    except UnicodeError:
        raise SourceError(
            f"{parts.name} has a chapter, {part}, which is not valid {encoding}: convert the book, "
            "for example with Calibre"
        ) from None
