"""The counts of a model as bytes: its n-grams, each packed into a few bits, and their gate.

That is what `counts.safetensors` in a model folder holds; docs/reference/model-format.md describes
it for readers in other languages. A string of tokens is written as a choice among the strings that
end alike: what followed "ther" is among what followed "her".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sunspring.errors import ModelError
from sunspring.network.ngrams import Level, NGramModel, make_level, places, token_level

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]
Tensors = Mapping[str, NDArray[np.generic]]

_PARTS = ("empty", "followers", "ranks", "classes", "digits")  # of each order from 2 on
_HIGHEST_ORDER = 16
_LARGEST = np.iinfo(np.int32).max


def encode_counts(levels: Tensors, gate: NDArray[np.float64]) -> bytes:
    """Return the content of a counts.safetensors.

    Args:
        levels: what `encode_level` returned for each order.
        gate: (2 · orders, 1 + orders) of the mixture.
    """
    return save({**levels, "gate": gate.astype(np.float32)})


def decode_counts(
    data: bytes, vocabulary_size: int, start_id: int
) -> tuple[NGramModel, NDArray[np.float64]]:
    """Read the content of a counts.safetensors.

    Args:
        data: the content of the file.
        vocabulary_size: the model's.
        start_id: the token read before each document's first.

    Returns:
        The n-grams and the gate.

    Raises:
        ModelError: the file is damaged, or of another model.
    """
    try:
        tensors = load(data)
        gate = tensors.pop("gate")
        orders = len(gate) // 2
        is_possible = 1 <= orders <= _HIGHEST_ORDER and gate.dtype == np.float32
        _check(is_possible and gate.shape == (2 * orders, 1 + orders), "a gate that cannot be")
        _check(bool(np.isfinite(gate).all()), "a gate that is not finite")
        levels = [_decode_tokens(tensors.pop("1.counts"), vocabulary_size)]
        for order in range(2, orders + 1):
            parts = {part: tensors.pop(f"{order}.{part}") for part in _PARTS}
            levels.append(_decode_level(parts, levels))
        _check(not tensors, "tensors that nothing asks for")
    except (SafetensorError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise ModelError(
            f"counts.safetensors is damaged or of another model ({error}): copy the model again, "
            "or delete the file to do without the counts"
        ) from None
    return NGramModel(levels, start_id), gate.astype(np.float64)


def encode_level(ngrams: NGramModel) -> dict[str, NDArray[np.generic]]:
    """Return the tensors of a model's highest order, by their names in the file."""
    order, level = ngrams.highest_order, ngrams.levels[-1]
    if order == 1:
        return {"1.counts": level.counts[:-1]}
    candidates = _Candidates.of_next(ngrams.levels[:-1])
    contexts = level.keys[:-1] // level.vocabulary_size
    followers = np.bincount(contexts, minlength=len(candidates.sizes))
    counts = level.counts[:-1].astype(np.int64)
    may_repeat = _may_repeat(ngrams.levels[-2], level.suffixes)
    classes = _bit_lengths(counts) - 1
    ranks = level.suffixes - candidates.begins[contexts]
    parts: dict[str, NDArray[np.generic]] = {
        "empty": np.flatnonzero(followers == 0).astype(np.int32),
        "followers": _pack_unary(followers[(followers > 0) & (candidates.sizes > 1)] - 1),
        "ranks": _pack_fields(ranks, _bit_lengths(candidates.sizes - 1)[contexts]),
        "classes": _pack_unary(classes[may_repeat]),
        "digits": _pack_fields(counts - (1 << classes), classes),
    }
    return {f"{order}.{part}": parts[part] for part in _PARTS}


class _Candidates:
    """What may follow each context: whatever followed it without its oldest token.

    Args:
        begins: (contexts,) the first of these strings, one order below.
        sizes: (contexts,) their number.
    """

    def __init__(self, begins: Ints, sizes: Ints) -> None:
        self.begins, self.sizes = begins, sizes

    @classmethod
    def of_next(cls, levels: list[Level] | tuple[Level, ...]) -> _Candidates:
        """Find those of the contexts of the order after these."""
        last = levels[-1]
        contexts = last.number_of_strings
        if len(levels) == 1:  # any token may follow a token
            return cls(np.zeros(contexts, np.int64), np.full(contexts, contexts))
        size = last.vocabulary_size
        number = levels[-2].number_of_strings
        begins = np.searchsorted(last.keys[:-1], np.arange(number + 1) * size)
        suffixes = last.suffixes
        return cls(begins[suffixes], np.diff(begins)[suffixes])


