"""Folders of the cache that are being made: under another name, until they are whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = ".building-"  # of their names; then comes their process
_A_DAY = 24 * 3600.0  # seconds


@contextlib.contextmanager
def new_folder(cache: Path) -> Iterator[Path]:
    """Make a folder that is deleted at the end, unless it has been renamed.

    What processes that were killed left half made is deleted first.
    """
    _clear_leftovers(cache)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=cache))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers(cache: Path) -> None:
    """Delete what processes that were killed left half made.

    A folder that does not name its process, as those of earlier versions, must be a day old.
    """
    for folder in cache.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(OSError):
            if process.isdecimal() and os.name == "posix":
                is_over = not _is_running(int(process))
            else:
                is_over = time.time() - folder.stat().st_mtime > _A_DAY
            if is_over:
                shutil.rmtree(folder)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
