import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import error_of, succeed

from sunspring.machine import usable_cores

FIGURES = {
    *("protocol", "nats_per_token", "nats_per_character", "bpc", "perplexity", "characters"),
    *("standard_error", "overlap", "baselines"),
}


def evaluate(*arguments: str | Path, **streams: Any) -> dict[str, Any]:
    figures = succeed("evaluate", *arguments, "--json", **streams).json
    assert set(figures) == FIGURES
    assert figures["bpc"] == pytest.approx(figures["nats_per_character"] / math.log(2))
    assert figures["perplexity"] == pytest.approx(math.exp(figures["nats_per_token"]))
    return dict(figures)


class TestEvaluation:
    def test_of_the_heldout_text_is_what_training_found(self, trained: Path) -> None:
        figures = evaluate(trained)
        card = json.loads((trained / "card.json").read_text())
        assert figures["bpc"] == pytest.approx(card["heldout"]["bpc"])
        assert figures["characters"] == 4000
        assert figures["protocol"] == "stream"
        assert figures["standard_error"] is None

    def test_has_baselines_that_know_more_with_more_context(self, trained: Path) -> None:
        baselines = evaluate(trained)["baselines"]
        assert list(baselines) == [f"order-{order}" for order in range(1, 7)]
        assert baselines["order-3"] < baselines["order-2"] < baselines["order-1"] < math.log(100)

    def test_by_windows_is_another_figure_with_its_error(self, trained: Path) -> None:
        figures = evaluate(trained, "--protocol", "windows")
        assert figures["protocol"] == "windows"
        assert figures["standard_error"] > 0
        assert figures == evaluate(trained, "--protocol", "windows")

    @pytest.mark.parametrize("protocol", ["stream", "windows"])
    def test_of_other_text_is_of_that_text(self, trained: Path, protocol: str) -> None:
        Path("other.txt").write_text("The rest of the operators.\n" * 30)
        figures = evaluate(trained, "other.txt", "--protocol", protocol)
        if protocol == "stream":
            assert figures["characters"] == 27 * 30
        assert figures["baselines"]["order-2"] > 0
        piped = evaluate(trained, "-", "--protocol", protocol, stdin=Path("other.txt").read_bytes())
        assert piped == figures

    def test_reads_as_it_is_told(self, trained: Path) -> None:
        Path("other.txt").write_bytes("caf\u00e9\r\n".encode("latin-1") * 30)
        options = ("--encoding", "latin-1", "--documents", "lines")
        done = succeed("evaluate", trained, "other.txt", *options, "--json")
        assert done.json["characters"] == 4 * 30  # the unknown one has its price
        assert "\u00e9" in done.err

    def test_is_shown_as_a_table(self, trained: Path) -> None:
        lines = succeed("evaluate", trained).out.splitlines()
        assert lines[0] == "4,000 characters by stream"
        assert [line.split()[0] for line in lines[1:]] == [
            "this",
            *(f"order-{order}" for order in range(1, 7)),
        ]

    def test_without_the_training_text_says_what_to_do(self, trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/run.json").unlink()
        assert error_of("evaluate", "run") == (
            "the training text of this model is not known (it has no run.json): "
            "name a text, or use the run folder that it was trained in"
        )
        Path("other.txt").write_text("The rest of the operators.\n" * 30)
        assert evaluate("run", "other.txt")["baselines"] == {}

    @pytest.mark.parametrize(
        ("content", "message"),
        [(b"", "other.txt is empty"), (b"ab\xff", "at byte 2"), ("\u0416\u0416".encode(), "knows")],
    )
    def test_of_bad_text_is_an_error(self, trained: Path, content: bytes, message: str) -> None:
        Path("other.txt").write_bytes(content)
        assert message in error_of("evaluate", trained, "other.txt")


class TestBeyondTheNetwork:
    def test_columns_stand_beside_the_network_alone(self, trained: Path) -> None:
        alone = evaluate(trained)
        figures = succeed("evaluate", trained, "--mixture", "--dynamic", "--json").json
        assert set(figures) == FIGURES | {"mixture", "dynamic", "dynamic_mixture"}
        assert {name: figures[name] for name in FIGURES} == alone
        for name in ("mixture", "dynamic", "dynamic_mixture"):
            assert set(figures[name]) == FIGURES - {"baselines"}
            assert figures[name]["characters"] == 4000
            assert figures[name]["nats_per_character"] < alone["nats_per_character"]
        # the tiny network has learned little, so nearly all that is known the n-grams know
        best = min(alone["baselines"].values())
        assert figures["mixture"]["nats_per_character"] < best

    def test_table_names_each(self, trained: Path) -> None:
        lines = succeed("evaluate", trained, "--mixture", "--dynamic").out.splitlines()
        assert [line[:16].strip() for line in lines[1:5]] == [
            *("this model", "mixture", "dynamic", "dynamic mixture"),
        ]

    def test_of_other_text_and_by_windows(self, trained: Path) -> None:
        Path("other.txt").write_text("The rest of the operators.\n" * 30)
        options = ("--mixture", "--protocol", "windows", "--json")
        figures = succeed("evaluate", trained, "other.txt", *options).json
        assert figures["mixture"]["protocol"] == "windows"
        assert figures["mixture"]["standard_error"] > 0
        assert figures["mixture"]["nats_per_character"] < figures["nats_per_character"]

    def test_learning_is_as_fast_as_it_is_told(self, trained: Path) -> None:
        figures = [
            succeed("evaluate", trained, "--dynamic", "--json", "--rate", rate).json
            for rate in ("0", "0.001")
        ]
        still, fast = (each["dynamic"]["bpc"] for each in figures)
        assert still == pytest.approx(figures[0]["bpc"], rel=1e-4)
        assert fast < still

    def test_dynamic_needs_no_training_text(self, trained: Path) -> None:
        shutil.copytree(trained, "run")
        Path("run/run.json").unlink()
        Path("other.txt").write_text("The rest of the operators.\n" * 30)
        assert "dynamic" in succeed("evaluate", "run", "other.txt", "--dynamic", "--json").json
        assert "training text of this model is not known" in error_of(
            "evaluate", "run", "other.txt", "--mixture"
        )

    def test_learning_does_not_go_with_windows(self, trained: Path) -> None:
        message = error_of("evaluate", trained, "--dynamic", "--protocol", "windows")
        assert message.endswith("choose the protocol stream")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--rate", "0.1"], "--rate says how fast --dynamic learns"),
            (["--dynamic", "--rate", "-1"], "rate is -1.0: it must be at least 0"),
            (["--dynamic", "--rate", "1e38"], "choose a smaller learning rate"),
        ],
        ids=["alone", "negative", "wild"],
    )
    def test_bad_rates_are_errors(self, trained: Path, options: list[str], message: str) -> None:
        assert message in error_of("evaluate", trained, *options)


