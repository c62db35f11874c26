"""The folder of a run, which training writes and can resume.

It is a model folder with the settings of its training (run.json), its log (log.jsonl) and its
checkpoints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig
from sunspring.storage import read_json, write_atomically, write_json, writing
from sunspring.training.checkpoint import Checkpoint, Checkpoints


class RunFolder:
    """A run folder.

    Args:
        path: where it is, or will be.

    Attributes:
        path: as above.
        checkpoints: those of the training.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")

    @property
    def exists(self) -> bool:
        """Whether a training has started here."""
        return (self.path / "run.json").exists()

    def check_free(self) -> None:
        """Make sure that a new run may start here.

        Raises:
            ModelError: the folder already holds a run or a model, which would be lost.
        """
        if self.exists or (self.path / "model.safetensors").exists():
            raise ModelError(
                f"{self.path} already holds a run: continue it with --resume, or name another --out"
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

    def undo(self) -> None:
        """Take back what `begin` and the log wrote, so that another run may start here."""
        for name in ("run.json", "config.json", "tokenizer.json", "log.jsonl"):
            (self.path / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # it holds something else
            self.path.rmdir()

    def record(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            ModelError: it is missing or damaged.
        """
        if not self.exists:
            raise ModelError(f"{self.path} is not a run, as it has no run.json: check the path")
        return read_json(self.path / "run.json")

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Replace run.json.

        Raises:
            ModelError: the folder cannot be written.
        """
        with writing(self.path):
            write_json(self.path / "run.json", record)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint, and publish its best weights as the run's model.

        Raises:
            ModelError: the folder cannot be written.
        """
        self.checkpoints.save(checkpoint)
        with writing(self.path):
            write_atomically(self.path / "model.safetensors", save(checkpoint.best))
