"""Names of sources, as users give them, become a stream of documents: here text enters.

Files of any size are read in chunks; bytes are unpacked, decoded and rid of foreign line ends on
the way, and leave as passages that say where documents end. Only downloads.py and errors.py come
before it in the street.
"""

from __future__ import annotations

import ast
import codecs
import csv
import difflib
import glob
import gzip
import io
import itertools
import json
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from sunspring.downloads import fetch, gutenberg_url, strip_licence
from sunspring.errors import SettingsError, SourceError

Progress = Callable[[int, int | None], None]
Notice = Callable[[str], None]

CHUNK_SIZE = 1 << 20
_HEAD_SIZE = 1 << 13  # bytes that tell whether a file in a folder is text
_EMBEDDED_CHARACTERS = 1_050_000
_LONGEST_FIELD = (1 << 31) - 1  # what a C long holds everywhere
_ERRORS = ("strict", "replace", "ignore", "backslashreplace", "surrogateescape")
_TABLE = re.compile(
    r"(?P<base>.+?\.(?P<kind>csv|tsv|jsonl|ndjson)(?:\.gz)?):(?P<column>.+)", re.I | re.S
)
_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (codecs.BOM_UTF8, "utf-8"),
)


class Passage(NamedTuple):
    """A piece of a document, in reading order.

    Args:
        text: may be empty.
        ends_document: the document ends after this piece.
        label: of the document that it belongs to.
    """

    text: str
    ends_document: bool
    label: str | None = None


@dataclass(frozen=True)
class ReadingOptions:
    """How sources are read.

    Args:
        documents: `none` (all is one document), `lines` (each line or table row), or `files`.
        encoding: of files without a byte order mark; None is UTF-8.
        errors: `strict`, or what becomes of bytes that cannot be decoded, as in `bytes.decode`.
        keep_newlines: leave CRLF and CR as they are (but for the line ends of `lines`).
        label_column: column or field that holds a row's label; for `lines` of tables.
        label_folders: a file's label is its first folder below the folder given as a source.
        binary: bytes pass unchanged, as UTF-8 with Python's `surrogateescape`.

    Raises:
        SettingsError: a value is unknown, or two contradict each other.
    """

    documents: Literal["none", "lines", "files"] = "none"
    encoding: str | None = None
    errors: str = "strict"
    keep_newlines: bool = False
    label_column: str | None = None
    label_folders: bool = False
    binary: bool = False

    def __post_init__(self) -> None:
        if self.documents not in ("none", "lines", "files"):
            raise SettingsError(f"documents is {self.documents!r}: choose none, lines or files")
        if self.errors not in _ERRORS:
            raise SettingsError(f"errors is {self.errors!r}: choose one of {', '.join(_ERRORS)}")
        if self.encoding is not None:
            if self.binary:
                raise SettingsError(
                    "an encoding says nothing about bytes: leave out --encoding or --tokens bytes"
                )
            try:
                codecs.getincrementaldecoder(self.encoding)
                b"a".decode(self.encoding, "ignore")
            except (LookupError, ValueError):
                raise SettingsError(
                    f"Python knows no text encoding {self.encoding!r}: "
                    "try utf-8, utf-16, latin-1, cp1252, shift_jis or gb18030"
                ) from None
        if self.label_column is not None and self.label_folders:
            raise SettingsError("labels come from a column or from folders: choose one of them")
        if self.label_column is not None and self.documents != "lines":
            raise SettingsError("a label column labels each row: use it with --documents lines")
        if self.label_folders and self.documents == "none":
            raise SettingsError("folders label documents: use --documents files or lines with them")


@dataclass(frozen=True)
class _File:
    """One file to read.

    Args:
        name: as messages show it.
        path: None is standard input.
        status: None for what has no size and can be read only once.
        table: `csv`, `tsv`, `jsonl` or `ndjson`, if only `column` of it is read.
        is_book: of Project Gutenberg, with a licence around the text.
        is_member: found in a folder or by a pattern, not named itself.
        is_binary: a member that is no text, to be skipped.
    """

    name: str
    path: Path | None
    status: os.stat_result | None
    table: str | None = None
    column: str = ""
    label: str | None = None
    is_book: bool = False
    is_member: bool = False
    is_binary: bool = False


