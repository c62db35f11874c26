"""What kind of file a source is, other than plain text or a table, and what reads that kind.

A kind is told by the ending of the file's name; for chats, and on the web, by how it begins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import NamedTuple

from sunspring.errors import MissingExtraError, SourceError
from sunspring.notices import ignore
from sunspring.text.books import read_epub
from sunspring.text.content import Content
from sunspring.text.decoding import File, read_chunks
from sunspring.text.markdown import read_markdown
from sunspring.text.markup import read_html
from sunspring.text.messages import Message, spoken
from sunspring.text.office import read_docx, read_odt
from sunspring.text.options import ReadingOptions
from sunspring.text.packing import PACKED, Archives
from sunspring.text.pdf import read_pdf
from sunspring.text.subtitles import read_subtitles
from sunspring.text.telegram import (
    is_telegram,
    is_telegram_text,
    read_telegram,
    read_telegram_text,
)
from sunspring.text.whatsapp import is_whatsapp, read_whatsapp

_HEAD = 1 << 14  # bytes that tell what a file is
_PACKED = re.compile(rf"{PACKED}$")
_ADDRESS_END = re.compile(r"[?#].*", re.DOTALL)
_BEGINNINGS = (  # of what comes from the web under a name without an ending
    (re.compile(rb"\s*<(?:!doctype html|html)\b", re.IGNORECASE), "html"),
    (re.compile(rb"%PDF-"), "pdf"),
)


class DocumentFormat(NamedTuple):
    """A kind of document.

    Args:
        read: yields its lines, several at a time.
        endings: of file names.
        needs: the packages of the extra `documents` that it takes.
    """

    read: Callable[[Content], Iterator[str]]
    endings: tuple[str, ...]
    needs: tuple[str, ...] = ()


class ConversationFormat(NamedTuple):
    """A kind of conversation.

    Args:
        read: yields its messages.
        shown: what the user is told that a file was read as.
        endings: of file names.
    """

    read: Callable[[Content], Iterator[Message]]
    shown: str
    endings: tuple[str, ...] = ()


DOCUMENTS: Mapping[str, DocumentFormat] = {
    "docx": DocumentFormat(read_docx, ("docx",)),
    "odt": DocumentFormat(read_odt, ("odt",)),
    "epub": DocumentFormat(read_epub, ("epub",), ("lxml",)),
    "html": DocumentFormat(read_html, ("html", "htm", "xhtml"), ("lxml",)),
    "markdown": DocumentFormat(read_markdown, ("md", "markdown"), ("markdown_it", "lxml")),
    "pdf": DocumentFormat(read_pdf, ("pdf",), ("pypdfium2",)),
}
CONVERSATIONS: Mapping[str, ConversationFormat] = {
    "subtitles": ConversationFormat(read_subtitles, "subtitles", ("srt", "vtt")),
    "whatsapp": ConversationFormat(read_whatsapp, "a WhatsApp chat"),
    "telegram": ConversationFormat(read_telegram, "a Telegram chat"),
    "telegram-text": ConversationFormat(read_telegram_text, "text copied from Telegram"),
}
"""The kinds, by the names that the setting `read_as` has for them."""

_BY_ENDING = {
    ending: name
    for kinds in (DOCUMENTS, CONVERSATIONS)
    for name, kind in kinds.items()
    for ending in kind.endings
}


def with_format(file: File, archives: Archives, options: ReadingOptions) -> File:
    """Find out what kind of file a source is; a table stays one.

    Raises:
        MissingExtraError: the package that reads this kind is not installed.
        SourceError: the file cannot be read.
    """
    if options.read_as == "auto":
        kind = _recognised(file, archives, options)
    else:
        kind = "" if options.read_as == "text" else options.read_as
    needs = DOCUMENTS[kind].needs if kind in DOCUMENTS else ()
    if not all(map(find_spec, needs)):
        raise MissingExtraError(f"reading {file.name}", "documents")
    return replace(file, format=kind)


def _recognised(file: File, archives: Archives, options: ReadingOptions) -> str:
    """Return the kind of a file, or an empty text for plain text and anything unknown."""
    is_on_web = file.name.startswith(("http://", "https://"))
    name = _ADDRESS_END.sub("", file.name) if is_on_web else file.name
    ending = _PACKED.sub("", name.lower()).rpartition(".")[2]
    may_be_chat = ending in ("txt", "json")
    if ending in _BY_ENDING or file.status is None or not (is_on_web or may_be_chat):
        return _BY_ENDING.get(ending, "")
    head = next(read_chunks(file, archives, _HEAD, lambda size: None), b"")
    if not may_be_chat:
        return next((kind for start, kind in _BEGINNINGS if start.match(head)), "")
    content = Content(file, iter([head]), replace(options, errors="replace"), False, ignore)
    try:
        lines = [*content.lines()]
    except SourceError:  # it is binary
        return ""
    if ending == "json":
        return "telegram" if is_telegram("\n".join(lines)) else ""
    whole = lines[:-1] if len(head) == _HEAD else lines
    if is_whatsapp(whole):
        return "whatsapp"
    return "telegram-text" if is_telegram_text(whole) else ""


def read_format(content: Content) -> Iterable[tuple[str, bool, str | None]]:
    """Read a file of one of the kinds.

    Yields:
        Text, whether a document ends there if documents are lines, and its label.
    """
    if content.file.format in DOCUMENTS:
        lines = DOCUMENTS[content.file.format].read(content)
        return ((text, False, content.file.label) for text in lines)
    kind = CONVERSATIONS[content.file.format]
    messages = spoken(kind.read(content), content, kind.shown)
    return ((text, True, label) for text, label in messages)
