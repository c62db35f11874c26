"""The streams of the command line: text and JSON go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_UNDERLINE, _COLOURED, _PLAIN = "\x1b[4m", "\x1b[4;33m", "\x1b[0m"


def prepare_streams() -> None:
    """Make piped text UTF-8; replace closed streams by empty ones."""
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open("r")
    sys.stdout = sys.stdout or nowhere.open("w")
    sys.stderr = sys.stderr or nowhere.open("w")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


def say(line: str) -> None:
    """Print a message that is not part of the result."""
    print(line, file=sys.stderr, flush=True)


def ask(question: str) -> str:
    """Ask the user for a line."""
    print(question, end="", file=sys.stderr, flush=True)
    return input()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines immediately, so that a reader at the other end of a pipe need not wait."""
    text = "".join(f"{line}\n" for line in lines)
    if text:
        sys.stdout.write(text)
        sys.stdout.flush()


def print_json(values: Any) -> None:
    """Print one object on one line."""
    text = json.dumps(values, ensure_ascii=False)
    # a name or a prompt may hold bytes that are not text; JSON escapes them
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)


def print_stream(pieces: Iterator[str]) -> None:
    """Print a text while it is written, with a line end added if it goes to a terminal."""
    for piece in pieces:
        print(piece, end="", flush=True)
    if sys.stdout.isatty():
        print()


def can_mark() -> bool:
    """Return whether standard output can show marked text."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def marked(text: str) -> str:
    """Mark a text for the terminal: underlined, and coloured unless NO_COLOR is set."""
    return f"{_UNDERLINE if os.environ.get('NO_COLOR') else _COLOURED}{text}{_PLAIN}"