def read_passages(
    names: Sequence[str],
    options: ReadingOptions,
    on_progress: Progress | None = None,
    on_notice: Notice | None = None,
    *,
    chunk_size: int = CHUNK_SIZE,
) -> Iterator[Passage]:
    """Read sources one after another, in bounded memory.

    Args:
        names: files, folders, patterns, `-`, addresses, `gutenberg:ID`, or columns of tables as
            in `poems.csv:text`; none at all is the text of `embedded_text`.
        options: how to read them.
        on_progress: called with the bytes read (or fetched) so far and their total, if known.
        on_notice: called with a line about what is skipped or fetched again.
        chunk_size: bytes read at a time.

    Raises:
        SourceError: a source is missing, unreadable, empty, binary or not decodable.
        SettingsError: the options do not fit the sources.
    """
    found = _find_files(names, options, on_progress, on_notice)
    skipped = [file.name for file in found if file.is_binary]
    if skipped and on_notice:
        shown = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
        on_notice(f"skipped, as they are binary: {len(skipped)} files ({shown})")
    files = [file for file in found if not file.is_binary]
    sizes = [file.status.st_size for file in files if file.status]
    total = sum(sizes) if len(sizes) == len(files) else None
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        if on_progress:
            on_progress(done, total)

    def read(file: _File) -> Iterator[Passage]:
        text = _decode(file, _read_chunks(file, chunk_size, count), options)
        if file.table:
            pieces = _read_rows(file, text, options)
        else:
            text = _strip_book(file, text, on_notice) if file.is_book else text
            pieces = (Passage(piece, False, file.label) for piece in text)
        return _skip_empty(file, pieces, options, on_notice)

    if names:
        sources = (read(file) for file in files)
    else:
        sources = (iter([Passage(text, False)]) for text in [embedded_text()])
    split = {"none": _one_document, "files": _file_documents, "lines": _line_documents}
    passages = split[options.documents](sources)
    for passage in passages:
        yield passage
        if passage.text and not passage.text.isspace():
            break
    else:
        raise SourceError(f"there is no text in {', '.join(names)}: all is empty, blank or binary")
    yield from passages


def source_signature(
    names: Sequence[str],
    options: ReadingOptions,
    on_progress: Progress | None = None,
    on_notice: Notice | None = None,
) -> list[Any] | None:
    """Say, as JSON takes it, what a later reading must find to give the same text.

    Downloads are fetched for it, which is what `on_progress` and `on_notice` report.

    Returns:
        Path, size, time of modification and use of each file; None if one can only be read once.

    Raises:
        SourceError: a source is missing or unreadable.
        SettingsError: the options do not fit the sources.
    """
    if not names:
        return [["embedded text", sys.version]]
    stamps: list[Any] = []
    for file in _find_files(names, options, on_progress, on_notice):
        if file.path is None or file.status is None:
            return None
        stamp = [str(file.path.absolute()), file.status.st_size, file.status.st_mtime_ns]
        stamps.append([*stamp, file.column, file.label, file.is_book, file.is_binary])
    return stamps


def embedded_text() -> str:
    """Give the English text that every Python carries: its topics of help, and its docstrings.

    The docstrings come from the standard library's sources, parsed and not imported, in the order
    of the modules' names, until there are a little over a million characters.
    """
    from pydoc_data.topics import topics

    texts = [topics[topic].strip() for topic in sorted(topics)]
    size = sum(map(len, texts))
    for path in sorted(Path(os.__file__).parent.glob("*.py")):
        if size > _EMBEDDED_CHARACTERS:
            break
        if path.stem in sys.stdlib_module_names:
            docstrings = list(_docstrings(ast.parse(path.read_bytes())))
            size += sum(map(len, docstrings))
            texts += docstrings
    return "\n\n".join(texts) + "\n"


def _docstrings(node: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[str]:
    if docstring := ast.get_docstring(node):
        yield docstring
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef):
            yield from _docstrings(child)


