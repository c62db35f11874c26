"""What a model in 8 bits saves and costs.

The rounding itself is of weights.py; `Model.quantize` puts the two together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sunspring.corpus.corpus import Split
from sunspring.evaluation.protocols import (
    HELDOUT_TOKENS,
    Evaluation,
    evaluate_stream,
    evaluation_of,
    first_tokens,
)
from sunspring.machine import usable_cores
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import HAS_ENGINE, load_native
from sunspring.network.network import RecurrentModel
from sunspring.training.checkpoint import build_network


@dataclass(frozen=True)
class QuantizationLoss:
    """What 8 bits cost on a text.

    Args:
        fp32: of the network before, by `stream`, computed in float32.
        int8: of the network after: as the native engine computes, which rounds activations too, or
            in float32 by PyTorch where there is no such engine.
        text: the run's held-out text (`heldout`), or other `sources`.
        engine: that computed `int8`.
    """

    fp32: Evaluation
    int8: Evaluation
    text: Literal["heldout", "sources"]
    engine: Literal["native", "torch"]

    def to_json(self) -> dict[str, Any]:
        """Give the figures in nats per character, and what they are of."""
        return {
            "nats": self.int8.nats_per_character - self.fp32.nats_per_character,
            "nats_fp32": self.fp32.nats_per_character,
            "nats_int8": self.int8.nats_per_character,
            "characters": self.int8.characters,
            "protocol": self.int8.protocol,
            "text": self.text,
            "engine": self.engine,
        }


def measure_loss(
    network: RecurrentModel,
    quantized: ModelFiles,
    text: Split,
    kind: Literal["heldout", "sources"],
) -> QuantizationLoss:
    """Score the first million tokens of a text before and after.

    Args:
        network: before.
        quantized: after.
        text: to read by `stream`.
        kind: which text it is.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    text, start_id = first_tokens(text, HELDOUT_TOKENS), quantized.vocabulary.start_id
    fp32 = evaluate_stream(network, text, start_id)
    if not HAS_ENGINE:
        rounded = build_network(quantized).to(network.device)
        return QuantizationLoss(fp32, evaluate_stream(rounded, text, start_id), kind, "torch")
    labels = np.zeros(text.documents) if text.labels is None else text.labels
    nats = load_native(quantized).score(
        text.tokens.astype(np.int64),
        np.diff(text.starts),
        labels.astype(np.int64),
        usable_cores(),
    )
    total = float(nats.sum(dtype=np.float64))
    int8 = evaluation_of("stream", total, len(nats), text.characters)
    return QuantizationLoss(fp32, int8, kind, "native")


def describe_quantization(
    weights: bytes, quantized: bytes, loss: QuantizationLoss | None
) -> dict[str, Any]:
    """Say what a model's card has under `quantization`.

    Args:
        weights: the content of model.safetensors before.
        quantized: the same after.
        loss: None if there was no text to measure it on.
    """
    return {
        "bytes": len(quantized),
        "bytes_fp32": len(weights),
        "loss": loss and loss.to_json(),
    }
