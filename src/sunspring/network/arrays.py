"""A model's weights as numpy arrays, for use without PyTorch, and those of an untrained model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from sunspring.network.config import GATES, ModelConfig
from sunspring.network.model_folder import ModelFiles

Arrays = Mapping[str, NDArray[np.float32]]

_SCALE = ".scale"


def weight_arrays(files: ModelFiles) -> Arrays:
    """Return the weights by PyTorch's names, in float32; a layer's biases are as in the file.

    Args:
        files: the model's, in float32 or 8 bits; not checked for damage.
    """
    tensors = load(files.weights)
    return {
        name: tensor * tensors[name + _SCALE][:, None] if name + _SCALE in tensors else tensor
        for name, tensor in tensors.items()
        if not name.endswith(_SCALE)
    }


def untrained(files: ModelFiles, seed: int = 0) -> ModelFiles:
    """Return an untrained model with the same layers, its weights drawn as training begins.

    It has no attention, pointer or labels, which do not affect the outputs of untrained layers.

    Args:
        files: the model's.
        seed: seed of the weights.
    """
    config = replace(files.config, attention=False, pointer=0, tied=False, labels=())
    weights = save(_initial_weights(config, np.random.default_rng(seed)))
    return replace(files, config=config, weights=weights, quantization=None)


def _initial_weights(
    config: ModelConfig, draw: np.random.Generator
) -> dict[str, NDArray[np.float32]]:
    """Draw weights from the same distributions as `RecurrentModel`."""
    size, gates = config.hidden_size, GATES[config.cell]

    def uniform(*shape: int, width: int) -> NDArray[np.float32]:
        """Draw uniformly from ±1/√width, as PyTorch's layers do."""
        return np.asarray(width**-0.5 * (2 * draw.random(shape, np.float32) - 1), np.float32)

    drawn = {
        "embedding.weight": draw.standard_normal(
            (config.vocabulary_size, config.embedding_size), np.float32
        ),
        "head.weight": uniform(
            config.vocabulary_size, config.features_size, width=config.features_size
        ),
        "head.bias": uniform(config.vocabulary_size, width=config.features_size),
    }
    for layer, width in enumerate(config.input_sizes):
        name, bias = f"layers.{layer}.", np.zeros(gates * size, np.float32)
        drawn[f"{name}weight_ih_l0"] = uniform(gates * size, width, width=size)
        drawn[f"{name}weight_hh_l0"] = np.concatenate(
            [_orthogonal(size, draw) for _ in range(gates)]
        )
        drawn[f"{name}bias_ih_l0"] = np.zeros_like(bias)
        if config.cell == "lstm":
            bias[size : 2 * size] = 1
        drawn[f"{name}bias_hh_l0"] = bias
    return drawn


def _orthogonal(size: int, draw: np.random.Generator) -> NDArray[np.float32]:
    """Draw an orthogonal matrix (size, size), uniformly among all (Mezzadri 2007)."""
    q, r = np.linalg.qr(draw.standard_normal((size, size), np.float32))
    return np.asarray(q * np.sign(np.diag(r)), np.float32)
