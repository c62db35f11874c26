"""Runs that are begun, killed, interrupted, resumed and moved at random, and their texts edited.

Whatever happens, a run goes on if its text can be had, and its record says what is so; what cannot
be is refused in one line, which changes nothing.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pytest
from commands import SMALL, Command, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st

import sunspring
from sunspring import SunspringError
from sunspring.runs import train as runs
from sunspring.runs.request import TrainingRequest
from sunspring.training.budget import Budget

TEXT = "It was the best of times, it was the worst of times.\n" * 60
LONG = 40  # steps of a training that is ended before
SETTINGS = dict(word.split("=") for word in SMALL if "=" in word)


class Ending(NamedTuple):
    """How a training is made to end, if it has not ended before.

    Args:
        how: `kill`, `interrupt`, or empty to leave it alone.
        when: after how much has been seen of it.
    """

    how: str = ""
    when: int = 0


class Driver(Protocol):
    """Trains or resumes; returns an error's line, or None."""

    def __call__(
        self, request: TrainingRequest, names: frozenset[str] | None, ending: Ending
    ) -> str | None: ...


class Killed(BaseException):
    """The end of a training in this process."""


@dataclass(eq=False)
class Watch(io.StringIO):
    """What a training says; ends it at some word, leaving the folder as a kill would."""

    run: Path
    ending: Ending
    words: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        super().__init__()

    @property
    def copy(self) -> Path:
        return self.run.with_name("as it was")

    def write(self, text: str) -> int:
        self.words += 1
        if self.words == self.ending.when and self.ending.how == "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
        if self.words == self.ending.when and self.ending.how == "kill":
            if self.run.exists():
                shutil.copytree(self.run, self.copy)
            raise Killed
        return len(text)


def in_this_process(
    request: TrainingRequest, names: frozenset[str] | None, ending: Ending
) -> str | None:
    watch = Watch(request.folder, ending)
    try:
        if names is None:
            runs.train(request, watch)
        else:
            runs.resume(request, names, watch)
    except SunspringError as error:
        return str(error)
    except KeyboardInterrupt:  # before training began to listen
        pass
    except Killed:
        shutil.rmtree(request.folder, ignore_errors=True)
        if watch.copy.exists():
            watch.copy.rename(request.folder)
    return None


def in_processes(
    request: TrainingRequest, names: frozenset[str] | None, ending: Ending
) -> str | None:
    arguments = ["train", *request.source_names, "--out", str(request.folder), *SMALL]
    arguments += ["--steps", str(request.steps)] + ([] if names is None else ["--resume"])
    command = Command(*arguments)
    if ending.how:
        log = request.folder / "log.jsonl"
        began = log.read_bytes().count(b"\n") if log.exists() else 0

        def is_time() -> bool:
            logged = log.read_bytes().count(b"\n") if log.exists() else 0
            return command.is_over or logged > began + ending.when

        wait_for(is_time, "the end")
        command.send(signal.SIGKILL if ending.how == "kill" else signal.SIGINT)
    done = command.wait()
    assert "Traceback" not in done.err
    assert done.code in (0, 1, 130, -signal.SIGKILL)
    return done.err.splitlines()[-1].removeprefix("sunspring: ") if done.code == 1 else None


