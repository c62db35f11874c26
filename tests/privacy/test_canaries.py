"""Canaries: `sunspring evaluate --canaries`, and what it is made of."""

import io
import json
import math
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from commands import SMALL, Command, error_of, succeed, wait_for
from corpora import build_text
from hypothesis import given
from hypothesis import strategies as st

from sunspring.cli.printing import describe_canaries
from sunspring.errors import ModelError, SettingsError, SourceError
from sunspring.privacy.canaries import (
    CHANCE,
    CanaryReport,
    CanarySettings,
    Exposures,
    canary_exposure,
    choose_letters,
    draw_lines,
    exposures,
)

COSTS = st.lists(st.integers(0, 9), min_size=1, max_size=30)
FEW = CanarySettings(references=500, controls=50)
FIGURES = {
    *("repetitions", "canaries", "mean", "chance_error", "largest", "share_at_most"),
    "stands_out",
}


def copy_with(run: Path, **budget: float | None) -> None:
    """Copy a run that was trained for 20 steps to `run`, as one that had another budget."""
    shutil.copytree(run, "run")
    record = json.loads(Path("run/run.json").read_text())
    assert record["request"]["steps"] == 20
    record["request"] |= budget
    Path("run/run.json").write_text(json.dumps(record))


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestExposures:
    @given(COSTS, COSTS)
    def test_are_by_the_rank_among_all(self, canaries: list[int], references: list[int]) -> None:
        found = exposures(np.array(canaries, float), np.array(references, float))
        for canary, bits in zip(canaries, found.tolist(), strict=True):
            lines = [canary, *references]
            rank = sum(line <= canary for line in lines)
            assert bits == pytest.approx(math.log2(len(lines) / rank))

    def test_are_the_highest_for_what_costs_less_than_all(self) -> None:
        assert exposures(np.array([0.5]), np.arange(1.0, 1024)).tolist() == [10]

    @pytest.mark.parametrize("seed", range(3))
    def test_of_lines_that_were_never_seen_are_as_expected(self, seed: int) -> None:
        costs = np.random.default_rng(seed).normal(40, 6, 22_000)
        never = Exposures(0, exposures(costs[:2000], costs[2000:]))
        assert abs(never.mean - CHANCE) < 4 * never.chance_error
        assert never.bits.std() == pytest.approx(CHANCE, rel=0.1)
        assert not never.stands_out

    def test_stand_out_where_they_are_higher_than_chance_explains(self) -> None:
        assert Exposures(1, np.full(9, 2 * CHANCE + 0.01)).stands_out
        assert not Exposures(1, np.full(9, 2 * CHANCE - 0.01)).stands_out


class TestLines:
    def test_are_of_the_most_frequent_letters(self) -> None:
        text = "".join(chr(ord("a") + i) * (30 - i) + " 1234" for i in range(26)) + "Ж" * 50
        assert choose_letters(build_text(text * 200)) == "Жabcdefghijklmnopqrstuvwxy"

    def test_are_of_digits_where_there_are_no_letters(self) -> None:
        assert sorted(choose_letters(build_text("0123456789 " * 99))) == [*"0123456789"]

    def test_need_some_letters(self) -> None:
        with pytest.raises(SourceError, match="7 different characters and canaries need 8"):
            choose_letters(build_text("abcdefg\n" * 99))

    @given(st.integers(0, 9), st.integers(0, 8))
    def test_are_all_different(self, seed: int, count: int) -> None:
        lines = draw_lines("ab", 3, count, np.random.default_rng(seed))
        assert len({*lines}) == len(lines) == count
        assert all(len(line) == 3 and {*line} <= {*"ab"} for line in lines)

    def test_are_all_equally_probable(self) -> None:
        random = np.random.default_rng(0)
        firsts = [draw_lines("abcd", 2, 3, random)[0] for _ in range(1600)]
        counts = [firsts.count(a + b) for a in "abcd" for b in "abcd"]
        assert min(counts) > 60
        assert max(counts) < 140


