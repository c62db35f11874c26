"""Turn a file's bytes into text: decompress, decode and unify line ends, in bounded chunks.

Knows files and encodings, but not where files come from or what a document is.
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sunspring.errors import SourceError
from sunspring.text.options import ReadingOptions

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
        table: a key of `TABLES` (tables.py), if only `column` of it is read.
        format: what kind of document or conversation it is (formats.py); empty for plain text.
        is_book: a Project Gutenberg book, with a licence around the text.
        is_member: found in a folder or by a pattern, not named by the user.
        is_binary: a member that is not text and is skipped.
    """

    name: str
    path: Path | None
    status: os.stat_result | None
    table: str | None = None
    column: str = ""
    label: str | None = None
    format: str = ""
    is_book: bool = False
    is_member: bool = False
    is_binary: bool = False


def unreadable(name: str, error: OSError) -> SourceError:
    """Make the error for a file that cannot be read."""
    return SourceError(f"{name} cannot be read ({error.strerror or error}): check its permissions")


class _Counted(io.RawIOBase):
    """Reads another file, and reports the size of each read."""

    def __init__(self, file: io.BufferedIOBase, report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = self._file.readinto(buffer)
        self._report(size)
        return size


def read_chunks(file: File, size: int, report: Callable[[int], None]) -> Iterator[bytes]:
    """Read a file's bytes, decompressing gzip, and report the bytes read from the file itself."""
    try:
        with ExitStack() as stack:
            if file.path is None:
                opened = cast(io.BufferedIOBase, sys.stdin.buffer)
            else:
                opened = stack.enter_context(file.path.open("rb"))
            counted = io.BufferedReader(_Counted(opened, report), max(size, 2))
            is_packed = counted.peek(2)[:2] == b"\x1f\x8b"
            content = gzip.GzipFile(fileobj=counted) if is_packed else counted
            # the first chunk must be large enough for a byte order mark
            chunk = content.read(max(size, 4))
            while chunk:
                yield chunk
                chunk = content.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise SourceError(
            f"{file.name} is a damaged or truncated gzip file: create or download it again"
        ) from None
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
        chunks: its content; a byte order mark, if any, is whole in the first one.
        options: how to read it.
        as_bytes: keep bytes unchanged, as UTF-8 with Python's `surrogateescape`.

    Raises:
        SourceError: the file is binary, or not in that encoding.
    """
    head = next(chunks, b"")
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
