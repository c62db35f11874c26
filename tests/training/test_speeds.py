"""The measured speed of training, and the file that remembers it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from processors import require_bf16

from sunspring.network.config import ModelConfig
from sunspring.training.recipe import Recipe
from sunspring.training.speeds import Speed, measure_machine, measure_speed

CONFIG = ModelConfig(20, layers=1, hidden_size=16, embedding_size=8)
RECIPE = Recipe(batch_size=2, window=4)
CPU = torch.device("cpu")


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
    probe = measure_speed(config, Recipe(batch_size=4, window=8), CPU)
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
    measure_speed(CONFIG, RECIPE, CPU)
    assert torch.equal(torch.rand(3), expected)


def test_answer_is_remembered(tmp_path: Path) -> None:
    first = measure_speed(CONFIG, RECIPE, CPU, tmp_path / "cache")
    assert measure_speed(CONFIG, RECIPE, CPU, tmp_path / "cache") == first
    (line,) = json.loads((tmp_path / "cache" / "speeds.json").read_text()).values()
    assert Speed(**line) == first


def test_another_model_and_other_threads_are_measured_anew(tmp_path: Path) -> None:
    measure_speed(CONFIG, RECIPE, CPU, tmp_path)
    measure_speed(ModelConfig(21, layers=1, hidden_size=16), RECIPE, CPU, tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        measure_speed(CONFIG, RECIPE, CPU, tmp_path)
    finally:
        torch.set_num_threads(threads)
    assert len(json.loads((tmp_path / "speeds.json").read_text())) == 3


def test_what_does_not_change_the_speed_is_not_measured_anew(tmp_path: Path) -> None:
    slower = replace(RECIPE.optimization, learning_rate=1e-4)
    first = measure_speed(CONFIG, RECIPE, CPU, tmp_path)
    again = replace(RECIPE, most_epochs=9.0, optimization=slower)
    assert measure_speed(CONFIG, again, CPU, tmp_path) == first
    for penalty in (0.2, 0.9):
        measure_speed(CONFIG, replace(RECIPE, activation_penalty=penalty), CPU, tmp_path)
    assert len(json.loads((tmp_path / "speeds.json").read_text())) == 2


def test_machine_is_timed_once_for_each_batch_size_and_predicts_larger_models_to_be_slower(
    tmp_path: Path,
) -> None:
    tokens_per_second = measure_machine(CPU, tmp_path).tokens_per_second
    assert not (tmp_path / "speeds.json").exists()  # before anybody asks
    small, large = (ModelConfig(96, hidden_size=size, skip=True) for size in (64, 512))
    assert tokens_per_second(small, 2) > tokens_per_second(large, 2) > 0
    timed = json.loads((tmp_path / "speeds.json").read_text())
    again = measure_machine(CPU, tmp_path)
    assert again.tokens_per_second(large, 2) == tokens_per_second(large, 2)
    assert json.loads((tmp_path / "speeds.json").read_text()) == timed
    tokens_per_second(small, 4)
    assert len(json.loads((tmp_path / "speeds.json").read_text())) == 2 * len(timed)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "\x00", "[[1, 2, 3]]"])
def test_damaged_file_is_begun_again(content: str, tmp_path: Path) -> None:
    (tmp_path / "speeds.json").write_text(content)
    speed = measure_speed(CONFIG, RECIPE, CPU, tmp_path)
    assert measure_speed(CONFIG, RECIPE, CPU, tmp_path) == speed


def test_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert measure_speed(CONFIG, RECIPE, CPU, tmp_path / "file").fp32 > 0


@pytest.mark.parametrize(
    ("speed", "choice"),
    [
        (Speed(100, 200, 0.9999), "bf16"),
        (Speed(100, 105, 0.9999), "fp32"),
        (Speed(100, 200, 0.9), "fp32"),
        (Speed(100, 0, 0), "fp32"),
    ],
)
def test_bf16_is_taken_where_it_is_clearly_faster_and_sound(speed: Speed, choice: str) -> None:
    assert speed.choice == choice
    assert speed.tokens_per_second == (speed.bf16 if choice == "bf16" else speed.fp32)
