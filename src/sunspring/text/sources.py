"""Turn sources into a stream of documents, in bounded memory.

All peculiarities of the input end here: the result is passages of text that say where documents
end, whatever counts as a document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from sunspring.errors import SourceError
from sunspring.notices import Notify, Progress, first_of, ignore, unnoticed
from sunspring.text.content import Content
from sunspring.text.decoding import File, cut_lines, decode, read_chunks
from sunspring.text.downloads import strip_licence
from sunspring.text.embedded import embedded_text
from sunspring.text.files import Sources
from sunspring.text.formats import CONVERSATIONS, read_format
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import Archives
from sunspring.text.tables import read_rows

CHUNK_SIZE = 1 << 20


class Passage(NamedTuple):
    """A piece of a document, in reading order.

    Args:
        text: may be empty.
        ends_document: whether the document ends after this piece.
        label: the document's label.
    """

    text: str
    ends_document: bool
    label: str | None = None


def read_passages(
    sources: Sources,
    on_progress: Progress = unnoticed,
    notify: Notify = ignore,
    *,
    chunk_size: int = CHUNK_SIZE,
) -> Iterator[Passage]:
    """Read sources one after another, in bounded memory.

    Args:
        sources: what to read, and how.
        on_progress: called with the bytes read so far and the total, if known.
        notify: called with a message about what is skipped.
        chunk_size: bytes read at a time.

    Raises:
        SourceError: a source is unreadable, empty, binary or not decodable.
    """
    files = _text_files(sources, notify)
    sizes = [file.size for file in files if file.size is not None]
    total = sum(sizes) if len(sizes) == len(files) else None
    options = sources.options
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        on_progress(done, total)

    with Archives() as archives:
        if sources.names:
            read = (
                (file, _read(file, sources, archives, chunk_size, count, notify)) for file in files
            )
            texts = (_skip_empty(file, pieces, options, notify) for file, pieces in read)
        else:
            texts = (iter([Passage(text, False)]) for text in [embedded_text()])
        split = {"none": _one_document, "files": _file_documents, "lines": _line_documents}
        has_text = False
        for passage in _skip_blank(split[options.documents](texts), notify):
            has_text = True
            yield passage
    if not has_text:
        named = ", ".join(sources.names)
        raise SourceError(
            f"there is no text in {named}, only empty, blank or binary files: give some text"
        )


def read_text(
    sources: Sources, notify: Notify = ignore, *, chunk_size: int = CHUNK_SIZE
) -> Iterator[str]:
    """Read the text of sources as it arrives, whatever counts as a document.

    Args:
        sources: what to read, and how.
        notify: called with a message about what is skipped.
        chunk_size: bytes read at a time.

    Raises:
        SourceError: a source is unreadable, binary or not decodable.
    """
    with Archives() as archives:
        for file in _text_files(sources, notify):
            pieces = _read(file, sources, archives, chunk_size, lambda size: None, notify)
            yield from (piece.text for piece in _joined(pieces))


def read_lines(
    sources: Sources, notify: Notify = ignore, *, chunk_size: int = CHUNK_SIZE
) -> Iterator[tuple[int, list[str]]]:
    """Read the lines of sources as they arrive, many at once if many have arrived.

    Args:
        sources: what to read, and how.
        notify: called with a message about what is skipped.
        chunk_size: bytes read at a time.

    Yields:
        The number of the first line, counted from 1 through all files, and the lines without their
        line ends, also empty ones. A row of a table is a line.

    Raises:
        SourceError: a source is unreadable, binary or not decodable.
    """
    number = 1
    with Archives() as archives:
        for file in _text_files(sources, notify):
            pieces = _read(file, sources, archives, chunk_size, lambda size: None, notify)
            if file.table or file.format in CONVERSATIONS:
                batches = ([piece.text] for piece in pieces)
            else:
                batches = (
                    [line.removesuffix("\n") for line in lines]
                    for lines in cut_lines(piece.text for piece in pieces)
                )
            for lines in batches:
                yield number, lines
                number += len(lines)


def _text_files(sources: Sources, notify: Notify) -> list[File]:
    """Return the files that are text, and report the others."""
    skipped = [file.name for file in sources.files if file.is_binary]
    if skipped:
        notify(f"skipped binary files: {len(skipped)} ({first_of(skipped)})")
    return [file for file in sources.files if not file.is_binary]


def _read(
    file: File,
    sources: Sources,
    archives: Archives,
    chunk_size: int,
    report: Callable[[int], None],
    notify: Notify,
) -> Iterator[Passage]:
    """Read a file by its kind: the rows of a table, or text, perhaps with a licence around it."""
    options, as_bytes = sources.options, sources.as_bytes
    chunks = read_chunks(file, archives, chunk_size, report)
    if file.format:
        content = Content(file, chunks, options, as_bytes, notify)
        return (Passage(*each) for each in read_format(content))
    text = decode(file, chunks, options, as_bytes=as_bytes)
    if file.table:
        rows = read_rows(file, text, options, notify, as_bytes=as_bytes)
        return (Passage(row, True, label) for row, label in rows)
    text = _strip_book(file, text, notify) if file.is_book else text
    return (Passage(piece, False, file.label) for piece in text)


def _skip_blank(passages: Iterator[Passage], notify: Notify) -> Iterator[Passage]:
    """Leave out documents of white space alone; report how many there were, unless all are."""
    blank, has_text = 0, False
    held: list[Passage] = []  # a document's beginning, until it has something to read
    is_blank = True
    for passage in passages:
        if is_blank and (not passage.text or passage.text.isspace()):
            held.append(passage)
        else:
            is_blank, has_text = False, True
            yield from held
            held.clear()
            yield passage
        if passage.ends_document:
            blank += is_blank
            is_blank = True
            held.clear()
    if blank and has_text:
        notify(f"left out documents of white space alone: {blank:,}")


def _strip_book(file: File, text: Iterator[str], notify: Notify) -> Iterator[str]:
    book, missing = strip_licence("".join(text))
    if missing:
        notify(f"{file.name} has no {' and no '.join(missing)} marker: nothing is removed there")
    yield book


def _skip_empty(
    file: File, pieces: Iterator[Passage], options: ReadingOptions, notify: Notify
) -> Iterator[Passage]:
    """Skip empty pieces, and report a file named by the user that has no others."""
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
    notify(f"{fault}: skipping it")


def _joined(pieces: Iterator[Passage]) -> Iterator[Passage]:
    """Join the rows of a table by newlines; other text stays as it is."""
    between = ""
    for text, ends_row, label in pieces:
        yield Passage(between + text, False, label)
        between = "\n" if ends_row else ""


def _one_document(sources: Iterator[Iterator[Passage]]) -> Iterator[Passage]:
    """Join all sources into one document, each beginning on a new line."""
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
