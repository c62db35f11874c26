"""Turn the names of sources, as users give them, into files to read.

A name is a file, a folder, a pattern, `-`, a web address, `gutenberg:ID`, or one of these with a
column of a table. Files are found once, and read later.
"""

from __future__ import annotations

import difflib
import glob
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from sunspring.errors import SettingsError, SourceError
from sunspring.folders import contents, is_own
from sunspring.notices import Notify, Progress, counted, first_of, ignore, unnoticed
from sunspring.pages.html import is_page
from sunspring.text.decoding import File, is_text, read_chunks
from sunspring.text.downloads import fetch, gutenberg_url
from sunspring.text.embedded import EMBEDDED_VERSION
from sunspring.text.formats import CONVERSATIONS, with_format
from sunspring.text.messages import SPEAKER
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import PACKED, Archives, is_archive, stem_of_archive, unreadable
from sunspring.text.tables import TABLES

_HEAD_SIZE = 1 << 13  # bytes read to tell whether a file in a folder is text
_TABLE = re.compile(
    rf"(?P<base>.+?\.(?P<kind>{'|'.join(TABLES)})(?:{PACKED})?):(?P<column>.+)",
    re.I | re.S,
)


@dataclass(frozen=True)
class Sources:
    """What to read, and how.

    Args:
        names: as the user gave them; empty for the embedded text.
        files: the files they refer to, in order.
        options: how to read them.
        as_bytes: keep bytes unchanged instead of decoding them.
    """

    names: tuple[str, ...]
    files: tuple[File, ...]
    options: ReadingOptions
    as_bytes: bool

    def signature(self) -> list[Any] | None:
        """Describe the state of the files as a JSON value; it stays equal while the text does.

        Returns:
            Path, size, modification time and use of each file; None if one can be read only once.
        """
        if not self.names:
            return [["embedded text", EMBEDDED_VERSION, sys.version]]
        stamps: list[Any] = []
        for file in self.files:
            if file.path is None or file.status is None:
                return None
            stamp = [str(file.path.absolute()), file.status.st_size, file.status.st_mtime_ns]
            use = [file.column, file.label, file.format, file.is_book, file.is_binary]
            stamps.append([*stamp, *use])
            if file.member is not None:
                stamps[-1].append(file.member)
        return stamps


def find_sources(
    names: Sequence[str],
    options: ReadingOptions,
    *,
    as_bytes: bool = False,
    on_progress: Progress = unnoticed,
    notify: Notify = ignore,
) -> Sources:
    """Find the files that names refer to, in order, downloading those on the web.

    Args:
        names: files, folders, patterns, `-`, addresses, `gutenberg:ID`, or columns of tables as
            in `poems.csv:text`; empty for the embedded text.
        options: how they will be read.
        as_bytes: keep bytes unchanged instead of decoding them.
        on_progress: called with the bytes downloaded so far and the total, if known.
        notify: called with a message when a file is downloaded again.

    Raises:
        SourceError: a source is missing, unreadable or lacks the labels asked for.
        MissingExtraError: a package that reads a source is not installed.
        SettingsError: the options do not fit the sources.
    """
    if as_bytes and options.encoding is not None:
        raise SettingsError(
            "bytes are read without decoding: leave out --encoding or --tokens bytes"
        )
    with Archives() as archives:
        finder = _Finder(options, as_bytes, on_progress, notify, archives)
        found = [file for name in names for file in finder.find(name)]
        files = tuple(
            file if file.table or file.is_member else with_format(file, archives, options)
            for file in found
        )
    if not names and (options.label_column is not None or options.label_folders):
        raise SettingsError("the embedded text has no labels: give a source that has some")
    for file in files:
        has_speakers = file.format in CONVERSATIONS and options.label_column == SPEAKER
        if options.label_column is not None and not file.table and not has_speakers:
            raise SettingsError(
                f"{file.name} has no columns for labels: name a table's text column, as in "
                f"poems.csv:text, or take --label-column {SPEAKER} for a chat"
            )
        if options.label_folders and file.label is None and not file.is_binary:
            raise SourceError(
                f"{file.name} has no label: give a folder with one subfolder for each label"
            )
    return Sources(tuple(names), files, options, as_bytes)


