"""The streams of the command line: text and JSON go to stdout, everything else to stderr.

Apart from cli.py so that the commands there can be read at a glance.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def prepare_streams() -> None:
    """Make piped text UTF-8; a stream that is closed says nothing and takes everything."""
    nowhere = Path(os.devnull)
    sys.stdin = sys.stdin or nowhere.open("r")
    sys.stdout = sys.stdout or nowhere.open("w")
    sys.stderr = sys.stderr or nowhere.open("w")
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")  # type: ignore[union-attr]


def say(line: str) -> None:
    """Tell the user something that is no result."""
    print(line, file=sys.stderr, flush=True)


def ask(question: str) -> str:
    """Ask the user for a line."""
    print(question, end="", file=sys.stderr, flush=True)
    return input()


def print_json(values: Any) -> None:
    """Print one object on one line."""
    text = json.dumps(values, ensure_ascii=False)
    # a name or a prompt may hold bytes that are no text, which JSON escapes
    print(text.encode("utf-8", "backslashreplace").decode(), flush=True)


def print_stream(pieces: Iterator[str]) -> None:
    """Print a text while it is written; only on a terminal is a line end added to it."""
    for piece in pieces:
        print(piece, end="", flush=True)
    if sys.stdout.isatty():
        print()