class World:
    """A folder with a text, a run and a cache, and what should be so there."""

    def __init__(self, folder: Path, drive: Driver) -> None:
        self.folder, self.drive = folder, drive
        self.run, self.text, self.moves = folder / "run", folder / "text.txt", 0
        self.learned = TEXT  # by the run
        self.text.write_text(TEXT)

    def play(self, action: str, number: int) -> None:
        getattr(self, action)(number)
        self.check()

    def begin(self, number: int) -> None:
        self._begin(Ending())

    def begin_and_kill(self, number: int) -> None:
        self._begin(Ending("kill", number))

    def begin_and_interrupt(self, number: int) -> None:
        self._begin(Ending("interrupt", number))

    def _begin(self, ending: Ending) -> None:
        before = self._record_bytes()
        request = TrainingRequest(
            self.text,
            out=self.run,
            preset="tiny",
            settings=SETTINGS,
            steps=LONG if ending.how else 5,
        )
        error = self.drive(request, None, ending)
        if before is not None:
            assert error is not None and "already holds a run: continue it" in error
            assert self._record_bytes() == before
        else:
            assert error is None
            self.learned = self.text.read_text()
            assert ending.how or self._trained() == 5

    def resume(self, number: int) -> None:
        self._resume(number, Ending(), named=False)

    def resume_and_kill(self, number: int) -> None:
        self._resume(LONG, Ending("kill", number), named=False)

    def resume_and_interrupt(self, number: int) -> None:
        self._resume(LONG, Ending("interrupt", number), named=False)

    def resume_with_the_text_named(self, number: int) -> None:
        self._resume(number, Ending(), named=True)

    def _resume(self, more: int, ending: Ending, *, named: bool) -> None:
        before, trained = self._record_bytes(), self._trained()
        steps = max(1, trained + more - 3)
        request = TrainingRequest(self.text if named else (), out=self.run, steps=steps)
        names = {"out", "steps", *(["sources"] if named else [])}
        expected = self._obstacle(named, steps, trained)
        error = self.drive(request, frozenset(names), ending)
        if expected is None:
            assert error is None, error
            assert ending.how or self._trained() == steps
        elif error is not None or not ending.how:  # it may be killed before it says so
            assert error is not None
            assert expected in error
            assert self._record_bytes() == before

    def _obstacle(self, named: bool, steps: int, trained: int) -> str | None:
        """What a run that is resumed must be refused for."""
        record = self._record()
        if record is None:
            return "is not a run"
        if steps < trained and record["request"]["steps"] != steps:
            return "already trained"
        recorded = record["request"]["sources"]
        source = self.text if named else Path(recorded[0])
        is_new = [str(source)] != recorded
        if source.exists() and source.read_text() == self.learned:
            return None
        if is_new:
            return "is not the text that the run was trained on"
        if Path(record["corpus"]["folder"]).exists():
            return None
        return "has changed since" if source.exists() else "does not exist"

    def move_the_run(self, number: int) -> None:
        self.moves += 1
        if self.run.exists():
            self.run = self.run.rename(self.folder / f"run-{self.moves}")

    def move_the_text(self, number: int) -> None:
        self.moves += 1
        self.text = self.text.rename(self.folder / f"text-{self.moves}.txt")

    def touch_the_text(self, number: int) -> None:
        os.utime(self.text, (number, number))

    def edit_the_text(self, number: int) -> None:
        self.text.write_text(TEXT + "It was the age of wisdom.\n" * (1 + number % 3))

    def restore_the_text(self, number: int) -> None:
        self.text.write_text(self.learned)

    def clear_the_cache(self, number: int) -> None:
        shutil.rmtree(self.folder / "cache" / "corpora", ignore_errors=True)

    def _record_bytes(self) -> bytes | None:
        path = self.run / "run.json"
        return path.read_bytes() if path.exists() else None

    def _record(self) -> Mapping[str, Any] | None:
        data = self._record_bytes()
        return None if data is None else json.loads(data)

    def _trained(self) -> int:
        """The steps of the last checkpoint."""
        states = sorted(self.run.glob("checkpoints/checkpoint-*/state.json"))
        return int(json.loads(states[-1].read_text())["step"]) if states else 0

    def check(self) -> None:
        """What is written in the folder is so."""
        record = self._record()
        if record is None:
            return
        trained = self._trained()
        assert record["request"]["steps"] >= trained
        if (self.run / "card.json").exists():
            card = json.loads((self.run / "card.json").read_text())
            assert card["budget"] == str(Budget("steps", trained))
            assert card["corpus"]["fingerprint"] == record["corpus"]["fingerprint"]
            assert card["corpus"]["characters"] == len(self.learned)
        if (self.run / "model.safetensors").exists():
            assert len(sunspring.load(self.run).write(length=3)) == 3


ACTIONS = [name for name in vars(World) if name[0] != "_" and name not in ("play", "check")]
RESUMING = [name for name in ACTIONS if name.startswith("resume")]
steps = st.tuples(st.one_of(st.sampled_from(ACTIONS), st.sampled_from(RESUMING)), st.integers(1, 6))
stories = st.builds(
    lambda first, rest: [first, *rest],
    st.tuples(st.sampled_from(["begin", "begin_and_kill"]), st.integers(1, 6)),
    st.lists(steps, min_size=2, max_size=9),
)


@contextlib.contextmanager
def world(drive: Driver) -> Iterator[World]:
    """A new world, with a cache of its own."""
    kept = os.environ["SUNSPRING_CACHE"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SUNSPRING_CACHE"] = str(Path(folder, "cache"))
        try:
            yield World(Path(folder), drive)
        finally:
            os.environ["SUNSPRING_CACHE"] = kept


def tell(story: list[tuple[str, int]], drive: Driver) -> None:
    with world(drive) as place:
        for action, number in story:
            place.play(action, number)


@settings(max_examples=20)
@given(stories)
def test_whatever_happens_to_a_run_its_record_is_true(story: list[tuple[str, int]]) -> None:
    tell(story, in_this_process)


@pytest.mark.long
@settings(max_examples=40)
@given(stories)
def test_whatever_happens_to_a_run_of_real_processes_its_record_is_true(
    story: list[tuple[str, int]],
) -> None:
    tell(story, in_processes)
