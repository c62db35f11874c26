"""What a run records about itself: its run.json, its result, and its model's card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from sunspring.corpus.corpus import Corpus
from sunspring.evaluation.protocols import Evaluation
from sunspring.machine import Precision
from sunspring.network.config import ModelConfig
from sunspring.runs.request import TrainingRequest, reading_record
from sunspring.runs.result import TrainingResult
from sunspring.training.plan import Plan
from sunspring.training.recipe import OptimizerSettings, Recipe
from sunspring.training.trainer import StepReport

_FORMAT = 2


@dataclass(frozen=True)
class Setup:
    """All that determines how a training goes.

    Args:
        request: what the user asked for.
        corpus: the text.
        plan: what to train, and how.
        precision: number format of the matrix products.
        device: where to train.
    """

    request: TrainingRequest
    corpus: Corpus
    plan: Plan
    precision: Precision
    device: torch.device

    def record(self) -> dict[str, Any]:
        """Describe the run for run.json: all that `resume` and `evaluate` need."""
        plan = self.plan
        return {
            "format": _FORMAT,
            "request": self.request.to_json(),
            "plan": {"preset": plan.preset, "reason": plan.reason, "recipe": asdict(plan.recipe)},
            "precision": self.precision,
            "corpus": {
                "fingerprint": self.corpus.fingerprint,
                "folder": str(self.corpus.folder),
                "format": self.corpus.format,
            },
        }

    def result(self, report: StepReport, heldout: Evaluation | None) -> TrainingResult:
        """Summarise the run.

        Args:
            report: the last step's.
            heldout: figures of the weights that were kept; None if training was interrupted.
        """
        corpus = self.corpus
        characters_per_token = corpus.train.characters / max(1, len(corpus.train.tokens))
        return TrainingResult(
            run=str(self.request.folder),
            preset=self.plan.preset,
            parameters=self.plan.model.parameters,
            corpus={
                "characters": corpus.characters,
                "tokens": corpus.tokens,
                "vocabulary": corpus.vocabulary.size,
                "fingerprint": corpus.fingerprint,
            },
            seconds=report.seconds,
            characters_per_second=report.tokens_per_second * characters_per_token,
            epochs=report.epochs,
            heldout=heldout,
            device=self.device.type,
            precision=self.precision,
            seed=self.request.seed,
        )

    def card(self, result: TrainingResult) -> dict[str, Any]:
        """Describe the model to whoever receives it; paths are kept private, in run.json."""
        values = result.to_json()
        del values["run"]
        return {
            **values,
            "budget": str(self.request.budget),
            "recipe": asdict(self.plan.recipe),
        }


def read_plan(record: Mapping[str, Any], model: ModelConfig) -> tuple[Plan, Precision]:
    """Read the plan and the precision that `Setup.record` wrote to a run.json.

    Args:
        record: content of run.json.
        model: the run's architecture, from its config.json.

    Raises:
        ModelError: the record is damaged.
    """
    with reading_record():
        plan, precision = record["plan"], record["precision"]
        values = plan["recipe"]
        recipe = Recipe(**{**values, "optimization": OptimizerSettings(**values["optimization"])})
        return Plan(plan["preset"], model, recipe, plan["reason"]), precision
