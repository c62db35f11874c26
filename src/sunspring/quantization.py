"""A network in 8 bits, and what that saves and costs.

The rounding itself is of weights.py. Stands right before api.py in the street, where
`Model.quantize` puts the two together.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

from sunspring.checkpoint import load_weights, model_weights
from sunspring.corpus import Split
from sunspring.evaluation import HELDOUT_TOKENS, Evaluation, evaluate_stream
from sunspring.model import RecurrentModel
from sunspring.weights import dequantize, encode_weights, quantize


@dataclass(frozen=True)
class QuantizationLoss:
    """What 8 bits cost on a text; the two figures differ by the weights alone.

    Args:
        fp32: of the network before, by `stream`, computed in float32.
        int8: of the network after, computed alike: activations are not rounded.
        text: the run's held-out text (`heldout`), or other `sources`.
    """

    fp32: Evaluation
    int8: Evaluation
    text: Literal["heldout", "sources"]

    def to_json(self) -> dict[str, Any]:
        """Give the figures in nats per character, and what they are of."""
        return {
            "nats": self.int8.nats_per_character - self.fp32.nats_per_character,
            "nats_fp32": self.fp32.nats_per_character,
            "nats_int8": self.int8.nats_per_character,
            "characters": self.int8.characters,
            "protocol": self.int8.protocol,
            "text": self.text,
        }


def quantize_network(network: RecurrentModel) -> RecurrentModel:
    """Copy a network with its weights rounded to what a file in 8 bits holds.

    Raises:
        ModelError: a weight is not a number, or infinite.
    """
    cell = network.config.cell
    quantized = copy.deepcopy(network)
    load_weights(quantized, dequantize(quantize(model_weights(network), cell), cell))
    return quantized


def measure_loss(
    network: RecurrentModel,
    quantized: RecurrentModel,
    text: Split,
    start_id: int,
    kind: Literal["heldout", "sources"],
) -> QuantizationLoss:
    """Score the first million tokens of a text before and after.

    Args:
        network: before.
        quantized: after.
        text: to read by `stream`.
        start_id: the token that stands before a document's first.
        kind: which text it is.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    fp32, int8 = (
        evaluate_stream(each, text, start_id, maximum_tokens=HELDOUT_TOKENS)
        for each in (network, quantized)
    )
    return QuantizationLoss(fp32, int8, kind)


def describe_quantization(network: RecurrentModel, loss: QuantizationLoss | None) -> dict[str, Any]:
    """Say what a model's card has under `quantization`.

    Args:
        network: before or after; their files are of the same sizes.
        loss: None if there was no text to measure it on.
    """
    cell, weights = network.config.cell, model_weights(network)
    return {
        "bytes": len(encode_weights(weights, cell, quantized=True)),
        "bytes_fp32": len(encode_weights(weights, cell)),
        "loss": loss and loss.to_json(),
    }
