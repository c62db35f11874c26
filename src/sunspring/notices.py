"""What is said to a person on the way: lines of text, and how far a long reading is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TextIO

Notify = Callable[[str], None]
"""Called with a line for a person to read: what was skipped, mended or cannot be had."""

Progress = Callable[[int, int | None], None]
"""Called with how much is done, and of how much if that is known."""


def ignore(line: str) -> None:
    """Say nothing."""


def notify_on(stream: TextIO | None) -> Notify:
    """Give what prints lines to a stream; None for silence."""

    def notify(line: str) -> None:
        print(line, file=stream, flush=True)

    return ignore if stream is None else notify
