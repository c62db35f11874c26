"""Rows of CSV, TSV and JSON-lines tables: one column with the text, perhaps one with labels.

Reads lines of text; knows only the names of files, for messages. Rows that do not fit the header
are left out and named, as nobody knows which of their cells belongs to which column.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from sunspring.errors import SourceError
from sunspring.notices import Notify
from sunspring.text.decoding import File, cut_lines
from sunspring.text.options import FileOptions, ReadingOptions

_LONGEST_CELL = 1 << 26  # characters that a cell in quotes may have
_LONGEST_TSV_CELL = 1 << 20  # the same in TSV, where a quote that is not closed is a character
_NAMED = 3  # rows named in a notice
_QUOTED = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"')
_CLOSING = re.compile(r'[^"]*+(?:""[^"]*+)*+"')
_OPENING = re.compile(r'(?:^|[,;\t|])"')
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "pipes"}

Row = tuple[int, list[str | None]]
"""The number of the line where a row begins, and the cells that are wanted."""


def read_rows(
    file: File,
    text: Iterator[str],
    options: ReadingOptions,
    notify: Notify,
    *,
    as_bytes: bool,
) -> Iterator[tuple[str, str | None]]:
    """Read a column of a table, and perhaps another one with labels.

    Args:
        file: the table; its `column` holds the text.
        text: its content, in pieces.
        options: give the column of labels, if there is one.
        notify: called with a message about rows that are left out.
        as_bytes: keep line ends within a text as they are.

    Yields:
        The text and the label of each row that has a text.

    Raises:
        SourceError: the table is damaged, or has no such column, or a row has no label.
    """
    columns = [file.column]
    if options.label_column is not None:
        columns.append(options.label_column)
    read = TABLES[file.table or ""]
    for number, (value, *labels) in read(
        file, chain.from_iterable(cut_lines(text)), columns, options, notify
    ):
        if not value:
            continue
        if labels and not labels[0]:
            raise SourceError(
                f"line {number} of {file.name} has no label in {options.label_column}: "
                "add one, or remove the line"
            )
        if not options.keep_newlines and not as_bytes and "\r" in value:
            value = value.replace("\r\n", "\n").replace("\r", "\n")
        yield value, labels[0] if labels else None


def _read_csv(
    file: File,
    lines: Iterator[str],
    columns: list[str],
    options: FileOptions,
    notify: Notify,
    *,
    usual: str,
) -> Iterator[Row]:
    begin, header = _read_header(lines)
    if not header:
        return
    chosen = "\t" if options.delimiter == "tab" else options.delimiter
    candidates = [chosen] if chosen else sorted(_DELIMITERS, key=lambda each: each != usual)
    delimiter, names = _find_columns(file.name, begin, header, columns, candidates)
    places = [names.index(column) for column in columns]
    left_out = _LeftOut(file.name)
    has_rows = False
    for number, cells in _Records(file.name, lines, begin + len(header), delimiter):
        if cells is None:
            left_out.add(number, "have quotes in the wrong place")
        elif len(cells) < len(names):
            left_out.add(number, "have too few cells")
        elif any(cells[len(names) :]):  # empty ones at the end do no harm
            left_out.add(number, "have too many cells")
        else:
            has_rows = True
            yield number, [cells[place] for place in places]
    if left_out and not has_rows:
        raise SourceError(
            f"no row of {file.name} fits its header ({', '.join(names)}): {left_out}; put quotes "
            f"around cells that hold {_in_words(delimiter)}, or name another --delimiter"
        )
    if left_out:
        notify(f"left out rows of {file.name}: {left_out}")


def _read_header(lines: Iterator[str]) -> tuple[int, list[str]]:
    """Read the lines of the first row that is not blank, and the number of the first of them."""
    header: list[str] = []
    begin = 1
    for line in lines:
        if not header and line.isspace():
            begin += 1
            continue
        header.append(line)
        is_open = sum(each.count('"') for each in header) % 2 == 1
        if not (is_open and _OPENING.search(header[0])):
            break
    return begin, header


def _find_columns(
    name: str, begin: int, header: Sequence[str], columns: list[str], candidates: Sequence[str]
) -> tuple[str, list[str]]:
    """Find the delimiter by which the header has the columns that are wanted, and all columns."""
    found: dict[str, list[str]] = {}
    for delimiter in candidates:
        with suppress(SourceError):  # quotes that do not fit are a sign of another delimiter
            _, names = next(iter(_Records(name, header, begin, delimiter)))
            found[delimiter] = names or []
    if not found:
        raise SourceError(
            f"the header of {name} has quotes in the wrong place: correct line {begin}"
        )
    for delimiter, names in found.items():
        if all(column in names for column in columns):
            return delimiter, names
    delimiter, names = max(found.items(), key=lambda each: len(each[1]))
    missing = next(column for column in columns if column not in names)
    raise SourceError(
        f"{name} has no column {missing}: its columns are {', '.join(names)}, if "
        f"{_in_words(delimiter)} stand between them; otherwise give --delimiter"
    )


def _in_words(delimiter: str) -> str:
    return _DELIMITERS.get(delimiter, repr(delimiter))


class _LeftOut:
    """The rows that are left out, by what is wrong with them; the first of each kind are named."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: dict[str, list[int]] = {}
        self._counts: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def __str__(self) -> str:
        return ", ".join(f"{self._those(fault)} {fault}" for fault in self._counts)

    def add(self, number: int, fault: str) -> None:
        self._counts[fault] = self._counts.get(fault, 0) + 1
        lines = self._lines.setdefault(fault, [])
        if len(lines) < _NAMED:
            lines.append(number)

    def _those(self, fault: str) -> str:
        names = [str(number) for number in self._lines[fault]]
        if more := self._counts[fault] - len(names):
            names.append(f"{more:,} more")
        listed = ", ".join(names[:-1])
        return f"those at lines {listed} and {names[-1]}" if listed else f"that at line {names[0]}"


