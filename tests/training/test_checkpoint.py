import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from checkpoints import checkpoint_at, fail, save_in_a_child_killed_at_event, step_of
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from sunspring.errors import ModelError
from sunspring.training.checkpoint import Checkpoints


def saved(folder: Path, *steps: int) -> Checkpoints:
    checkpoints = Checkpoints(folder)
    for step in steps:
        checkpoints.save(checkpoint_at(step))
    return checkpoints


def folders(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_checkpoints_come_back(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "kept", 10)
    assert checkpoints.are_there
    assert step_of(checkpoints.latest(fail)) == 10
    assert step_of(Checkpoints(tmp_path / "kept").latest(fail)) == 10


def test_there_are_none_before_the_first_and_no_folder(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "kept")
    assert not checkpoints.are_there
    assert not (tmp_path / "kept").exists()


def test_what_else_is_in_the_folder_is_no_checkpoint(tmp_path: Path) -> None:
    for name in (".building", "checkpoint-", "checkpoint-last", "checkpoint-000000", "other"):
        (tmp_path / "kept" / name).mkdir(parents=True)
    assert not Checkpoints(tmp_path / "kept").are_there
    checkpoints = saved(tmp_path / "kept", 10)
    assert step_of(checkpoints.latest(fail)) == 10
    assert (tmp_path / "kept" / "checkpoint-000001").exists()


def test_a_damaged_one_is_there_all_the_same(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "kept", 10)
    (folders(tmp_path / "kept")[0] / "manifest.json").unlink()
    assert checkpoints.are_there


def test_last_two_are_kept_and_nothing_else(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "kept", 10, 20, 30, 40)
    assert len(folders(tmp_path / "kept")) == 2
    assert step_of(checkpoints.latest(fail)) == 40
    shutil.rmtree(folders(tmp_path / "kept")[-1])
    assert step_of(checkpoints.latest(fail)) == 30


def test_a_checkpoint_holds_safetensors_and_json_alone(tmp_path: Path) -> None:
    saved(tmp_path / "kept", 10)
    for path in folders(tmp_path / "kept")[0].iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        else:
            assert path.suffix == ".safetensors"
            load_file(path)


def test_newest_is_what_was_saved_last_whatever_its_step(tmp_path: Path) -> None:
    assert step_of(saved(tmp_path / "kept", 10, 20, 5).latest(fail)) == 5


@settings(max_examples=15, deadline=None)
@given(steps=st.lists(st.integers(0, 250), min_size=1, max_size=12), data=st.data())
def test_any_number_of_saves_keep_the_last_two_in_their_order(
    steps: list[int], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run") / "kept"
    checkpoints = saved(folder, *steps)
    assert step_of(checkpoints.latest(fail)) == steps[-1]
    assert len(folders(folder)) == min(2, len(steps))
    if len(steps) > 1:
        flip(folders(folder)[-1] / data.draw(st.sampled_from(CHECKPOINT_FILES)))
        assert step_of(checkpoints.latest(lambda line: None)) == steps[-2]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "flipped": flip,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "deleted": Path.unlink,
    "folder": replace_by_folder,
    "null": lambda path: path.write_text("null"),
    "braces": lambda path: path.write_text("{}"),
    "list": lambda path: path.write_text("[]"),
}
CHECKPOINT_FILES = [
    "manifest.json",
    "state.json",
    "weights.safetensors",
    "best.safetensors",
    "optimizers.safetensors",
    "carried.safetensors",
]


def test_every_file_of_a_checkpoint_is_in_the_tests_of_damage(tmp_path: Path) -> None:
    saved(tmp_path / "kept", 10)
    names = sorted(path.name for path in folders(tmp_path / "kept")[0].iterdir())
    assert names == sorted(CHECKPOINT_FILES)


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(
    name: str, damage: Callable[[Path], object], tmp_path: Path
) -> None:
    checkpoints = saved(tmp_path / "kept", 10, 20)
    damage(folders(tmp_path / "kept")[-1] / name)
    warnings: list[str] = []
    assert step_of(checkpoints.latest(warnings.append)) == 10
    assert len(warnings) == 1
    assert str(folders(tmp_path / "kept")[-1]) in warnings[0]
    assert "\n" not in warnings[0]


@pytest.fixture(scope="module")
def two_checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two checkpoints; whoever changes it puts it back."""
    folder = tmp_path_factory.mktemp("example") / "kept"
    saved(folder, 10, 20)
    return folder


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(
    data: st.DataObject, two_checkpoints: Path
) -> None:
    path = folders(two_checkpoints)[-1] / data.draw(st.sampled_from(CHECKPOINT_FILES))
    content = path.read_bytes()
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    warnings: list[str] = []
    step = step_of(Checkpoints(two_checkpoints).latest(warnings.append))
    path.write_bytes(content)
    assert (step, len(warnings)) == (10, 1)


def test_training_goes_on_over_a_damaged_checkpoint(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "kept", 10, 20)
    flip(folders(tmp_path / "kept")[-1] / "weights.safetensors")
    checkpoints.save(checkpoint_at(15))
    assert step_of(checkpoints.latest(fail)) == 15
    checkpoints.save(checkpoint_at(20))
    assert step_of(checkpoints.latest(fail)) == 20


def test_a_folder_whose_checkpoints_are_all_damaged_says_so(tmp_path: Path) -> None:
    checkpoints = saved(tmp_path / "kept", 10, 20)
    for folder in folders(tmp_path / "kept"):
        flip(folder / "state.json")
    warnings: list[str] = []
    with pytest.raises(ModelError) as caught:
        checkpoints.latest(warnings.append)
    assert str(caught.value) == (
        f"{tmp_path / 'kept'} has no intact checkpoint: train again with another --out"
    )
    assert len(warnings) == 2


def test_a_folder_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no intact checkpoint: train again"):
        Checkpoints(tmp_path / "kept").latest(fail)


@pytest.mark.parametrize("name", ["kept", "none/kept"])
def test_a_folder_that_cannot_be_made_is_one_clear_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    with pytest.raises(ModelError, match="kept cannot be written") as caught:
        Checkpoints(tmp_path / name).save(checkpoint_at(1))
    assert "\n" not in str(caught.value)
    assert (tmp_path / "kept").read_text() == "in the way"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.parametrize("before", [(5,), (5, 10), (10, 20)])
def test_kill_at_any_access_to_the_disk_leaves_a_whole_checkpoint(
    before: tuple[int, ...], tmp_path: Path
) -> None:
    saved(tmp_path / "before", *before)
    number, killed, seen = 0, True, set()
    while killed:
        number += 1
        folder = shutil.copytree(tmp_path / "before", tmp_path / str(number))
        killed = save_in_a_child_killed_at_event(Checkpoints(folder).save, 10, number)
        seen.add(step_of(Checkpoints(folder).latest(fail)))
        assert seen <= {before[-1], 10}
    assert number > 10
    assert 10 in seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_killed_saves_leave_nothing_behind_after_the_next_one(tmp_path: Path) -> None:
    saved(tmp_path / "clean", 10, 20)
    checkpoints = saved(tmp_path / "kept", 10)
    number = 1
    while save_in_a_child_killed_at_event(checkpoints.save, 15, number):
        number += 1
    checkpoints.save(checkpoint_at(20))
    clean, kept = folders(tmp_path / "clean"), folders(tmp_path / "kept")
    assert len(kept) == len(clean)
    names = [sorted(path.name for path in each[-1].iterdir()) for each in (clean, kept)]
    assert names[0] == names[1]


ENDLESS_SAVING = """
import sys
from pathlib import Path
import torch
from sunspring.training.checkpoint import Checkpoint, Checkpoints

checkpoints, step = Checkpoints(Path(sys.argv[1])), int(sys.argv[2])
while True:
    step += 1
    tensors = {"values": torch.full((300_000,), float(step))}
    print(step, flush=True)
    checkpoints.save(Checkpoint({"step": step}, tensors, tensors, tensors, tensors))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
def test_process_killed_again_and_again_while_it_saves_leaves_a_whole_checkpoint(
    tmp_path: Path,
) -> None:
    step = 0
    for lines in (2, 5, 9):
        command = [sys.executable, "-c", ENDLESS_SAVING, str(tmp_path / "kept"), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            started = [int(child.stdout.readline()) for _ in range(lines)]
            child.kill()
        checkpoint = Checkpoints(tmp_path / "kept").latest(fail)
        step = checkpoint.state["step"]
        assert started[-2] <= step  # the one before was whole when the last was begun
        for tensors in (checkpoint.weights, checkpoint.best, checkpoint.carried):
            assert (tensors["values"] == step).all()