class TestDoctor:
    def test_says_what_this_machine_is_and_would_do(self, tmp_path: Path) -> None:
        cache = str(tmp_path / "not" / "there")
        report = succeed("doctor", "--json", environment={"SUNSPRING_CACHE": cache}).json
        assert set(report) >= {
            *("device", "processor", "cores", "threads", "gpu", "bf16", "speeds", "engine"),
            "busy",
            *("free_disk_gb", "cache", "versions", "train_would_choose"),
        }
        assert report["cache"] == cache
        assert report["speeds"]["training"] > 0
        assert report["speeds"]["writing"] > 0
        assert report["bf16"]["choice"] == report["train_would_choose"]["precision"]
        assert report["train_would_choose"]["preset"] == "auto"
        assert {"python", "torch", "sunspring"} <= set(report["versions"])
        assert not Path(cache).exists()

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells at once")
    def test_says_whether_the_machine_is_busy_and_what_that_costs(self) -> None:
        cores = usable_cores()
        busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
        try:
            report, words = succeed("doctor", "--json").json["busy"], succeed("doctor").out
        finally:
            for each in busy:
                each.kill()
                each.wait()
        assert report["is_busy"] is True
        assert 0.25 < report["other_cores"] <= cores
        assert report["speed_left"] == pytest.approx(1 - report["other_cores"] / cores, abs=0.02)
        (line,) = (line for line in words.splitlines() if line.startswith("busy"))
        assert line.startswith("busy       yes, other programs use ")
        assert "training and writing have" in line

    def test_says_so_in_lines(self) -> None:
        done = succeed("doctor")
        for fact in (
            "processor",
            "busy",
            "threads",
            "bf16",
            "training",
            "writing",
            "free disk",
            "versions",
        ):
            assert sum(line.startswith(fact) for line in done.out.splitlines()) == 1
