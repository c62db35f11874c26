"""Runs whose plan races against its rivals before the first checkpoint."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from commands import Command, Done, succeed, wait_for
from files import write_english

from sunspring.runs.log import RunLog, Units
from sunspring.runs.racing import describe_race
from sunspring.training.race import FIRST, Outcome, Try

SMALL = (
    *("--set", "hidden_size=64", "--set", "embedding_size=8", "--set", "window=16"),
    *("--set", "batch_size=4", "--set", "precision=fp32", "--minutes", "0.2"),
)
WITHOUT = "the plan without its pointer"


@pytest.fixture(scope="module")
def long_english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_english(tmp_path_factory.mktemp("text"), 600_000)


@pytest.fixture(scope="module")
def raced(long_english: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    folder = tmp_path_factory.mktemp("run") / "raced"
    return folder, succeed("train", long_english, "--out", folder, *SMALL, "--set", "race=0.2")


def record(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_a_race_is_said_in_two_lines_and_kept_with_the_plan(raced: tuple[Path, Done]) -> None:
    folder, done = raced
    (tried,) = [line for line in done.err.splitlines() if line.startswith("tried for ")]
    (going_on,) = [line for line in done.err.splitlines() if line.startswith("going on with ")]
    assert record(folder)["plan"]["reason"].endswith(f"\n{tried}\n{going_on}")


def test_the_model_is_the_winner_s_and_the_log_tells_what_was_tried(
    raced: tuple[Path, Done],
) -> None:
    folder, done = raced
    (race,) = RunLog.read(folder).of("race")
    assert [each["name"] for each in race["tries"]] == [FIRST, WITHOUT]
    assert f"going on with {race['chosen']}" in done.err
    pointer = json.loads((folder / "config.json").read_text())["pointer"]
    assert pointer == (0 if race["chosen"] == WITHOUT else 1024)
    first = RunLog.read(folder).of("start")[0]
    assert first["step"] == race["step"] > 0  # it goes on from where it stands


def test_the_report_tells_it_too(raced: tuple[Path, Done]) -> None:
    page = (raced[0] / "report.html").read_text()
    assert "tried for " in page
    assert "going on with the plan" in page


@pytest.mark.parametrize(
    "given",
    [
        ("--set", "race=0"),
        ("--set", "pointer=64"),
        ("--steps", "20"),
        ("--preset", "small", "--set", "pointer=64"),
    ],
)
def test_there_is_no_race_where_it_is_not_wanted(
    long_english: Path, given: tuple[str, ...]
) -> None:
    budget = SMALL[:-2] if "--steps" in given else (*SMALL[:-1], "0.05")
    done = succeed("train", long_english, "--out", "run", *budget, *given)
    assert "tried for" not in done.err
    assert RunLog.read(Path("run")).of("race") == []


def checkpoint(folder: Path) -> dict[str, bytes]:
    last = max((folder / "checkpoints").glob("checkpoint-*"))
    return {path.name: path.read_bytes() for path in last.glob("*.safetensors")}


def interrupt(command: Command, folder: Path) -> None:
    log = folder / "log.jsonl"
    seen = log.read_text().count('"step",') if log.exists() else 0
    wait_for(
        lambda: command.is_over or (log.exists() and log.read_text().count('"step",') > seen),
        "a step",
    )
    command.send(2)
    assert command.wait().code == 130


def test_a_run_interrupted_after_its_race_is_resumed_to_the_same_bytes(long_english: Path) -> None:
    options = (*SMALL[:-1], "0.3", "--set", "race=0.2")
    interrupt(Command("train", long_english, "--out", "run", *options), Path("run"))
    (race,) = RunLog.read(Path("run")).of("race")
    shutil.copytree("run", "other")
    steps = str(json.loads(newest_state(Path("run")))["step"] + 3000)
    succeed("train", "--out", "run", "--resume", "--steps", steps)
    interrupt(Command("train", "--out", "other", "--resume", "--steps", steps), Path("other"))
    done = succeed("train", "--out", "other", "--resume")
    assert "tried for" not in done.err
    assert checkpoint(Path("run")) == checkpoint(Path("other"))
    assert RunLog.read(Path("other")).of("race") == [race]


def newest_state(folder: Path) -> str:
    return (max((folder / "checkpoints").glob("checkpoint-*")) / "state.json").read_text()


def test_a_run_interrupted_before_its_race_is_decided_leaves_nothing(long_english: Path) -> None:
    command = Command("train", long_english, "--out", "run", *SMALL)
    wait_for(lambda: command.is_over or "so two layers" in command.err, "the plan")
    command.send(2)
    done = command.wait()
    assert (done.code, done.err.splitlines()[-1]) == (130, "sunspring: interrupted")
    assert not Path("run").exists()


ONE_BIT = 0.6931471805599453
FASTER = Try(WITHOUT, 2.0, 150.0, 2.9 * ONE_BIT, 0.2 * ONE_BIT, False)


def test_two_lines_tell_why_the_winner_won() -> None:
    first = Try(FIRST, 3.0, 100.0, 3 * ONE_BIT, 0.0, False)
    assert describe_race(Outcome(WITHOUT, 120, [first, FASTER]), Units(1.0)) == (
        "tried for 5 s, bits per character of validation text after 120 steps of each plan: "
        "the plan 3.000, the plan without its pointer 2.900 at 1.5 times the speed",
        "going on with the plan without its pointer, which should end 0.20 lower",
    )


@pytest.mark.parametrize(
    ("lead", "diverged", "why"),
    [
        (-0.3, False, "the plan, which should end 0.30 lower"),
        (0.01, False, "the plan, as none is clearly better"),
        (float("nan"), True, "the plan, as none is clearly better"),
    ],
)
def test_the_plan_by_the_laws_stays_where_none_is_clearly_better(
    lead: float, diverged: bool, why: str
) -> None:
    first = Try(FIRST, 3.0, 100.0, 3 * ONE_BIT, 0.0, False)
    rival = Try(WITHOUT, 3.0, 100.0, 3 * ONE_BIT, lead * ONE_BIT, diverged)
    tried, going_on = describe_race(Outcome(FIRST, 120, [first, rival]), Units(1.0))
    assert going_on == f"going on with {why}"
    assert ("diverged" in tried) is diverged


def test_a_race_too_short_to_compare_says_so() -> None:
    nan = float("nan")
    tries = [Try(name, 1.0, 100.0, nan, nan, False) for name in (FIRST, WITHOUT)]
    assert describe_race(Outcome(FIRST, 30, tries), Units(1.0)) == (
        "tried for 2 s: 30 steps of each plan are too few to compare them",
        "going on with the plan",
    )