@dataclass(frozen=True)
class _Finder:
    """Finds files for names; see `find_sources`."""

    options: ReadingOptions
    as_bytes: bool
    on_progress: Progress
    notify: Notify
    archives: Archives

    def find(self, name: str) -> Iterator[File]:
        """Find the files that a name refers to; an existing path precedes any other meaning."""
        path = Path(name)
        if name == "-":
            yield File("standard input", None, None)
        elif name and (status := _status(path)):
            if stat.S_ISDIR(status.st_mode):
                yield from self._find_in_folder(path)
            elif stat.S_ISREG(status.st_mode):
                yield from self._find_in_file(File(name, path, status))
            elif stat.S_ISFIFO(status.st_mode):
                yield File(name, path, None)
            else:
                raise SourceError(
                    f"{name} is a device or a socket, not text: give a file or a folder"
                )
        elif table := _TABLE.fullmatch(name):
            for file in self.find(table["base"]):
                kind = table["kind"].lower()
                yield replace(file, table=kind, column=table["column"], format="")
        elif name.startswith(("http://", "https://", "gutenberg:")):
            is_book = name.startswith("gutenberg:")
            url = gutenberg_url(name.removeprefix("gutenberg:")) if is_book else name
            path = fetch(url, on_progress=self.on_progress, notify=self.notify)
            yield from self._find_in_file(File(name, path, path.stat(), is_book=is_book))
        elif glob.has_magic(name):
            found = map(Path, glob.glob(name, recursive=True))  # noqa: PTH207  (may be absolute)
            others = self._without_own(name, _without_repeats(found))
            members = self._members(name, sorted(others, key=Path.as_posix))
            if not members:
                raise SourceError(f"{name} matches no file: check the pattern and the folder")
            yield from members
        else:
            raise _missing(name)

    def _find_in_file(self, file: File) -> Iterator[File]:
        """Decide by what it is whether a named file is a source itself, or an archive of them."""
        if file.path is None or not is_archive(file.path):
            yield file
            return
        members = self._members_of(file)
        if all(member.is_binary for member in members):
            raise SourceError(f"the archive {file.name} has no text files: give one with some")
        paths = [str(member.member).split("/") for member in members]
        tops = {path[0] if len(path) > 1 else "" for path in paths}
        skipped = 1 if len(tops) == 1 and "" not in tops else 0  # often all lie in one folder
        for member, path in zip(members, paths, strict=True):
            yield replace(member, label=self._label(path[skipped:]))

    def _find_in_folder(self, folder: Path) -> Iterator[File]:
        """Find all files in and below a folder that are not hidden, sorted by relative path."""
        if is_own(folder):
            raise SourceError(
                f"{folder} {contents(folder)}, which training wrote: name a text, or a folder with "
                "texts"
            )
        own: list[Path] = []
        found = sorted(_walk(folder, own), key=lambda path: path.relative_to(folder).as_posix())
        self._report_own(str(folder), own)
        members = self._members(str(folder), found)
        if all(member.is_binary for member in members):
            raise SourceError(f"the folder {folder} has no text files: give a folder with some")
        for member in members:
            parts = list(cast(Path, member.path).relative_to(folder).parts)
            if member.member is not None:  # an archive stands for a folder of its name
                parts[-1:] = [stem_of_archive(parts[-1]) or "", member.member]
            yield replace(member, label=self._label(parts))

    def _label(self, parts: Sequence[str]) -> str | None:
        return parts[0] if self.options.label_folders and len(parts) > 1 else None

    def _without_own(self, pattern: str, paths: list[Path]) -> list[Path]:
        """Leave out the files in folders that training wrote, unless the pattern begins there."""
        begin = [glob.has_magic(part) for part in Path(pattern).parts].index(True)
        own = {
            folder: is_own(folder)
            for folder in sorted({each for path in paths for each in path.parents})
            if len(folder.parts) >= begin
        }
        self._report_own(pattern, [folder for folder, is_it in own.items() if is_it])
        return [path for path in paths if not any(own.get(each) for each in path.parents)]

    def _report_own(self, source: str, folders: list[Path]) -> None:
        """Say which folders are left out of a source."""
        if folders:
            self.notify(
                f"left out of {source}, as they are not texts: {counted(len(folders), 'folder')} "
                f"of runs, models or caches ({first_of(folders)})"
            )

    def _members(self, source: str, paths: list[Path]) -> list[File]:
        """Keep the regular files among some paths, with those in archives; mark the binary ones."""
        members, others, pages = list[File](), list[Path](), 0
        for path in paths:
            status = _status(path)
            if status is None or not stat.S_ISREG(status.st_mode):
                others += [] if path.is_dir() else [path]  # a pattern may match folders
                continue
            file = File(str(path), path, status, is_member=True)
            if is_archive(path):
                members += self._members_of(file)
            elif is_page(head := self._head(file)):
                pages += 1
            else:
                members.append(self._marked(file, head))
        if pages:
            self.notify(f"left out of {source}: {counted(pages, 'page')} that Sunspring made")
        if others:
            self.notify(f"skipped what is no file: {len(others)} ({first_of(others)})")
        return members

    def _members_of(self, archive: File) -> list[File]:
        """Find the files in an archive, and mark the binary ones."""
        found = self.archives.members(archive.name, cast(Path, archive.path))
        files = (
            replace(
                archive,
                name=f"{archive.name}/{name}",
                member=name,
                member_size=member.size,
                is_member=True,
            )
            for name, member in found.items()
        )
        return [self._marked(file, self._head(file)) for file in files]

    def _marked(self, file: File, head: bytes) -> File:
        """Mark a file with its format, or as binary if its beginning is."""
        file = with_format(file, self.archives, self.options)
        if self.as_bytes or file.format:
            return file
        return replace(file, is_binary=not is_text(head, self.options))

    def _head(self, file: File) -> bytes:
        return next(read_chunks(file, self.archives, _HEAD_SIZE, lambda size: None), b"")


