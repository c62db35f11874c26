"""The counts of a model as bytes: a round trip for any text, and damage that is found."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_ngrams import START, VOCABULARY, documents, join
from safetensors.numpy import load, save

from sunspring.errors import ModelError
from sunspring.network.counts import decode_counts, encode_counts, encode_level
from sunspring.network.ngrams import NGramModel, count_ngrams, growing_ngrams


def encode(ngrams: NGramModel) -> bytes:
    tensors = {}
    for order in range(1, ngrams.highest_order + 1):
        tensors |= encode_level(NGramModel(ngrams.levels[:order], START))
    orders = ngrams.highest_order
    return encode_counts(
        tensors, np.linspace(-1, 1, 2 * orders * (1 + orders)).reshape(-1, 1 + orders)
    )


def assert_equal(found: NGramModel, expected: NGramModel) -> None:
    assert found.highest_order == expected.highest_order
    for level, other in zip(found.levels, expected.levels, strict=True):
        for name in ("keys", "counts", "totals", "types", "suffixes"):
            np.testing.assert_array_equal(getattr(level, name), getattr(other, name), name)


@settings(deadline=None)
@given(texts=documents, order=st.integers(1, 7))
def test_round_trip_of_any_text(texts: list[list[int]], order: int) -> None:
    ngrams = count_ngrams(*join(texts), VOCABULARY, START, highest_order=order)
    found, gate = decode_counts(encode(ngrams), VOCABULARY, START)
    assert_equal(found, ngrams)
    assert gate.shape == (2 * order, 1 + order)


@settings(deadline=None, max_examples=20)
@given(
    size=st.integers(1, 400),
    length=st.integers(0, 3000),
    seed=st.integers(0, 99),
    skew=st.sampled_from([1.0, 4.0]),
)
def test_round_trip_of_any_vocabulary(size: int, length: int, seed: int, skew: float) -> None:
    random = np.random.default_rng(seed)
    tokens = (size * random.random(length) ** skew).astype(np.int64)
    starts = np.unique([0, *random.integers(0, length + 1, 3), length])
    ngrams = count_ngrams(tokens, starts, size, 0, highest_order=4)
    assert_equal(decode_counts(encode(ngrams), size, 0)[0], ngrams)


def test_growing_gives_what_counting_gives() -> None:
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, 500)
    starts = np.array([0, 200, 500])
    growing = growing_ngrams(tokens, starts, VOCABULARY, START, 10_000)
    for order in range(1, 5):
        whole = count_ngrams(tokens, starts, VOCABULARY, START, highest_order=order)
        assert_equal(next(growing), whole)


def sample() -> dict[str, np.ndarray]:
    tokens = np.random.default_rng(0).integers(0, 3, 200)
    return load(encode(count_ngrams(tokens, np.array([0, 200]), 3, 0, highest_order=4)))


@pytest.mark.parametrize("name", sorted(sample()))
@pytest.mark.parametrize("damage", ["missing", "shorter", "longer", "type", "ones"])
def test_damage_is_an_error_of_one_line_or_harmless(name: str, damage: str) -> None:
    tensors = sample()
    tensor = tensors.pop(name)
    if damage == "shorter":
        tensors[name] = tensor[:-1].copy()
    elif damage == "longer":
        tensors[name] = np.concatenate(
            (tensor, tensor[-1:] if len(tensor) else np.ones_like(tensor, shape=1))
        )
    elif damage == "type":
        tensors[name] = tensor.astype(np.float64)
    elif damage == "ones":
        tensors[name] = np.full_like(tensor, 255 if tensor.dtype == np.uint8 else -1)
    if damage == "ones" and (name == "gate" or name.endswith("digits")):
        return  # other numbers, but possible ones
    if len(tensor) == 0 and damage in ("shorter", "ones"):
        return  # nothing to damage
    with pytest.raises(ModelError, match=r"counts\.safetensors is damaged") as error:
        decode_counts(save(tensors), 3, 0)
    assert "\n" not in str(error.value)


def test_file_of_another_vocabulary_is_refused() -> None:
    with pytest.raises(ModelError, match="other tokens"):
        decode_counts(save(sample()), 4, 0)


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(ModelError):
        decode_counts(data, 3, 0)
