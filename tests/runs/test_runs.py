import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import SMALL, Command, Done, error_of, run, succeed, wait_for
from trainers import train_small

import sunspring
from sunspring import SunspringError
from sunspring.folders import LOCK
from sunspring.runs.request import TrainingRequest

STEPS = 200
ARTICLE = (
    *("--preset", "article", "--set", "hidden_size=16", "--set", "embedding_size=8"),
    *("--set", "window=20", "--set", "batch_size=8", "--set", "precision=fp32"),
)
RECIPES = {
    "lanes": SMALL,
    "lanes with dropout": (*SMALL, "--set", "dropout=0.3"),
    "windows": ARTICLE,
}


@pytest.fixture(scope="module")
def uninterrupted(english: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def train(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("whole") / "run"
            succeed("train", english, "--out", folders[name], "--steps", str(STEPS), *RECIPES[name])
        return folders[name]

    return train


def begin(english: Path, recipe: tuple[str, ...] = SMALL, steps: int = STEPS) -> Command:
    return Command("train", english, "--out", "run", "--steps", str(steps), *recipe)


def go_on(*options: str) -> Command:
    return Command("train", "--out", "run", "--resume", *options)


def events(kind: str | None = None) -> list[dict[str, Any]]:
    path = Path("run/log.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    found = []
    for line in lines:
        with contextlib.suppress(ValueError):  # half written
            found.append(json.loads(line))
    return [event for event in found if kind in (None, event["event"])]


def interrupt(command: Command, number: int = signal.SIGINT, event: str = "step") -> Done:
    """Send a signal when training has logged an event in this part of the run."""
    seen = len(events(event))
    wait_for(lambda: command.is_over or len(events(event)) > seen, event)
    command.send(number)
    return command.wait()


def checkpoint(folder: Path) -> dict[str, Any]:
    """Give all that the last checkpoint holds, but for the seconds that were spent."""
    last = max((folder / "checkpoints").glob("checkpoint-*"))
    state = json.loads((last / "state.json").read_text())
    del state["seconds"]
    return {"state": state, **{path.name: path.read_bytes() for path in last.glob("*.safetensors")}}


def assert_same_end(folder: Path, other: Path) -> None:
    model = "model.safetensors"
    assert (folder / model).read_bytes() == (other / model).read_bytes()
    assert checkpoint(folder) == checkpoint(other)


class TestInterruptedTraining:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_is_saved_and_says_how_to_go_on(self, english: Path, number: int) -> None:
        done = interrupt(begin(english, steps=100_000), number)
        assert done.code == 130
        assert done.out == ""
        assert done.err.endswith("continue with: sunspring train --out run --resume\n")
        assert "Traceback" not in done.err
        assert len(list(Path("run/checkpoints").iterdir())) == 1
        assert len(succeed("write", "run", "--length", "20").out) == 20

    def test_by_closing_its_terminal_is_saved(self, english: Path) -> None:
        master, terminal = os.openpty()
        arguments = ("train", english, "--out", "run", "--steps", "100000", *SMALL)
        command = Command(*arguments, terminal=os.ttyname(terminal))
        wait_for(lambda: command.is_over or events("step"), "a step")
        os.close(master)
        os.close(terminal)
        command.send(signal.SIGHUP)
        assert command.wait().code == 130
        assert checkpoint(Path("run"))["state"]["step"] > 0

    def test_for_a_while_counts_its_minutes_of_work(self, english: Path) -> None:
        command = Command("train", english, "--out", "run", "--minutes", "0.2", *SMALL, "--json")
        wait_for(lambda: command.is_over or len(events("plan")) > 0, "the plan")
        command.send(signal.SIGSTOP)
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 15, "the end of the night")
        command.send(signal.SIGCONT)
        done = command.wait()
        assert done.code == 0
        assert done.json["seconds"] < 20  # 12 of work, not the 15 of the night
        (slept,) = events("notice")
        assert "which do not count" in slept["text"]
        assert slept["text"] in done.err

    def test_has_a_json_object_without_a_heldout_figure(self, english: Path) -> None:
        command = Command("train", english, "--out", "run", "--steps", "100000", *SMALL, "--json")
        done = interrupt(command)
        assert done.code == 130
        assert done.json["heldout"] is None
        assert done.json["run"] == "run"

    def test_before_its_first_evaluation_leaves_what_it_learned(self, english: Path) -> None:
        done = interrupt(begin(english, steps=1_000_000))
        assert done.code == 130
        assert events("evaluation") == []
        last = checkpoint(Path("run"))
        assert last["state"]["step"] > 0
        assert Path("run/model.safetensors").read_bytes() == last["weights.safetensors"]

    @pytest.mark.parametrize("recipe", RECIPES)
    def test_that_is_resumed_ends_with_the_same_bytes(
        self, english: Path, uninterrupted: Callable[[str], Path], recipe: str
    ) -> None:
        assert interrupt(begin(english, RECIPES[recipe]), event="evaluation").code == 130
        assert interrupt(go_on(), signal.SIGTERM, "evaluation").code == 130
        done = go_on().wait()
        assert done.code == 0, done.err
        assert_same_end(Path("run"), uninterrupted(recipe))

    def test_that_is_killed_at_any_moment_is_resumed_to_the_same_bytes(
        self, english: Path, uninterrupted: Callable[[str], Path]
    ) -> None:
        checkpoints = Path("run/checkpoints")
        while_training: list[Callable[[], Any]] = [
            Path("run/config.json").exists,
            Path("run/run.json").exists,
            lambda: events("evaluation"),
        ]
        while_saving: list[Callable[[], Any]] = [
            checkpoints.exists,
            (checkpoints / ".building").exists,
            (checkpoints / ".building/manifest.json").exists,
            lambda: len(list(checkpoints.glob("checkpoint-*"))) > 1,
        ]
        for moment in [*while_training, *while_saving]:
            command = go_on() if Path("run/run.json").exists() else begin(english)
            if moment in while_saving:
                seen = len(events("start"))
                wait_for(lambda c=command, s=seen: c.is_over or len(events("start")) > s, "start")
                command.send(signal.SIGINT)
            wait_for(lambda c=command, m=moment: c.is_over or m(), "the moment")
            command.send(signal.SIGKILL)
            command.wait()
        done = go_on().wait()
        assert done.code == 0, done.err
        assert_same_end(Path("run"), uninterrupted("lanes"))
        assert not list(Path("run").glob("**/.*"))

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_while_it_reads_leaves_nothing_half_made(self, tmp_path: Path, number: int) -> None:
        os.mkfifo("pipe")
        cache = tmp_path / "cache"
        environment = {"SUNSPRING_CACHE": str(cache)}
        command = Command("train", "pipe", "--out", "run", *SMALL, environment=environment)
        with Path("pipe").open("w") as pipe:
            pipe.write("To be, or not to be.\n" * 1000)
            pipe.flush()
            wait_for(lambda: list(cache.glob("corpora/.building-*")), "the reading")
            command.send(number)
        done = command.wait()  # a signal right before Python waits for the pipe is seen after that
        assert (done.code, done.out, done.err) == (130, "", "\nsunspring: interrupted\n")
        assert not Path("run").exists()
        assert list(cache.glob("corpora/*")) == []


def test_what_a_killed_process_left_in_the_cache_is_cleared_by_the_next(
    english: Path, tmp_path: Path
) -> None:
    os.mkfifo("pipe")
    cache = tmp_path / "cache"
    environment = {"SUNSPRING_CACHE": str(cache)}
    command = Command("train", "pipe", "--out", "run", *SMALL, environment=environment)
    with Path("pipe").open("w") as pipe:
        pipe.write("To be, or not to be.\n" * 1000)
        pipe.flush()
        wait_for(lambda: list(cache.glob("corpora/.building-*")), "the reading")
        ours = cache / f"corpora/.building-{os.getpid()}-of-a-process-that-runs"
        ours.mkdir()
        command.send(signal.SIGKILL)
    command.wait()
    assert len(list(cache.glob("corpora/.building-*"))) == 2
    succeed("train", english, "--out", "run", "--steps", "5", *SMALL, environment=environment)
    assert list(cache.glob("corpora/.building-*")) == [ours]


class TestDivergingTraining:
    def test_that_never_learns_is_an_error_and_leaves_its_folder_free(self, english: Path) -> None:
        wild = ("--set", "optimizer=adamw", "--set", "clip_norm=0", "--set", "learning_rate=1e30")
        done = run("train", english, "--out", "run", "--steps", "100", *SMALL, *wild)
        assert done.code == 1
        message = done.err.splitlines()[-1]
        assert message.startswith("sunspring: training diverges: the loss is no longer a number")
        assert message.endswith(
            "train again with a smaller --set learning_rate or muon_learning_rate"
        )
        assert not Path("run").exists()
        succeed("train", english, "--out", "run", "--steps", "5", *SMALL)

    def test_goes_back_and_says_so(self, english: Path) -> None:
        wild = ("--set", "optimizer=adamw", "--set", "learning_rate=10")
        done = succeed("train", english, "--out", "run", "--steps", "200", *SMALL, *wild, "--json")
        told = [event["text"] for event in events("notice")]
        assert told[0].startswith("training diverges at step")
        assert told[0] in done.err
        assert done.json["heldout"]["bpc"] < 7
        succeed("report", "run", "--out", "page.html")

    def test_where_the_disk_is_full_is_refused_before_it_begins(
        self, english: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil.disk_usage(".")
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
        with pytest.raises(SunspringError, match=r"MB free, and .* take .* MB: make room"):
            train_small(str(english), out="run")
        assert not Path("run").exists()


class TestResuming:
    @pytest.fixture
    def finished(self, trained: Path) -> Path:
        shutil.copytree(trained, "run")
        return Path("run")

    def test_goes_on_to_a_larger_budget(self, english: Path, finished: Path) -> None:
        done = succeed("train", "--out", "run", "--resume", "--steps", "40", "--json")
        assert checkpoint(finished)["state"]["step"] == 40
        assert done.json["heldout"]["protocol"] == "stream"

    def test_keeps_the_larger_budget_when_it_is_interrupted(self, finished: Path) -> None:
        assert interrupt(go_on("--steps", "100000")).code == 130
        before = checkpoint(finished)["state"]["step"]
        assert interrupt(go_on()).code == 130
        assert checkpoint(finished)["state"]["step"] > before

    def test_a_finished_run_gives_the_same_model_again(self, trained: Path, finished: Path) -> None:
        first = json.loads((finished / "card.json").read_text())["heldout"]
        done = succeed("train", "--out", "run", "--resume", "--json")
        assert done.json["heldout"] == first
        assert_same_end(finished, trained)

    @pytest.mark.parametrize(
        ("options", "difference"),
        [
            (["--seed", "3"], "--seed is 3, and was 0"),
            (["--set", "dropout=0.5"], "--set embedding_dropout is 0.5, and was 0.0"),
            (["--set", "batch_size=4", "--set", "layers=2"], "--set layers is 2, and was 1"),
            (["--preset", "large"], "--preset is large, and was tiny"),
            (["--init-from", "base"], "--init-from is base, and was not given"),
            (["--keep-newlines"], "--keep-newlines is on, and was off"),
            (["--heldout", "a.txt"], "--heldout is a.txt, and was not given"),
        ],
    )
    def test_refuses_what_is_not_as_it_was(
        self, finished: Path, options: list[str], difference: str
    ) -> None:
        before = (finished / "run.json").read_text()
        message = error_of("train", "--out", "run", "--resume", *options)
        assert message == (
            f"{difference} when the run in run began: leave it out with --resume, or train anew "
            "with another --out"
        )
        assert (finished / "run.json").read_text() == before

    def test_takes_the_same_command_line_again(self, english: Path) -> None:
        command = ("train", english, "--out", "run", "--seed", "2", *SMALL)
        command = (*command, "--set", "dropout=0.30", "--steps", "40")
        assert interrupt(Command(*command[:-1], "100000")).code == 130
        succeed(*command[:-1], str(checkpoint(Path("run"))["state"]["step"] + 9), "--resume")
        assert events("end")[-1]["step"] == checkpoint(Path("run"))["state"]["step"]

    def test_takes_another_device(self, finished: Path) -> None:
        record = json.loads((finished / "run.json").read_text())
        record["request"]["device"] = "cuda"
        (finished / "run.json").write_text(json.dumps(record))
        import torch

        if not torch.cuda.is_available():
            assert "--device cpu" in error_of("train", "--out", "run", "--resume")
        succeed("train", "--out", "run", "--resume", "--device", "cpu", "--steps", "30")
        assert json.loads((finished / "run.json").read_text())["request"]["device"] == "cpu"

    @pytest.mark.parametrize(
        ("budget", "done"),
        [("--steps 10", "20 steps"), ("--epochs 0.001", "0."), ("--minutes 0.000001", "0.")],
    )
    def test_of_more_than_is_asked_for_is_refused(
        self, finished: Path, budget: str, done: str
    ) -> None:
        before = (finished / "run.json").read_text()
        message = error_of("train", "--out", "run", "--resume", *budget.split())
        assert f"but the run in run has already trained {done}" in message
        assert (finished / "run.json").read_text() == before

    def test_and_interrupted_has_no_figures_of_other_weights(self, finished: Path) -> None:
        assert (finished / "card.json").exists()
        assert interrupt(go_on("--steps", "100000")).code == 130
        assert not (finished / "card.json").exists()
        assert not (finished / "report.html").exists()
        assert "is not finished" in error_of("report", "run")

    def test_needs_the_folder_of_a_run(self, english: Path) -> None:
        assert "--out" in error_of("train", "--resume")
        assert error_of("train", "--resume", "--out", "none").startswith("none is not a run")

    def test_of_a_saved_model_is_refused_and_leaves_it(self, finished: Path) -> None:
        shutil.rmtree("run/checkpoints")
        before = Path("run/model.safetensors").read_bytes()
        assert "--init-from run" in error_of("train", "--out", "run", "--resume")
        assert Path("run/model.safetensors").read_bytes() == before

    def test_reads_text_from_standard_input_from_the_cache(self, english: Path) -> None:
        text = english.read_bytes()
        succeed("train", "-", "--out", "run", "--steps", "5", *SMALL, stdin=text)
        succeed("train", "--out", "run", "--resume", "--steps", "10")
        succeed("evaluate", "run")

    def test_of_standard_input_without_the_cache_is_an_error(
        self, english: Path, tmp_path: Path
    ) -> None:
        environment = {"SUNSPRING_CACHE": str(tmp_path / "cache")}
        options = ("--out", "run", "--steps", "5", *SMALL)
        succeed("train", "-", *options, stdin=english.read_bytes(), environment=environment)
        shutil.rmtree(tmp_path / "cache")
        for command in (["train", "--out", "run", "--resume"], ["evaluate", "run"]):
            message = error_of(*command, stdin=english.read_bytes(), environment=environment)
            assert message.startswith("the text was read from standard input and is no longer in")

    @pytest.mark.parametrize("loss", ["gone", "damaged"])
    def test_encodes_the_text_again_where_the_cache_lost_it(
        self, english: Path, tmp_path: Path, loss: str
    ) -> None:
        cache = tmp_path / "cache"
        environment = {"SUNSPRING_CACHE": str(cache)}
        options = ("--out", "run", "--steps", "5", *SMALL)
        succeed("train", english, *options, environment=environment)
        if loss == "gone":
            shutil.rmtree(cache)
        else:
            next(cache.glob("corpora/*/corpus.json")).write_text("{")
        again = ("train", "--out", "run", "--resume", "--steps", "10")
        succeed(*again, environment=environment)
        assert next(cache.glob("corpora/*/corpus.json")).read_text() != "{"

    def test_on_a_text_that_has_changed_is_an_error(self, english: Path, tmp_path: Path) -> None:
        environment = {"SUNSPRING_CACHE": str(tmp_path / "cache")}
        shutil.copy(english, "text.txt")
        options = ("--out", "run", "--steps", "5", *SMALL)
        succeed("train", "text.txt", *options, environment=environment)
        shutil.rmtree(tmp_path / "cache")
        Path("text.txt").write_text("To be, or not to be. " * 1000)
        message = error_of("train", "--out", "run", "--resume", environment=environment)
        assert f"{tmp_path}/text.txt has changed since the run began" in message

    @pytest.mark.parametrize("has_cache", [True, False])
    def test_reads_a_text_that_was_moved_under_its_new_name(
        self, english: Path, tmp_path: Path, has_cache: bool
    ) -> None:
        environment = {"SUNSPRING_CACHE": str(tmp_path / "cache")}
        shutil.copy(english, "text.txt")
        options = ("--out", "run", "--steps", "5", *SMALL)
        succeed("train", "text.txt", *options, environment=environment)
        Path("text.txt").rename("moved.txt")
        again = ("train", "--out", "run", "--resume", "--steps", "10")
        if has_cache:
            done = succeed(*again, environment=environment)
            assert done.err.count("using the training text as it is in the cache, because") == 1
        else:
            shutil.rmtree(tmp_path / "cache")
            message = error_of(*again, environment=environment)
            assert message.endswith(
                "text.txt does not exist: check the path (if the text was moved, name it anew: "
                "sunspring train TEXT --out RUN --resume)"
            )
        for wrong in ("moved.txt", "-"):
            text = english.read_text() + "."
            Path("other.txt").write_text(text)
            name = wrong if wrong == "-" else "other.txt"
            message = error_of(*again, name, stdin=text, environment=environment)
            assert message.startswith(f"{name} is not the text that the run was trained on")
        done = succeed(*again[:-1], "15", "moved.txt", environment=environment)
        assert "cache" not in done.err
        assert succeed("evaluate", "run", environment=environment).err == ""

    def test_on_an_edited_text_says_so_and_uses_the_one_in_the_cache(self, english: Path) -> None:
        shutil.copy(english, "text.txt")
        succeed("train", "text.txt", "--out", "run", "--steps", "5", *SMALL)
        again = ("train", "text.txt", "--out", "run", "--resume", "--steps")
        os.utime("text.txt", (1, 1))  # touched, not edited
        assert "changed" not in succeed(*again, "10").err
        with Path("text.txt").open("a") as file:
            file.write("And more.\n")
        done = succeed(*again, "15")
        assert done.err.count("text.txt has changed since the run began: using it as it was") == 1
        assert "has changed since the run began" in succeed("evaluate", "run").err

    def test_passes_over_a_damaged_checkpoint_with_a_warning(self, finished: Path) -> None:
        succeed("train", "--out", "run", "--resume", "--steps", "40")
        last = max((finished / "checkpoints").iterdir())
        data = bytearray((last / "weights.safetensors").read_bytes())
        data[-1] ^= 1
        (last / "weights.safetensors").write_bytes(data)
        done = succeed("train", "--out", "run", "--resume", "--steps", "40")
        assert f"{last} is damaged" in done.err
        assert checkpoint(finished)["state"]["step"] == 40

    def test_without_a_whole_checkpoint_is_an_error(self, finished: Path) -> None:
        for path in (finished / "checkpoints").glob("*/manifest.json"):
            path.write_text("{}")
        done = run("train", "--out", "run", "--resume")
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith(
            "sunspring: run/checkpoints has no intact checkpoint: train again"
        )

    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "{}", '{"request": {}}', '{"request": {"sources": 1}}', "\0"]
    )
    def test_of_a_damaged_record_is_an_error(self, finished: Path, content: str) -> None:
        (finished / "run.json").write_text(content)
        assert "run.json" in error_of("train", "--out", "run", "--resume")

    @pytest.mark.parametrize("key", ["request", "plan", "precision", "corpus"])
    def test_of_a_record_that_lost_a_part_is_an_error(self, finished: Path, key: str) -> None:
        record = json.loads((finished / "run.json").read_text())
        del record[key]
        (finished / "run.json").write_text(json.dumps(record))
        message = error_of("train", "--out", "run", "--resume")
        assert f"run.json is damaged (KeyError('{key}'))" in message

    @pytest.mark.parametrize("content", [None, "", "{", '{"hidden_size": 3}'])
    def test_of_a_damaged_configuration_is_an_error(
        self, finished: Path, content: str | None
    ) -> None:
        if content is None:
            (finished / "config.json").unlink()
        else:
            (finished / "config.json").write_text(content)
        assert "config.json" in error_of("train", "--out", "run", "--resume")


class TestFolder:
    """Whose a run folder is, and who works in it."""

    def test_of_somebody_else_is_left_as_it_is(self, english: Path, trained: Path) -> None:
        Path("site").mkdir()
        for name in ("config.json", "tokenizer.json", "card.json", "log.jsonl", "report.html"):
            Path("site", name).write_text(json.dumps({"mine": name}))
        Path("mine.csv").write_text("id,text\n")
        message = error_of("train", english, "--out", "site", *SMALL)
        assert message == (
            "site holds files of another kind (card.json, config.json, log.jsonl, …): "
            "name a new or empty folder with --out"
        )
        quantized = error_of("quantize", trained, "--out", "site")
        assert quantized.startswith("site holds files of another kind")
        page, vectors = Path("site/report.html"), Path("mine.csv")
        for command in ("report", "compare"):
            message = error_of(command, trained, "--out", page)
            assert message == f"{page} holds something else than a page of Sunspring: " + (
                "name another file"
            )
        message = error_of("encode", trained, english, "--out", vectors)
        assert message == "mine.csv holds something else than vectors: name another file"
        with pytest.raises(SunspringError, match="site holds files of another kind"):
            sunspring.load(trained).save("site")
        with pytest.raises(SunspringError, match="already holds a run"):
            sunspring.load(trained).save(trained)
        for path in Path("site").iterdir():
            assert json.loads(path.read_text()) == {"mine": path.name}
        assert vectors.read_text() == "id,text\n"

    def test_of_our_own_make_is_replaced(self, trained: Path) -> None:
        for _ in range(2):
            succeed("report", trained, "--out", "page.html")
            succeed("encode", "shakespeare", "--out", "vectors.csv", stdin="To be\n")
            succeed("encode", "shakespeare", "--out", "vectors.npy", stdin="To be\n")
            sunspring.load(trained).save("saved")
        sunspring.load("shakespeare").save("saved")
        assert not Path("saved/run.json").exists()

    @pytest.mark.parametrize("command", ["train", "report", "quantize", "encode", "explain"])
    def test_needs_a_name(self, command: str, trained: Path, english: Path) -> None:
        what = english if command == "train" else trained
        assert error_of(command, what, "--out", "").startswith("--out is empty: give it a name")
        with pytest.raises(SunspringError, match="out is '': it must be a name"):
            sunspring.train(english, out="", steps=1)

    def test_is_not_made_for_what_cannot_be_trained(self, english: Path) -> None:
        Path("t.csv").write_text(
            "text,mood\n" + "A quiet line of text.,calm\nAnd loud!,loud\n" * 60
        )
        labels = ("--documents", "lines", "--label-column", "mood")
        succeed("train", "t.csv:text", *labels, "--out", "labelled", "--steps", "5", *SMALL)
        message = error_of("train", english, "--init-from", "labelled", "--out", "run")
        assert "was trained with labels (calm, loud) and this text has none" in message
        succeed("train", english, "--out", "plain", "--steps", "5", *SMALL)
        more = ("--init-from", "plain", "--out", "further", "--steps", "5")
        done = succeed("train", "t.csv:text", *labels, *more)
        assert "\nkeeping one layer of 16, " in done.err
        own = ("--set", "hidden_size=24", "--set", "layers=1", "--out", "own", "--steps", "1")
        assert "\nso one layer of 24, " in succeed("train", english, *own).err
        assert succeed("write", "further", "--label", "calm", "--length", "5")
        refused = {
            "--preset large": "leave out --preset large",
            "--minimum-count 2": "--minimum-count does not go with --init-from",
            "--subword-vocabulary 300": "--subword-vocabulary does not go with --init-from",
        }
        for options, reason in refused.items():
            base = ("--init-from", "plain", "--out", "run")
            assert reason in error_of("train", english, *base, *options.split())
        assert not Path("run").exists()

    @pytest.mark.parametrize("exists", [True, False])
    def test_that_failed_before_its_first_checkpoint_is_free_again(
        self, english: Path, exists: bool
    ) -> None:
        if exists:
            Path("run").mkdir()
        from sunspring.runs import train as runs

        class Broken(io.StringIO):
            def write(self, text: str) -> int:
                if Path("run/run.json").exists():
                    raise ZeroDivisionError
                return len(text)

        request = TrainingRequest(english, out="run", preset="tiny", steps=1_000_000)
        with pytest.raises(ZeroDivisionError):
            runs.train(request, Broken())
        assert Path("run").exists() == exists
        assert not exists or not list(Path("run").iterdir())

    def test_has_one_holder_who_is_named_and_ended_as_the_message_says(self, english: Path) -> None:
        first = begin(english, steps=1_000_000)
        wait_for(lambda: events("step"), "the first step")
        first.send(signal.SIGSTOP)
        log = Path("run/log.jsonl").read_bytes()
        message = error_of("train", "--out", "run", "--resume")
        advised = re.findall(r"kill (?:-CONT )?\d+", message)
        assert message.startswith("run is being trained by process ")
        assert "already holds a run" in error_of("train", english, "--out", "run", *SMALL)
        assert Path("run/log.jsonl").read_bytes() == log
        for command in advised:
            subprocess.run(command, shell=True, check=True)
        assert first.wait().code == 130
        step = checkpoint(Path("run"))["state"]["step"]
        succeed("train", "--out", "run", "--resume", "--steps", str(step + 5))
        assert not Path("run", LOCK).exists()

    def test_that_is_moved_while_it_is_trained_is_saved_where_it_went_or_not_at_all(
        self, english: Path
    ) -> None:
        command = begin(english, steps=1_000_000)
        wait_for(lambda: events("evaluation"), "an evaluation")
        Path("run").rename("moved")
        done = command.wait()
        assert done.code == 1
        assert done.err.splitlines()[-1].startswith("sunspring: run ")
        assert not Path("run").exists()

    def test_inside_the_source_is_not_read(self, english: Path) -> None:
        Path("texts").mkdir()
        shutil.copy(english, "texts/a.txt")
        first = succeed("train", "texts", "--out", "texts/runs/one", "--steps", "5", *SMALL)
        succeed("report", "texts/runs/one", "--out", "texts/page.html")
        for number, name in enumerate(("texts", "texts/**/*")):
            out = f"texts/runs/{number}"
            done = succeed("train", name, "--out", out, "--steps", "5", *SMALL, "--json")
            assert done.json["corpus"]["characters"] == 40_000
            left_out = f"left out of {name}, as they are not texts: {number + 1} folder"
            assert done.err.count(left_out) == 1
            assert done.err.count(f"left out of {name}: 1 page that Sunspring made") == 1
        succeed("train", "--out", "texts/runs/one", "--resume", "--steps", "10")
        assert "already holds a run, which training wrote" in error_of("train", "texts/runs/one")
        assert "left out" not in first.err
