"""The gates of an LSTM over a text: how open they are, and how often they saturate.

Saturation is counted as by Karpathy et al. 2015 ("Visualizing and understanding recurrent
networks", section 4.2): a gate is left-saturated below 0.1, right-saturated above 0.9. Computed in
numpy from the outputs of the layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sunspring.network.arrays import Arrays
from sunspring.network.config import ModelConfig

GATES = ("input", "forget", "output")

_PART = 1 << 12  # steps at a time
_ROWS = {"input": 0, "forget": 1, "output": 3}  # PyTorch's order; 2 is the candidate, not a gate
_LOW, _HIGH = 0.1, 0.9

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class GateActivity:
    """One gate of one layer over a text.

    Args:
        layer: index of the layer, from 0.
        gate: one of `GATES`.
        openness: (time,) mean over the units, from 0 to 1; the first token has the second's value.
        left: (units,) share of the tokens at which each unit's gate is below 0.1.
        right: (units,) the same for above 0.9.
    """

    layer: int
    gate: str
    openness: Floats
    left: Floats
    right: Floats


def gate_activity(
    weights: Arrays,
    config: ModelConfig,
    tokens: NDArray[np.int64],
    outputs: Floats,
    label: int | None = None,
) -> list[GateActivity]:
    """Compute the gates while a text is read; an empty list if the model is not an LSTM.

    Args:
        weights: weights of the model.
        config: configuration of the model.
        tokens: (time,) token ids of the text.
        outputs: (time, layers * hidden_size) outputs of the layers after each token.
        label: index of the text's label.
    """
    if config.cell != "lstm":
        return []
    embedded = weights["embedding.weight"][tokens]
    if label is not None:
        embedded = embedded + weights["label_embedding.weight"][label]
    if config.embedding_activation == "tanh":
        embedded = np.tanh(embedded)
    size = config.hidden_size
    found = []
    for layer in range(config.layers):
        own = outputs[:, layer * size : (layer + 1) * size]
        below = [outputs[:, (layer - 1) * size : layer * size]] if layer else []
        above = [embedded] if layer == 0 or config.skip else []
        inputs = np.concatenate([*below, *above], axis=1)
        found += _layer_gates(weights, layer, inputs, own)
    return found


def _layer_gates(weights: Arrays, layer: int, inputs: Floats, own: Floats) -> list[GateActivity]:
    name, size = f"layers.{layer}.", own.shape[1]
    bias = weights.get(f"{name}bias")
    if bias is None:
        bias = weights[f"{name}bias_ih_l0"] + weights[f"{name}bias_hh_l0"]
    found = []
    for gate in GATES:
        rows = slice(_ROWS[gate] * size, (_ROWS[gate] + 1) * size)
        from_inputs = weights[f"{name}weight_ih_l0"][rows].T
        from_outputs = weights[f"{name}weight_hh_l0"][rows].T
        openness = np.zeros(len(own), np.float32)
        low, high = np.zeros(size), np.zeros(size)
        for first in range(1, len(own), _PART):
            part = slice(first, min(first + _PART, len(own)))
            before = slice(part.start - 1, part.stop - 1)
            z = inputs[part] @ from_inputs + own[before] @ from_outputs + bias[rows]
            values = 1 / (1 + np.exp(-z))
            openness[part] = values.mean(1)
            low += (values < _LOW).sum(0)
            high += (values > _HIGH).sum(0)
        if len(own) > 1:
            openness[0] = openness[1]
        steps = max(1, len(own) - 1)
        found.append(
            GateActivity(
                layer,
                gate,
                openness,
                (low / steps).astype(np.float32),
                (high / steps).astype(np.float32),
            )
        )
    return found
