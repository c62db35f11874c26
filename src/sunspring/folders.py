"""What a folder is to this package, and which process is at work in it.

A folder is known by the files in it. Whoever reads sources leaves out what training wrote; whoever
writes a folder makes sure that nobody else's files are in it, and that nobody else writes there.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Literal

from sunspring.errors import ModelError, SunspringError
from sunspring.notices import first_of
from sunspring.storage import cache_folder, read_json, writing

FolderKind = Literal["free", "begun", "run", "model", "cache", "other"]
"""What a folder is:

- `free`: missing or empty
- `begun`: of a training that ended before it had written its run.json
- `run`: of a training, which can be resumed
- `model`: all that writing needs, perhaps with the run.json of its training
- `cache`: an encoded text, or the cache itself
- `other`: anything else, a file too
"""

LOCK = "run.lock"
_BEGINNING = {LOCK, "tokenizer.json", "config.json", ".config.json.building", ".run.json.building"}
_NOTHING = {".DS_Store", "Thumbs.db", "desktop.ini"}  # systems leave these in empty folders
_TRIES = 100  # to lock a file that others remove at the same moment


def kind_of(folder: Path) -> FolderKind:
    """Return what a folder is; one that cannot be looked into is of another kind."""
    if not os.path.lexists(folder):
        return "free"
    try:
        names = {path.name for path in folder.iterdir()} - _NOTHING
    except OSError:
        return "other"
    if not names:
        return "free"
    if LOCK in names and names <= _BEGINNING:
        return "begun"
    is_model = {"config.json", "tokenizer.json", "model.safetensors"} <= names and _has_keys(
        folder / "config.json", {"vocabulary_size", "hidden_size"}
    )
    is_trained = {"checkpoints", "log.jsonl", LOCK} & names or not is_model
    if "run.json" in names and is_trained and _has_keys(folder / "run.json", {"request", "plan"}):
        return "run"
    if is_model:
        return "model"
    is_text = "corpus.json" in names and _has_keys(folder / "corpus.json", {"fingerprint"})
    return "cache" if is_text or _is_same(folder, cache_folder()) else "other"


def is_own(folder: Path) -> bool:
    """Tell whether a folder holds what training wrote, and not texts."""
    return kind_of(folder) in ("begun", "run", "model", "cache")


def contents(folder: Path) -> str | None:
    """Say in words what is in a folder that would be lost if another were written there."""
    kind = kind_of(folder)
    if kind in ("free", "begun"):
        return None
    if not folder.is_dir():
        return "is a file"
    if kind == "other":
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError as error:
            return f"cannot be read ({error.strerror or error})"
        return f"holds files of another kind ({first_of(names)})"
    held = {"run": "a run", "model": "a model", "cache": "encoded text"}
    return f"already holds {held[kind]}"


def _has_keys(path: Path, keys: set[str]) -> bool:
    """Tell whether a file is a JSON object with these keys."""
    try:
        return keys <= read_json(path).keys()
    except SunspringError:
        return False


def _is_same(folder: Path, other: Path) -> bool:
    try:
        return folder.samefile(other)
    except OSError:
        return False


class Hold:
    """The right to be the only one who writes to a folder.

    It is a lock of the operating system on a file in the folder. It ends with its process, however
    that ends, and stays as long as the process is suspended or the folder is moved.

    Args:
        folder: the folder.
        file: the locked file.
    """

    def __init__(self, folder: Path, file: IO[bytes]) -> None:
        self._folder = folder
        self._file = file

    def check(self) -> None:
        """Make sure that the folder is still there, and still the same.

        Raises:
            ModelError: it was moved, deleted or replaced.
        """
        if not _is_at(self._file, self._folder / LOCK):
            raise ModelError(
                f"{self._folder} was moved or deleted while its training ran: if it was moved, "
                "continue it from there with --resume"
            )


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[Hold]:
    """Let nobody else write to a folder.

    Args:
        folder: an existing folder.

    Raises:
        ModelError: another process holds it, or it cannot be written.
    """
    path = folder / LOCK
    with writing(folder):
        file = _lock(path)
    try:
        yield Hold(folder, file)
    finally:
        _release(file, path)


def _lock(path: Path) -> IO[bytes]:
    """Open and lock a file, and note in it who did.

    Raises:
        ModelError: another process has locked it.
        OSError: the file cannot be written.
    """
    for _ in range(_TRIES):
        file = path.open("a+b")
        try:
            _take(file, path)
            if _is_at(file, path):  # and was not removed by whoever held it before
                _write_note(file)
                return file
        except BaseException:
            file.close()
            raise
        file.close()
    raise _held(path, {})


def _take(file: IO[bytes], path: Path) -> None:
    """Lock an open file.

    Raises:
        ModelError: somebody else has locked it, or may have.
    """
    try:
        _lock_now(file)
    except (BlockingIOError, PermissionError):
        raise _held(path, _read_note(file)) from None
    except OSError:  # some file systems on a network have no locks
        if note := _read_note(file):
            raise _perhaps_held(path, note) from None


def _lock_now(file: IO[bytes]) -> None:
    """Lock an open file.

    Raises:
        OSError: somebody else has locked it, or this file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # a byte that nobody reads: what is locked cannot be read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Tell whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def _release(file: IO[bytes], path: Path) -> None:
    """Remove a locked file, and then the lock."""
    is_there = _is_at(file, path)
    if sys.platform == "win32":  # which removes no file that is open
        file.close()
    if is_there:
        with contextlib.suppress(OSError):  # the folder may have become read-only
            path.unlink()
    file.close()


def _write_note(file: IO[bytes]) -> None:
    """Write who locked a file."""
    note = {
        "process": os.getpid(),
        "host": platform.node(),
        "since": datetime.now().astimezone().isoformat(timespec="seconds"),
    }
    file.truncate(0)
    file.write(json.dumps(note).encode())
    file.flush()


def _read_note(file: IO[bytes]) -> Mapping[str, Any]:
    """Read who locked a file; empty if that is not written yet."""
    file.seek(0)
    try:
        note = json.loads(file.read())
        return {"process": int(note["process"]), **{k: str(note[k]) for k in ("host", "since")}}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _who(note: Mapping[str, Any]) -> str:
    return f"process {note['process']} on {note['host']}, since {note['since']}"


def _held(path: Path, note: Mapping[str, Any]) -> ModelError:
    if not note:
        return ModelError(f"another process is training in {path.parent}: wait until it ends")
    remedy = "wait until it ends, or end it there"
    if note["host"] == platform.node():
        process = note["process"]
        remedy = f"wait until it ends, or end it: kill {process}"
        if sys.platform != "win32":
            remedy += f" (if it is suspended, then also: kill -CONT {process})"
    return ModelError(f"{path.parent} is being trained by {_who(note)}: {remedy}")


def _perhaps_held(path: Path, note: Mapping[str, Any]) -> ModelError:
    return ModelError(
        f"{path.parent} may be being trained by {_who(note)}, and its file system has no locks to "
        f"tell: if that process is over, delete {path}"
    )
