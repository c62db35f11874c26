"""What a training tells those who listen to it, for the tests of its log and its progress."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch

from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary, Vocabulary
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.runs.log import JsonLog, TensorBoardLog, Units
from sunspring.runs.progress import ScreenProgress
from sunspring.training.budget import Budget
from sunspring.training.optimizers import Optimizers
from sunspring.training.pace import Pace
from sunspring.training.recipe import ObjectiveSettings, OptimizerSettings, Recipe
from sunspring.training.trainer import (
    Callback,
    EvaluationReport,
    QuickSets,
    StepReport,
    Trainer,
    make_batches,
    quick_batches,
)

TEXT = "to be, or not to be: that is the question.\n" * 40
LETTERS = CharacterVocabulary(TEXT, end=False, unknown=False)
UNITS = Units(1.0)
STEP = StepReport(20, 30.0, 0.25, 90.0, 1.5, 2000.0, math.log(2))
EVALUATION = EvaluationReport(STEP, 2 * math.log(2), 3 * math.log(2), True)
END = StepReport(80, 120.0, 1.0, 0.0, 6.0, 2000.0, math.log(2))


def make_trainer(
    callbacks: Sequence[Callback],
    vocabulary: Vocabulary = LETTERS,
    steps: int = 60,
    labels: tuple[str, ...] = (),
    has_quick_sets: bool = True,
) -> Trainer:
    tokens = vocabulary.encode(TEXT).astype(np.uint16)
    of_documents = np.zeros(1, dtype=np.uint16) if labels else None
    split = Split(tokens, np.array([0, len(tokens)]), of_documents, len(TEXT))
    torch.manual_seed(0)
    config = ModelConfig(
        vocabulary.size, hidden_size=12, embedding_size=8, output_dropout=0.3, labels=labels
    )
    model = RecurrentModel(config)
    quick = quick_batches(split, vocabulary.start_id) if has_quick_sets else []
    return Trainer(
        model,
        make_batches(
            split, vocabulary.start_id, Recipe(batching="windows", batch_size=4, window=16), 0
        ),
        Optimizers(model, OptimizerSettings()),
        pace=Pace(Budget("steps", steps)),
        warmup_steps=2,
        precision="fp32",
        objective=ObjectiveSettings(),
        quick=QuickSets(quick[:1], quick[:1]),
        callbacks=callbacks,
        clock=itertools.count(0, 0.25).__next__,
    )


def tell(*callbacks: Callback) -> None:
    """A training as the callbacks see it; nothing needs a network here."""
    trainer = make_trainer([])
    for callback in callbacks:
        callback.on_start(trainer)
        callback.on_step(STEP)
        callback.on_evaluation(EVALUATION)
        if isinstance(callback, JsonLog | TensorBoardLog | ScreenProgress):
            callback.on_sample(20, 0.5, "To be\n[bold]or <not>")
        callback.on_end(END)
