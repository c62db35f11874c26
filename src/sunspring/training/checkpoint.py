"""Networks and run folders on disk: atomic, verified, resumable, no pickle anywhere.

A run folder is a model folder (model_files.py) with the settings of its training (run.json), its
log (log.jsonl) and its checkpoints: folders of safetensors and JSON with a manifest of checksums,
each written under another name, synced to disk, and only then renamed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig, least_parameters
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel, Weights
from sunspring.network.weights import FORMAT, decode_weights, encode_weights
from sunspring.storage import (
    read_json,
    sync_folder,
    write_atomically,
    write_json,
    write_synced,
    writing,
)

_KEPT_CHECKPOINTS = 2
_MANIFEST = "manifest.json"
_PARTS = ("weights", "best", "optimizers", "carried")  # of a checkpoint, each a safetensors file


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to go on as if it had never stopped.

    Args:
        state: JSON values: step, seconds, position in the corpus, what was best.
        weights: the model's.
        best: the weights that did best on the validation part so far.
        optimizers: the optimisers' tensors.
        carried: the lanes' states and the states of the random generators.
    """

    state: Mapping[str, Any]
    weights: Weights
    best: Weights
    optimizers: Weights
    carried: Weights


def model_weights(model: RecurrentModel) -> Weights:
    """Copy a model's weights to the CPU; tied weights once."""
    return {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in model.state_dict().items()
        if not (model.config.tied and name == "head.weight")
    }


def load_weights(model: RecurrentModel, weights: Weights) -> None:
    """Load what `model_weights` gave.

    Raises:
        ModelError: names or shapes do not fit the model.
    """
    if model.config.tied:
        weights = {**weights, "head.weight": weights.get("embedding.weight", torch.empty(0))}
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"the weights do not fit the model's config.json ({reason}): save the model again"
        ) from None


def pack_model(
    model: RecurrentModel,
    vocabulary: Vocabulary,
    card: Mapping[str, Any] | None = None,
    quantized: bool = False,
) -> ModelFiles:
    """Give what a model folder holds of a network.

    Args:
        model: on any device.
        vocabulary: of the model.
        card: what is known of the training.
        quantized: with weights in 8 bits.

    Raises:
        ModelError: the weights cannot be quantized.
    """
    encoded = encode_weights(model_weights(model), model.config.cell, quantized)
    return ModelFiles(model.config, vocabulary, card or {}, encoded, FORMAT if quantized else None)


def build_network(files: ModelFiles) -> RecurrentModel:
    """Build a model's network, on the CPU and in evaluation mode.

    Raises:
        ModelError: the weights are damaged or of another model.
    """
    weights = decode_weights(files.weights, files.config.cell, files.name)
    _check_sizes(files.config, weights)
    with torch.random.fork_rng(devices=[]):  # the weights that are drawn are not the model's
        model = RecurrentModel(files.config)
    load_weights(model, weights)
    return model.eval()


def _check_sizes(config: ModelConfig, weights: Weights) -> None:
    """Compare sizes before memory is taken for them: a damaged config.json may ask for anything.

    Raises:
        ModelError: the weights are of another model.
    """
    least, found = least_parameters(config), sum(tensor.numel() for tensor in weights.values())
    if least > found:
        raise ModelError(
            f"the weights do not fit the model's config.json, which asks for {least:,} values "
            f"or more and gets {found:,}: save the model again"
        )


class RunFolder:
    """A folder that training writes and can resume.

    Args:
        path: where it is, or shall be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checkpoints = path / "checkpoints"

    @property
    def exists(self) -> bool:
        """Whether a training has begun here."""
        return (self.path / "run.json").exists()

    @property
    def has_checkpoint(self) -> bool:
        """Whether there is a checkpoint, whole or damaged."""
        return bool(self._folders())

    def check_free(self) -> None:
        """Make sure that a new run may begin here.

        Raises:
            ModelError: the folder already holds a run or a model, which would be lost.
        """
        if self.exists or (self.path / "model.safetensors").exists():
            raise ModelError(
                f"{self.path} already holds a run: go on with --resume, or name another --out"
            )
        if self.path.exists() and not self.path.is_dir():
            raise ModelError(f"{self.path} is a file: name a folder with --out")

    def begin(self, config: ModelConfig, vocabulary: Vocabulary, record: Mapping[str, Any]) -> None:
        """Write what does not change during training.

        Raises:
            ModelError: the folder cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            vocabulary.save(self.path / "tokenizer.json")
            write_atomically(self.path / "config.json", config.to_json().encode())
            write_json(self.path / "run.json", record)

    def record(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        if not self.exists:
            raise ModelError(f"{self.path} is not a run: it has no run.json to resume from")
        return read_json(self.path / "run.json")

    def save_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and publish its best weights as the run's model; keep the last two.

        Raises:
            ModelError: the folder cannot be written.
        """
        files = {
            "state.json": json.dumps(checkpoint.state).encode(),
            **{f"{part}.safetensors": save(getattr(checkpoint, part)) for part in _PARTS},
        }
        manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        with writing(self.path):
            self._checkpoints.mkdir(exist_ok=True)
            building = self._checkpoints / ".building"
            shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
            building.mkdir()
            for name, data in {**files, _MANIFEST: json.dumps(manifest).encode()}.items():
                write_synced(building / name, data)
            sync_folder(building)
            # Numbered, not named by step: saving one step again must not first delete the old one.
            number = 1 + max(map(_number, self._folders()), default=0)
            building.rename(self._checkpoints / f"checkpoint-{number:06d}")
            sync_folder(self._checkpoints)
            write_atomically(self.path / "model.safetensors", files["best.safetensors"])
            for old in self._folders()[:-_KEPT_CHECKPOINTS]:
                shutil.rmtree(old)

    def latest_checkpoint(self, on_warning: Callable[[str], None]) -> Checkpoint:
        """Read the newest checkpoint that is whole; a damaged one is passed over with a warning.

        Raises:
            ModelError: no checkpoint is whole.
        """
        for folder in reversed(self._folders()):
            try:
                return _read_checkpoint(folder)
            except (OSError, ValueError, SafetensorError) as error:
                on_warning(f"{folder} is damaged ({error}): going back to the one before")
        raise ModelError(f"{self.path} has no whole checkpoint: train again with another --out")

    def _folders(self) -> list[Path]:
        """List the checkpoints, the newest last."""
        return sorted(filter(_number, self._checkpoints.glob("checkpoint-*")), key=_number)


def _number(folder: Path) -> int:
    """Read the number of a checkpoint's folder; 0 of a folder that is none."""
    digits = folder.name.removeprefix("checkpoint-")
    return int(digits) if digits.isdecimal() else 0


def _read_checkpoint(folder: Path) -> Checkpoint:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    names = ["state.json", *(f"{part}.safetensors" for part in _PARTS)]
    if not isinstance(manifest, dict) or {*manifest} != {*names}:
        raise ValueError(f"{_MANIFEST} is not a list of its files")
    files = {name: (folder / name).read_bytes() for name in names}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != manifest[name]:
            raise ValueError(f"{name} does not match its checksum")
    tensors = {part: load(files[f"{part}.safetensors"]) for part in _PARTS}
    return Checkpoint(state=json.loads(files["state.json"]), **tensors)
