"""Checkpoints on disk: atomic, verified, no pickle anywhere.

Each is a folder of safetensors and JSON with a manifest of checksums, written under a temporary
name, synced to disk, and only then renamed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from sunspring.errors import ModelError
from sunspring.network.network import Weights
from sunspring.notices import Notify
from sunspring.storage import sync_folder, write_synced, writing

_KEPT = 2
MOST_AT_ONCE = _KEPT + 1
"""Checkpoints on the disk at once: those that are kept, and the next."""

_MANIFEST = "manifest.json"
_PARTS = ("weights", "best", "optimizers", "carried")  # of a checkpoint, each a safetensors file


@dataclass(frozen=True)
class Checkpoint:
    """Everything that training needs to continue as if it had never stopped.

    Args:
        state: JSON values: step, seconds, position in the corpus, best validation loss.
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


class Checkpoints:
    """The checkpoints of a run, of which the last two are kept.

    Args:
        folder: where they are kept; created with the first.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def are_there(self) -> bool:
        """Whether there is one, intact or damaged."""
        return bool(self._folders())

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, and delete those that are no longer needed.

        Raises:
            ModelError: the folder cannot be written.
        """
        files = {
            "state.json": json.dumps(checkpoint.state).encode(),
            **{f"{part}.safetensors": save(getattr(checkpoint, part)) for part in _PARTS},
        }
        manifest = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            building = self._folder / ".building"
            shutil.rmtree(building, ignore_errors=True)  # left by a process that was killed
            building.mkdir()
            for name, data in {**files, _MANIFEST: json.dumps(manifest).encode()}.items():
                write_synced(building / name, data)
            sync_folder(building)
            # Numbered, not named by step: saving one step again must not first delete the old one.
            number = 1 + max(map(_number, self._folders()), default=0)
            building.rename(self._folder / f"checkpoint-{number:06d}")
            sync_folder(self._folder)
            for old in self._folders()[:-_KEPT]:
                shutil.rmtree(old)

    def latest(self, notify: Notify) -> Checkpoint:
        """Read the newest intact checkpoint; damaged ones are skipped with a message.

        Raises:
            ModelError: no checkpoint is intact.
        """
        for folder in reversed(self._folders()):
            try:
                return _read_checkpoint(folder)
            except (OSError, ValueError, SafetensorError) as error:
                notify(f"{folder} is damaged ({error}): going back to the previous one")
        raise ModelError(f"{self._folder} has no intact checkpoint: train again with another --out")

    def _folders(self) -> list[Path]:
        """List the checkpoints, the newest last."""
        return sorted(filter(_number, self._folder.glob("checkpoint-*")), key=_number)


def _number(folder: Path) -> int:
    """Read the number of a checkpoint's folder; 0 for any other folder."""
    digits = folder.name.removeprefix("checkpoint-")
    return int(digits) if digits.isdecimal() else 0


def _read_checkpoint(folder: Path) -> Checkpoint:
    manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    names = ["state.json", *(f"{part}.safetensors" for part in _PARTS)]
    if not isinstance(manifest, dict) or {*manifest} != {*names}:
        raise ValueError(f"{_MANIFEST} does not list its files")
    files = {name: (folder / name).read_bytes() for name in names}
    for name, data in files.items():
        if hashlib.sha256(data).hexdigest() != manifest[name]:
            raise ValueError(f"{name} does not match its checksum")
    tensors = {part: load(files[f"{part}.safetensors"]) for part in _PARTS}
    return Checkpoint(state=json.loads(files["state.json"]), **tensors)
