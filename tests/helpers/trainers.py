"""Small trainers and texts that the tests of training share."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import torch

import sunspring
from sunspring import Model
from sunspring.corpus.batches import IGNORED, Batch
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.machine import Precision
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.optimizers import Optimizers
from sunspring.training.pace import Pace, Revision
from sunspring.training.recipe import ObjectiveSettings, OptimizerSettings, Recipe
from sunspring.training.trainer import (
    Callback,
    EvaluationReport,
    QuickSets,
    StepReport,
    Trainer,
    make_batches,
)

SENTENCE = "the cat sat on the mat and the dog sat on the cat.\n"
VOCABULARY = CharacterVocabulary(SENTENCE + "xyz", end=False, unknown=False)
CONFIG = ModelConfig(VOCABULARY.size, layers=2, hidden_size=12, embedding_size=8)
DROPOUT = {
    "embedding_dropout": 0.1,
    "layer_dropout": 0.2,
    "output_dropout": 0.3,
    "recurrent_dropout": 0.1,
}
NO_LOOK = QuickSets([], [])
TWENTY_STEPS = Budget("steps", 20)
LOSS_ALONE = ObjectiveSettings()


def text_split(text: str) -> Split:
    tokens = VOCABULARY.encode(text).astype(np.uint8)
    return Split(tokens, np.array([0, len(tokens)]), None, len(text))


def line_split(lines: list[str], labels: list[int] | None = None) -> Split:
    ids = [VOCABULARY.encode(line) for line in lines]
    starts = np.cumsum([0, *map(len, ids)])
    kinds = None if labels is None else np.array(labels, dtype=np.uint16)
    return Split(np.concatenate(ids).astype(np.uint8), starts, kinds, int(starts[-1]))


TEXT = text_split(SENTENCE * 40)
LINES = line_split([SENTENCE[begin:] for begin in range(0, 40, 3)] * 4)


def make_trainer(
    config: ModelConfig = CONFIG,
    split: Split = TEXT,
    *,
    batching: Any = "lanes",
    optimizer: Any = "muon",
    budget: Budget = TWENTY_STEPS,
    quick: QuickSets = NO_LOOK,
    precision: Precision = "fp32",
    learning_rate: float = 0.01,
    clip_norm: float = 1.0,
    objective: ObjectiveSettings = LOSS_ALONE,
    callbacks: list[Callback] | None = None,
    save: Callable[[Checkpoint], None] | None = None,
    clock: Callable[[], float] | None = None,
) -> Trainer:
    optimization = OptimizerSettings(
        optimizer=optimizer, learning_rate=learning_rate, warmup_steps=3, clip_norm=clip_norm
    )
    recipe = Recipe(batching=batching, batch_size=4, window=16, optimization=optimization)
    torch.manual_seed(0)
    model = RecurrentModel(config)
    return Trainer(
        model,
        make_batches(split, VOCABULARY.start_id, recipe, seed=1),
        Optimizers(model, optimization),
        pace=Pace(budget),
        warmup_steps=optimization.warmup_steps,
        precision=precision,
        objective=objective,
        quick=quick,
        callbacks=callbacks or [],
        save=save,
        **({} if clock is None else {"clock": clock}),
    )


SMALL = {
    "hidden_size": 16,
    "embedding_size": 8,
    "window": 16,
    "batch_size": 4,
    "precision": "fp32",
    "counts": 0,
}


def train_small(sources: Any, **more: Any) -> Model:
    """Train through the package's front, for a second."""
    options = {"steps": 20, "preset": "tiny", "settings": SMALL, "progress": None}
    return sunspring.train(sources, **{**options, **more})


class Recorder(Callback):
    """Notes what it is told, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.steps: list[StepReport] = []
        self.looks: list[EvaluationReport] = []
        self.plans: list[Revision] = []

    def on_start(self, trainer: Trainer) -> None:
        self.events.append("start")

    def on_step(self, report: StepReport) -> None:
        self.events.append("step")
        self.steps.append(report)

    def on_evaluation(self, report: EvaluationReport) -> None:
        self.events.append("evaluation")
        self.looks.append(report)

    def on_plan(self, revision: Revision) -> None:
        self.plans.append(revision)

    def on_end(self, report: StepReport) -> None:
        self.events.append("end")


class Stopper(Callback):
    """Asks training to stop at the first report from a step on."""

    def __init__(self, step: int) -> None:
        self._step = step

    def on_start(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def on_step(self, report: StepReport) -> None:
        if report.step >= self._step:
            self._trainer.request_stop()


def weights(trainer: Trainer) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trainer.checkpoint().weights.items()}


def mean_loss(model: RecurrentModel, batches: list[Batch]) -> float:
    """Nats per token, by the definition."""
    model.eval()
    losses = []
    for batch in batches:
        with torch.no_grad():
            logits, _ = model(
                torch.from_numpy(batch.inputs), model.initial_state(len(batch.inputs))
            )
        log_probabilities = torch.log_softmax(logits, dim=-1)
        losses += [
            -log_probabilities[row, time, target].item()
            for (row, time), target in np.ndenumerate(batch.targets)
            if target != IGNORED
        ]
    return sum(losses) / len(losses)


def ticking_clock(seconds: float) -> Callable[[], float]:
    ticks: Iterator[int] = count()
    return lambda: 1000 + seconds * next(ticks)
