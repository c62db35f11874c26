"""Training counts its text: the n-grams are saved, used by both engines, and can be left out."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import SMALL, error_of, succeed

import sunspring
from sunspring.evaluation.protocols import Evaluation

COUNTS = "counts.safetensors"


@pytest.fixture(scope="module")
def counted(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "counted"
    counts = ("--set", "counts=0.05")
    succeed("train", english, "--out", folder, "--steps", "40", *SMALL, *counts)
    return folder


def evaluate(folder: Path, engine: str = "auto", protocol: str = "stream") -> Evaluation:
    model = sunspring.load(folder, engine=engine)
    return model.evaluate(protocol=protocol)[0]


def without(counted: Path) -> Path:
    sunspring.load(counted).save("without")
    Path("without", COUNTS).unlink()
    return Path("without")


def test_the_file_is_as_large_as_asked_for(counted: Path) -> None:
    size = (counted / COUNTS).stat().st_size
    assert 10_000 < size < 55_000  # its header beside the strings


def test_counts_improve_the_figure_by_both_protocols(counted: Path, english: Path) -> None:
    text = english.read_text()[-4000:]
    Path("text.txt").write_text(text)
    left_out = sunspring.load(without(counted))
    for protocol in ("stream", "windows"):
        figures, _ = sunspring.load(counted).evaluate("text.txt", protocol=protocol)
        alone, _ = left_out.evaluate("text.txt", protocol=protocol)
        assert figures.nats_per_character < alone.nats_per_character - 0.05


def test_both_engines_score_alike(counted: Path) -> None:
    native, torch = evaluate(counted, "native"), evaluate(counted, "torch")
    assert native.nats_per_character == pytest.approx(torch.nats_per_character, abs=1e-5)


def test_both_engines_write_the_same(counted: Path) -> None:
    texts = {
        sunspring.load(counted, engine=engine).write("The ", length=80, seed=3)
        for engine in ("native", "torch")
    }
    assert len(texts) == 1


def test_the_figure_of_training_is_that_of_the_saved_model(counted: Path) -> None:
    card = sunspring.load(counted).card
    assert card["heldout"]["nats"] == evaluate(counted).nats_per_character


def test_none_are_saved_if_none_are_wanted(english: Path) -> None:
    succeed("train", english, "--out", "run", "--steps", "2", *SMALL, "--set", "counts=0")
    assert not Path("run", COUNTS).exists()


def test_too_small_a_size_saves_none(english: Path) -> None:
    succeed("train", english, "--out", "run", "--steps", "2", *SMALL, "--set", "counts=0.0001")
    assert not Path("run", COUNTS).exists()


def test_copies_keep_them(counted: Path) -> None:
    succeed("quantize", counted, "--out", "small")
    assert Path("small", COUNTS).read_bytes() == (counted / COUNTS).read_bytes()
    model = sunspring.load(counted)
    assert model.network is not None  # in PyTorch, so that saving packs it anew
    model.save("copy")
    assert Path("copy", COUNTS).read_bytes() == (counted / COUNTS).read_bytes()


@pytest.mark.parametrize("engine", ["native", "torch"])
def test_damaged_ones_are_an_error_that_names_the_file(counted: Path, engine: str) -> None:
    sunspring.load(counted).save("model")
    data = Path("model", COUNTS).read_bytes()
    Path("model", COUNTS).write_bytes(data[:-100])
    line = error_of("write", "model", "--engine", engine)
    assert COUNTS in line
    assert "\n" not in line.strip()


def test_dynamic_evaluation_goes_on_mixing(counted: Path) -> None:
    figures = sunspring.load(counted).evaluate(dynamic=True)[0]
    assert figures.beyond["dynamic"].nats_per_character < figures.nats_per_character + 0.1
