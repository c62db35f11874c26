"""How text becomes token ids."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sunspring.settings import check_settings, setting

TokenKind = Literal["chars", "bytes", "subwords"]


@dataclass(frozen=True, kw_only=True)
class TokenSettings:
    """What the network reads and writes.

    Raises:
        SettingsError: a value is unknown or impossible.
    """

    tokens: TokenKind = setting(
        "chars", "What a token is: a character, a byte of UTF-8, or a subword."
    )
    subword_vocabulary: int = setting(
        2000,
        "How many subwords to learn, the 256 bytes included; a short text has fewer.",
        at_least=257,
    )
    minimum_count: int = setting(
        1, "Treat characters that occur less often than this as one unknown character.", at_least=1
    )

    def __post_init__(self) -> None:
        check_settings(self)
