"""How sources are read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Literal

from sunspring.errors import SettingsError
from sunspring.settings import check_settings, setting

DocumentKind = Literal["none", "lines", "files"]
ReadAs = Literal[
    "auto",
    "text",
    "docx",
    "odt",
    "epub",
    "html",
    "markdown",
    "pdf",
    "subtitles",
    "whatsapp",
    "telegram",
    "telegram-text",
]


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How a file becomes text.

    Raises:
        SettingsError: a value is unknown.
    """

    read_as: ReadAs = setting(
        "auto",
        "What the files are, but for tables. auto goes by the ending of their names, and by the "
        "first lines of a .txt or .json, which may be a chat; text takes them as they are.",
    )
    encoding: str | None = setting(
        None,
        "Encoding of files without a byte order mark, by Python's name for it.",
        shown_default="utf-8",
    )
    errors: Literal["strict", "replace", "ignore", "backslashreplace", "surrogateescape"] = setting(
        "strict",
        "What to do with bytes that cannot be decoded, as in Python's bytes.decode.",
    )
    delimiter: str | None = setting(
        None,
        "What stands between the columns of a table: one character, or the word tab.",
        shown_default="comma, semicolon, tab or pipe, whichever the header has",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.encoding is not None:
            try:
                codecs.getincrementaldecoder(self.encoding)
                b"a".decode(self.encoding, "ignore")
            except (LookupError, ValueError):
                raise SettingsError(
                    f"Python does not know the text encoding {self.encoding!r}: "
                    "try utf-8, utf-16, latin-1, cp1252, shift_jis or gb18030"
                ) from None
        is_usual = self.delimiter in (None, "tab")
        if not is_usual and (len(str(self.delimiter)) != 1 or self.delimiter in ('"', "\n", "\r")):
            raise SettingsError(
                f"delimiter is {self.delimiter!r}: give one character, or the word tab"
            )


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(FileOptions):
    """How the text is read.

    Raises:
        SettingsError: a value is unknown, or two contradict each other.
    """

    documents: DocumentKind = setting(
        "none",
        "What counts as a document, which starts from a fresh state and whose end is learned: "
        "none (one long text), each line or row of a table, or each file.",
        shown_default="none, or as the model was trained",
    )
    keep_newlines: bool = setting(
        False, "Keep CRLF and CR line ends instead of turning them into LF."
    )
    label_column: str | None = setting(
        None,
        "Column or field of a table with each row's label, or speaker for chats and subtitles; "
        "needs --documents lines.",
    )
    label_folders: bool = setting(
        False, "Label each file with the name of the folder it is in, below the source."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.label_column is not None and self.label_folders:
            raise SettingsError("labels come from a column or from folders, not both: choose one")
        if self.label_column is not None and self.documents != "lines":
            raise SettingsError("a label column labels single rows: use it with --documents lines")
        if self.label_folders and self.documents == "none":
            raise SettingsError("folders label whole documents: use --documents files or lines")
