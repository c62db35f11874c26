"""Counts of small texts, as a model folder holds them, and the n-grams that they are made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.network.counts import decode_counts, encode_counts, encode_level
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import growing_ngrams


def count_texts(
    texts: list[NDArray[Any]], size: int, start_id: int, orders: int, seed: int = 0
) -> bytes:
    """The content of a counts.safetensors with a random gate."""
    tokens, starts = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    growing = growing_ngrams(tokens, starts, size, start_id, len(tokens))
    tensors = {}
    for _ in range(orders):
        tensors |= encode_level(next(growing))
    gate = np.random.default_rng(seed).normal(size=(2 * orders, 1 + orders))
    return encode_counts(tensors, gate)


def mixture(network: RecurrentModel, counts: bytes, start_id: int) -> Mixture:
    """What PyTorch makes of a network and the content of a counts.safetensors."""
    return Mixture(network, *decode_counts(counts, network.vocabulary_size, start_id))
