"""Names of sources, as users give them, become files to read.

A name is a file, a folder, a pattern, `-`, a web address, `gutenberg:ID`, or one of these with a
column of a table. Stands between decoding.py and sources.py in the street.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from sunspring.errors import SettingsError, SourceError
from sunspring.text.decoding import File, ReadingOptions, is_text, read_chunks, unreadable
from sunspring.text.downloads import fetch, gutenberg_url

Progress = Callable[[int, int | None], None]
Notice = Callable[[str], None]

_HEAD_SIZE = 1 << 13  # bytes that tell whether a file in a folder is text
_TABLE = re.compile(
    r"(?P<base>.+?\.(?P<kind>csv|tsv|jsonl|ndjson)(?:\.gz)?):(?P<column>.+)", re.I | re.S
)


def find_files(
    names: Sequence[str],
    options: ReadingOptions,
    on_progress: Progress | None,
    on_notice: Notice | None,
) -> list[File]:
    """Find the files that names stand for, in order.

    Args:
        names: as `read_passages` takes them.
        options: how they will be read.
        on_progress: called with the bytes fetched so far and their total, if known.
        on_notice: called with a line when a copy is fetched again.

    Raises:
        SourceError: a source is missing, unreadable or without the labels that are asked for.
        SettingsError: the options do not fit the sources.
    """
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
) -> Iterator[File]:
    """Find the files that a name stands for; one that exists comes before any other meaning."""
    path = Path(name)
    if name == "-":
        yield File("standard input", None, None)
    elif name and (status := _status(path)):
        if stat.S_ISDIR(status.st_mode):
            yield from _find_in_folder(path, options)
        elif stat.S_ISREG(status.st_mode):
            yield File(name, path, status)
        elif stat.S_ISFIFO(status.st_mode):
            yield File(name, path, None)
        else:
            raise SourceError(f"{name} is a device or a socket, not text: give a file or a folder")
    elif table := _TABLE.fullmatch(name):
        for file in _find(table["base"], options, on_progress, on_notice):
            yield replace(file, table=table["kind"].lower(), column=table["column"])
    elif name.startswith(("http://", "https://", "gutenberg:")):
        is_book = name.startswith("gutenberg:")
        url = gutenberg_url(name.removeprefix("gutenberg:")) if is_book else name
        path = fetch(url, on_progress=on_progress, on_notice=on_notice)
        yield File(name, path, path.stat(), is_book=is_book)
    elif glob.has_magic(name):
        found = map(Path, glob.glob(name, recursive=True))  # noqa: PTH207  (may be absolute)
        members = _members(sorted(found, key=Path.as_posix), options)
        if not members:
            raise SourceError(f"{name} matches no file: check the pattern and the folder")
        yield from members
    else:
        raise _missing(name)


def _find_in_folder(folder: Path, options: ReadingOptions) -> Iterator[File]:
    """Find what is not hidden in a folder and below, in the order of the relative paths."""

    def fail(error: OSError) -> None:
        raise unreadable(str(error.filename), error) from None

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


def _members(paths: list[Path], options: ReadingOptions) -> list[File]:
    """Look at what was found: which are files, and which of them are text?"""
    members = []
    for path in paths:
        status = _status(path)
        if status is None or not stat.S_ISREG(status.st_mode):
            continue
        file = File(str(path), path, status, is_member=True)
        if not options.binary:
            head = next(read_chunks(file, _HEAD_SIZE, lambda size: None), b"")
            file = replace(file, is_binary=not is_text(head, options))
        members.append(file)
    return members


def _status(path: Path) -> os.stat_result | None:
    """Look whether there is such a file; a name may be anything, even a text given by mistake."""
    try:
        return path.stat()
    except PermissionError as error:
        raise unreadable(str(path), error) from None
    except (OSError, ValueError):
        return None


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
