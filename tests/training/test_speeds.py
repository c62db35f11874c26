"""The measured speed of training, and the file that remembers it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from processors import require_bf16

from sunspring.network.config import ModelConfig
from sunspring.training.budget import Budget
from sunspring.training.recipe import Recipe
from sunspring.training.speeds import Speed, Speeds, measuring_seconds

CONFIG = ModelConfig(20, layers=1, hidden_size=16, embedding_size=8)
RECIPE = Recipe(batch_size=2, window=4)
CPU = torch.device("cpu")


class Ticks:
    """A clock that goes on by so many seconds whenever it is read."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now = seconds, 0.0

    def __call__(self) -> float:
        self.now += self.seconds
        return self.now


def speeds(cache: Path, load: float | None = 0.0, **settings: Any) -> Speeds:
    """Speeds on a machine that is always as busy."""
    return Speeds(CPU, cache, load=lambda: load, **settings)


def remembered(cache: Path) -> list[Speed]:
    kept = json.loads((cache / "speeds.json").read_text())
    return [Speed(**each) for each in kept.values()]


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        ModelConfig(20, cell="gru", layers=2, hidden_size=16, embedding_size=16, tied=True),
        ModelConfig(20, cell="rnn", layers=1, hidden_size=16, embedding_size=8, labels=("a", "b")),
        ModelConfig(
            20, layers=2, hidden_size=16, embedding_size=8, skip=True, attention=True,
            layer_dropout=0.5,
        ),
    ],
)  # fmt: skip
def test_probe_measures_both_formats_and_takes_the_faster_that_is_sound(
    config: ModelConfig,
) -> None:
    require_bf16(config)
    probe = Speeds(CPU).of(config, Recipe(batch_size=4, window=8))
    assert probe.fp32 > 0
    assert probe.bf16 > 0
    assert 0.9 < probe.cosine <= 1.001  # dropout would part the two
    assert probe.choice in ("fp32", "bf16")
    if probe.choice == "bf16":
        assert probe.bf16 > probe.fp32


def test_probe_leaves_the_random_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Speeds(CPU).of(CONFIG, RECIPE)
    assert torch.equal(torch.rand(3), expected)


def test_answer_is_remembered(tmp_path: Path) -> None:
    first = speeds(tmp_path / "cache").of(CONFIG, RECIPE)
    assert speeds(tmp_path / "cache").of(CONFIG, RECIPE) == first
    assert remembered(tmp_path / "cache") == [first]


def test_another_model_and_other_threads_are_measured_anew(tmp_path: Path) -> None:
    speeds(tmp_path).of(CONFIG, RECIPE)
    speeds(tmp_path).of(ModelConfig(21, layers=1, hidden_size=16), RECIPE)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        speeds(tmp_path).of(CONFIG, RECIPE)
    finally:
        torch.set_num_threads(threads)
    assert len(remembered(tmp_path)) == 3


def test_what_does_not_change_the_speed_is_not_measured_anew(tmp_path: Path) -> None:
    slower = replace(RECIPE.optimization, learning_rate=1e-4)
    first = speeds(tmp_path).of(CONFIG, RECIPE)
    again = replace(RECIPE, most_epochs=9.0, optimization=slower)
    assert speeds(tmp_path).of(CONFIG, again) == first
    for penalty in (0.2, 0.9):
        speeds(tmp_path).of(CONFIG, replace(RECIPE, activation_penalty=penalty))
    assert len(remembered(tmp_path)) == 2


def test_machine_is_timed_once_for_each_batch_size_and_predicts_larger_models_to_be_slower(
    tmp_path: Path,
) -> None:
    tokens_per_second = speeds(tmp_path).throughput.tokens_per_second
    assert not (tmp_path / "speeds.json").exists()  # before anybody asks
    small, large = (ModelConfig(96, hidden_size=size, skip=True) for size in (64, 512))
    assert tokens_per_second(small, 2) > tokens_per_second(large, 2) > 0
    timed = remembered(tmp_path)
    again = speeds(tmp_path).throughput
    assert again.tokens_per_second(large, 2) == tokens_per_second(large, 2)
    assert remembered(tmp_path) == timed
    tokens_per_second(small, 4)
    assert len(remembered(tmp_path)) == 2 * len(timed)


@pytest.mark.parametrize(
    ("before", "now", "is_trusted"),
    [
        (0.0, 0.4, True),
        (0.0, 1.0, False),
        (1.0, 0.0, False),
        (1.0, 2.0, False),
        (1.4, 2.0, True),
        (None, 2.0, True),
        (2.0, None, True),
    ],
)
def test_what_was_measured_under_another_load_is_measured_again(
    before: float | None, now: float | None, is_trusted: bool, tmp_path: Path
) -> None:
    first = speeds(tmp_path, before).of(CONFIG, RECIPE)
    assert first.load == before
    again = speeds(tmp_path, now).of(CONFIG, RECIPE)
    assert (again == first) == is_trusted
    assert remembered(tmp_path) == [again]