def _may_repeat(below: Level, suffixes: Ints) -> NDArray[np.bool_]:
    """Tell which strings may have been counted more than once: as often as what they end with."""
    repeats: NDArray[np.bool_] = below.counts[suffixes] > 1
    return repeats


def _decode_tokens(counts: NDArray[np.generic], vocabulary_size: int) -> Level:
    _check(counts.dtype == np.int32 and counts.shape == (vocabulary_size,), "other tokens")
    whole = counts.astype(np.int64)
    _check(bool((whole >= 0).all()), "counts below 0")
    _check(int(whole.sum()) <= _LARGEST, "counts that are too large")
    return token_level(whole)


def _decode_level(parts: Tensors, levels: list[Level]) -> Level:
    """Read the next order after `levels`."""
    below, candidates = levels[-1], _Candidates.of_next(levels)
    size, contexts = below.vocabulary_size, len(candidates.sizes)
    empty = parts["empty"]
    _check(empty.dtype == np.int32 and empty.ndim == 1, "empty contexts of another type")
    _check(bool((np.diff(empty) > 0).all()), "empty contexts out of order")
    _check(len(empty) == 0 or (empty[0] >= 0 and empty[-1] < contexts), "unknown contexts")
    followers = np.ones(contexts, np.int64)
    followers[empty] = 0
    is_open = (followers > 0) & (candidates.sizes > 1)
    followers[is_open] += _unpack_unary(parts["followers"], int(is_open.sum()))
    _check(bool((followers <= candidates.sizes).all()), "more followers than there can be")
    of_string = np.repeat(np.arange(contexts), followers)
    ranks = _unpack_fields(parts["ranks"], _bit_lengths(candidates.sizes - 1)[of_string])
    _check(bool((ranks < candidates.sizes[of_string]).all()), "followers that cannot be")
    suffixes = candidates.begins[of_string] + ranks
    keys = of_string * size + below.keys[suffixes] % size
    _check(bool((np.diff(keys) > 0).all()), "followers out of order")
    classes = np.zeros(len(keys), np.int64)
    may_repeat = _may_repeat(below, suffixes)
    classes[may_repeat] = _unpack_unary(parts["classes"], int(may_repeat.sum()))
    _check(bool((classes < _LARGEST.bit_length()).all()), "counts that are too large")
    counts = (1 << classes) + _unpack_fields(parts["digits"], classes)
    totals = np.bincount(of_string, counts, minlength=1)
    _check(bool((totals <= _LARGEST).all()), "counts that are too large")
    return make_level(keys, counts, suffixes, size, contexts)


def _check(is_sound: bool, otherwise: str) -> None:
    if not is_sound:
        raise ValueError(f"it has {otherwise}")


def _bit_lengths(values: Ints) -> Ints:
    """Return how many bits each value from 0 to 2³¹ takes."""
    return np.asarray(np.frexp(values)[1], dtype=np.int64)


def _pack(bits: NDArray[np.generic]) -> Bits:
    return np.packbits(bits.astype(bool), bitorder="little")


def _unpack(packed: NDArray[np.generic], size: int) -> Ints:
    """Return `size` bits, after which there may be only the rest of a byte of zeros."""
    _check(packed.dtype == np.uint8 and packed.shape == (-(-size // 8),), "bits of another number")
    bits = np.unpackbits(packed.view(np.uint8), bitorder="little").astype(np.int64)
    _check(not bits[size:].any(), "bits too many")
    return bits[:size]


def _pack_unary(values: Ints) -> Bits:
    """Write each value as so many ones and a zero."""
    bits = np.ones(int(values.sum()) + len(values), dtype=bool)
    bits[np.cumsum(values + 1) - 1] = False
    return _pack(bits)


def _unpack_unary(packed: NDArray[np.generic], count: int) -> Ints:
    _check(packed.dtype == np.uint8 and packed.ndim == 1, "bits of another type")
    bits = np.unpackbits(packed.view(np.uint8), bitorder="little")
    ends = np.flatnonzero(bits == 0)[:count]
    _check(len(ends) == count, "too few bits")
    _unpack(packed, int(ends[-1]) + 1 if count else 0)
    return np.diff(ends, prepend=-1) - 1


def _pack_fields(values: Ints, widths: Ints) -> Bits:
    """Write each value in so many bits, the least significant first."""
    owners, shifts = places(widths)
    return _pack(values[owners] >> shifts & 1)


def _unpack_fields(packed: NDArray[np.generic], widths: Ints) -> Ints:
    owners, shifts = places(widths)
    bits = _unpack(packed, len(owners))
    values = np.zeros(len(widths), np.int64)
    has_any = widths > 0
    begins = (np.cumsum(widths) - widths)[has_any]
    if len(begins):
        values[has_any] = np.add.reduceat(bits << shifts, begins)
    return values
