"""Files that are replaced whole or not at all, JSON files, and the cache folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sunspring.errors import ModelError, SourceError

_HEAD_BYTES = 1 << 12


def cache_folder() -> Path:
    """Return the folder for what can be computed or downloaded again.

    The environment variable `SUNSPRING_CACHE` names it; the default is the system's usual place.
    """
    chosen = os.environ.get("SUNSPRING_CACHE")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("sunspring")


@contextmanager
def caching(what: str, folder: Path) -> Iterator[None]:
    """Turn errors of the disk into messages that say what to do, while a text is stored there.

    Args:
        what: is stored.
        folder: in or below `cache_folder()`.

    Raises:
        SourceError: instead of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"{what} cannot be stored in {folder} ({error.strerror or type(error).__name__}): free "
            "some space, or set the environment variable SUNSPRING_CACHE to another folder"
        ) from None


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn errors of the disk into messages that say what to do.

    Raises:
        ModelError: instead of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"{folder} cannot be written ({error.strerror or error}): "
            "make room or give it write permission, or name another folder"
        ) from None


def existing_part(path: Path) -> Path:
    """Return a path, or the nearest folder above it that exists: where it is, or would be made."""
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def check_room(folder: Path, needed: float, what: str, remedy: str) -> None:
    """Make sure that a disk has room.

    Args:
        folder: on that disk; it need not exist yet.
        needed: bytes.
        what: needs them.
        remedy: what to do otherwise.

    Raises:
        ModelError: it has not.
    """
    existing = existing_part(folder)
    total, _, free = shutil.disk_usage(existing)
    if needed > free and total:  # the size of what is no real disk is 0
        raise ModelError(
            f"{existing} has {free / 1e6:,.0f} MB free, and {what} take {needed / 1e6:,.0f} MB: "
            f"{remedy}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ModelError: the file is unreadable or holds something else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is damaged ({error}): restore it from a copy") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path} is damaged (not a JSON object): restore it from a copy")
    return values


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object, indented for people to read, atomically."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    # a file name may hold bytes that are not text; JSON escapes them
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a whole file: after a crash it has either the old content or the new."""
    building = path.with_name(f".{path.name}.building")
    try:
        write_synced(building, data)
        building.replace(path)
    finally:
        building.unlink(missing_ok=True)
    sync_folder(path.parent)


def check_replaceable(path: Path, is_ours: Callable[[bytes], bool], what: str) -> None:
    """Make sure that a file can be written without the loss of something else.

    Args:
        path: the file.
        is_ours: tells by its first bytes whether an existing file is what will replace it.
        what: what that is, in words.

    Raises:
        ModelError: the file exists and holds something else.
    """
    with writing(path):
        if path.is_dir():
            raise ModelError(f"{path} is a folder: name a file")
        if not path.exists():
            return
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    if head and not is_ours(head):
        raise ModelError(f"{path} holds something else than {what}: name another file")


def write_synced(path: Path, data: bytes) -> None:
    """Write a file, and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Make a rename durable; folders can be synced on POSIX only."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
