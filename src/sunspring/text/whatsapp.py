"""Chats that WhatsApp exported as text, on Android or on an iPhone; times are left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.messages import Message

_DATE = r"\d{1,4}\u200f?[./-] ?\d{1,2}\u200f?[./-] ?\d{1,4}\.?"
_TIME = r"\d{1,2}[:.]\d\d%s(?:[\s\u202f]?(?:[AaPp]\.?\s?[Mm]\.?|[صم]))?"
_SECONDS = r"(?:[:.]\d\d)?"
_MARKS = "[\u200e\u200f\u202a\ufeff]*"  # of the direction of writing, and of byte order
_HEAD = re.compile(
    rf"{_MARKS}(?:"
    rf"\[{_DATE}(?P<comma>[,،]?)\s{_TIME % _SECONDS}\] "  # iPhone
    rf"|{_DATE}[,،]?\s{_TIME % ''} - "  # Android
    ")(?P<rest>.*)"
)
_SAID = re.compile(rf"{_MARKS}(?P<speaker>[^:\"“”«\n]{{1,60}}):(?: (?P<text>.*))?")
_WITHOUT_WORDS = re.compile(
    "\u200e.*"  # so an iPhone marks what nobody typed
    r"|<[^<>]*>|\S+\.\w{2,4} \([^()]*\)|null"
    r"|(?:This message was deleted|You deleted this message)\.?"
    r"|(?:Diese Nachricht wurde gelöscht|Du hast diese Nachricht gelöscht)\.?"
    r"|Missed (?:group )?(?:voice|video) call\.?"
)
_EDITED = re.compile("\\s*\u200e?<This message was edited>\\s*$")
_FIRST_LINES, _FEWEST = 20, 2
_LEAST_SHARE = 0.75  # of the first lines that begin a message; others continue one


def is_whatsapp(lines: Sequence[str]) -> bool:
    """Tell from its first lines whether a text is a chat.

    A log may look alike, so an iPhone's line must have a comma after its date.
    """
    first = [line for line in lines if line.strip()][:_FIRST_LINES]
    heads = [head for head in map(_HEAD.fullmatch, first) if head]
    return (
        sum(_SAID.fullmatch(head["rest"]) is not None for head in heads) >= _FEWEST
        and len(heads) >= _LEAST_SHARE * len(first)
        and all(head["comma"] != "" for head in heads)
    )


def read_whatsapp(content: Content) -> Iterator[Message]:
    """Read a chat; lines that begin with no date continue a message.

    Raises:
        SourceError: the text does not begin with a message.
    """
    speaker: str | None = None
    lines: list[str] = []
    for line in content.lines():
        if head := _HEAD.fullmatch(line):
            if lines:
                yield _message(speaker, lines)
            said = _SAID.fullmatch(head["rest"])
            speaker, lines = (said["speaker"], [said["text"] or ""]) if said else (None, [""])
        elif lines:
            lines.append(line)
        elif line.strip():
            raise SourceError(
                f"{content.file.name} is no chat exported by WhatsApp, which begins with a date: "
                "take --read-as text"
            )
    if lines:
        yield _message(speaker, lines)


def _message(speaker: str | None, lines: list[str]) -> Message:
    """Make a message, without a text if it is none, such as a notice of who joined."""
    text = _EDITED.sub("", "\n".join(lines).strip())
    return Message(speaker, "" if speaker is None or _WITHOUT_WORDS.fullmatch(text) else text)