class _Records:
    """The rows of a table with delimiters: the line where each begins, and its cells.

    The cells are None if quotes stand in the wrong place. Blank lines are no rows. A tab as
    delimiter makes it TSV as spreadsheets write it, where a quote that is not closed properly is a
    character like any other.

    Args:
        name: the table's name, for messages.
        lines: each with its line end.
        begin: the number of the first of them.
        delimiter: one character.
    """

    def __init__(self, name: str, lines: Iterable[str], begin: int, delimiter: str) -> None:
        self._name = name
        self._lines = iter(lines)
        self._waiting = deque[str]()  # lines that were read too early
        self._number = begin - 1  # of the latest line
        self._delimiter = delimiter
        self._is_tsv = delimiter == "\t"

    def __iter__(self) -> Iterator[tuple[int, list[str] | None]]:
        while (line := self._next_line()) is not None:
            self._number += 1
            if _without_line_end(line):
                yield self._number, self._cells(line)

    def _next_line(self) -> str | None:
        return self._waiting.popleft() if self._waiting else next(self._lines, None)

    def _cells(self, line: str) -> list[str] | None:
        record, first, begin = _without_line_end(line), self._number, 0
        if '"' not in record:
            return record.split(self._delimiter)
        cells: list[str] = []
        while True:
            opened, is_quoted = self._number, record.startswith('"', begin)
            if is_quoted and not _QUOTED.match(record, begin):
                line += "".join(self._lines_to_closing_quote())
                record = _without_line_end(line)
            quoted = _QUOTED.match(record, begin)
            if quoted and record[quoted.end() : quoted.end() + 1] in ("", self._delimiter):
                end = quoted.end()
                cells.append(quoted[1].replace('""', '"'))
            elif not is_quoted or self._is_tsv:
                found = record.find(self._delimiter, begin)
                end = len(record) if found < 0 else found
                cells.append(record[begin:end])
            elif self._number == first and quoted:
                return None
            else:
                raise SourceError(
                    f"the quote that opens a cell at line {opened} of {self._name} is not closed "
                    "where a cell ends: close it there, or remove it"
                )
            if end == len(record):
                return cells
            begin = end + 1

    def _lines_to_closing_quote(self) -> list[str]:
        """Take the lines up to the one where a cell in quotes ends; none if it ends nowhere."""
        longest = _LONGEST_TSV_CELL if self._is_tsv else _LONGEST_CELL
        taken, size = list[str](), 0
        while size < longest and (line := self._next_line()) is not None:
            taken.append(line)
            size += len(line)
            if closing := _CLOSING.match(line):
                after = _without_line_end(line[closing.end() :])[:1]
                if self._is_tsv and after not in ("", self._delimiter):
                    break
                self._number += len(taken)
                return taken
        self._waiting.extendleft(reversed(taken))
        return []


def _without_line_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _read_json(
    file: File,
    lines: Iterator[str],
    columns: list[str],
    options: FileOptions,
    notify: Notify,
) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if line.isspace():
            continue
        where = f"line {number} of {file.name}"
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where} is not JSON ({error}): correct or remove it") from None
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


TABLES: Mapping[
    str, Callable[[File, Iterator[str], list[str], FileOptions, Notify], Iterator[Row]]
] = {
    "csv": partial(_read_csv, usual=","),
    "tsv": partial(_read_csv, usual="\t"),
    "jsonl": _read_json,
    "ndjson": _read_json,
}
"""Readers of tables by file extension: they yield each row's line number and wanted values."""
