"""A run that goes on for longer is restrained as one that was to take so long from the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import succeed

AUTO = ("--set", "hidden_size=64", "--set", "pointer=64", "--set", "precision=fp32")
DROPOUTS = ("recurrent_dropout", "layer_dropout", "output_dropout")


def dropouts(folder: str) -> list[float]:
    config = json.loads(Path(folder, "config.json").read_text())
    return [config[name] for name in DROPOUTS]


def recipe(folder: str) -> dict[str, object]:
    return dict(json.loads(Path(folder, "run.json").read_text())["plan"]["recipe"])


@pytest.fixture
def short(english: Path) -> str:
    succeed("train", english, "--out", "run", "--epochs", "2", *AUTO)
    return "run"


def test_more_epochs_drop_more(short: str, english: Path) -> None:
    before, counts = dropouts(short), Path(short, "counts.safetensors").read_bytes()
    succeed("train", "--out", short, "--resume", "--epochs", "14")
    succeed("train", english, "--out", "at-once", "--epochs", "14", *AUTO)
    assert dropouts(short) == dropouts("at-once") > before
    penalties = [recipe(each)["activation_penalty"] for each in (short, "at-once")]
    assert penalties[0] == penalties[1]
    assert Path(short, "counts.safetensors").read_bytes() != counts  # another gate


def test_what_the_user_has_set_stays(english: Path) -> None:
    fixed = ("--set", "recurrent_dropout=0.03")
    succeed("train", english, "--out", "run", "--epochs", "2", *AUTO, *fixed)
    succeed("train", "--out", "run", "--resume", "--epochs", "9")
    assert dropouts("run")[0] == 0.03
    assert dropouts("run")[2] > 0


def test_the_same_budget_changes_nothing(short: str) -> None:
    before = dropouts(short), recipe(short)
    succeed("train", "--out", short, "--resume")
    assert (dropouts(short), recipe(short)) == before


def test_a_preset_stays_as_it_is(english: Path) -> None:
    small = ("--preset", "tiny", "--set", "hidden_size=64", "--set", "precision=fp32")
    succeed("train", english, "--out", "run", "--epochs", "1", *small)
    before = dropouts("run")
    succeed("train", "--out", "run", "--resume", "--epochs", "9")
    assert dropouts("run") == before
