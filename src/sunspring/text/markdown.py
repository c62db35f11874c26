"""The text of Markdown: that of the page it makes, without its marks and those that GitHub adds.

Struck text is text, the boxes of tasks and references to footnotes are left out, and footnotes are
paragraphs where they are written. The whole file is held in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sunspring.errors import SourceError
from sunspring.text.content import Content
from sunspring.text.markup import html_lines

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.rules_block import StateBlock
    from markdown_it.rules_core import StateCore
    from markdown_it.rules_inline import StateInline

_LARGEST = 1 << 25  # characters
_FRONT_MATTER = re.compile(r"---[ \t]*\n.*?\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_TASK = re.compile(r"\[[ xX]\]\s+")
_REFERENCE = re.compile(r"\[\^([^\[\]\s]+)\]")
_FOOTNOTES = "footnotes"  # under which their names stand in the environment of a document


def read_markdown(content: Content) -> Iterator[str]:
    """Read Markdown as the page it makes, without its front matter; see `html_lines`.

    Raises:
        SourceError: it is too large to be held in memory.
    """
    pieces, size = [], 0
    for piece in content.text("utf-8"):
        pieces.append(piece)
        size += len(piece)
        if size > _LARGEST:
            raise SourceError(
                f"{content.file.name} has more than {_LARGEST:,} characters, too many "
                "for Markdown: cut it into several files, or take --read-as text"
            )
    text = _FRONT_MATTER.sub("", "".join(pieces), count=1) if pieces else ""
    return html_lines([_reader().render(text, {_FOOTNOTES: set()})])


def _reader() -> MarkdownIt:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    reader.block.ruler.before(
        "reference", "footnote", _begin_footnote, {"alt": ["paragraph", "reference"]}
    )
    reader.inline.ruler.before("link", "footnote_reference", _skip_reference)
    reader.core.ruler.push("tasks", _remove_boxes)
    return reader


def _begin_footnote(state: StateBlock, line: int, end: int, silent: bool) -> bool:
    """Skip the name before a footnote, `[^1]:`, so that what follows begins a paragraph.

    A name that is alone on its line is a block without a text.
    """
    begin, after = state.bMarks[line] + state.tShift[line], state.eMarks[line]
    name = _REFERENCE.match(state.src, begin, after)
    if not name or not state.src.startswith(":", name.end()) or state.is_code_block(line):
        return False
    if silent:
        return True
    state.env[_FOOTNOTES].add(name[1])
    state.bMarks[line], state.tShift[line] = name.end() + 1, 0
    is_alone = not state.src[name.end() + 1 : after].strip()
    state.line += is_alone
    return is_alone


def _skip_reference(state: StateInline, silent: bool) -> bool:
    """Skip the reference to a footnote that exists."""
    found = _REFERENCE.match(state.src, state.pos, state.posMax)
    if not found or found[1] not in state.env[_FOOTNOTES]:
        return False
    state.pos = found.end()
    return True


def _remove_boxes(state: StateCore) -> None:
    """Remove the boxes at the beginning of list items."""
    for item, _, text in zip(state.tokens, state.tokens[1:], state.tokens[2:], strict=False):
        if item.type == "list_item_open" and text.type == "inline" and text.children:
            text.children[0].content = _TASK.sub("", text.children[0].content, count=1)
