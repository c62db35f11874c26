"""Chats out of Telegram: `result.json` as it exports them, or text copied from its window."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.messages import Message

_MESSAGES = re.compile(r'(?<!\\)"messages"\s*:\s*\[')
_LONGEST_NAME = 64  # characters of `"messages": [`, which two pieces of text may share
_LONGEST_RECORD = 1 << 24  # characters; Telegram's messages have 4,096
_KIND = re.compile(r'"type"\s*:\s*"\w+"')
_BETWEEN = re.compile(r"[\s,]*")
_COPIED = re.compile(
    r"(?P<speaker>.{1,100}), \[\d{1,4}[./-]\d{1,2}[./-]\d{1,4},? \d{1,2}:\d\d(?::\d\d)?"
    r"(?:\s[AaPp][Mm])?\]\s*"
)
_WITHOUT_WORDS = re.compile(
    r"\[ ?(?:In reply to .+|.{0,9}Sticker|(?:Photo|Video|Album|GIF|Voice message|Video message|"
    r"Audio file|File|Location|Contact|Poll)(?: ?: .+)?) ?\]"
)
_FIRST_LINES, _FEWEST = 20, 2


def is_telegram(head: str) -> bool:
    """Tell from its beginning whether JSON is a chat, or many."""
    return bool(_KIND.search(head) and _MESSAGES.search(head))


def is_telegram_text(lines: Sequence[str]) -> bool:
    """Tell from its first lines whether a text was copied from Telegram's window."""
    first = [line for line in lines if line.strip()][:_FIRST_LINES]
    heads = [line for line in first if _COPIED.fullmatch(line)]
    return len(heads) >= _FEWEST and first[0] == heads[0]


def read_telegram(content: Content) -> Iterator[Message]:
    """Read `result.json`, in bounded memory.

    Raises:
        SourceError: it is damaged, or no chat.
    """
    for record in _records(content):
        if not isinstance(record, dict):
            raise _damaged(content)
        speaker, text = record.get("from"), _text(record.get("text"))
        is_said = record.get("type") == "message"
        yield Message(speaker if isinstance(speaker, str) else None, text if is_said else "")


def _text(value: Any) -> str:
    """Join a text that may be a list of plain and of formatted pieces."""
    pieces = value if isinstance(value, list) else [value]
    texts = (each.get("text") if isinstance(each, dict) else each for each in pieces)
    return "".join(each for each in texts if isinstance(each, str)).strip()


def _records(content: Content) -> Iterator[Any]:
    """Find the records in all arrays named `messages`, one after another."""
    decode = json.JSONDecoder().raw_decode
    buffer, at, found = "", 0, False
    within = False  # such an array
    for piece in content.text():
        if len(buffer) - at > _LONGEST_RECORD:
            break
        buffer, at = buffer[at:] + piece, 0
        while True:
            if not within:
                begin = _MESSAGES.search(buffer, at)
                if not begin:
                    at = max(at, len(buffer) - _LONGEST_NAME)
                    break
                within, found, at = True, True, begin.end()
            at = _end_of(_BETWEEN.match(buffer, at))
            if buffer.startswith("]", at):
                within, at = False, at + 1
                continue
            try:
                record, at = decode(buffer, at)
            except (ValueError, RecursionError):
                break  # it goes on in the next piece
            yield record
    if within or not found:
        raise _damaged(content)


def _end_of(match: re.Match[str] | None) -> int:
    assert match  # the pattern matches the empty text, too
    return match.end()


def _damaged(content: Content) -> SourceError:
    return SourceError(
        f"{content.file.name} is damaged, or no chat exported by Telegram: export it again as JSON"
    )


def read_telegram_text(content: Content) -> Iterator[Message]:
    """Read text copied from Telegram's window: name and date in one line, the message below.

    Lines that stand for a picture, or for the message that is answered, are left out.

    Raises:
        SourceError: the text does not begin with a name and a date.
    """
    speaker: str | None = None
    lines: list[str] = []
    for line in content.lines():
        if head := _COPIED.fullmatch(line):
            if speaker is not None:
                yield Message(speaker, "\n".join(lines).strip())
            speaker, lines = head["speaker"], []
        elif speaker is not None:
            if not _WITHOUT_WORDS.fullmatch(line.strip()):
                lines.append(line)
        elif line.strip():
            raise SourceError(
                f"{content.file.name} is no chat copied from Telegram, which begins with a name "
                "and a date: take --read-as text"
            )
    if speaker is not None:
        yield Message(speaker, "\n".join(lines).strip())