def _walk(folder: Path, own: list[Path]) -> Iterator[Path]:
    """Find all that is no folder in and below a folder and is not hidden.

    Links to folders are followed, after all that is really there; no folder is read twice. Folders
    that training wrote are not read, but added to `own`.
    """

    def fail(error: OSError) -> None:
        raise unreadable(str(error.filename), error) from None

    seen: set[tuple[int, int]] = set()
    folders = [folder]
    for top in folders:
        for parent, subfolders, files in os.walk(top, onerror=fail):
            status = Path(parent).stat()
            if (status.st_dev, status.st_ino) in seen:
                subfolders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            below: list[Path] = []
            for path in (Path(parent, name) for name in sorted(subfolders) if name[0] != "."):
                (own if is_own(path) else below).append(path)
            subfolders[:] = [path.name for path in below]
            folders += [path for path in below if path.is_symlink()]
            yield from (Path(parent, name) for name in files if not name.startswith("."))


def _without_repeats(paths: Iterable[Path]) -> list[Path]:
    """Leave out paths that lead to a file again, through links to folders; the shortest stay."""
    by_length = sorted(paths, key=lambda path: (len(path.parts), path))
    return list({(path.parent.resolve(), path.name): path for path in reversed(by_length)}.values())


def _status(path: Path) -> os.stat_result | None:
    """Find a path's status, if it exists; it may be anything, even a text given by mistake."""
    try:
        return path.stat()
    except PermissionError as error:
        raise unreadable(str(path), error) from None
    except (OSError, ValueError):
        return None


def _missing(name: str) -> SourceError:
    """Make the error for a missing file, suggesting similar names."""
    shown = name if name.isprintable() and 0 < len(name) < 200 else f"{name[:50]!r}"
    path = Path(name)
    try:
        close = difflib.get_close_matches(
            path.name, [other.name for other in path.parent.iterdir()]
        )
    except (OSError, ValueError):
        return SourceError(f"{shown} does not exist, nor does its folder: check the path")
    if path.name in close:
        return SourceError(f"{shown} is a link that leads nowhere: name what it should lead to")
    advice = " or ".join(str(path.parent / other) for other in close)
    return SourceError(
        f"{shown} does not exist: " + (f"did you mean {advice}?" if close else "check the path")
    )