def test_measuring_ends_when_its_time_is_up(tmp_path: Path) -> None:
    slow = Ticks(0.1)
    tokens_per_second = speeds(tmp_path, clock=slow).throughput.tokens_per_second
    sizes = [
        tokens_per_second(ModelConfig(96, hidden_size=size, pointer=pointer), lanes)
        for pointer in (0, 100)
        for size in (64, 128, 256, 512)
        for lanes in (1, 2)
    ]
    assert all(speed > 0 for speed in sizes)
    assert slow.now < 4.0  # 3 seconds, and what was begun before
    assert len(remembered(tmp_path)) < 8  # as many as were asked for


def test_without_time_the_remembered_speed_counts_whatever_the_load(tmp_path: Path) -> None:
    first = speeds(tmp_path, 0.0).of(CONFIG, RECIPE)
    hurried = speeds(tmp_path, 2.0, seconds=0.0)
    assert hurried.of(CONFIG, RECIPE) == first
    larger = replace(CONFIG, hidden_size=64)
    assert 0 < hurried.of(larger, RECIPE).fp32 < first.fp32
    assert remembered(tmp_path) == [first]


def test_without_time_and_memory_there_is_an_estimate(tmp_path: Path) -> None:
    hurried = speeds(tmp_path, seconds=0.0)
    small, large = (replace(CONFIG, hidden_size=size) for size in (64, 128))
    assert hurried.of(small, RECIPE).fp32 > hurried.of(large, RECIPE).fp32 > 0
    assert hurried.of(small, RECIPE).choice == "fp32"
    assert not (tmp_path / "speeds.json").exists()


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [
        (Budget("minutes", 10), 3),
        (Budget("minutes", 1), 3),
        (Budget("minutes", 0.1), 0.3),
        (Budget("steps", 5), 3),
        (Budget("epochs", 5), 3),
    ],
)
def test_measuring_takes_three_seconds_and_a_twentieth_of_the_time_at_most(
    budget: Budget, seconds: float
) -> None:
    assert measuring_seconds(budget) == pytest.approx(seconds)


def test_training_corrects_the_speed_of_its_model(tmp_path: Path) -> None:
    asked, other = speeds(tmp_path, 0.0), replace(CONFIG, hidden_size=32)
    first, second = asked.of(CONFIG, RECIPE), asked.of(other, RECIPE)
    steps_per_second = first.fp32 / 3 / (RECIPE.batch_size * RECIPE.window)
    asked.correct(CONFIG, RECIPE, "fp32", steps_per_second, 1.0)
    after = speeds(tmp_path, 1.0).of(CONFIG, RECIPE)
    assert after.fp32 == pytest.approx(first.fp32 / 3)
    assert after.bf16 == pytest.approx(first.bf16 / 3)
    assert (after.cosine, after.load) == (first.cosine, 1.0)
    assert speeds(tmp_path, 0.0).of(other, RECIPE) == second


def test_training_corrects_the_speeds_that_it_was_planned_by(tmp_path: Path) -> None:
    asked, config = speeds(tmp_path, 0.0), ModelConfig(96, hidden_size=64)
    planned = asked.throughput.tokens_per_second(config, 2)
    steps_per_second = planned / 3 / (RECIPE.batch_size * RECIPE.window)
    asked.correct(config, RECIPE, "fp32", steps_per_second, 1.0)
    later = speeds(tmp_path, 1.0).throughput.tokens_per_second(config, 2)
    assert later == pytest.approx(planned / 3)
    assert [each.load for each in remembered(tmp_path)] == [1.0, 1.0]


def test_nothing_is_remembered_of_a_training_that_was_not_planned_by_speeds(tmp_path: Path) -> None:
    speeds(tmp_path).correct(CONFIG, RECIPE, "fp32", 10.0, 0.0)
    assert not (tmp_path / "speeds.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", '{"a": 1}', "\x00", "[[1, 2, 3]]"),
        '{"of a version before": {"fp32": 1.0, "bf16": 2.0, "cosine": 1.0}}',
    ],
)
def test_damaged_file_is_begun_again(content: str, tmp_path: Path) -> None:
    (tmp_path / "speeds.json").write_text(content)
    speed = speeds(tmp_path).of(CONFIG, RECIPE)
    assert speeds(tmp_path).of(CONFIG, RECIPE) == speed


def test_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert speeds(tmp_path / "file").of(CONFIG, RECIPE).fp32 > 0


@pytest.mark.parametrize(
    ("speed", "choice"),
    [
        (Speed(100, 200, 0.9999, None), "bf16"),
        (Speed(100, 105, 0.9999, None), "fp32"),
        (Speed(100, 200, 0.9, None), "fp32"),
        (Speed(100, 0, 0, None), "fp32"),
    ],
)
def test_bf16_is_taken_where_it_is_clearly_faster_and_sound(speed: Speed, choice: str) -> None:
    assert speed.choice == choice
    assert speed.tokens_per_second == (speed.bf16 if choice == "bf16" else speed.fp32)
