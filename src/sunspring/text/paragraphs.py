"""Lines of text out of a document's paragraphs, table rows and words, whatever its format.

White space is collapsed as a browser does it, and what only served the page is resolved.
"""

from __future__ import annotations

import re

_SPACE = re.compile(r"[ \t\n\r\f\v]+")  # a no-break space is no such space
_RESOLVED = str.maketrans(
    {
        "\u00ad": None,  # soft hyphen: where a word may be broken
        "\ufb00": "ff",
        "\ufb01": "fi",
        "\ufb02": "fl",
        "\ufb03": "ffi",
        "\ufb04": "ffl",
        "\ufb05": "st",  # with the long s
        "\ufb06": "st",
    }
)


def resolved(text: str) -> str:
    """Remove soft hyphens, and spell ligatures as letters."""
    return text.translate(_RESOLVED)


class Lines:
    """Collects a document's text into lines: one for each paragraph, and one for each table row.

    What separates two pieces of text is decided when the second one comes, so empty paragraphs,
    cells and rows leave no trace.
    """

    def __init__(self) -> None:
        self._finished: list[str] = []
        self._line: list[str] = []
        self._gap = ""
        self._cells = 0  # begun in the current row

    def add(self, text: str) -> None:
        """Add text with its white space collapsed."""
        collapsed = _SPACE.sub(" ", text)
        if collapsed.startswith(" "):
            self.space()
        if words := collapsed.strip(" "):
            self._add(words)
        if collapsed.endswith(" "):
            self.space()

    def add_as_it_is(self, text: str) -> None:
        """Add text whose spaces and line ends count."""
        first, *others = text.split("\n")
        if first:
            self._add(first)
        for line in others:
            self.end()
            if line:
                self._add(line)

    def space(self) -> None:
        """Separate words."""
        self._gap = self._gap or " "

    def end(self) -> None:
        """End a paragraph, also within a table's cell."""
        if self._gap != "\t":
            self._gap = "\n"

    def row(self) -> None:
        """Begin or end a row of a table."""
        self._gap, self._cells = "\n", 0

    def cell(self) -> None:
        """Begin a cell of the current row."""
        if self._cells:
            self._gap = "\t"
        self._cells += 1

    def take(self) -> str:
        """Return the lines finished since the last call, each with its newline."""
        taken, self._finished = self._finished, []
        return "".join(taken)

    def rest(self) -> str:
        """Finish the last line, and return what has not been taken."""
        self._finish()
        return self.take()

    def _add(self, text: str) -> None:
        if self._gap == "\n":
            self._finish()
        elif self._line:
            self._line.append(self._gap)
        self._gap = ""
        self._line.append(text)

    def _finish(self) -> None:
        if line := resolved("".join(self._line)).rstrip():
            self._finished.append(f"{line}\n")
        self._line = []
