"""The model that comes with the package."""

import json
import shutil
from pathlib import Path

import pytest
from commands import error_of, succeed

import sunspring
from sunspring.network import bundled

FOLDER = Path(bundled.__file__).parent / "models" / "shakespeare"


def test_takes_less_than_a_megabyte() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_000_000


def test_writes_by_its_name() -> None:
    done = succeed("write", "shakespeare", "--prompt", "ROMEO:", "--length", "60")
    assert done.out.startswith("ROMEO:")
    assert len(done.out) == 66
    assert "run.json" not in {path.name for path in FOLDER.iterdir()}


def test_its_card_says_what_it_can_do() -> None:
    card = json.loads((FOLDER / "card.json").read_text())
    loss = card["quantization"]["loss"]
    assert loss["characters"] == card["heldout"]["characters"] > 500_000
    assert loss["nats_int8"] < 1.20
    assert loss["nats"] < 0.005


def test_predicts_what_it_has_never_read_and_not_noise() -> None:
    """A line that is not Shakespeare's, and the same characters in another order."""
    model = sunspring.load("shakespeare")
    line = "The king is gone, and all the lords with him."
    bits = [model.score(text).mean() for text in (line, "".join(sorted(line)))]
    assert bits[0] < 3 < bits[1]


def test_a_folder_of_that_name_comes_first() -> None:
    shutil.copytree(FOLDER, "shakespeare")
    Path("shakespeare/card.json").write_text('{"mine": true}')
    assert sunspring.load("shakespeare").card == {"mine": True}


def test_is_a_start_for_training(english: Path) -> None:
    options = ("--init-from", "shakespeare", "--out", "run", "--steps", "2")
    done = succeed("train", english, *options, "--json")
    assert done.json["parameters"] > 900_000
    shutil.rmtree("run/checkpoints")
    for name in ("model.safetensors", "report.html"):
        Path("run", name).unlink()  # as if it had been killed before its first checkpoint
    again = succeed("train", "--out", "run", "--resume", "--json")
    assert again.json["heldout"] == done.json["heldout"]


def test_that_is_not_there_is_named_with_those_that_are() -> None:
    message = error_of("write", "marlowe")
    assert message.startswith("there is no model folder marlowe")
    assert message.endswith("a bundled model (shakespeare)")


@pytest.mark.parametrize("name", bundled.bundled_models())
def test_every_name_can_be_loaded(name: str) -> None:
    assert sunspring.load(name).quantized
