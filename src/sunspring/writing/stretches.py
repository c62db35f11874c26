"""Which stretches of so many characters stand in a text, and which tokens would complete one.

For writing that copies nothing longer: a draft asks before every token, and the native engine looks
the same keys up in C++ (src/native/engine/stretches.cpp).
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary, code_points

_BLOCK = 1 << 20  # characters whose stretches are found at a time
_BREAK = "\ud800"  # between documents; no text has it
_LAST = np.uint64((1 << 21) - 1)  # the bits of a key that are the last character
_MULTIPLIER = 0xD1342543DE82EF95  # Steele and Vigna 2021, "Computationally easy, spectrally good…"
_WRAP = 1 << 64

Hashes = NDArray[np.uint64]


class KnownStretches:
    """Which stretches of `size` characters stand in a text, in 8 bytes for each character of it.

    A stretch is known by its key: 43 bits of a hash of all its characters but the last, and 21 bits
    that are the last one, so that what may follow the others stands together. What is in the text
    is always found. Of what is not, a share of about 1e-13 times the characters of the text is
    taken for it.

    Args:
        size: characters of a stretch, at least 2.
        pieces: of the text, UTF-8; no stretch goes on over None.

    Attributes:
        size: as above.
        keys: of the stretches, sorted, each once.
    """

    def __init__(self, size: int, pieces: Iterable[bytes | None]) -> None:
        self.size = size
        self.keys = _merge([_sorted(_keys(text, size)) for text in _blocks(pieces, size)])

    def contains(self, text: str) -> NDArray[np.bool_]:
        """Tell of each stretch of a text whether it is known, (characters - size + 1,)."""
        keys = _keys(text, self.size)
        return np.searchsorted(self.keys, keys) < np.searchsorted(self.keys, keys, "right")

    def following(self, hashes: Hashes) -> list[list[int]]:
        """Give the last characters, as code points, of the known stretches that begin alike.

        Args:
            hashes: (many,) each of all characters but the last.
        """
        begins = np.searchsorted(self.keys, hashes & ~_LAST)
        ends = np.searchsorted(self.keys, hashes | _LAST, "right")
        return [
            (self.keys[begin:end] & _LAST).tolist() if end > begin else []
            for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)
        ]


class NovelTokens:
    """Finds the tokens that would complete a known stretch.

    Args:
        vocabulary: of the tokens.
        known: the stretches.
    """

    def __init__(self, vocabulary: Vocabulary, known: KnownStretches) -> None:
        self.known = known
        self.pieces = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
        self._whole = _Branches(self.pieces, b"", known.size - 1)

    def forbidden(self, text: str, begun: bytes) -> NDArray[np.bool_]:
        """Tell which tokens would complete a known stretch, (vocabulary,).

        Args:
            text: so far, or at least as many characters of its end as a stretch has.
            begun: the bytes after it of a character that is not complete.
        """
        before = self.known.size - 1  # characters of a stretch but the last
        branches = _Branches(self.pieces, begun, before) if begun else self._whole
        ends = _end_hashes(text[-before:])
        missing = before - branches.lengths  # characters of the text before a branch
        is_long = missing < len(ends)
        hashes = ends[missing * is_long] * _powers(before + 1)[branches.lengths] + branches.hashes
        mask = np.zeros(len(self.pieces), np.bool_)
        following = self.known.following(hashes)
        for place in np.flatnonzero(is_long).tolist():
            for point in following[place]:
                mask[branches.tokens[place].get(point, [])] = True
        return mask


class CopyGuard:
    """Follows one text, and tells which tokens would copy.

    Args:
        tokens: of the vocabulary.
        prompt: with which the text begins.
    """

    def __init__(self, tokens: NovelTokens, prompt: str) -> None:
        self._tokens = tokens
        self._text = prompt
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> None:
        """Take the next token."""
        text = self._text + self._decoder.decode(self._tokens.pieces[token])
        self._text = text[-self._tokens.known.size :]

    def forbidden(self) -> NDArray[np.bool_]:
        """Tell which tokens may not come next, (vocabulary,)."""
        return self._tokens.forbidden(self._text, self._decoder.getstate()[0])


class _Branches:
    """What tokens begin with, and with which characters they go on from there.

    Args:
        pieces: the bytes of each token.
        begun: bytes that stand before them.
        most: characters of a beginning that are hashed, the last ones.

    Attributes:
        lengths: characters of each beginning that are hashed, (beginnings,).
        hashes: of these, (beginnings,).
        tokens: after each beginning, by the code point that follows.
    """

    def __init__(self, pieces: list[bytes], begun: bytes, most: int) -> None:
        found: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
        for token, piece in enumerate(pieces):
            text = codecs.getincrementaldecoder("utf-8")("replace").decode(begun + piece)
            for place, character in enumerate(text):
                found[text[:place]][ord(character)].append(token)
        hashed = [beginning[-most:] for beginning in found]
        self.lengths = np.array([len(text) for text in hashed], np.int64)
        self.hashes = np.array([_end_hashes(text)[-1] for text in hashed], np.uint64)
        self.tokens = [*found.values()]


def _blocks(pieces: Iterable[bytes | None], size: int) -> Iterator[str]:
    """Give a text in blocks so that each stretch stands in one; bytes that are no text escaped."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    waiting, characters = [""], 0
    for piece in pieces:
        waiting.append(_BREAK if piece is None else decoder.decode(piece))
        characters += len(waiting[-1])
        if piece is None:
            decoder.reset()
        if characters >= _BLOCK:
            block = "".join(waiting)
            yield block
            waiting, characters = [block[1 - size :]], 0
    yield "".join(waiting)


