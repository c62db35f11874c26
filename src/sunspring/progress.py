"""The progress of long work, in one manner: a bar on a terminal, plain lines elsewhere.

Work tells how far it is by calling a `Progress`; only what is drawn here knows of the screen. What
takes less than a second shows nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from sunspring.notices import Progress

if TYPE_CHECKING:
    import rich.progress

PLAIN_SECONDS = 10.0
"""Between two plain lines."""

_FIRST_SECONDS = 1.0  # work that is over before shows nothing
_LIVE_SECONDS = 0.2


def live_bar(stream: TextIO) -> rich.progress.Progress:
    """Return a bar with words after it, at the bottom of a terminal; it is not shown yet."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    return Progress(
        BarColumn(bar_width=20),
        TextColumn("{task.description}"),
        console=Console(file=stream),
        refresh_per_second=5,
    )


@contextmanager
def shown_progress(
    stream: TextIO | None, what: str, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """Show how far some work is while the block runs.

    Args:
        stream: where it is shown; None for silence.
        what: the work, in a word or two, such as `scoring`.
        clock: tells the seconds.
    """
    bar: rich.progress.Progress | None = None
    is_live = stream is not None and stream.isatty()
    begun, shown = clock(), -math.inf

    def report(done: int, total: int | None) -> None:
        nonlocal bar, shown
        now = clock()
        first, every = (_FIRST_SECONDS, _LIVE_SECONDS) if is_live else (PLAIN_SECONDS,) * 2
        if stream is None or now - begun < first or now - shown < every:
            return
        shown = now
        words = f"{what}: {_figures(done, total, now - begun)}"
        if not is_live:
            print(words, file=stream, flush=True)
            return
        if bar is None:
            bar = live_bar(stream)
            bar.add_task(words)
            bar.start()
        bar.update(bar.task_ids[0], completed=done, total=total, description=words)

    try:
        yield report
    finally:
        if bar is not None:
            bar.update(bar.task_ids[0], visible=False)
            bar.stop()


def _figures(done: int, total: int | None, seconds: float) -> str:
    """Say how far some work is after so many seconds."""
    if not total:
        return f"{done:,}"
    share = min(1.0, done / total)
    left = seconds * (1 / share - 1) if share else math.inf
    return f"{share:4.0%}  {duration(left)} left"


def duration(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours before them; ? if it is not known."""
    if math.isinf(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(
    pieces: Iterable[bytes | None], total: int, progress: Progress
) -> Iterator[bytes | None]:
    """Pass on the pieces of a text, and report how much of its bytes, about, are done."""
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece or b"")
        progress(min(done, total), total)
