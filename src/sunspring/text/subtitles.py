"""Subtitles, `.srt` and `.vtt`: what is said, without its times and its formatting.

A speaker is known where the subtitles name one: in capitals before a colon, or by a tag of WebVTT.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.messages import Message

_TIMES = re.compile(
    r"\s*(?:\d+:)?\d{1,2}:\d{2}[,.]\d{1,3}\s+-->\s+(?:\d+:)?\d{1,2}:\d{2}[,.]\d{1,3}.*"
)
_NO_CUE = ("WEBVTT", "NOTE", "STYLE", "REGION")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[A-Za-z0-9][^<>]*>|\{\\[^{}]*\}")
_TURN = re.compile(r"[-‐–—]\s*(?=\S)")
_NAMED = re.compile(r"(?P<speaker>[^\W\d_][^:a-z]{0,38}[^\W_]):\s+(?P<text>\S.*)")


def read_subtitles(content: Content) -> Iterator[Message]:
    """Read subtitles; a line that begins with a dash or a speaker begins a message.

    Raises:
        SourceError: they have text, but no times.
    """
    is_timed, is_text = False, False
    for block in _blocks(content.lines()):
        # a number or a name may stand before the times
        times = next((at for at in (0, 1) if at < len(block) and _TIMES.fullmatch(block[at])), None)
        if times is not None:
            is_timed = True
            yield from _messages(block[times + 1 :])
        elif not block[0].lstrip("\ufeff").startswith(_NO_CUE):
            is_text = True
            if is_timed:  # a cue with an empty line in it
                yield from _messages(block)
    if is_text and not is_timed:
        raise SourceError(
            f"{content.file.name} has no times of subtitles, such as 00:00:01,000 --> "
            "00:00:02,000: take --read-as text"
        )


def _blocks(lines: Iterable[str]) -> Iterator[list[str]]:
    """Collect lines up to each blank one."""
    block: list[str] = []
    for line in lines:
        if line.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _messages(lines: Iterable[str]) -> Iterator[Message]:
    """Tell apart what is said in one cue."""
    said: list[Message] = []
    for line in lines:
        voice = _VOICE.search(line)
        text = " ".join(html.unescape(_TAG.sub("", line)).split())
        turn = _TURN.match(text)
        text = text[turn.end() :] if turn else text
        if voice:
            said.append(Message(" ".join(voice[1].split()), text))
        elif (named := _NAMED.fullmatch(text)) and named["speaker"].isupper():
            said.append(Message(named["speaker"], named["text"]))
        elif turn or not said:
            said.append(Message(None, text))
        else:
            said[-1] = said[-1]._replace(text=f"{said[-1].text} {text}".strip())
    return iter(said)
