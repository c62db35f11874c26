import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from processors import require_bf16
from trainers import (
    CONFIG,
    DROPOUT,
    LINES,
    NO_LOOK,
    SENTENCE,
    TEXT,
    VOCABULARY,
    Recorder,
    Stopper,
    line_split,
    make_trainer,
    mean_loss,
    text_split,
    ticking_clock,
    weights,
)

from sunspring.corpus.batches import IGNORED, Batch
from sunspring.errors import SunspringError
from sunspring.network.network import NetworkOutput, RecurrentModel
from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint, Checkpoints
from sunspring.training.clock import WorkClock
from sunspring.training.objective import objective_of
from sunspring.training.recipe import ObjectiveSettings
from sunspring.training.trainer import Callback, QuickSets, StepReport, Trainer, quick_batches


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
@pytest.mark.parametrize("batching", ["windows", "lanes"])
def test_loss_falls(cell: Any, optimizer: str, batching: str) -> None:
    recorder = Recorder()
    trainer = make_trainer(
        replace(CONFIG, cell=cell),
        batching=batching,
        optimizer=optimizer,
        budget=Budget("steps", 120),
        learning_rate=0.02,
        callbacks=[recorder],
    )
    trainer.run()
    assert recorder.steps[-1].loss < 0.4 * recorder.steps[0].loss


def test_loss_falls_in_bf16() -> None:
    config = replace(CONFIG, skip=True, attention=True)
    require_bf16(config)
    trainer = make_trainer(config, budget=Budget("steps", 120), precision="bf16")
    batches = quick_batches(TEXT, VOCABULARY.start_id)
    before = mean_loss(trainer.model, batches)
    trainer.run()
    assert mean_loss(trainer.model, batches) < 0.5 * before


def overfitting_trainer(**settings: Any) -> tuple[Trainer, Recorder, list[Batch]]:
    """Learns a short text by heart, and is validated on another that it gets worse at."""
    recorder = Recorder()
    train = text_split("the cat sat on the mat xyz")
    validation = quick_batches(text_split("tat on the sand. the hat dot\n" * 3), 0)
    heldout = quick_batches(text_split("the cat sat on the mat xyz"), 0)
    trainer = make_trainer(
        replace(CONFIG, hidden_size=24),
        train,
        budget=Budget("steps", 150),
        quick=QuickSets(validation, heldout),
        learning_rate=0.02,
        callbacks=[recorder],
        **settings,
    )
    return trainer, recorder, validation


def test_weights_that_do_best_on_the_validation_part_are_kept() -> None:
    trainer, recorder, validation = overfitting_trainer()
    trainer.run()
    losses = [look.validation for look in recorder.looks]
    assert min(losses) < losses[-1] - 0.1, "the text was not learned by heart"
    assert trainer.best_validation == min(losses)
    best = RecurrentModel(trainer.model.config)
    best.load_state_dict(trainer.best)
    assert mean_loss(best, validation) == pytest.approx(min(losses), abs=0.0101)


def test_held_out_text_does_not_steer_what_is_kept() -> None:
    """Held-out loss falls to the end here, while validation loss has long been rising."""
    trainer, recorder, _ = overfitting_trainer()
    trainer.run()
    last = recorder.looks[-1]
    kept = [look for look in recorder.looks if look.best][-1]
    assert kept.validation <= min(look.validation for look in recorder.looks) + 0.01
    assert kept.validation < last.validation - 0.1
    assert kept.heldout > last.heldout + 0.1


