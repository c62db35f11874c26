"""Documents that are zip files of XML: opened under limits, and parsed in a stream.

Knows neither what the parts are called nor what the elements mean.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol
from xml.parsers import expat

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.packing import Members, check_size, damaged, members_of_zip, naming

_CHUNK = 1 << 16
_LARGEST = 1 << 30  # bytes of all parts read, since notes are kept in memory
_OLE = b"\xd0\xcf\x11\xe0"  # how Office wraps encrypted documents, and wrote all of them until 2007


class Handler(Protocol):
    """What hears of the elements of XML; names are local, without their namespace."""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Hear that an element begins."""

    def end(self, name: str) -> None:
        """Hear that an element ends."""

    def text(self, text: str) -> None:
        """Hear the text between; it may come in pieces."""


class Parts:
    """The parts of a document that is a zip file.

    Args:
        name: of the document, for messages.
        members: of the zip file.
        size: of the zip file.
    """

    def __init__(self, name: str, members: Members, size: int) -> None:
        self.name = name
        self._members = members
        self._packed = size
        self._unpacked = 0

    def __contains__(self, part: str) -> bool:
        return part in self._members

    def read(self, part: str) -> Iterator[bytes]:
        """Read a part, in pieces.

        Raises:
            SourceError: the parts read so far are too large.
        """
        member = self._members[part]
        self._unpacked += member.size
        check_size(self.name, self._packed, self._unpacked, _LARGEST)
        with member.open() as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def parse(self, part: str, handler: Handler) -> Iterator[None]:
        """Parse a part, and yield after each piece of it."""
        return _parse(self.read(part), handler)


@contextmanager
def opened(content: Content, kind: str) -> Iterator[Parts]:
    """Open a document that is a zip file.

    Args:
        content: the document.
        kind: its ending, for messages.

    Raises:
        SourceError: the document is encrypted or damaged, also if that shows only later.
    """
    name = content.file.name
    with content.spooled() as file:
        if file.read(len(_OLE)) == _OLE:
            raise SourceError(
                f"{name} has a password or is an old Word document: open it in your word "
                f"processor, and save it as .{kind} without a password"
            )
        try:
            with naming(name, kind), zipfile.ZipFile(file) as archive:
                yield Parts(name, dict(members_of_zip(name, archive)), file.seek(0, os.SEEK_END))
        except expat.ExpatError as error:
            raise damaged(name, kind, f"XML: {error}") from None
        except KeyError as error:
            raise damaged(name, kind, f"it lacks {error.args[0]}") from None


def _parse(chunks: Iterable[bytes], handler: Handler) -> Iterator[None]:
    """Parse XML; entities of its own, which could grow without end, are a fault."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True

    def refuse(*_: object) -> None:
        raise expat.ExpatError("it declares entities")

    def start(name: str, attributes: dict[str, str]) -> None:
        local = {key.rpartition(" ")[2]: value for key, value in attributes.items()}
        handler.start(name.rpartition(" ")[2], local)

    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: handler.end(name.rpartition(" ")[2])
    parser.CharacterDataHandler = handler.text
    for chunk in chunks:
        parser.Parse(chunk, False)
        yield
    parser.Parse(b"", True)
    yield
