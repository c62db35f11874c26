"""What a folder is, and who holds it."""

import errno
import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import pytest
from files import write

from sunspring.errors import ModelError
from sunspring.folders import LOCK, contents, hold, is_own, kind_of
from sunspring.storage import cache_folder, check_replaceable


def test_folder_is_known_by_what_is_in_it(trained: Path) -> None:
    assert kind_of(Path("new")) == "free"
    Path("empty").mkdir()
    write("empty/.DS_Store", "of a Mac")
    assert kind_of(Path("empty")) == "free"
    assert kind_of(trained) == "run"
    shutil.copytree(trained, "saved")
    shutil.rmtree("saved/checkpoints")
    Path("saved/log.jsonl").unlink()
    assert kind_of(Path("saved")) == "model"
    Path("saved/run.json").unlink()
    assert kind_of(Path("saved")) == "model"
    assert {kind_of(path) for path in (cache_folder() / "corpora").iterdir()} == {"cache"}
    assert kind_of(cache_folder()) == "cache"
    write("stopped/tokenizer.json", "{}")
    assert kind_of(Path("stopped")) == "other"
    write(f"stopped/{LOCK}", "")
    assert kind_of(Path("stopped")) == "begun"


@pytest.mark.parametrize("name", ["run.json", "config.json", "corpus.json", "report.html", LOCK])
@pytest.mark.parametrize("content", ["", "{}", '{"mine": 1}', "[]"])
def test_folder_of_somebody_else_is_not_taken_for_ours(name: str, content: str) -> None:
    for each in ("tokenizer.json", "model.safetensors", "notes.txt", name):
        write(f"site/{each}", content)
    assert not is_own(Path("site"))
    held = contents(Path("site"))
    assert held is not None and held.startswith("holds files of another kind (")


def test_holder_is_named_to_the_second_and_leaves_nothing_behind() -> None:
    run = Path("run")
    run.mkdir()
    with hold(run):
        with pytest.raises(ModelError) as caught, hold(run):
            pass
        message = str(caught.value)
        assert message.startswith(
            f"run is being trained by process {os.getpid()} on {platform.node()}, since "
        )
        assert f"kill {os.getpid()} (if it is suspended" in message
    assert list(run.iterdir()) == []
    with hold(run):
        pass


def test_folder_that_is_moved_stays_held_and_its_old_place_is_free() -> None:
    Path("run").mkdir()
    with hold(Path("run")) as held:
        held.check()
        Path("run").rename("moved")
        with pytest.raises(ModelError, match="was moved or deleted"):
            held.check()
        with pytest.raises(ModelError, match="moved is being trained by"), hold(Path("moved")):
            pass
        Path("run").mkdir()
        with hold(Path("run")), pytest.raises(ModelError, match="was moved or deleted"):
            held.check()
    Path("moved", LOCK).unlink()
    assert list(Path("run").iterdir()) == []


def test_process_that_was_killed_holds_nothing() -> None:
    Path("run").mkdir()
    child = os.fork()
    if child == 0:
        with hold(Path("run")):
            os._exit(0)
    os.waitpid(child, 0)
    assert json.loads(Path("run", LOCK).read_text())["process"] == child
    with hold(Path("run")):
        pass


def test_without_locks_the_file_decides_and_the_message_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*arguments: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    Path("run").mkdir()
    with hold(Path("run")):
        with pytest.raises(ModelError) as caught, hold(Path("run")):
            pass
        message = str(caught.value)
        assert f"process {os.getpid()} on " in message
        assert message.endswith(f"if that process is over, delete {Path('run', LOCK)}")
    with hold(Path("run")):
        pass


def test_folder_that_cannot_be_held_is_one_clear_line() -> None:
    with pytest.raises(ModelError, match="none cannot be written"), hold(Path("none")):
        pass


def test_file_is_replaced_if_it_is_of_our_make() -> None:
    def is_ours(head: bytes) -> bool:
        return head.startswith(b"ours")

    for content, fits in ((b"ours", True), (b"", True), (b"mine", False)):
        write("file", content)
        if fits:
            check_replaceable(Path("file"), is_ours, "ours")
        else:
            with pytest.raises(ModelError, match="file holds something else than ours"):
                check_replaceable(Path("file"), is_ours, "ours")
    check_replaceable(Path("new"), is_ours, "ours")
    Path("folder").mkdir()
    with pytest.raises(ModelError, match="folder is a folder: name a file"):
        check_replaceable(Path("folder"), is_ours, "ours")