def test_checkpoint_holds_the_last_weights_and_the_best(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    trainer, _, _ = overfitting_trainer(save=checkpoints.save)
    trainer.run()
    checkpoint = checkpoints.latest(pytest.fail)
    last = trainer.model.state_dict()
    assert checkpoint.weights.keys() == checkpoint.best.keys() == last.keys()
    assert all(torch.equal(tensor, last[name]) for name, tensor in checkpoint.weights.items())
    assert all(torch.equal(tensor, trainer.best[name]) for name, tensor in checkpoint.best.items())
    assert not torch.equal(last["head.weight"], checkpoint.best["head.weight"])


def test_without_a_validation_part_the_last_weights_are_the_best() -> None:
    trainer = make_trainer()
    trainer.run()
    last = trainer.model.state_dict()
    assert all(torch.equal(tensor, last[name]) for name, tensor in trainer.best.items())


def test_quick_look_reports_the_mean_loss_of_its_batches() -> None:
    recorder = Recorder()
    validation = quick_batches(LINES, VOCABULARY.start_id)
    heldout = quick_batches(TEXT, VOCABULARY.start_id)
    assert any((batch.targets == IGNORED).any() for batch in validation)
    trainer = make_trainer(
        replace(CONFIG, **DROPOUT), quick=QuickSets(validation, heldout), callbacks=[recorder]
    )
    trainer.run()
    last = recorder.looks[-1]
    assert math.isclose(last.validation, mean_loss(trainer.model, validation), rel_tol=1e-4)
    assert math.isclose(last.heldout, mean_loss(trainer.model, heldout), rel_tol=1e-4)


def test_what_stands_in_padding_does_not_count() -> None:
    """The inputs under ignored targets are changed; each row is a window of its own."""
    ends = []
    for token in (0, 5):
        trainer = make_trainer(split=LINES, batching="windows")
        original = trainer.batches.next

        def changed(original: Callable[[], Batch] = original, token: int = token) -> Batch:
            batch = original()
            padding = np.pad(batch.targets[:, :-1] == IGNORED, ((0, 0), (1, 0)))
            return batch._replace(inputs=np.where(padding, token, batch.inputs))

        trainer.batches.next = changed  # type: ignore[method-assign]
        trainer.run()
        ends.append(weights(trainer))
    assert ends[0] == ends[1]


def test_speed_counts_targets_and_not_padding() -> None:
    lines = line_split([SENTENCE[:16], SENTENCE[:1]] * 100)
    report = make_trainer(
        split=lines, batching="windows", budget=Budget("epochs", 1), clock=ticking_clock(1.0)
    ).run()
    read = report.tokens_per_second * report.seconds
    assert math.isclose(read, report.epochs * len(lines.tokens), rel_tol=0.05)


def test_quick_batches_are_the_same_every_time_and_few() -> None:
    split = text_split(SENTENCE * 1000)
    one, other = (quick_batches(split, VOCABULARY.start_id) for _ in range(2))
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(one, other, strict=True))
    assert 8192 <= sum(batch.targets.size for batch in one) < 2 * 8192


@pytest.mark.parametrize("text", ["", "t"])
def test_text_too_short_to_look_at_gives_no_quick_batches(text: str) -> None:
    assert quick_batches(text_split(text), VOCABULARY.start_id) == []


@pytest.mark.parametrize("text", ["th", SENTENCE])
def test_short_text_is_looked_at_whole(text: str) -> None:
    batches = quick_batches(text_split(text), VOCABULARY.start_id)
    assert sum(batch.targets.size for batch in batches) == len(text) - 1


def test_activation_penalty_keeps_outputs_small_and_steady() -> None:
    sizes = []
    for penalty in (0.0, 3.0):
        trainer = make_trainer(
            objective=ObjectiveSettings(activation_penalty=penalty), budget=Budget("steps", 150)
        )
        trainer.run()
        trainer.model.eval()
        tokens = torch.from_numpy(trainer.batches.next().inputs)
        with torch.no_grad():
            hidden = trainer.model.outputs(tokens, trainer.model.initial_state(len(tokens))).hidden
        sizes.append((float(hidden.square().mean()), float(hidden.diff(dim=1).square().mean())))
    (size, change), (penalised_size, penalised_change) = sizes
    assert penalised_size < size / 2
    assert penalised_change < change / 2