def _keys(text: str, size: int) -> Hashes:
    """Give the keys of all stretches of a text, but for those that go on over a break."""
    points = code_points(text).astype(np.uint64)
    if len(points) < size:
        return np.zeros(0, np.uint64)
    hashes = _window_hashes(_mixed(points[:-1]), size - 1)
    keys: Hashes = (hashes & ~_LAST) | points[size - 1 :]
    breaks = np.cumsum(points == ord(_BREAK))
    if not breaks[-1]:
        return keys
    before = np.concatenate(([0], breaks))
    return np.asarray(keys[before[size:] == before[: len(before) - size]])


def _mixed(values: Hashes) -> Hashes:
    """Scatter numbers over 64 bits (splitmix64: Steele et al. 2014, "Fast splittable…")."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)))


def _window_hashes(mixed: Hashes, size: int) -> Hashes:
    """Hash every window of `size` values v: the sum of v[i] · multiplier^(size - 1 - i), mod 2^64.

    Of two windows side by side the hash is that of the first, times a power, plus that of the
    second: so windows of 1, 2, 4, … values are put together as the bits of `size` say.
    """
    doubled, width = mixed, 1
    hashes, done = np.zeros(len(mixed) + 1, np.uint64), 0
    while True:
        if size & width:
            count = len(mixed) + 1 - width - done
            hashes = doubled[:count] * _power(done) + hashes[width : width + count]
            done += width
        if done == size:
            return hashes
        doubled = doubled[:-width] * _power(width) + doubled[width:]
        width *= 2


def _end_hashes(text: str) -> Hashes:
    """Hash the last 0, 1, 2, … characters of a text, (characters + 1,)."""
    mixed = _mixed(code_points(text[::-1]).astype(np.uint64))
    return np.concatenate((np.zeros(1, np.uint64), np.cumsum(mixed * _powers(len(mixed)))))


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_MULTIPLIER, exponent, _WRAP))


def _powers(count: int) -> Hashes:
    """Give the multiplier to the power of 0, 1, 2, …; (count,)."""
    factors = np.full(count, _MULTIPLIER, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _sorted(keys: Hashes) -> Hashes:
    """Sort keys, each once; `np.unique` (numpy 2.4) takes ten times as long."""
    keys.sort()
    return np.asarray(keys[np.diff(keys, prepend=~keys[:1]) != 0])


def _merge(parts: list[Hashes]) -> Hashes:
    """Put sorted parts together, each key once; they are used up, as they may be large."""
    keys = np.empty(sum(map(len, parts)), np.uint64)
    size = 0
    while parts:
        part = parts.pop()
        keys[size : size + len(part)] = part
        size += len(part)
    keys.sort()
    size = 0
    for begin in range(0, len(keys), _BLOCK):
        block = keys[begin : begin + _BLOCK]
        is_new = np.diff(block, prepend=block[:1]) > 0
        is_new[0] = begin == 0 or block[0] != keys[size - 1]
        new = block[is_new]
        keys[size : size + len(new)] = new
        size += len(new)
    keys.resize(size, refcheck=False)
    return keys
