import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from trainers import (
    CONFIG,
    DROPOUT,
    LINES,
    TEXT,
    VOCABULARY,
    Stopper,
    make_trainer,
    ticking_clock,
    weights,
)

from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint, Checkpoints
from sunspring.training.trainer import QuickSets, quick_batches

RESUMED: dict[str, dict[str, Any]] = {
    f"{cell}, {optimizer}, {batching}": {
        "config": replace(CONFIG, cell=cell, **DROPOUT),
        "optimizer": optimizer,
        "batching": batching,
    }
    for cell in ("rnn", "gru", "lstm")
    for optimizer in ("muon", "adamw")
    for batching in ("windows", "lanes")
} | {
    f"DeepMoji, {batching}": {
        "config": replace(CONFIG, skip=True, attention=True, **DROPOUT),
        "batching": batching,
    }
    for batching in ("windows", "lanes")
} | {
    "tied": {"config": replace(CONFIG, embedding_size=12, tied=True, **DROPOUT)},
    "pointer": {"config": replace(CONFIG, pointer=40, pointer_size=4, **DROPOUT)},
    "lines": {"config": replace(CONFIG, **DROPOUT), "split": LINES},
    "epochs": {"config": replace(CONFIG, **DROPOUT), "budget": Budget("epochs", 1)},
}  # fmt: skip


@pytest.mark.parametrize("settings", RESUMED.values(), ids=RESUMED)
def test_resumed_run_ends_with_the_same_bytes(settings: dict[str, Any], tmp_path: Path) -> None:
    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    settings = {"budget": Budget("steps", 33), "quick": QuickSets(look, look), **settings}
    whole = make_trainer(**settings)
    whole.run()

    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for stop in (10, 20):
        trainer = make_trainer(**settings, callbacks=[Stopper(stop)], save=checkpoints.save)
        if checkpoints.are_there:
            trainer.resume(checkpoints.latest(pytest.fail))
        assert trainer.run().step == stop
    torch.rand(100)  # another process draws other numbers
    resumed = make_trainer(**settings, save=checkpoints.save)
    resumed.resume(checkpoints.latest(pytest.fail))
    assert resumed.run().step == whole.step
    assert weights(resumed) == weights(whole)
    assert resumed.best_validation == whole.best_validation
    assert all(torch.equal(tensor, whole.best[name]) for name, tensor in resumed.best.items())
    one, other = resumed.checkpoint(), whole.checkpoint()
    assert one.state["position"] == other.state["position"]
    for part in ("optimizers", "carried"):
        ours, theirs = getattr(one, part), getattr(other, part)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_run_stopped_at_its_last_step_ends_with_the_same_bytes() -> None:
    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    settings: dict[str, Any] = {"quick": QuickSets(look, look)}
    whole = make_trainer(**settings)
    whole.run()
    saved: list[Checkpoint] = []
    make_trainer(**settings, callbacks=[Stopper(20)], save=saved.append).run()
    resumed = make_trainer(**settings)
    resumed.resume(saved[-1])
    resumed.run()
    assert weights(resumed) == weights(whole)
    assert resumed.best_validation == whole.best_validation


def test_checkpoint_in_memory_is_not_changed_by_training_on() -> None:
    saved: list[Checkpoint] = []
    make_trainer(callbacks=[Stopper(10)], save=saved.append).run()
    ends = []
    for _ in range(2):
        trainer = make_trainer()
        trainer.resume(saved[0])
        trainer.run()
        ends.append(weights(trainer))
    assert ends[0] == ends[1]


def test_training_is_the_same_whether_anybody_looks_at_it_or_not() -> None:
    look = quick_batches(TEXT, VOCABULARY.start_id)
    config = replace(CONFIG, **DROPOUT)
    unwatched = make_trainer(config)
    unwatched.run()
    watched = make_trainer(config, quick=QuickSets(look, look))
    watched.run()
    assert weights(watched) == weights(unwatched)


def test_same_seed_gives_the_same_bytes() -> None:
    ends = []
    for _ in range(2):
        trainer = make_trainer(replace(CONFIG, **DROPOUT))
        trainer.run()
        ends.append(weights(trainer))
    assert ends[0] == ends[1]


def test_minutes_of_a_resumed_run_add_up() -> None:
    saved: list[Checkpoint] = []
    settings: dict[str, Any] = {"budget": Budget("minutes", 2), "clock": ticking_clock(1.0)}
    whole = make_trainer(**settings).run()
    stopped = make_trainer(**settings, callbacks=[Stopper(20)], save=saved.append).run()
    resumed = make_trainer(**settings)
    resumed.resume(saved[-1])
    report = resumed.run()
    assert stopped.spent < 1
    assert 115 < report.seconds < 135
    assert math.isclose(report.step, whole.step, abs_tol=6)


def test_stop_before_the_first_step_saves_a_checkpoint() -> None:
    saved: list[Checkpoint] = []
    trainer = make_trainer(save=saved.append)
    trainer.request_stop()
    assert trainer.run().step == 0
    resumed, whole = make_trainer(), make_trainer()
    resumed.resume(saved[0])
    resumed.run()
    whole.run()
    assert weights(resumed) == weights(whole)


def test_resuming_a_finished_run_changes_nothing() -> None:
    saved: list[Checkpoint] = []
    trainer = make_trainer(save=saved.append)
    trainer.run()
    resumed = make_trainer()
    resumed.resume(saved[-1])
    assert resumed.run().step == 20
    assert weights(resumed) == weights(trainer)