def test_activation_penalty_is_no_part_of_the_reported_loss() -> None:
    one, other = (
        make_trainer(
            objective=ObjectiveSettings(activation_penalty=penalty), budget=Budget("steps", 1)
        ).run()
        for penalty in (0.0, 1000.0)
    )
    assert one.loss == other.loss


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4)),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_activation_penalty_and_its_gradient_are_those_of_its_formula(
    shape: tuple[int, int, int], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(shape, dtype=dtype, requires_grad=True)
    logits = torch.zeros(*shape[:2], 2, dtype=dtype)
    output = NetworkOutput(logits, None, (), hidden)
    settings = ObjectiveSettings(activation_penalty=0.5)
    loss, objective = objective_of(output, torch.zeros(shape[:2]).long(), settings)
    changes = hidden[:, 1:] - hidden[:, :-1]
    expected = 0.5 * (hidden.square().mean() + changes.square().sum() / hidden.numel())
    torch.testing.assert_close(objective - loss, expected.float(), check_dtype=False)
    found, wanted = (torch.autograd.grad(each, hidden)[0] for each in (objective, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


# When training ends


def test_budget_of_steps_is_kept_to_the_step() -> None:
    assert make_trainer(budget=Budget("steps", 7)).run().step == 7


@pytest.mark.parametrize("batching", ["windows", "lanes"])
def test_budget_of_epochs_reads_the_text_so_often(batching: str) -> None:
    trainer = make_trainer(batching=batching, budget=Budget("epochs", 2))
    report = trainer.run()
    assert 2 <= report.epochs < 2.05
    assert math.isclose(report.step, 2 * len(TEXT.tokens) / (4 * 16), rel_tol=0.1)


def test_budget_of_minutes_goes_by_the_clock() -> None:
    report = make_trainer(budget=Budget("minutes", 2), clock=ticking_clock(1.0)).run()
    assert 115 < report.seconds < 135
    assert 10 < report.step < 120
    assert report.spent == 1


def test_checkpoint_is_saved_about_every_minute_and_at_the_end() -> None:
    saved: list[Checkpoint] = []
    make_trainer(budget=Budget("minutes", 5), clock=ticking_clock(1.0), save=saved.append).run()
    seconds = [checkpoint.state["seconds"] for checkpoint in saved]
    assert len(seconds) == 5
    assert all(60 <= later - earlier <= 70 for earlier, later in pairwise(seconds[:-1]))


# What is told


def test_callbacks_are_told_in_order() -> None:
    recorder = Recorder()
    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    make_trainer(
        budget=Budget("steps", 25), quick=QuickSets(look, look), callbacks=[recorder]
    ).run()
    assert recorder.events[0] == "start"
    assert recorder.events[-1] == "end"
    assert recorder.events.count("start") == recorder.events.count("end") == 1
    assert [report.step for report in recorder.steps] == [10, 20, 25]
    assert recorder.events.count("evaluation") >= 3


def test_reported_loss_is_that_of_the_steps_since_the_last_report() -> None:
    recorder = Recorder()
    trainer = make_trainer(callbacks=[recorder], batching="windows", budget=Budget("steps", 1))
    batch = make_trainer(batching="windows").batches.next()
    expected = mean_loss(make_trainer().model, [batch])
    report = trainer.run()
    assert math.isclose(report.loss, expected, rel_tol=1e-4)
    assert [each.loss for each in recorder.steps] == [report.loss]


def test_interrupted_run_is_not_looked_at_once_more() -> None:
    recorder = Recorder()
    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    trainer = make_trainer(
        budget=Budget("steps", 10_000),
        quick=QuickSets(look, look),
        callbacks=[recorder, Stopper(10)],
    )
    assert trainer.run().spent < 1
    assert recorder.looks == []


# When it goes wrong


def test_a_training_that_diverges_goes_back_and_on_at_a_lower_rate() -> None:
    class Listener(Recorder):
        def on_notice(self, step: int, line: str) -> None:
            self.events.append(line)

    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    listener, saved = Listener(), list[Checkpoint]()
    trainer = make_trainer(
        optimizer="adamw",
        budget=Budget("steps", 200),
        quick=QuickSets(look, look),
        learning_rate=3.0,
        callbacks=[listener],
        save=saved.append,
    )
    report = trainer.run()
    told = [event for event in listener.events if event.startswith("training diverges at step")]
    assert told[0].endswith("of step 0, with the learning rates times 0.1")
    assert report.step == 200
    assert report.loss < math.log(VOCABULARY.size)
    assert saved[-1].state["returns"] == len(told)


def test_a_loss_that_is_far_off_is_said_in_few_words() -> None:
    trainer = make_trainer(
        optimizer="adamw", budget=Budget("steps", 200), clip_norm=0.0, learning_rate=1e6
    )
    with pytest.raises(SunspringError, match="diverges: the loss is over 99 nats per token after"):
        trainer.run()


def test_a_step_far_longer_than_those_before_it_is_sleep() -> None:
    now = 0.0
    clock = WorkClock(lambda: now)
    for seconds, slept in ((30.0, 0.0), (0.1, 0.0), (500.0, 0.0), (8 * 3600.0, 8 * 3600.0 - 500)):
        began = clock()
        now += seconds
        assert clock.step_ended(began) == pytest.approx(slept)
    assert clock() == pytest.approx(30 + 0.1 + 500 + 500)


def test_sleep_while_a_step_is_reported_does_not_count_either() -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 0.001
        return now

    class Sleeper(Callback):
        def on_step(self, report: StepReport) -> None:
            nonlocal now
            now += 3600.0 if report.step == 20 else 0.0

    trainer = make_trainer(budget=Budget("minutes", 0.02), callbacks=[Sleeper()], clock=clock)
    report = trainer.run()
    assert report.step > 20
    assert report.seconds < 2


@pytest.mark.parametrize("looked_at", [True, False], ids=["validation", "no validation"])
@pytest.mark.parametrize("steps", [5, 300])
def test_loss_that_is_no_number_is_a_clear_error(looked_at: bool, steps: int) -> None:
    look = quick_batches(TEXT, VOCABULARY.start_id)[:1]
    trainer = make_trainer(
        optimizer="adamw",
        budget=Budget("steps", steps),
        quick=QuickSets(look, look) if looked_at else NO_LOOK,
        learning_rate=1e30,
        clip_norm=0.0,
    )
    with pytest.raises(SunspringError, match=r"no longer a number .*learning_rate"):
        trainer.run()


def test_weights_that_are_no_numbers_are_never_saved() -> None:
    class Breaker(Callback):
        def on_start(self, trainer: Trainer) -> None:
            self._trainer = trainer

        def on_step(self, report: StepReport) -> None:
            if report.step == 20:
                with torch.no_grad():
                    self._trainer.model.head.bias[0] = math.nan
                self._trainer.request_stop()

    saved: list[Checkpoint] = []
    trainer = make_trainer(budget=Budget("steps", 100), callbacks=[Breaker()], save=saved.append)
    trainer.run()
    assert len(saved) == 1
    assert all(tensor.isfinite().all() for tensor in saved[0].weights.values())


def test_labels_are_learned_apart() -> None:
    lines = line_split(["tt", "aa"] * 40, labels=[0, 1] * 40)
    trainer = make_trainer(
        replace(CONFIG, labels=("t", "a")), lines, budget=Budget("steps", 120), learning_rate=0.02
    )
    trainer.run()
    model = trainer.model.eval()
    start = torch.full((2, 1), VOCABULARY.start_id)
    logits, _ = model(start, model.initial_state(2), torch.tensor([0, 1]))
    likeliest = logits[:, 0].argmax(dim=-1).tolist()
    assert VOCABULARY.decode(likeliest) == "ta"
