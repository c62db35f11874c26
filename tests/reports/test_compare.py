"""Models beside one another."""

import shutil
from pathlib import Path

import pytest
from commands import SMALL, error_of, succeed

import sunspring


@pytest.fixture(scope="module")
def better(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained for longer than `trained`, and on bytes."""
    folder = tmp_path_factory.mktemp("better") / "run"
    succeed("train", english, "--out", folder, "--steps", "120", "--tokens", "bytes", *SMALL)
    return folder


def test_measures_all_on_the_same_text_the_best_first(trained: Path, better: Path) -> None:
    compared = succeed("compare", trained, better, "--prompt", "The ", "--json").json
    assert [each["name"] for each in compared["models"]] == [str(better), str(trained)]
    assert compared["protocol"] == "stream"
    for each in compared["models"]:
        evaluation = succeed("evaluate", each["name"], "--json").json
        assert each["bpc"] == pytest.approx(evaluation["bpc"], abs=1e-6)
        assert evaluation["characters"] == compared["characters"]
        assert each["bytes"] == (Path(each["name"]) / "model.safetensors").stat().st_size
        assert each["parameters"] == sunspring.load(each["name"]).config.parameters
        assert each["sample"].startswith("The ")
        assert each["characters_per_second"]["alone"] > 0


def test_table_has_a_row_of_each(trained: Path, better: Path) -> None:
    out = succeed("compare", trained, better).out.splitlines()
    assert len(out) == 3
    assert "by stream" in out[0]
    assert out[1].startswith(str(better))


def test_runs_on_other_texts_want_one_that_none_has_seen(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("all work and no play makes jack a dull boy\n" * 200)
    (tmp_path / "unseen.txt").write_text("a quick brown fox is in the house\n" * 20)
    succeed("train", "other.txt", "--out", "other", "--steps", "5", *SMALL)
    assert "name a text that none has seen with --text" in error_of("compare", trained, "other")
    compared = succeed("compare", trained, "other", "--text", "unseen.txt", "--json").json
    assert {each["name"] for each in compared["models"]} == {str(trained), "other"}


def test_says_which_model_has_read_the_text(trained: Path, better: Path, english: Path) -> None:
    text = ("--text", str(english))
    done = succeed("compare", trained, better, *text, "--out", "page.html", "--json")
    assert [each["overlap"] > 0.5 for each in done.json["models"]] == [True, True]
    assert Path("page.html").read_text().count("is in the training text too, line for line") == 2
    told = succeed("compare", trained, better, *text).out.splitlines()[3:]
    for line, name in zip(told, (better, trained), strict=True):
        assert line.startswith(f"{name}: ")
        assert "of it is in the training text too, line for line" in line


def test_takes_a_model_without_its_training(trained: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "log.jsonl").unlink()
    done = succeed(
        "compare", trained, copy, "shakespeare", "--text", __file__, "--out", "page.html"
    )
    assert f"{copy} has no log of its training" in done.err
    assert done.out.count("bpc") == 3
    assert "3 models compared" in Path("page.html").read_text()
