"""Unpack files: gzip, bzip2, xz and Zstandard streams, and the members of zip and tar archives.

Members are read where they are; their paths never name anything on disk. What is unpacked is
counted against limits, so that a small file cannot fill the disk or the memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from sunspring.errors import MissingExtraError, SourceError
from sunspring.storage import cache_folder, caching, existing_part

PACKED = r"\.(?:gz|bz2|xz|zst)"
"""A pattern of the endings of packed files; what is packed is known by its content."""

_MOST_MEMBERS = 100_000
_MOST_BYTES = 1 << 36
_HIGHEST_RATIO = 200  # that of text is 3 to 20
_RATIO_FROM = 1 << 26  # bytes: what unpacks to less is harmless
_CHUNK = 1 << 20
_IN_MEMORY = 1 << 24  # bytes of a file in which one must seek; what is larger is spooled to disk
_ARCHIVE = re.compile(rf"\.(?:zip|tar(?:{PACKED})?|tgz|tbz2?|txz|tzst)$", re.I)
_DAMAGE = (EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError)


def unreadable(name: str, error: OSError) -> SourceError:
    """Make the error for a file that cannot be read."""
    return SourceError(f"{name} cannot be read ({error.strerror or error}): check its permissions")


def damaged(name: str, kind: str, reason: str = "") -> SourceError:
    """Make the error for a file of some kind that cannot be unpacked, or is none."""
    because = f" ({reason})" if reason else ""
    return SourceError(
        f"{name} is a damaged or truncated {kind} file{because}: create or download it again"
    )


def encrypted(name: str) -> SourceError:
    """Make the error for a file that needs a password or a key."""
    return SourceError(f"{name} is encrypted: give a copy without a password or copy protection")


def check_size(name: str, packed: int, unpacked: int, most: int = _MOST_BYTES) -> None:
    """Check that a packed file does not unpack to more than a text would.

    Args:
        name: the file's name.
        packed: bytes read of it.
        unpacked: bytes that they hold.
        most: bytes that they may hold.

    Raises:
        SourceError: it unpacks to too many bytes, or to too many for its size.
    """
    if unpacked > _RATIO_FROM and unpacked > _HIGHEST_RATIO * packed:
        raise SourceError(
            f"{name} unpacks to more than {_HIGHEST_RATIO} times its size, which no text does: if "
            "you trust it, give its text as plain files"
        )
    if unpacked > most:
        raise SourceError(
            f"{name} unpacks to more than {most >> 30} GB: give its text as plain files"
        )


class _Zstandard:
    """Reads a Zstandard stream; what is damaged raises an error of the standard library."""

    def __init__(self, file: Any) -> None:
        try:
            if sys.version_info >= (3, 14):
                from compression.zstd import ZstdError, ZstdFile
            else:
                from backports.zstd import ZstdError, ZstdFile
        except ModuleNotFoundError:
            raise MissingExtraError("unpacking .zst files", "documents") from None
        self._file = ZstdFile(file)
        self._error = ZstdError

    def read1(self, size: int) -> bytes:
        try:
            return self._file.read1(size)
        except self._error as error:
            raise EOFError(error) from None


_Unpack = Callable[[Any], Any]
_STREAMS: Mapping[bytes, tuple[str, _Unpack]] = {
    b"\x1f\x8b": ("gzip", lambda file: gzip.GzipFile(fileobj=file)),
    # "BZh" alone may begin a text
    **{
        b"BZh%d%b" % (level, begin): ("bzip2", bz2.BZ2File)
        for level in range(1, 10)
        for begin in (b"1AY&SY", b"\x17rE8P\x90")
    },
    b"\xfd7zXZ\0": ("xz", lzma.LZMAFile),
    b"(\xb5/\xfd": ("Zstandard", _Zstandard),
}
"""The first bytes of packed streams: what they are called, and what unpacks them."""


class _Counted(io.RawIOBase):
    """Reads another file as its content arrives, and reports the size of each read."""

    def __init__(self, file: Any, report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report
        self._head = b""  # read, but not given out yet
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        if not self._head:
            return self._read_into(buffer)
        given = self._head[: len(buffer)]
        buffer[: len(given)] = given
        self._head = self._head[len(given) :]
        return len(given)

    def _read_into(self, buffer: Any) -> int:
        size: int = self._file.readinto1(buffer)
        self.size += size
        self._report(size)
        return size

    def mark(self, size: int) -> bytes | None:
        """Return the key of `_STREAMS` that the content begins with; it can still be read."""
        buffer = bytearray(size)
        while may_begin(self._head, _STREAMS) and (size := self._read_into(buffer)):
            self._head += buffer[:size]
        return next((mark for mark in _STREAMS if self._head.startswith(mark)), None)


def may_begin(head: bytes, marks: Iterable[bytes]) -> bool:
    """Return whether some bytes are the beginning of a mark, but not yet all of one."""
    return any(len(head) < len(mark) and mark.startswith(head) for mark in marks)


def unpacked(
    name: str, file: IO[bytes], size: int, report: Callable[[int], None]
) -> Iterator[bytes]:
    """Read a file as it arrives, unpacked if it is gzip, bzip2, xz or Zstandard.

    Args:
        name: the file's name.
        file: open for reading.
        size: most bytes to read at a time.
        report: called with the size of each read of the file itself.

    Raises:
        SourceError: it is damaged, cannot be read, or unpacks to too much.
        MissingExtraError: it is Zstandard, which needs an extra.
    """
    counted = _Counted(file, report)
    mark = counted.mark(size)
    stream: Any = io.BufferedReader(counted, max(size, 2))
    kind, unpack = ("", None) if mark is None else _STREAMS[mark]
    total = 0
    with naming(name, kind):
        stream = unpack(stream) if unpack else stream
        while chunk := stream.read1(size):
            total += len(chunk)
            if unpack:
                check_size(name, counted.size, total)
            yield chunk


@contextmanager
def naming(name: str, kind: str) -> Iterator[None]:
    """Turn errors of unpacking into messages that name the file.

    Raises:
        SourceError: instead; what the system cannot read is told apart from what is damaged.
    """
    try:
        yield
    except NotImplementedError as error:
        raise SourceError(f"{name} cannot be unpacked ({error}): unpack it yourself") from None
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(name, error) from None
        raise damaged(name, kind) from None


@contextmanager
def spooled(name: str, chunks: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """Make content that arrives a file in which one can seek, removed afterwards.

    Raises:
        SourceError: it is too large for the memory, and the disk has no room for it.
    """
    folder = existing_part(cache_folder())
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder)) as file:
        with caching(name, folder):
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
        yield file


@dataclass(frozen=True)
class Member:
    """A file in an archive.

    Args:
        size: its bytes, unpacked.
        open: opens it.
    """

    size: int
    open: Callable[[], IO[bytes]]


Members = Mapping[str, Member]
"""Members of an archive by their paths in it, sorted."""


class Archives:
    """Archives that are read; the latest stays open, as its members are read one after another."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._members: Members = {}
        self._open = ExitStack()

    def __enter__(self) -> Archives:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def members(self, name: str, path: Path) -> Members:
        """Find the files in an archive that are not hidden.

        Args:
            name: the archive's name, for messages.
            path: where it is.

        Raises:
            SourceError: it is damaged, encrypted, or unpacks to too much.
        """
        if path != self._path:
            self._open.close()
            self._open, self._path = ExitStack(), None
            open_members = _open_zip if _is_zip(path) else _open_tar
            with naming(name, _kind(path)):
                found = dict(_visible(open_members(name, path, self._open)))
                packed = path.stat().st_size
            check_size(name, packed, sum(each.size for each in found.values()))
            self._path, self._members = path, dict(sorted(found.items()))
        return self._members

    @contextmanager
    def open(self, name: str, path: Path, member: str) -> Iterator[IO[bytes]]:
        """Open a member of an archive; `name` is the member's, for messages.

        Raises:
            SourceError: it is damaged, or no longer there.
        """
        found = self.members(str(path), path).get(member)
        if found is None:
            raise SourceError(f"{name} is no longer in the archive: put it back")
        with naming(name, _kind(path)), found.open() as file:
            yield file


