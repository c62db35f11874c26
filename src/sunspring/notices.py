"""Notices for people while something runs: lines of text, and the progress of long reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

Notify = Callable[[str], None]
"""Called with a line for a person to read: what was skipped, repaired or is not available."""

Progress = Callable[[int, int | None], None]
"""Called with the amount done and, if known, the total."""


def ignore(line: str) -> None:
    """Say nothing."""


def notify_on(stream: TextIO | None) -> Notify:
    """Return a function that prints lines to a stream; None for silence."""

    def notify(line: str) -> None:
        print(line, file=stream, flush=True)

    return ignore if stream is None else notify
