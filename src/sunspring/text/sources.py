"""Sources become a stream of documents: here text enters.

Files of any size are read in chunks; what leaves are passages that say where documents end.
Stands after what finds, decodes and takes apart the files.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sunspring.errors import SourceError
from sunspring.text.decoding import File, ReadingOptions, decode, read_chunks
from sunspring.text.downloads import strip_licence
from sunspring.text.files import Notice, Progress, find_files
from sunspring.text.tables import read_rows

CHUNK_SIZE = 1 << 20
_EMBEDDED_CHARACTERS = 1_050_000


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
    found = find_files(names, options, on_progress, on_notice)
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

    def read(file: File) -> Iterator[Passage]:
        text = decode(file, read_chunks(file, chunk_size, count), options)
        if file.table:
            pieces = (Passage(row, True, label) for row, label in read_rows(file, text, options))
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
    for file in find_files(names, options, on_progress, on_notice):
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


def _strip_book(file: File, text: Iterator[str], on_notice: Notice | None) -> Iterator[str]:
    book, missing = strip_licence("".join(text))
    if missing and on_notice:
        on_notice(f"{file.name} has no {' and no '.join(missing)} marker: nothing is cut off there")
    yield book


def _skip_empty(
    file: File, pieces: Iterator[Passage], options: ReadingOptions, on_notice: Notice | None
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
