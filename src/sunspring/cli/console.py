"""The streams of the command line: text and JSON go to stdout, everything else to stderr."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

import click

from sunspring.cli.common import Verbosity
from sunspring.notices import Notify, Progress, Screen, Work, displayable, escaped, notify_on

_UNDERLINE, _COLOURED, _PLAIN = "\x1b[4m", "\x1b[4;33m", "\x1b[0m"


def prepare_streams() -> None:
    """Make piped text UTF-8; replace closed streams by empty ones.

    A terminal that is not UTF-8 shows question marks in place of what it lacks.
    """
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open("r")
    sys.stdout = sys.stdout or nowhere.open("w")
    sys.stderr = sys.stderr or nowhere.open("w")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    if sys.stdout.isatty():
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    else:
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


def shown(text: str) -> str:
    """Return a text as standard output takes it: untouched, unless it goes to a terminal."""
    return displayable(text) if sys.stdout.isatty() else text


def verbosity() -> Verbosity:
    """Return how much the running command says."""
    context = click.get_current_context(silent=True)
    return (context and context.find_object(Verbosity)) or Verbosity()


def notices() -> TextIO | None:
    """Return where notices and progress go; None for silence."""
    return None if verbosity().quiet else sys.stderr


def notify() -> Notify:
    """Return what prints messages that are not part of the result, or nothing for silence."""
    return notify_on(notices())


def say(line: str) -> None:
    """Print a message that is not part of the result, unless the user wants silence."""
    notify()(line)


def clear() -> None:
    """Take the bar of some work away, if one stands on the terminal."""
    screen = notify()
    if isinstance(screen, Screen):
        screen.clear()


def detail(line: str) -> None:
    """Print a message for those who want to know more."""
    if verbosity().verbose:
        say(line)


def show(text: str) -> None:
    """Print what a conversation with the user needs, however little is to be said."""
    print(displayable(text), file=sys.stderr, flush=True)


def ask(question: str) -> str:
    """Ask the user for a line."""
    print(displayable(question), end="", file=sys.stderr, flush=True)
    return input()


def lines_progress(what: str) -> Callable[[int, Sequence[str]], Progress]:
    """Say every few seconds how far the work on lines is, whose number is not known before.

    Args:
        what: is done to them.

    Returns:
        A function that takes the next lines, and before them the number of the first; it returns
        what to call with the progress of the work on these.
    """
    work = Work(notify(), what)

    def begin(first: int, lines: Sequence[str]) -> Progress:
        last = first + len(lines) - 1
        name = f"line {first:,}" if first == last else f"lines {first:,} to {last:,}"
        work.what = f"{what} {name}"
        return work

    return begin


def print_lines(lines: Iterable[str]) -> None:
    """Print lines immediately, so that a reader at the other end of a pipe need not wait."""
    text = "".join(f"{line}\n" for line in lines)
    clear()
    if text:
        sys.stdout.write(shown(text))
        sys.stdout.flush()


def print_json(values: Any) -> None:
    """Print one object on one line; a terminal gets what would harm it as escapes."""
    clear()
    text = json.dumps(values, ensure_ascii=False)
    text = escaped(text) if sys.stdout.isatty() else text
    # a name or a prompt may hold bytes that are not text; JSON escapes them
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)


def print_stream(pieces: Iterator[str]) -> None:
    """Print a text while it is written, with a line end added if it goes to a terminal."""
    for piece in pieces:
        clear()
        print(piece, end="", flush=True)
    if sys.stdout.isatty():
        print()


def print_bytes(pieces: Iterator[bytes]) -> None:
    """Print bytes while they are written; a terminal gets as much of them as it can show."""
    if sys.stdout.isatty():
        print_stream(map(displayable, codecs.iterdecode(pieces, "utf-8", "replace")))
        return
    for piece in pieces:
        clear()
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def can_mark() -> bool:
    """Return whether standard output can show marked text."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def marked(text: str) -> str:
    """Mark a text for the terminal: underlined, and coloured unless NO_COLOR is set."""
    mark = _UNDERLINE if os.environ.get("NO_COLOR") else _COLOURED
    return f"{mark}{displayable(text)}{_PLAIN}"