@pytest.fixture(scope="module")
def learned(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that learns enough to know a line by heart that it reads often."""
    folder = tmp_path_factory.mktemp("learned") / "run"
    options = ("--set", "hidden_size=48", "--set", "batch_size=16")
    succeed("train", english, "--out", folder, "--steps", "250", *SMALL, *options)
    return folder


class TestMeasuring:
    def test_finds_what_was_learned_by_heart_and_nothing_else(self, learned: Path) -> None:
        before = contents(learned)
        settings = CanarySettings((1, 250), each=4, most_share=1, references=2000, controls=400)
        report = canary_exposure(learned, settings=settings)
        assert report is not None
        once, often = report.hidden
        assert (once.repetitions, often.repetitions) == (1, 250)
        assert often.bits.tolist() == pytest.approx([report.most] * 4)
        assert often.stands_out
        assert not once.stands_out
        assert abs(report.control.mean - CHANCE) < 4 * report.control.chance_error
        assert report.most == math.log2(2001)
        assert report.hidden_characters == pytest.approx(4 * 251 * (report.length + 1), abs=9)
        assert contents(learned) == before

    def test_trains_for_the_epochs_that_a_run_of_minutes_had(self, trained: Path) -> None:
        copy_with(trained, steps=None, minutes=60.0)
        epochs = json.loads(Path("run/card.json").read_text())["epochs"]
        told = io.StringIO()
        canary_exposure(Path("run"), stream=told, settings=FEW)
        assert f"for {epochs:g} epochs, which took" in told.getvalue()

    def test_of_documents_with_labels(self) -> None:
        rows = "".join(f"{'ab'[i % 2]},the {i}th line of them\n" for i in range(600))
        Path("table.csv").write_text(f"kind,text\n{rows}")
        options = ("--documents", "lines", "--label-column", "kind", "--steps", "5", *SMALL)
        succeed("train", "table.csv:text", "--out", "run", *options)
        settings = CanarySettings(references=2000, controls=400)
        report = canary_exposure(Path("run"), settings=settings)
        assert report is not None
        assert abs(report.control.mean - CHANCE) < 4 * report.control.chance_error
        # a short text has room for few
        assert [each.repetitions for each in report.hidden] == [1]
        assert report.hidden_share <= 0.02

    def test_is_the_same_again(self, trained: Path) -> None:
        first, again = (canary_exposure(trained, settings=FEW) for _ in range(2))
        assert first is not None
        assert again is not None
        assert first.hidden[0].bits.tolist() == again.hidden[0].bits.tolist()
        assert first.control.bits.tolist() == again.control.bits.tolist()

    def test_that_needs_more_memory_than_there_is_is_refused(self, trained: Path) -> None:
        copy_with(trained)
        record = json.loads(Path("run/run.json").read_text())
        record["plan"]["recipe"]["batch_size"] = 1 << 40
        Path("run/run.json").write_text(json.dumps(record))
        with pytest.raises(SettingsError, match="GB of memory and this cpu has"):
            canary_exposure(Path("run"), settings=FEW)

    def test_where_the_disk_is_full_is_refused_before_it_begins(
        self, trained: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(".")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(ModelError, match=r"the checkpoints of this training take .* MB"):
            canary_exposure(trained, settings=FEW)

    def test_of_a_text_that_is_too_short_is_an_error(self, trained: Path) -> None:
        with pytest.raises(SourceError, match="34,200 characters, too few to insert canaries"):
            canary_exposure(trained, settings=CanarySettings((1000,)))


NEVER = "be distinguished from one that never was"


class TestVerdict:
    @pytest.mark.parametrize(
        ("exposed", "verdict"),
        [
            ([1, 2, 3], f"once can {NEVER}"),
            ([2, 3], f"4 times can {NEVER},\none that was in it once cannot"),
            ([3], f"16 times can {NEVER},\none that was in it 4 times cannot"),
            ([], f"16 times cannot {NEVER}"),
        ],
    )
    def test_names_the_fewest_repetitions_that_stand_out(
        self, exposed: list[int], verdict: str
    ) -> None:
        hidden = [
            Exposures(times, np.full(8, 9.0 if row in exposed else CHANCE))
            for row, times in enumerate((1, 4, 16), start=1)
        ]
        report = CanaryReport("ab", 40, 2000, 9999, 99, tuple(hidden), Exposures(0, np.ones(9)))
        assert describe_canaries(report).endswith(
            f"\na line that was in the training text {verdict}"
        )


class TestCommand:
    def test_prints_one_object(self, trained: Path, tmp_path: Path) -> None:
        environment = {"TMPDIR": str(tmp_path)}
        done = succeed("evaluate", trained, "--canaries", "--json", environment=environment)
        assert set(done.json) == {"canaries"}
        figures = done.json["canaries"]
        assert set(figures) == {
            *("letters", "length", "training_characters", "hidden_characters", "hidden_share"),
            *("references", "most", "hidden", "control"),
        }
        assert set(figures["control"]) == FIGURES | {"expected"}
        assert [each["repetitions"] for each in figures["hidden"]] == [1, 4]
        for each in figures["hidden"]:
            assert set(each) == FIGURES | {"exposures"}
            assert len(each["exposures"]) == each["canaries"] == 8
            assert each["mean"] == pytest.approx(sum(each["exposures"]) / 8)
        assert len(figures["letters"]) ** figures["length"] >= 2**40
        assert figures["hidden_share"] <= 0.02
        first = done.err.splitlines()[0]
        assert first.startswith("inserting 16 canaries in the text (")
        assert re.search(r"training a copy of .* for 20 steps, which took the run \d+ sec", first)
        assert list(tmp_path.iterdir()) == []

    def test_shows_a_table(self, trained: Path) -> None:
        lines = succeed("evaluate", trained, "--canaries").out.splitlines()
        assert [line[:12].strip() for line in lines[2:5]] == ["never", "once", "4 times"]
        assert lines[5].startswith("exposure is in bits: 1.44 ± 0.05 is what lines that")
        assert lines[6:] == [
            "a line that was in the training text 4 times cannot be distinguished from one that "
            "never was"
        ]

    def test_that_is_interrupted_leaves_all_as_it_was(self, trained: Path, tmp_path: Path) -> None:
        copy_with(trained, steps=1_000_000)
        before, temporary = contents(Path("run")), tmp_path / "temporary"
        temporary.mkdir()
        environment = {"TMPDIR": str(temporary)}
        command = Command("evaluate", "run", "--canaries", environment=environment)
        wait_for(lambda: command.is_over or "bpc" in command.err, "the training")
        command.send(signal.SIGINT)
        done = command.wait()
        assert (done.code, done.out) == (130, "")
        assert done.err.endswith("interrupted: the copy is deleted, and the run is as it was\n")
        assert contents(Path("run")) == before
        assert list(temporary.iterdir()) == []

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            (["other.txt"], "SOURCES"),
            (["--mixture"], "--mixture"),
            (["--dynamic"], "--dynamic"),
            (["--protocol", "windows"], "--protocol"),
        ],
    )
    def test_goes_with_nothing_else(self, trained: Path, options: list[str], named: str) -> None:
        message = error_of("evaluate", trained, "--canaries", *options)
        assert message.startswith(f"{named} does not go with --canaries")

    def test_needs_a_run(self, trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/run.json").unlink()
        message = error_of("evaluate", "run", "--canaries")
        assert message.startswith("run has no run.json: canaries need a run")