def stem_of_archive(name: str) -> str | None:
    """Return an archive's file name without its ending, or None if the ending is of no archive."""
    match = _ARCHIVE.search(name)
    return name[: match.start()] if match else None


def is_archive(path: Path) -> bool:
    """Return whether a file has both the ending of an archive and its beginning.

    Raises:
        SourceError: it cannot be read, or is packed and damaged.
    """
    if stem_of_archive(path.name) is None:
        return False
    mark, at = (b"PK", 0) if _is_zip(path) else (b"ustar", 257)
    head = b""
    with naming(str(path), _kind(path)), path.open("rb") as file:
        chunks = unpacked(str(path), file, 1 << 13, lambda size: None)
        while len(head) < at + len(mark) and (chunk := next(chunks, b"")):
            head += chunk
    return head.startswith(mark, at)


def _is_zip(path: Path) -> bool:
    return path.suffix.lower() == ".zip"


def _kind(path: Path) -> str:
    return "zip" if _is_zip(path) else "tar"


def _visible(members: Iterator[tuple[str, Member]]) -> Iterator[tuple[str, Member]]:
    """Leave out what is hidden, what macOS adds, and what would lie outside the archive."""
    for name, member in members:
        parts = PurePosixPath(name.lstrip("/")).parts
        if parts and not any(part.startswith(".") or part == "__MACOSX" for part in parts):
            yield "/".join(parts), member


def members_of_zip(name: str, archive: zipfile.ZipFile) -> Iterator[tuple[str, Member]]:
    """Find the files in a zip archive, each with its path in it.

    Args:
        name: the archive's name, for messages.
        archive: stays open as long as its members are read.

    Raises:
        SourceError: there are too many, or one is encrypted.
    """
    _check_count(name, len(archive.infolist()))
    for each in archive.infolist():
        if each.flag_bits & 1:
            raise encrypted(name)
        if not each.is_dir():
            yield each.filename, Member(each.file_size, partial(archive.open, each))


def _open_zip(name: str, path: Path, stack: ExitStack) -> Iterator[tuple[str, Member]]:
    return members_of_zip(name, stack.enter_context(zipfile.ZipFile(path)))


def _open_tar(name: str, path: Path, stack: ExitStack) -> Iterator[tuple[str, Member]]:
    """Open a tar archive; a packed one is unpacked whole, as its members are read in any order."""
    file: IO[bytes] = stack.enter_context(path.open("rb"))
    if path.suffix.lower() != ".tar":
        file = stack.enter_context(spooled(name, unpacked(name, file, _CHUNK, lambda size: None)))
    archive = stack.enter_context(tarfile.open(fileobj=file, mode="r:"))  # noqa: SIM115
    for count, each in enumerate(archive, start=1):
        _check_count(name, count)
        if each.isreg():
            yield each.name, Member(each.size, partial(_open_in_tar, archive, each))


def _open_in_tar(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    return cast(IO[bytes], archive.extractfile(member))  # None only for what is no file


def _check_count(name: str, count: int) -> None:
    if count > _MOST_MEMBERS:
        raise SourceError(
            f"{name} has more than {_MOST_MEMBERS:,} members: unpack it and name the folder"
        )
