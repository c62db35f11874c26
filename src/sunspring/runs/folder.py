"""The folder of a run, which training writes and can resume.

It is a model folder with the settings of its training (run.json), its log (log.jsonl) and its
checkpoints. Only one process at a time may train in it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import ModelError
from sunspring.folders import Hold, contents, hold, kind_of
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.storage import read_json, write_atomically, write_json, writing
from sunspring.training.checkpoint import Checkpoint, Checkpoints

# true until the weights change
_ABOUT_THE_MODEL = ("card.json", "report.html", "counts.safetensors")
_BEFORE_A_CHECKPOINT = ("tokenizer.json", "config.json", "run.json", "log.jsonl")


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
        self._hold: Hold | None = None

    @property
    def exists(self) -> bool:
        """Whether a training has started here."""
        return (self.path / "run.json").exists()

    def check_free(self) -> None:
        """Make sure that a new run may start here.

        Raises:
            ModelError: the folder holds something that would be lost.
        """
        held = contents(self.path)
        if held is None:
            return
        remedy = "name a new or empty folder with --out"
        if kind_of(self.path) == "run":
            remedy = "continue it with --resume, or name another --out"
        raise ModelError(f"{self.path} {held}: {remedy}")

    @contextlib.contextmanager
    def begin(
        self, config: ModelConfig, vocabulary: Vocabulary, record: Mapping[str, Any]
    ) -> Iterator[None]:
        """Write what does not change during training, and hold the folder until the end.

        If that fails before the first checkpoint, nothing is left behind.

        Raises:
            ModelError: the folder is not free, or cannot be written.
        """
        existed = self.path.exists()
        try:
            with writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            with hold(self.path) as self._hold:
                self.check_free()
                try:
                    with writing(self.path):
                        vocabulary.save(self.path / "tokenizer.json")
                    self.write_record(config, record)
                    yield
                except BaseException:
                    if not self.checkpoints.are_there:
                        self._clear()
                    raise
        finally:
            if not existed:
                with contextlib.suppress(OSError):  # it is not empty, as it should be
                    self.path.rmdir()

    @contextlib.contextmanager
    def resume(self) -> Iterator[dict[str, Any]]:
        """Hold the folder of a run until the end, and read its run.json.

        Raises:
            ModelError: this is no run, it is damaged, or another process trains in it.
        """
        self.record()
        with hold(self.path) as self._hold:
            yield self.record()

    def record(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            ModelError: it is missing or damaged.
        """
        if not self.exists:
            raise ModelError(f"{self.path} is not a run, as it has no run.json: check the path")
        return read_json(self.path / "run.json")

    def write_record(self, config: ModelConfig, record: Mapping[str, Any]) -> None:
        """Replace config.json and run.json.

        Raises:
            ModelError: the folder cannot be written.
        """
        with writing(self.path):
            write_atomically(self.path / "config.json", config.to_json().encode())
            write_json(self.path / "run.json", record)

    def save(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint, and publish its best weights as the run's model.

        Raises:
            ModelError: the folder cannot be written, or was moved.
        """
        if self._hold is not None:
            self._hold.check()
        self.checkpoints.save(checkpoint)
        with writing(self.path):
            for name in _ABOUT_THE_MODEL:
                if (self.path / name).is_file():
                    (self.path / name).unlink()
            write_atomically(self.path / "model.safetensors", save(checkpoint.best))

    def finish(self, model: ModelFiles) -> None:
        """Write the finished model, with its card.

        Raises:
            ModelError: the folder cannot be written, or was moved.
        """
        if self._hold is not None:
            self._hold.check()
        model.write(self.path)

    def _clear(self) -> None:
        """Delete what a training writes before its first checkpoint."""
        for name in _BEFORE_A_CHECKPOINT:
            (self.path / name).unlink(missing_ok=True)
        for name in ("checkpoints", "tensorboard"):
            shutil.rmtree(self.path / name, ignore_errors=True)
