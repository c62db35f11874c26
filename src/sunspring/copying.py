"""What of a text stands word for word in another one, as in the text that a model learned from.

Exact, and in memory for the first text alone (a few hundred bytes a byte of it): the other is read
through the first one's suffix automaton, which is in `src/engine`. Right behind native.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus import Corpus
from sunspring.vocabulary import Vocabulary

if TYPE_CHECKING:
    from sunspring import _engine

_BLOCK = 1 << 20  # tokens of a corpus


class Stretch(NamedTuple):
    """Characters `begin` to `end` of a text, which stand in the other one too."""

    begin: int
    end: int


@dataclass(frozen=True)
class Copies:
    """Which characters of a text are copied, and how far back.

    Args:
        text: that was looked at.
        lengths: (characters,) of the longest stretch that ends with a character and stands in the
            other text; 0 where even the character does not.
    """

    text: str
    lengths: NDArray[np.int64]

    def new_shares(self, most: int = 50) -> NDArray[np.float64]:
        """Give the share of n-grams that are not in the other text, (most,) for n from 1 on.

        It is NaN where the text is shorter than n.
        """
        shares = np.full(most, np.nan)
        for n in range(1, min(most, len(self.lengths)) + 1):
            shares[n - 1] = np.mean(self.lengths[n - 1 :] < n)
        return shares

    def stretches(self, at_least: int) -> list[Stretch]:
        """Give the stretches that are copied and part of no longer one, in their order.

        Args:
            at_least: characters that a stretch must have, at least 1.
        """
        grows = np.append(self.lengths[1:] > self.lengths[:-1], False)
        ends = np.flatnonzero((self.lengths >= at_least) & ~grows)
        return [Stretch(int(end + 1 - self.lengths[end]), int(end + 1)) for end in ends]


def find_copies(texts: Sequence[str], pieces: Iterable[bytes | None]) -> list[Copies]:
    """Find what of each of some texts stands in another one, which is read once.

    Args:
        texts: to look at; lone surrogates are copied from nowhere.
        pieces: of the other one, UTF-8; no stretch goes on over None.
    """
    from sunspring import _engine

    finders = [_engine.CopyFinder(_encode(text)) for text in texts]
    for piece in pieces:
        for finder in finders:
            if piece is None:
                finder.part()
            else:
                finder.read(piece)
    return [_in_characters(*each) for each in zip(texts, finders, strict=True)]


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _in_characters(text: str, finder: _engine.CopyFinder) -> Copies:
    data, lengths = _encode(text), finder.longest()
    is_start = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
    starts = np.flatnonzero(is_start)
    ends = np.append(starts, len(data))[1:]
    # the first whole character of the longest stretch of bytes
    first = np.searchsorted(starts, ends - lengths[ends - 1])
    return Copies(text, np.arange(1, len(starts) + 1) - first)


def training_bytes(corpus: Corpus) -> Iterator[bytes | None]:
    """Give the text that a model learned from as `find_copies` wants it."""
    for tokens in np.split(corpus.train.tokens, [corpus.validation_at]):
        yield from token_bytes(tokens, corpus.vocabulary)
        yield None
    corpus.train.release_pages()


def token_bytes(tokens: NDArray[np.integer[Any]], vocabulary: Vocabulary) -> Iterator[bytes | None]:
    """Give what tokens stand for, block by block in UTF-8, and None where a document ends."""
    pieces = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
    sizes = np.array([len(piece) for piece in pieces])
    begins = np.cumsum(sizes) - sizes
    table = np.frombuffer(b"".join(pieces), np.uint8)
    for offset in range(0, len(tokens), _BLOCK):
        block = tokens[offset : offset + _BLOCK]
        is_end = np.isin(block, [] if vocabulary.end_id is None else [vocabulary.end_id])
        for part in np.split(block, np.flatnonzero(is_end) + 1):
            counts = sizes[part]
            places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            yield table[places + np.repeat(begins[part], counts)].tobytes()
            if len(part) and part[-1] == vocabulary.end_id:
                yield None
