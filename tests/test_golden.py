"""What version 0.1.0 wrote, before the rooms: run folders that are still read, and the same texts.

`golden/` has small runs of it on two invented texts (characters with a pointer, bytes in DeepMoji's
shape, subwords of labelled lines, and 8 bits), the texts that it wrote with them and with the model
that comes along, and its figures.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import succeed

GOLDEN = Path(__file__).parent / "golden"
TEXTS: list[dict[str, Any]] = json.loads((GOLDEN / "texts.json").read_text("utf-8"))
FIGURES = json.loads((GOLDEN / "figures.json").read_text("utf-8"))


@pytest.fixture
def old_runs(tmp_path: Path) -> None:
    """The runs, in the current folder; they find their texts there."""
    for path in GOLDEN.iterdir():
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
    for path in tmp_path.glob("*/run.json"):
        record = json.loads(path.read_text("utf-8"))
        sources = record["request"]["sources"]
        record["request"]["sources"] = [str(tmp_path / Path(source).name) for source in sources]
        record["corpus"]["folder"] = str(tmp_path / "gone")
        path.write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.usefixtures("old_runs")
class TestOfTheVersionBefore:
    @pytest.mark.parametrize("written", TEXTS, ids=lambda written: " ".join(written["arguments"]))
    def test_the_same_seed_writes_the_same_text(self, written: dict[str, Any]) -> None:
        done = succeed("write", *written["arguments"], "--json").json
        assert done["texts"] == written["texts"]

    @pytest.mark.parametrize("run", FIGURES)
    def test_a_run_is_evaluated_on_the_same_text_to_the_same_figures(self, run: str) -> None:
        done = succeed("evaluate", run, "--json").json
        expected = FIGURES[run]["nats_per_character"]
        assert done["nats_per_character"] == pytest.approx(expected, abs=1e-6)
        assert done["baselines"] == pytest.approx(FIGURES[run]["baselines"], abs=1e-9)

    def test_a_run_goes_on_from_its_checkpoint(self) -> None:
        done = succeed("train", "--out", "chars", "--resume", "--steps", "410", "--json").json
        assert done["heldout"]["nats"] == pytest.approx(0.9, abs=0.1)
        last = Path("chars/log.jsonl").read_text("utf-8").splitlines()[-1]
        assert json.loads(last)["step"] == 410

    def test_a_run_is_reported(self) -> None:
        succeed("report", "chars", "--out", "page.html")
        assert "steps" in Path("page.html").read_text("utf-8")
