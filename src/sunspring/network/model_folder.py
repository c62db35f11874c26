"""The files of a model folder: config.json, tokenizer.json, model.safetensors and card.json.

A model that also counts has counts.safetensors, too. Weights and counts are bytes here, and the
native engine reads them as they are, so writing with that engine needs no PyTorch.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sunspring.corpus.vocabulary import Vocabulary, load_vocabulary
from sunspring.errors import ModelError
from sunspring.network.bundled import find_model
from sunspring.network.config import ModelConfig
from sunspring.storage import read_json, write_atomically, write_json, writing


@dataclass(frozen=True)
class ModelHead:
    """What a model folder says of its model, without the weights.

    Args:
        config: the architecture.
        vocabulary: the model's.
    """

    config: ModelConfig
    vocabulary: Vocabulary


def read_head(folder: Path) -> ModelHead:
    """Read what a folder says of its model; see `ModelFiles.read`."""
    folder = find_model(folder)
    config = ModelConfig.read(folder / "config.json")
    vocabulary = load_vocabulary(folder / "tokenizer.json")
    if vocabulary.size != config.vocabulary_size:
        raise ModelError(
            f"{folder}: tokenizer.json has {vocabulary.size} tokens and config.json "
            f"{config.vocabulary_size}, so they are of different models: copy the folder anew"
        )
    return ModelHead(config, vocabulary)


@dataclass(frozen=True)
class ModelFiles(ModelHead):
    """What a model folder holds.

    Args:
        config: the architecture.
        vocabulary: the model's.
        card: what is known about the training; empty if there is no card.json.
        weights: the content of model.safetensors.
        quantization: how they are rounded; None if they are not.
        name: the name of the weights' file in messages.
        counts: the content of counts.safetensors; None if there is no such file.
    """

    card: Mapping[str, Any]
    weights: bytes
    quantization: str | None = None
    name: str = "model.safetensors"
    counts: bytes | None = None

    @classmethod
    def read(cls, folder: Path) -> ModelFiles:
        """Read a model folder, the model of a run, or a bundled model by its name.

        Raises:
            ModelError: the folder is missing or incomplete, or a file is truncated or damaged. The
                values of the weights and the counts are not checked.
        """
        head, folder = read_head(folder), find_model(folder)
        path = folder / "model.safetensors"
        if not path.exists():
            raise ModelError(
                f"{folder} has no model.safetensors, as its training has saved nothing yet: "
                "continue it with --resume"
            )
        card_path = folder / "card.json"
        card = read_json(card_path) if card_path.exists() else {}
        counts_path = folder / "counts.safetensors"
        weights, quantization = _read_tensors(path)
        counts = _read_tensors(counts_path)[0] if counts_path.exists() else None
        return cls(head.config, head.vocabulary, card, weights, quantization, str(path), counts)

    def write(self, folder: Path) -> None:
        """Write a model folder; each file is replaced whole or not at all.

        Without counts, those of a model that was there before are removed.

        Args:
            folder: created if it does not exist.

        Raises:
            ModelError: the folder cannot be written.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as building:
                self.vocabulary.save(Path(building) / "tokenizer.json")
                (Path(building) / "tokenizer.json").replace(folder / "tokenizer.json")
            write_atomically(folder / "config.json", self.config.to_json().encode())
            write_json(folder / "card.json", self.card)
            write_atomically(folder / "model.safetensors", self.weights)
            if self.counts is None:
                (folder / "counts.safetensors").unlink(missing_ok=True)
            else:
                write_atomically(folder / "counts.safetensors", self.counts)


def _read_tensors(path: Path) -> tuple[bytes, str | None]:
    """Read a safetensors file whose header is valid; see `quantization_of`."""
    try:
        data = path.read_bytes()
        return data, quantization_of(data)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(str(path), error) from None


def quantization_of(weights: bytes) -> str | None:
    """Read from the header of a safetensors file how it is rounded; None if it is not.

    Raises:
        ValueError, AttributeError, RecursionError: it has no valid header.
    """
    header = json.loads(weights[8 : 8 + int.from_bytes(weights[:8], "little")])
    kept: str | None = header.get("__metadata__", {}).get("quantization")
    return kept


def damaged(name: str, error: Exception) -> ModelError:
    """Make the error for a file of weights that cannot be used."""
    return ModelError(f"{name} is damaged ({error}): train, quantize or copy the model again")
