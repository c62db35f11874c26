import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chains import load_network
from checkpoints import (
    CONFIG,
    VOCABULARY,
    checkpoint_at,
    fail,
    make_model,
    save_in_a_child_killed_at_event,
    step_of,
)

from sunspring.errors import ModelError
from sunspring.network.weights import model_weights, pack_model
from sunspring.runs.folder import RunFolder


def save_example(folder: Path) -> None:
    pack_model(make_model(), VOCABULARY, {"title": "an example"}).write(folder)


RECORD = {"request": {}, "plan": {}}


def begin_run(path: Path, *steps: int) -> RunFolder:
    with RunFolder(path).begin(CONFIG, VOCABULARY, RECORD):
        run = RunFolder(path)
        for step in steps:
            run.save(checkpoint_at(step))
    return run


def checkpoint_folders(run: RunFolder) -> list[Path]:
    return sorted((run.path / "checkpoints").iterdir())


def test_run_begins_with_what_does_not_change(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a" / "run")
    assert not run.exists
    with run.begin(CONFIG, VOCABULARY, RECORD):
        assert run.exists
        assert not run.checkpoints.are_there
    assert run.record() == RECORD
    assert sorted(path.name for path in run.path.iterdir()) == [
        *("config.json", "run.json", "tokenizer.json")
    ]


def test_record_is_replaced_whole(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    run.write_record(CONFIG, {"seed": 2, "name": "é"})
    assert run.record() == {"seed": 2, "name": "é"}


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10)
    assert run.checkpoints.are_there
    assert step_of(run.checkpoints.latest(fail)) == 10


def test_run_folder_is_a_model_folder_of_the_best_weights(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    best = model_weights(make_model())
    run.save(replace(checkpoint_at(3), best=best))
    model = load_network(run.path)
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("content", ["", "{", "[]", "3"])
def test_record_that_is_damaged_is_one_clear_line(content: str, tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    (run.path / "run.json").write_text(content)
    with pytest.raises(ModelError, match=r"run\.json is damaged") as caught:
        run.record()
    assert "\n" not in str(caught.value)


def test_folder_with_a_run_or_a_model_is_not_free(tmp_path: Path) -> None:
    save_example(tmp_path / "model")
    (tmp_path / "file").write_text("text")
    begin_run(tmp_path / "run")
    with pytest.raises(ModelError, match=r"already holds a run: .*--resume"):
        RunFolder(tmp_path / "run").check_free()
    with pytest.raises(ModelError, match=r"already holds a model: name a new or empty folder"):
        RunFolder(tmp_path / "model").check_free()
    with pytest.raises(ModelError, match="is a file"):
        RunFolder(tmp_path / "file").check_free()


def test_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    RunFolder(tmp_path).check_free()
    RunFolder(tmp_path / "new" / "run").check_free()


def test_folder_that_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"it has no run\.json"):
        RunFolder(tmp_path).record()


@pytest.mark.parametrize("inside", [False, True])
def test_folder_that_cannot_be_made_is_one_clear_line(inside: bool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    path = tmp_path / "file" / "run" if inside else tmp_path / "file"
    for make in (lambda: begin_run(path), lambda: save_example(path)):
        with pytest.raises(ModelError, match=r"file") as caught:
            make()
        assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "in the way"


def test_folder_that_takes_no_checkpoint_is_one_clear_line(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    (run.path / "checkpoints").write_text("in the way")
    with pytest.raises(ModelError, match="run/checkpoints cannot be written") as caught:
        run.save(checkpoint_at(1))
    assert "\n" not in str(caught.value)
    assert not (run.path / "model.safetensors").exists()


def test_run_that_saved_nothing_yet_says_so(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    with pytest.raises(
        ModelError,
        match=r"has no model\.safetensors, as its training has saved nothing yet.*--resume",
    ):
        load_network(run.path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.parametrize("before", [(5,), (5, 10), (10, 20)])
def test_kill_at_any_access_to_the_disk_leaves_a_whole_checkpoint_and_a_model(
    before: tuple[int, ...], tmp_path: Path
) -> None:
    begin_run(tmp_path / "before", *before)
    number, killed, seen = 0, True, set()
    while killed:
        number += 1
        run = RunFolder(shutil.copytree(tmp_path / "before", tmp_path / str(number)))
        killed = save_in_a_child_killed_at_event(run.save, 10, number)
        seen.add(step_of(run.checkpoints.latest(fail)))
        assert seen <= {before[-1], 10}
        load_network(run.path)
    assert number > 10
    assert 10 in seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_killed_saves_leave_nothing_behind_after_the_next_one(tmp_path: Path) -> None:
    clean = begin_run(tmp_path / "clean", 10, 20)
    run = begin_run(tmp_path / "run", 10)
    number = 1
    while save_in_a_child_killed_at_event(run.save, 15, number):
        number += 1
    run.save(checkpoint_at(20))
    assert len(checkpoint_folders(run)) == len(checkpoint_folders(clean))
    names = [sorted(path.name for path in each.path.iterdir()) for each in (run, clean)]
    assert names[0] == names[1]
