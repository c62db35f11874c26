"""What people are shown while something runs: notices, progress, text that may hold anything."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

Notify = Callable[[str], None]
"""Called with a line for a person to read: what was skipped, repaired or is not available."""

Progress = Callable[[int, int | None], None]
"""Called with the amount done and, if known, the total."""

_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def displayable(text: str) -> str:
    """Replace what must not reach a screen: it would move the cursor, or the letters around it.

    That is control characters but for newlines and tabs, overrides of the writing direction, and
    surrogates, which no screen can show. They become U+FFFD.
    """
    return _HARMFUL.sub("\ufffd", text)


def command(*words: str | Path) -> str:
    """Write a command of this program so that it can be copied into a shell."""
    return shlex.join(["sunspring", *map(str, words)])


_SECONDS_BETWEEN = 3.0  # lines of progress


def ignore(line: str) -> None:
    """Say nothing."""


def notify_on(stream: TextIO | None) -> Notify:
    """Return a function that prints lines to a stream; None for silence."""

    def notify(line: str) -> None:
        print(displayable(line), file=stream, flush=True)

    return ignore if stream is None else notify


def paced(report: Progress) -> Progress:
    """Pass progress on every few seconds only, for those who get a line each time."""
    last = time.monotonic()

    def now_and_then(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last >= _SECONDS_BETWEEN:
            last = time.monotonic()
            report(done, total)

    return now_and_then


def share_done(what: str, done: int, total: int | None) -> str:
    """Say how far something is, as a share of the whole."""
    return f"{what}: {done / (total or done or 1):.0%}"
