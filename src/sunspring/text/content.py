"""The content of one file, as the readers of documents and conversations take it: bytes or text.

Knows nothing of any format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import IO

from sunspring.notices import Notify
from sunspring.text.decoding import File, cut_lines, decode
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import spooled


@dataclass(frozen=True)
class Content:
    """A file that is being read; its content can be taken once.

    Args:
        file: named in messages.
        chunks: its bytes, already decompressed.
        options: how to read it.
        as_bytes: keep bytes that are not valid UTF-8, instead of refusing them.
        notify: called with a message about what is left out.
    """

    file: File
    chunks: Iterator[bytes]
    options: ReadingOptions
    as_bytes: bool
    notify: Notify

    def text(self, declared: str | None = None) -> Iterator[str]:
        """Decode the content.

        Args:
            declared: the encoding that the content declares or its format sets, in which it must
                be valid; one that the user gives goes before it.
        """
        encoding = self.options.encoding or declared
        options = replace(self.options, encoding=encoding, keep_newlines=False)
        return decode(self.file, self.chunks, options, as_bytes=self.as_bytes and encoding is None)

    def lines(self) -> Iterator[str]:
        """Decode the content and cut it into lines, without their ends."""
        for lines in cut_lines(self.text()):
            yield from (line.removesuffix("\n").removesuffix("\r") for line in lines)

    def spooled(self) -> AbstractContextManager[IO[bytes]]:
        """Make the content a file in which one can seek, removed afterwards."""
        return spooled(self.file.name, self.chunks)
