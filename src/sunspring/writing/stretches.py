"""Find the stretches of a given length in a text, and the tokens that would complete one.

So that writing copies nothing longer, a draft asks before every token; the native engine looks up
the same keys in C++ (src/native/engine/stretches.cpp).
"""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary, code_points

_BLOCK = 1 << 20  # characters handled at a time
_BREAK = "\ud800"  # between documents; no text contains it
_LAST = np.uint64((1 << 21) - 1)  # the bits of a key that hold the last character
_MULTIPLIER = 0xD1342543DE82EF95  # Steele and Vigna 2021, "Computationally easy, spectrally good…"
_WRAP = 1 << 64

Hashes = NDArray[np.uint64]


class KnownStretches:
    """All stretches of `size` characters in a text, in 8 bytes for each character of it.

    A stretch is stored as a key: 43 bits of a hash of all its characters but the last, and 21 bits
    of the last one, so that stretches with the same beginning are adjacent. What is in the text is
    always found. Anything else is mistaken for it with a probability of about 1e-13 times the
    characters of the text.

    Args:
        size: characters in a stretch, at least 2.
        pieces: the text in pieces of UTF-8; no stretch crosses a None.

    Attributes:
        size: as above.
        keys: the stretches' keys, sorted, each once.
    """

    def __init__(self, size: int, pieces: Iterable[bytes | None]) -> None:
        self.size = size
        self.keys = _merge([_sorted(_keys(text, size)) for text in _blocks(pieces, size)])

    def contains(self, text: str) -> NDArray[np.bool_]:
        """Return whether each stretch of a text is known, (characters - size + 1,)."""
        keys = _keys(text, self.size)
        return np.searchsorted(self.keys, keys) < np.searchsorted(self.keys, keys, "right")

    def following(self, hashes: Hashes) -> list[list[int]]:
        """Return the last characters, as code points, of known stretches by their beginnings.

        Args:
            hashes: (beginnings,) hash of all characters but the last.
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
        vocabulary: the model's.
        known: the stretches.
    """

    def __init__(self, vocabulary: Vocabulary, known: KnownStretches) -> None:
        self.known = known
        self.pieces = [vocabulary.token_bytes(token) for token in range(vocabulary.size)]
        self._whole = _Branches(self.pieces, b"", known.size - 1)

    def forbidden(self, text: str, begun: bytes) -> NDArray[np.bool_]:
        """Return which tokens would complete a known stretch, (vocabulary,).

        Args:
            text: the text so far, or at least its last `size` characters.
            begun: the bytes of an incomplete character after it.
        """
        before = self.known.size - 1  # characters in a stretch before the last
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
    """Follows one text, and tells which tokens would make it a copy.

    Args:
        tokens: finds such tokens.
        prompt: the beginning of the text.
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
        """Return which tokens may not come next, (vocabulary,)."""
        return self._tokens.forbidden(self._text, self._decoder.getstate()[0])


class _Branches:
    """All beginnings of tokens, and the characters that may follow each.

    Args:
        pieces: the bytes of each token.
        begun: bytes that precede them.
        most: how many of a beginning's last characters to hash.

    Attributes:
        lengths: (beginnings,) number of characters hashed.
        hashes: (beginnings,) hash of these.
        tokens: for each beginning, the tokens by the code point that follows it.
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
    """Yield a text in blocks, each stretch whole in one; bytes that are not text are escaped."""
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
    """Return the keys of all stretches of a text, except those that cross a break."""
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

    The hash of two adjacent windows is that of the first, times a power, plus that of the second,
    so windows of 1, 2, 4, … values are combined according to the bits of `size`.
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
    """Return the multiplier to the power of 0, 1, 2, …; (count,)."""
    factors = np.full(count, _MULTIPLIER, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _sorted(keys: Hashes) -> Hashes:
    """Sort keys, keeping each once; `np.unique` (numpy 2.4) takes ten times as long."""
    keys.sort()
    return np.asarray(keys[np.diff(keys, prepend=~keys[:1]) != 0])


def _merge(parts: list[Hashes]) -> Hashes:
    """Merge sorted parts, keeping each key once; empties the list, as the parts may be large."""
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
