"""What quantizing a model to 8 bits saves and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import Vocabulary
from sunspring.evaluation.protocols import (
    Evaluation,
    evaluate_engine,
    first_tokens,
)
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel
from sunspring.network.weights import pack_model
from sunspring.notices import Notify, Work, ignore
from sunspring.writing.engine import EngineName
from sunspring.writing.engines import open_engine

_MOST_TOKENS = 1_000_000  # read before and after


@dataclass(frozen=True)
class QuantizationLoss:
    """What 8 bits cost on a text.

    Args:
        fp32: the model before quantizing, by `stream`, in float32.
        int8: the network after: by the native engine, which rounds activations too, or by PyTorch
            in float32 if there is no such engine.
        text: the run's held-out text (`heldout`), or other `sources`.
        engine: which one computed `int8`.
    """

    fp32: Evaluation
    int8: Evaluation
    text: Literal["heldout", "sources"]
    engine: EngineName

    def to_json(self) -> dict[str, Any]:
        """Return the figures in nats per character, and how they were measured."""
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
    whole: ModelFiles,
    quantized: ModelFiles,
    text: Split,
    kind: Literal["heldout", "sources"],
    notify: Notify = ignore,
) -> QuantizationLoss:
    """Score the first million tokens of a text before and after quantizing.

    Args:
        whole: the model before.
        quantized: the model after.
        text: what to read, by `stream`.
        kind: which text it is.
        notify: shows the progress.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    text = first_tokens(text, _MOST_TOKENS)
    fp32 = evaluate_engine(open_engine(whole), text, Work(notify, "scoring as it was"))
    engine = open_engine(quantized)
    int8 = evaluate_engine(engine, text, Work(notify, "scoring in 8 bits"))
    return QuantizationLoss(fp32, int8, kind, engine.name)


def quantize_model(
    network: RecurrentModel,
    vocabulary: Vocabulary,
    card: Mapping[str, Any],
    counts: bytes | None,
    text: Split | None,
    kind: Literal["heldout", "sources"],
    notify: Notify = ignore,
) -> ModelFiles:
    """Round a model to 8 bits; its card says under `quantization` what that saves and costs.

    Args:
        network: the model's.
        vocabulary: the model's.
        card: the model's.
        counts: the model's, which stay as they are.
        text: what to measure the loss on; None not to measure it.
        kind: which text it is.
        notify: shows the progress.

    Raises:
        ModelError: the model has weights that are not finite.
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    whole = pack_model(network, vocabulary, card, counts=counts)
    rounded = pack_model(network, vocabulary, card, quantized=True, counts=counts)
    loss = None if text is None else measure_loss(whole, rounded, text, kind, notify)
    figures = {
        "bytes": len(rounded.weights),
        "bytes_fp32": len(whole.weights),
        "loss": loss and loss.to_json(),
    }
    return replace(rounded, card={**card, "quantization": figures})
