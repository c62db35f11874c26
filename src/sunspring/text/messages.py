"""What somebody said: the common form of chats and subtitles, and how it becomes documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sunspring.errors import SourceError
from sunspring.notices import counted
from sunspring.text.content import Content

SPEAKER = "speaker"
"""The column of labels that conversations have."""


class Message(NamedTuple):
    """What somebody said.

    Args:
        speaker: None if nobody is named.
        text: may have several lines; empty for a notice, a picture or a deleted message.
    """

    speaker: str | None
    text: str


def spoken(
    messages: Iterable[Message], content: Content, kind: str
) -> Iterator[tuple[str, str | None]]:
    """Turn messages into texts with labels, and say at the end how many there were.

    Args:
        messages: the whole conversation.
        content: where they come from.
        kind: what it was read as, for the message.

    Yields:
        The text of each message and its label: the speaker, if the options ask for that. Otherwise
        the speaker stands before the text, as in `Anna: Hello`, and the label is the file's.

    Raises:
        SourceError: speakers are to be labels, and none is named.
    """
    name = content.file.name
    by_speaker = content.options.label_column is not None
    speakers = set()
    count = empty = nameless = 0
    for speaker, text in messages:
        if not text:
            empty += 1
        elif by_speaker and speaker is None:
            nameless += 1
        else:
            count += 1
            if speaker is not None:
                speakers.add(speaker)
            prefix = "" if by_speaker or speaker is None else f"{speaker}: "
            yield prefix + text, speaker if by_speaker else content.file.label
    if nameless and not count:
        raise SourceError(f"{name} names no speakers: leave out --label-column {SPEAKER}")
    parts = [counted(len(speakers), "speaker")] if speakers else []
    parts.append(counted(count, "message"))
    if empty:
        parts.append(f"{empty} without words left out")
    if nameless:
        parts.append(f"{nameless} without a speaker left out")
    content.notify(f"{name} is read as {kind}: {', '.join(parts)}")
