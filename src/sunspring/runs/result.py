"""The result of a training, as shown by notebooks, `train --json` and a model's card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sunspring.corpus.overlap import describe_overlap
from sunspring.evaluation.protocols import Evaluation
from sunspring.machine import Precision
from sunspring.notices import counted
from sunspring.pages.notebook import table_html


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Args:
        run: the run folder.
        preset: what was trained.
        parameters: number of weights.
        corpus: characters, tokens, vocabulary (its size) and fingerprint.
        seconds: spent on training.
        characters_per_second: read in training.
        epochs: how often the training text was read.
        heldout: figures of the kept model, by `stream`; None if training was interrupted.
        device: `cpu` or `cuda`.
        precision: number format of the matrix products.
        seed: the run's.
    """

    run: str
    preset: str
    parameters: int
    corpus: Mapping[str, Any]
    seconds: float
    characters_per_second: float
    epochs: float
    heldout: Evaluation | None
    device: str
    precision: Precision
    seed: int

    @property
    def interrupted(self) -> bool:
        """Whether training was asked to stop before its budget was spent."""
        return self.heldout is None

    def _repr_html_(self) -> str:
        characters = counted(self.corpus["characters"], "character")
        figures = {
            "preset": self.preset,
            "parameters": f"{self.parameters:,}",
            "text": f"{characters}, read {self.epochs:.1f} times",
            "time": f"{self.seconds:.0f} s, {self.characters_per_second:,.0f} characters a second",
            "machine": f"{self.device}, {self.precision}",
        }
        if self.heldout is None:
            return table_html("Training, interrupted", figures)
        best = f"{self.heldout.bpc:.3f} bits per character ({self.heldout.protocol})"
        if told := describe_overlap(self.heldout.overlap):
            best = f"{best}; {told}"
        return table_html("Training", {"held-out text": best, **figures, "folder": self.run})

    def to_json(self) -> dict[str, Any]:
        """Return the object that `train --json` prints."""
        heldout = self.heldout and {
            "nats": self.heldout.nats_per_character,
            "bpc": self.heldout.bpc,
            "characters": self.heldout.characters,
            "protocol": self.heldout.protocol,
            "overlap": self.heldout.overlap,
        }
        return {**asdict(self), "heldout": heldout}
