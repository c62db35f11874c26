"""Documents that are zip files of XML: opened under limits, and parsed in a stream.

Knows neither what the parts are called nor what the elements mean.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol
from xml.parsers import expat

from sunspring.errors import SourceError
from sunspring.text.content import Content

_CHUNK = 1 << 16
_LARGEST = 1 << 28  # bytes of all parts read: fifty times War and Peace with its markup
_FAULTS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError)
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
        archive: the zip file.
    """

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self.name = name
        self._archive = archive
        self._size = 0

    def __contains__(self, part: str) -> bool:
        return part in self._archive.NameToInfo

    def read(self, part: str) -> Iterator[bytes]:
        """Read a part, in pieces.

        Raises:
            SourceError: it is encrypted, or the parts read so far are too large.
        """
        if self._archive.getinfo(part).flag_bits & 1:
            raise encrypted(self.name)
        with self._archive.open(part) as file:
            while chunk := file.read(_CHUNK):
                self._size += len(chunk)
                if self._size > _LARGEST:
                    raise SourceError(
                        f"{self.name} unpacks to more than {_LARGEST >> 20} MiB: save its text as "
                        "a .txt file, if it really is so long"
                    )
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
            with zipfile.ZipFile(file) as archive:
                yield Parts(name, archive)
        except expat.ExpatError as error:
            raise damaged(name, kind, f"XML: {error}") from None
        except KeyError as error:
            raise damaged(name, kind, str(error.args[0])) from None
        except _FAULTS as error:
            raise damaged(name, kind, str(error)) from None


def damaged(name: str, kind: str, reason: str) -> SourceError:
    """Make the error for a document that cannot be read."""
    return SourceError(
        f"{name} is damaged, or no .{kind} document ({reason}): open and save it again"
    )


def encrypted(name: str) -> SourceError:
    """Make the error for a document that needs a password or a key."""
    return SourceError(f"{name} is encrypted: save it without a password or copy protection")


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
