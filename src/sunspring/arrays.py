"""A model's weights as numpy's arrays: to look at, without PyTorch, and those of an untrained one.

Stands right behind model_files.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from sunspring.model_files import ModelFiles

Arrays = Mapping[str, NDArray[np.float32]]

_SCALE = ".scale"


def weight_arrays(files: ModelFiles) -> Arrays:
    """Give the weights by PyTorch's names in float32, but the biases of a layer as in the file.

    Args:
        files: in float32 or in 8 bits; not looked at for damage.
    """
    tensors = load(files.weights)
    return {
        name: tensor * tensors[name + _SCALE][:, None] if name + _SCALE in tensors else tensor
        for name, tensor in tensors.items()
        if not name.endswith(_SCALE)
    }


def untrained(files: ModelFiles, seed: int = 0) -> ModelFiles:
    """Give a model of the same shape whose weights are drawn as before a training.

    Embeddings are normal, and all else uniform up to one over the root of `hidden_size`: PyTorch's
    own beginning.
    """
    draw = np.random.default_rng(seed)
    limit = files.config.hidden_size**-0.5
    drawn: dict[str, NDArray[np.float32]] = {}
    for name, array in weight_arrays(files).items():
        is_embedding = name.endswith("embedding.weight")
        values = (
            draw.standard_normal(array.shape)
            if is_embedding
            else draw.uniform(-limit, limit, array.shape)
        )
        if files.config.cell != "gru" and name.startswith("layers.") and name.endswith(".bias"):
            for half in ("_ih_l0", "_hh_l0"):
                drawn[name + half] = (values / 2).astype(np.float32)
        else:
            drawn[name] = values.astype(np.float32)
    return replace(files, weights=save(drawn), quantization=None)