def _find_files(
    names: Sequence[str],
    options: ReadingOptions,
    on_progress: Progress | None,
    on_notice: Notice | None,
) -> list[_File]:
    files = [file for name in names for file in _find(name, options, on_progress, on_notice)]
    if not names and (options.label_column is not None or options.label_folders):
        raise SettingsError("the embedded text has no labels: give a source that has")
    for file in files:
        if options.label_column is not None and not file.table:
            raise SettingsError(
                f"{file.name} has no column of labels: name the text as in poems.csv:text"
            )
        if options.label_folders and file.label is None and not file.is_binary:
            raise SourceError(
                f"{file.name} has no label: give a folder, and in it one subfolder for each label"
            )
    return files


def _find(
    name: str, options: ReadingOptions, on_progress: Progress | None, on_notice: Notice | None
) -> Iterator[_File]:
    """Find the files that a name stands for; one that exists comes before any other meaning."""
    path = Path(name)
    if name == "-":
        yield _File("standard input", None, None)
    elif name and (status := _status(path)):
        if stat.S_ISDIR(status.st_mode):
            yield from _find_in_folder(path, options)
        elif stat.S_ISREG(status.st_mode):
            yield _File(name, path, status)
        elif stat.S_ISFIFO(status.st_mode):
            yield _File(name, path, None)
        else:
            raise SourceError(f"{name} is a device or a socket, not text: give a file or a folder")
    elif table := _TABLE.fullmatch(name):
        for file in _find(table["base"], options, on_progress, on_notice):
            yield replace(file, table=table["kind"].lower(), column=table["column"])
    elif name.startswith(("http://", "https://", "gutenberg:")):
        is_book = name.startswith("gutenberg:")
        url = gutenberg_url(name.removeprefix("gutenberg:")) if is_book else name
        path = fetch(url, on_progress=on_progress, on_notice=on_notice)
        yield _File(name, path, path.stat(), is_book=is_book)
    elif glob.has_magic(name):
        found = map(Path, glob.glob(name, recursive=True))  # noqa: PTH207  (may be absolute)
        members = _members(sorted(found, key=Path.as_posix), options)
        if not members:
            raise SourceError(f"{name} matches no file: check the pattern and the folder")
        yield from members
    else:
        raise _missing(name)


def _find_in_folder(folder: Path, options: ReadingOptions) -> Iterator[_File]:
    """Find what is not hidden in a folder and below, in the order of the relative paths."""

    def fail(error: OSError) -> None:
        raise _unreadable(str(error.filename), error) from None

    found = []
    for parent, subfolders, files in os.walk(folder, onerror=fail):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    found.sort(key=lambda path: path.relative_to(folder).as_posix())
    members = _members(found, options)
    if all(member.is_binary for member in members):
        raise SourceError(f"the folder {folder} has no file with text: give one that has")
    for member in members:
        parts = cast(Path, member.path).relative_to(folder).parts
        labelled = options.label_folders and len(parts) > 1
        yield replace(member, label=parts[0] if labelled else None)


def _members(paths: list[Path], options: ReadingOptions) -> list[_File]:
    """Look at what was found: which are files, and which of them are text?"""
    members = []
    for path in paths:
        status = _status(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        file = _File(str(path), path, status, is_member=True)
        if not options.binary:
            head = next(_read_chunks(file, _HEAD_SIZE, lambda size: None), b"")
            is_text = _is_wide(_encoding(head, options)[0]) or b"\0" not in head
            file = replace(file, is_binary=not is_text)
        members.append(file)
    return members


def _status(path: Path) -> os.stat_result | None:
    """Look whether there is such a file; a name may be anything, even a text given by mistake."""
    try:
        return path.stat()
    except PermissionError as error:
        raise _unreadable(str(path), error) from None
    except (OSError, ValueError):
        return None


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"{name} cannot be read ({error.strerror or error}): check its permissions")


def _missing(name: str) -> SourceError:
    """Say that there is no such file, and which ones have a name like it."""
    shown = name if name.isprintable() and 0 < len(name) < 200 else f"{name[:50]!r}"
    path = Path(name)
    try:
        close = difflib.get_close_matches(
            path.name, [other.name for other in path.parent.iterdir()]
        )
    except (OSError, ValueError):
        return SourceError(f"{shown} does not exist, nor does its folder: check the path")
    advice = " or ".join(str(path.parent / other) for other in close)
    return SourceError(
        f"{shown} does not exist: " + (f"did you mean {advice}?" if close else "check the path")
    )


