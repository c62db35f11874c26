"""What people are shown while something runs: notices, progress, text that may hold anything."""

from __future__ import annotations

import functools
import math
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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


def escaped(text: str) -> str:
    """Write JSON so that it may reach a screen: what `displayable` replaces, as escapes."""
    return _HARMFUL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def first_of(names: Sequence[object], most: int = 3) -> str:
    """List the first of some names, for a message."""
    return ", ".join(map(str, names[:most])) + ", …" * (len(names) > most)


def counted(number: int, what: str) -> str:
    """Write a number with what it counts, which has an s if it is not one."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def command(*words: str | Path) -> str:
    """Write a command of this program so that it can be copied into a shell."""
    return shlex.join(["sunspring", *map(str, words)])


_MOST_SANE = 99.0  # no measure of a training that has not diverged is near it
_SECONDS_BETWEEN = 3.0  # lines of progress
_LIVE_SECONDS = 0.2  # between two drawings of a bar
_FIRST_SECONDS = 1.0  # work that is over before shows nothing
_WIDTH = 20  # of a bar
_CLEAR = "\r\x1b[K"  # the line of a terminal


def ignore(line: str) -> None:
    """Say nothing."""


def unnoticed(done: int, total: int | None) -> None:
    """Show no progress."""


def within(on_progress: Progress, before: int, total: int) -> Progress:
    """Return what takes the progress of a part of some work, which comes after other parts."""
    return lambda done, of_part: on_progress(before + done, total)


def counting(
    lines: Iterable[str], characters: int, on_progress: Progress = unnoticed
) -> Iterator[str]:
    """Pass lines on, and tell how many of their characters went by, and at the end all."""
    done = 0
    for line in lines:
        yield line
        done = min(done + len(line) + 1, characters - 1)
        on_progress(done, characters)
    on_progress(characters, characters)


class Screen:
    """A stream on which people read notices; on a terminal a bar may stand below them.

    Args:
        stream: where they go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar = ""
        self.is_live = stream.isatty() and os.environ.get("TERM") != "dumb"

    def __call__(self, line: str) -> None:
        """Print a notice."""
        self.clear()
        print(displayable(line), file=self._stream, flush=True)

    def draw(self, share: float | None, words: str) -> None:
        """Draw a bar in place of the last one; without a share, the words alone."""
        is_plain = not (self._stream.encoding or "").lower().startswith("utf")
        full, empty = "=-" if is_plain else "━─"
        filled = round(_WIDTH * (share or 0.0))
        bar = "" if share is None else f"{full * filled}{empty * (_WIDTH - filled)} "
        self._bar = f"{bar}{displayable(words)}"[: self._columns() - 1]
        self._stream.write(f"{_CLEAR}{self._bar}")
        self._stream.flush()

    def clear(self) -> None:
        """Take the bar away, if there is one."""
        if self._bar:
            self._bar = ""
            self._stream.write(_CLEAR)
            self._stream.flush()

    def give_up_line(self) -> str:
        """Forget the bar, and return what makes its line empty; without one, a line end.

        So that a handler of signals can write it, past this stream that may be in use.
        """
        bar, self._bar = self._bar, ""
        return _CLEAR if bar else "\n"

    def _columns(self) -> int:
        """Return the width of this terminal: standard output may be another one, or a file."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except OSError:
            columns = 0
        return columns or shutil.get_terminal_size().columns


@functools.lru_cache(maxsize=8)
def screen_on(stream: TextIO) -> Screen:
    """Return the screen on a stream.

    It is the same for all who print there, so that they know of the bar that may stand there.
    """
    return Screen(stream)


def notify_on(stream: TextIO | None) -> Notify:
    """Return what prints lines to a stream; None for silence."""
    return ignore if stream is None else screen_on(stream)


class Work:
    """A `Progress` that shows how far some work is: a bar on a terminal, plain lines elsewhere.

    Work that is soon over shows nothing.

    Args:
        notify: where it is shown.
        what: the work, in a word or two, such as `scoring`.
        unit: what is counted, if its number is to be shown.
        scale: how much of the work is one of these units.
        clock: tells the seconds.
    """

    def __init__(
        self,
        notify: Notify,
        what: str,
        unit: str = "",
        scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what = what
        self._notify, self._unit, self._scale, self._clock = notify, unit, scale, clock
        self._began = self._shown = clock()

    def __call__(self, done: int, total: int | None) -> None:
        """Show how much is done, if it is time to."""
        screen = self._notify if isinstance(self._notify, Screen) else None
        is_live = screen is not None and screen.is_live
        if screen and done == total:
            screen.clear()
            return
        now = self._clock()
        pause = _LIVE_SECONDS if is_live else _SECONDS_BETWEEN
        if now - self._began < _FIRST_SECONDS or now - self._shown < pause:
            return
        self._shown = now
        words = f"{self.what}: {self._figures(done, total, now - self._began)}"
        if screen and is_live:
            screen.draw(None if not total else done / total, words)
        else:
            self._notify(words)

    def _figures(self, done: int, total: int | None, seconds: float) -> str:
        figures = []
        if self._unit:
            of_all = f" of {total / self._scale:,.0f}" if total else ""
            figures.append(f"{done / self._scale:,.0f}{of_all} {self._unit}")
        if total:
            left = seconds * (total / done - 1) if done else math.inf
            figures += [f"{done / total:.0%}", f"{duration(left)} left"]
        return "  ".join(figures or [f"{done:,}"])


def reading_on(notify: Notify) -> Work:
    """Return what shows the progress of reading files, in bytes."""
    return Work(notify, "reading", "MB", 1e6)


def readable(measure: float, digits: int) -> str:
    """Write a measure of a training; that of one which diverges may be any number."""
    return f"{measure:.{digits}f}" if measure <= _MOST_SANE else f"over {_MOST_SANE:.0f}"


def duration(seconds: float) -> str:
    """Write a time as minutes and seconds, or with hours before them; ? if it is not known."""
    if math.isinf(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
