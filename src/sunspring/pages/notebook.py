"""How results appear in a notebook: small pieces of HTML without scripts."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sunspring.notices import counted

_MOST_BITS = 10.0  # shown in full colour
_MOST_PIECES = 5000  # shown at most
_TONE = "214, 93, 14"

Pieces = Callable[[], tuple[Sequence[str], NDArray[np.float64]]]


class Surprisals(np.ndarray[tuple[Any, ...], np.dtype[np.float64]]):
    """Surprisal of each token in bits, (tokens,); a notebook shows the text coloured by it.

    Slices and results of arithmetic are plain arrays.

    Args:
        bits: (tokens,) surprisal of each token.
        pieces: called when it is shown, returns the text in pieces and their bits; tokens that
            complete a character together are one piece.
    """

    pieces: Pieces | None

    def __new__(cls, bits: NDArray[np.float64], pieces: Pieces) -> Self:
        """Create a view of the same numbers."""
        made = np.asarray(bits).view(cls)
        made.pieces = pieces
        return made

    def __array_finalize__(self, array: object) -> None:
        """Forget the text in slices, which have other tokens."""
        self.pieces = None

    def __array_wrap__(
        self, array: NDArray[Any], context: object = None, return_scalar: bool = False
    ) -> Any:
        """Return results of arithmetic as plain arrays and numbers."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def _repr_html_(self) -> str | None:
        return None if self.pieces is None else passage_html(*self.pieces())


def passage_html(texts: Sequence[str], bits: Sequence[float] | NDArray[np.float64]) -> str:
    """Return a text as HTML, each piece coloured by its bits and with a tooltip that says them."""
    spans = "".join(
        f'<span title="{cost:.2f} bits" '
        f'style="background: rgba({_TONE}, {0.75 * min(1.0, cost / _MOST_BITS):.2f})">'
        f"{html.escape(text)}</span>"
        for text, cost in zip(texts[:_MOST_PIECES], bits, strict=False)
    )
    characters = sum(map(len, texts))
    mean = f"{sum(bits) / max(1, characters):.3f} bits per character"
    size = counted(characters, "character")
    more = ""
    if len(texts) > _MOST_PIECES:
        more = f"; the first {sum(map(len, texts[:_MOST_PIECES])):,} characters are shown"
    return f'<pre style="white-space: pre-wrap">{spans}</pre><small>{mean}, {size}{more}</small>'


def table_html(title: str, figures: Mapping[str, str]) -> str:
    """Return a table of figures as HTML."""
    rows = "".join(
        f'<tr><th style="text-align: left">{html.escape(name)}</th>'
        f'<td style="text-align: left">{html.escape(figure)}</td></tr>'
        for name, figure in figures.items()
    )
    return f"<strong>{html.escape(title)}</strong><table>{rows}</table>"
