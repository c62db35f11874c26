"""From tokens back to characters: which part of a text each token completes, and what it costs.

All that is shown of tokens, searched in them or measured per character goes through `Spelling`.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.notices import counted, first_of

UNSEEN_BITS = math.log2(0x110000)
"""Cost of a character that a vocabulary lacks: as much as naming any one of Unicode. If there is an
unknown token, this is added to its cost."""

_SHOWN = 20  # characters named in a message


def describe_unseen(characters: Mapping[str, str | None], number: int, of: str = "") -> str:
    """Say which characters of a text a vocabulary lacks, and what becomes of them.

    Args:
        characters: what each is read as; empty if it is left out, None if it is only costly.
        number: how often they occur.
        of: what they are characters of, as in ` of the prompt`.
    """
    read = [f"{one!r} is read as {other!r}" for one, other in sorted(characters.items()) if other]
    left_out = [repr(one) for one, other in sorted(characters.items()) if other == ""]
    costly = [repr(one) for one, other in characters.items() if other is None]
    parts = [first_of(read, _SHOWN)] if read else []
    if left_out:
        parts += [f"{first_of(left_out, _SHOWN)} {'is' if len(left_out) == 1 else 'are'} left out"]
    if costly:
        cost = f"each costs {UNSEEN_BITS:.1f} bits, as much as naming any one of Unicode"
        parts += [first_of(costly, _SHOWN), cost]
    return f"{counted(number, 'character')}{of} that the model has never seen: {'; '.join(parts)}"


class TextDecoder:
    """Turns ids into text one at a time, holding back the bytes of an unfinished character."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self._pieces = pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Take the next id; return the characters that it completes, perhaps none."""
        return self._decoder.decode(self._pieces[token])

    def finish(self) -> str:
        """Return what is left: a replacement character if the last character is unfinished."""
        return self._decoder.decode(b"", final=True)


class Spelling(NamedTuple):
    """A text, token by token.

    Args:
        tokens: (tokens,) its ids.
        texts: (tokens,) the part of the text that each token completes; joined, they are the text.
            A character of several tokens belongs to the last of them, so the others have none.
            Characters that are dropped belong to the token after them, or to the last one.
        unseen: (tokens,) how many characters of that part the vocabulary lacks.
        begins: (pieces,) places of the first tokens of the pieces that cannot be cut: the tokens of
            a character together, or a token of whole characters, or the end.
    """

    tokens: NDArray[np.int64]
    texts: Sequence[str]
    unseen: NDArray[np.int64]
    begins: NDArray[np.int64]

    def costs(self, bits: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Add to the tokens' bits (tokens,) what the characters cost that the vocabulary lacks."""
        return bits + UNSEEN_BITS * self.unseen

    def pieces(self, costs: NDArray[np.floating[Any]]) -> tuple[list[str], NDArray[np.float64]]:
        """Return the text of each piece, and its cost by those of the tokens; both (pieces,)."""
        bounds = [*self.begins.tolist(), len(self.texts)]
        texts = ["".join(self.texts[begin:end]) for begin, end in pairwise(bounds)]
        sums = np.add.reduceat(costs, self.begins) if texts else np.zeros(0)
        return texts, sums.astype(np.float64)