class _Counted(io.RawIOBase):
    """Reads another file, and reports how many bytes at a time."""

    def __init__(self, file: io.BufferedIOBase, report: Callable[[int], None]) -> None:
        self._file = file
        self._report = report

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        size = self._file.readinto(buffer)
        self._report(size)
        return size


def _read_chunks(file: _File, size: int, report: Callable[[int], None]) -> Iterator[bytes]:
    """Read a file's bytes, unpacked if it is gzip, and report the bytes that went in."""
    try:
        with ExitStack() as stack:
            if file.path is None:
                opened = cast(io.BufferedIOBase, sys.stdin.buffer)
            else:
                opened = stack.enter_context(file.path.open("rb"))
            counted = io.BufferedReader(_Counted(opened, report), max(size, 2))
            is_packed = counted.peek(2)[:2] == b"\x1f\x8b"
            content = gzip.GzipFile(fileobj=counted) if is_packed else counted
            # the first chunk must hold a byte order mark
            chunk = content.read(max(size, 4))
            while chunk:
                yield chunk
                chunk = content.read(size)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise SourceError(
            f"{file.name} is damaged or cut short gzip data: make or fetch the file again"
        ) from None
    except OSError as error:
        raise _unreadable(file.name, error) from None


def _encoding(head: bytes, options: ReadingOptions) -> tuple[str, int]:
    """Tell a file's encoding by its first bytes, and the size of its byte order mark."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            return encoding, len(mark)
    return codecs.lookup(options.encoding or "utf-8").name, 0


def _is_wide(encoding: str) -> bool:
    """Tell whether zero bytes are part of text."""
    return encoding.startswith(("utf-16", "utf-32"))


def _decode(file: _File, chunks: Iterator[bytes], options: ReadingOptions) -> Iterator[str]:
    """Turn bytes into text with line ends as the options want them."""
    head = next(chunks, b"")
    encoding, offset = ("utf-8", 0) if options.binary else _encoding(head, options)
    errors = "surrogateescape" if options.binary else options.errors
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    # documents are cut at line ends of every kind
    cuts_lines = options.documents == "lines" and not file.table
    translates = not options.binary and (cuts_lines or not options.keep_newlines)
    whole = ((chunk, False) for chunk in itertools.chain([head[offset:]], chunks))
    for chunk, final in itertools.chain(whole, [(b"", True)]):
        if not options.binary and not _is_wide(encoding) and b"\0" in chunk:
            raise _binary(file.name, chunk, offset)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(chunk, final)
        except UnicodeError as error:
            at = offset - pending + getattr(error, "start", 0)
            raise SourceError(
                f"{file.name} is not {encoding} at byte {at}: name its encoding, as in "
                "--encoding latin-1, or use --errors replace"
            ) from None
        offset += len(chunk)
        yield newlines.decode(text, final) if translates else text


def _binary(name: str, chunk: bytes, offset: int) -> SourceError:
    """Say at which byte a file shows that it is no text, and whether it looks like UTF-16."""
    at = offset + chunk.index(0)
    even, odd = (chunk[(offset + parity) % 2 :: 2].count(0) for parity in (0, 1))
    advice = "give a text, or use --tokens bytes"
    if min(even, odd) == 0 and max(even, odd) * 8 > len(chunk):
        advice = f"try --encoding utf-16-{'le' if odd else 'be'}, or --tokens bytes"
    return SourceError(f"{name} is binary, with a zero at byte {at}: {advice}")


def _strip_book(file: _File, text: Iterator[str], on_notice: Notice | None) -> Iterator[str]:
    book, missing = strip_licence("".join(text))
    if missing and on_notice:
        on_notice(f"{file.name} has no {' and no '.join(missing)} marker: nothing is cut off there")
    yield book


def _read_rows(file: _File, text: Iterator[str], options: ReadingOptions) -> Iterator[Passage]:
    """Read a column of a table, and perhaps another one with labels."""
    columns = [file.column]
    if options.label_column is not None:
        columns.append(options.label_column)
    read = _read_json if file.table in ("jsonl", "ndjson") else _read_csv
    for number, (value, *labels) in read(file, _whole_lines(text), columns):
        if not value:
            continue
        if labels and not labels[0]:
            raise SourceError(
                f"line {number} of {file.name} has no label in {options.label_column}: "
                "write one, or take the line out"
            )
        if not options.keep_newlines and not options.binary and "\r" in value:
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        yield Passage(value, True, labels[0] if labels else None)


def _whole_lines(text: Iterator[str]) -> Iterator[str]:
    """Cut text into lines, each with its newline."""
    begun: list[str] = []
    for piece in text:
        *ends, rest = piece.split("\n")
        for end in ends:
            yield "".join((*begun, end, "\n"))
            begun = []
        begun.append(rest)
    if last := "".join(begun):
        yield last


def _read_csv(
    file: _File, lines: Iterator[str], columns: list[str]
) -> Iterator[tuple[int, list[str | None]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(lines, delimiter="\t" if file.table == "tsv" else ",")
    try:
        header = next(filter(None, rows), None)
        if header is None:
            return
        for column in columns:
            if column not in header:
                raise SourceError(
                    f"{file.name} has no column {column}: its columns are {', '.join(header)}"
                )
        places = [header.index(column) for column in columns]
        for row in rows:
            yield rows.line_num, [row[place] if place < len(row) else None for place in places]
    except csv.Error as error:
        raise SourceError(
            f"{file.name} is not a table at line {rows.line_num} ({error}): mend that line"
        ) from None


def _read_json(
    file: _File, lines: Iterator[str], columns: list[str]
) -> Iterator[tuple[int, list[str | None]]]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        where = f"line {number} of {file.name}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where} is not JSON ({error}): mend or remove it") from None
        if not isinstance(record, dict):
            raise SourceError(f"{where} is not a JSON object: write it as {{'{file.column}': …}}")
        values: list[str | None] = []
        for column in columns:
            if column not in record:
                raise SourceError(
                    f"{where} has no field {column}: its fields are {', '.join(record)}"
                )
            value = record[column]
            if isinstance(value, dict | list):
                raise SourceError(f"{where} has no text in {column}: name a field with text")
            is_scalar = isinstance(value, int | float)
            values.append(json.dumps(value) if is_scalar else value)
        yield number, values


def _skip_empty(
    file: _File, pieces: Iterator[Passage], options: ReadingOptions, on_notice: Notice | None
) -> Iterator[Passage]:
    """Leave out empty pieces, and complain if that is all that a named file has."""
    found = False
    for piece in pieces:
        if piece.text:
            found = True
            yield piece
    if found or file.is_member:
        return
    fault = f"{file.name} has no text in {file.column}" if file.table else f"{file.name} is empty"
    if options.documents != "files":
        raise SourceError(f"{fault}: give a source with text")
    if on_notice:
        on_notice(f"{fault}: it is skipped")


def _joined(pieces: Iterator[Passage]) -> Iterator[Passage]:
    """Join the rows of a table by newlines; other text stays as it is."""
    between = ""
    for text, ends_row, label in pieces:
        yield Passage(between + text, False, label)
        between = "\n" if ends_row else ""


def _one_document(sources: Iterator[Iterator[Passage]]) -> Iterator[Passage]:
    """Make one document of all sources, each beginning on a line of its own."""
    last = "\n"
    for pieces in sources:
        for index, piece in enumerate(_joined(pieces)):
            if index == 0 and not last.endswith("\n"):
                yield Passage("\n", False)
            yield piece
            last = piece.text
    yield Passage("", True)


def _file_documents(sources: Iterator[Iterator[Passage]]) -> Iterator[Passage]:
    """Make a document of each file."""
    for pieces in sources:
        piece = None
        for piece in _joined(pieces):
            yield piece
        if piece is not None:
            yield Passage("", True, piece.label)


def _line_documents(sources: Iterator[Iterator[Passage]]) -> Iterator[Passage]:
    """Make a document of each line that is not empty, or of each row of a table."""
    for pieces in sources:
        begun, label = False, None
        for text, ends_row, label in pieces:
            if ends_row:
                yield Passage(text, True, label)
                continue
            *ends, rest = text.split("\n")
            for end in ends:
                if begun or end:
                    yield Passage(end, True, label)
                begun = False
            if rest:
                yield Passage(rest, False, label)
                begun = True
        if begun:
            yield Passage("", True, label)
