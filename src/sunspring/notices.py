"""Notices for people while something runs: lines of text, and the progress of long reading."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

Notify = Callable[[str], None]
"""Called with a line for a person to read: what was skipped, repaired or is not available."""

Progress = Callable[[int, int | None], None]
"""Called with the amount done and, if known, the total."""

_SECONDS_BETWEEN = 3.0  # lines of progress


def ignore(line: str) -> None:
    """Say nothing."""


def notify_on(stream: TextIO | None) -> Notify:
    """Return a function that prints lines to a stream; None for silence."""

    def notify(line: str) -> None:
        print(line, file=stream, flush=True)

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
