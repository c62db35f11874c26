"""Turn a file's bytes into text: unpack, decode and unify line ends, in bounded chunks.

Knows files and encodings, but not where files come from or what a document is.
"""

from __future__ import annotations

import codecs
import io
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sunspring.errors import SourceError
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import Archives, may_begin, unpacked, unreadable

_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)
_UTF8_CHARACTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)  # of several bytes
_NOT_CP1252 = {0x81, 0x8D, 0x8F, 0x90, 0x9D}


@dataclass(frozen=True)
class File:
    """One file to read.

    Args:
        name: the name shown in messages.
        path: None for standard input.
        status: None for a stream, which has no size and can be read only once.
        member: its path in the archive at `path`, if it is in one.
        member_size: its size there, unpacked.
        table: a key of `TABLES` (tables.py), if only `column` of it is read.
        format: what kind of document or conversation it is (formats.py); empty for plain text.
        is_book: a Project Gutenberg book, with a licence around the text.
        is_member: found in a folder or by a pattern, not named by the user.
        is_binary: a member that is not text and is skipped.
    """

    name: str
    path: Path | None
    status: os.stat_result | None
    member: str | None = None
    member_size: int = 0
    table: str | None = None
    column: str = ""
    label: str | None = None
    format: str = ""
    is_book: bool = False
    is_member: bool = False
    is_binary: bool = False

    @property
    def size(self) -> int | None:
        """Bytes to read, if known."""
        if self.member is not None:
            return self.member_size
        return None if self.status is None else self.status.st_size


def read_chunks(
    file: File, archives: Archives, size: int, report: Callable[[int], None]
) -> Iterator[bytes]:
    """Read a file's bytes as they arrive, unpacked, and report the bytes read from the file itself.

    Args:
        file: what to read.
        archives: opens it if it is a member of an archive.
        size: most bytes to read at a time.
        report: called with the size of each read; for a member, unpacked from its archive.

    Raises:
        SourceError: it cannot be read, or is damaged.
    """
    try:
        with ExitStack() as stack:
            if file.path is None:
                opened: IO[bytes] = sys.stdin.buffer
            elif file.member is None:
                opened = stack.enter_context(file.path.open("rb"))
            else:
                opened = stack.enter_context(archives.open(file.name, file.path, file.member))
            yield from unpacked(file.name, opened, size, report)
    except OSError as error:
        raise unreadable(file.name, error) from None


def _encoding(head: bytes, options: ReadingOptions) -> tuple[str, int]:
    """Find a file's encoding from its first bytes, and the size of its byte order mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return codecs.lookup(options.encoding or "utf-8").name, 0


def is_text(head: bytes, options: ReadingOptions) -> bool:
    """Tell from a file's first bytes whether it may be text."""
    return _is_wide(_encoding(head, options)[0]) or b"\0" not in head


def _is_wide(encoding: str) -> bool:
    """Tell whether text in this encoding may contain zero bytes."""
    return encoding.startswith(("utf-16", "utf-32"))


def decode(
    file: File, chunks: Iterator[bytes], options: ReadingOptions, *, as_bytes: bool
) -> Iterator[str]:
    """Turn bytes into text, with line ends as the options ask.

    Args:
        file: named in error messages.
        chunks: its content.
        options: how to read it.
        as_bytes: keep bytes unchanged, as UTF-8 with Python's `surrogateescape`.

    Raises:
        SourceError: the file is binary, or not in that encoding.
    """
    head = next(chunks, b"")
    while may_begin(head, dict(_BYTE_ORDER_MARKS)) and (more := next(chunks, b"")):
        head += more
    encoding, offset = ("utf-8", 0) if as_bytes else _encoding(head, options)
    errors = "surrogateescape" if as_bytes else options.errors
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    # line ends of every kind separate documents
    cuts_lines = options.documents == "lines" and not file.table
    translates = not as_bytes and (cuts_lines or not options.keep_newlines)
    whole = ((chunk, False) for chunk in itertools.chain([head[offset:]], chunks))
    for chunk, final in itertools.chain(whole, [(b"", True)]):
        if not as_bytes and not _is_wide(encoding) and b"\0" in chunk:
            raise _binary(file.name, chunk, offset)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final)
        except UnicodeError as error:
            at = offset - pending + getattr(error, "start", 0)
            likely = _likely_encoding(chunk + next(chunks, b""))
            raise SourceError(
                f"{file.name} is not valid {encoding} at byte {at}: give its encoding, as in "
                f"--encoding {likely}, or use --errors replace"
            ) from None
        offset += len(chunk)
        yield newlines.decode(text, final) if translates else text


def _likely_encoding(content: bytes) -> str:
    """Guess the encoding of text that is not UTF-8: Windows' own, or Latin-1."""
    strays = _UTF8_CHARACTER.sub(b"", content)
    # control characters in Latin-1, and quotes and dashes in cp1252, which lacks five of them
    is_windows = any(0x80 <= byte <= 0x9F for byte in strays)
    return "cp1252" if is_windows and not _NOT_CP1252 & {*strays} else "latin-1"


def _binary(name: str, chunk: bytes, offset: int) -> SourceError:
    """Make the error for a binary file: which byte shows it, and whether it looks like UTF-16."""
    at = offset + chunk.index(0)
    even, odd = (chunk[(offset + parity) % 2 :: 2].count(0) for parity in (0, 1))
    advice = "give a text file, or use --tokens bytes"
    if min(even, odd) == 0 and max(even, odd) * 8 > len(chunk):
        advice = f"try --encoding utf-16-{'le' if odd else 'be'}, or --tokens bytes"
    return SourceError(f"{name} is binary, with a zero byte at {at}: {advice}")


def cut_lines(text: Iterable[str]) -> Iterator[list[str]]:
    """Cut text that comes in pieces into lines, each with its newline but perhaps the last.

    Lines that a piece completes come together, as soon as it has come.
    """
    begun: list[str] = []
    for piece in text:
        first, *more = piece.split("\n")
        begun.append(first)
        if more:
            *others, rest = more
            yield ["".join((*begun, "\n")), *(f"{line}\n" for line in others)]
            begun = [rest]
    if last := "".join(begun):
        yield [last]
