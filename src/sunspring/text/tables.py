"""Rows of CSV, TSV and JSON-lines tables: one column with the text, perhaps one with labels.

Reads lines of text; knows only the names of files, for messages.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from sunspring.errors import SourceError
from sunspring.text.decoding import File
from sunspring.text.options import ReadingOptions

_LONGEST_FIELD = (1 << 31) - 1  # fits into a C long on every platform


def read_rows(
    file: File, text: Iterator[str], options: ReadingOptions, *, as_bytes: bool
) -> Iterator[tuple[str, str | None]]:
    """Read a column of a table, and perhaps another one with labels.

    Args:
        file: the table; its `column` holds the text.
        text: its content, in pieces.
        options: give the column of labels, if there is one.
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
    for number, (value, *labels) in read(file, _whole_lines(text), columns):
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
    file: File, lines: Iterator[str], columns: list[str], *, delimiter: str
) -> Iterator[tuple[int, list[str | None]]]:
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(lines, delimiter=delimiter)
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
            f"{file.name} is not a table at line {rows.line_num} ({error}): correct that line"
        ) from None


def _read_json(
    file: File, lines: Iterator[str], columns: list[str]
) -> Iterator[tuple[int, list[str | None]]]:
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
    str, Callable[[File, Iterator[str], list[str]], Iterator[tuple[int, list[str | None]]]]
] = {
    "csv": partial(_read_csv, delimiter=","),
    "tsv": partial(_read_csv, delimiter="\t"),
    "jsonl": _read_json,
    "ndjson": _read_json,
}
"""Readers of tables by file extension: they yield each row's line number and wanted values."""
