import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from chains import load_network
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.errors import ModelError
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.checkpoint import (
    Checkpoint,
    RunFolder,
    model_weights,
    pack_model,
)

VOCABULARY = CharacterVocabulary("abcé\n", end=False, unknown=False)
CONFIG = ModelConfig(5, layers=2, hidden_size=4, embedding_size=3)


def make_model() -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(CONFIG)


def save_example(folder: Path) -> None:
    pack_model(make_model(), VOCABULARY, {"title": "an example"}).write(folder)


def checkpoint_at(step: int) -> Checkpoint:
    """A checkpoint whose every part tells its step."""
    weights = {
        name: torch.full_like(tensor, step) for name, tensor in make_model().state_dict().items()
    }
    return Checkpoint(
        state={"step": step, "position": {"first": [step]}},
        weights=weights,
        best=weights,
        optimizers={"0.0.step": torch.tensor(float(step))},
        carried={"random.cpu": torch.full((3,), step, dtype=torch.uint8)},
    )


def step_of(checkpoint: Checkpoint) -> int:
    """The step of a checkpoint, all of whose parts must be of that step."""
    step = int(checkpoint.state["step"])
    expected = checkpoint_at(step)
    assert checkpoint.state == expected.state
    for part in ("weights", "best", "optimizers", "carried"):
        tensors, wanted = getattr(checkpoint, part), getattr(expected, part)
        assert tensors.keys() == wanted.keys()
        assert all(torch.equal(tensors[name], wanted[name]) for name in wanted)
    return step


def begin_run(path: Path, *steps: int) -> RunFolder:
    run = RunFolder(path)
    run.begin(CONFIG, VOCABULARY, {"seed": 1})
    for step in steps:
        run.save_checkpoint(checkpoint_at(step))
    return run


def fail(warning: str) -> None:
    raise AssertionError(warning)


def checkpoint_folders(run: RunFolder) -> list[Path]:
    return sorted((run.path / "checkpoints").iterdir())


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def test_run_begins_with_what_does_not_change(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "a" / "run")
    assert not run.exists
    run.begin(CONFIG, VOCABULARY, {"seed": 1})
    assert run.exists
    assert not run.has_checkpoint
    assert run.record() == {"seed": 1}


def test_checkpoint_comes_back(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10)
    assert run.has_checkpoint
    assert step_of(run.latest_checkpoint(fail)) == 10


def test_run_folder_is_a_model_folder_of_the_best_weights(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run")
    best = model_weights(make_model())
    run.save_checkpoint(replace(checkpoint_at(3), best=best))
    model = load_network(run.path)
    assert all(torch.equal(tensor, best[name]) for name, tensor in model.state_dict().items())


def test_last_two_checkpoints_are_kept_and_nothing_else(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10, 20, 30, 40)
    assert len(checkpoint_folders(run)) == 2
    assert step_of(run.latest_checkpoint(fail)) == 40
    shutil.rmtree(checkpoint_folders(run)[-1])
    assert step_of(run.latest_checkpoint(fail)) == 30


def test_checkpoint_holds_safetensors_and_json_alone(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10)
    for path in checkpoint_folders(run)[0].iterdir():
        if path.suffix == ".json":
            json.loads(path.read_text(encoding="utf-8"))
        else:
            assert path.suffix == ".safetensors"
            load_file(path)


def test_newest_is_what_was_saved_last_whatever_its_step(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10, 20, 5)
    assert step_of(run.latest_checkpoint(fail)) == 5


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
    run = begin_run(tmp_path / "run", 10)
    names = sorted(path.name for path in checkpoint_folders(run)[0].iterdir())
    assert names == sorted(CHECKPOINT_FILES)


@pytest.mark.parametrize("name", CHECKPOINT_FILES)
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_checkpoint_falls_back_to_the_one_before_with_a_warning(
    name: str, damage: Callable[[Path], object], tmp_path: Path
) -> None:
    run = begin_run(tmp_path / "run", 10, 20)
    damage(checkpoint_folders(run)[-1] / name)
    warnings: list[str] = []
    assert step_of(run.latest_checkpoint(warnings.append)) == 10
    assert len(warnings) == 1
    assert str(checkpoint_folders(run)[-1]) in warnings[0]
    assert "\n" not in warnings[0]


@pytest.fixture(scope="module")
def example_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of two checkpoints; whoever changes it puts it back."""
    return begin_run(tmp_path_factory.mktemp("example") / "run", 10, 20)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_checkpoint_goes_unnoticed(
    data: st.DataObject, example_run: RunFolder
) -> None:
    path = checkpoint_folders(example_run)[-1] / data.draw(st.sampled_from(CHECKPOINT_FILES))
    content = path.read_bytes()
    changed = bytearray(content)
    changed[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(changed)
    warnings: list[str] = []
    step = step_of(example_run.latest_checkpoint(warnings.append))
    path.write_bytes(content)
    assert (step, len(warnings)) == (10, 1)


def test_training_goes_on_over_a_damaged_checkpoint(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10, 20)
    flip(checkpoint_folders(run)[-1] / "weights.safetensors")
    run.save_checkpoint(checkpoint_at(15))
    assert step_of(run.latest_checkpoint(fail)) == 15
    run.save_checkpoint(checkpoint_at(20))
    assert step_of(run.latest_checkpoint(fail)) == 20


def test_run_whose_checkpoints_are_all_damaged_says_so(tmp_path: Path) -> None:
    run = begin_run(tmp_path / "run", 10, 20)
    for folder in checkpoint_folders(run):
        flip(folder / "state.json")
    warnings: list[str] = []
    with pytest.raises(ModelError, match="no whole checkpoint: train again"):
        run.latest_checkpoint(warnings.append)
    assert len(warnings) == 2


def test_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no whole checkpoint"):
        begin_run(tmp_path / "run").latest_checkpoint(fail)


def test_folder_with_a_run_or_a_model_is_not_free(tmp_path: Path) -> None:
    save_example(tmp_path / "model")
    (tmp_path / "file").write_text("text")
    for path in (begin_run(tmp_path / "run").path, tmp_path / "model"):
        with pytest.raises(ModelError, match=r"already holds a run: .*--resume"):
            RunFolder(path).check_free()
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
    with pytest.raises(ModelError, match="run cannot be written"):
        run.save_checkpoint(checkpoint_at(1))


DISK_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def save_in_a_child_killed_at_event(run: RunFolder, step: int, number: int) -> bool:
    """Save in a child that SIGKILLs itself at its `number`th access to the disk.

    Returns:
        Whether it was killed, and not done before.
    """
    checkpoint = checkpoint_at(step)
    child = os.fork()
    if child == 0:
        left = number

        def kill(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal left
            if event in DISK_EVENTS:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(kill)
            run.save_checkpoint(checkpoint)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
@pytest.mark.parametrize("before", [(5,), (5, 10), (10, 20)])
def test_kill_at_any_access_to_the_disk_leaves_a_whole_checkpoint(
    before: tuple[int, ...], tmp_path: Path
) -> None:
    begin_run(tmp_path / "before", *before)
    number, killed, seen = 0, True, set()
    while killed:
        number += 1
        run = RunFolder(shutil.copytree(tmp_path / "before", tmp_path / str(number)))
        killed = save_in_a_child_killed_at_event(run, 10, number)
        seen.add(step_of(run.latest_checkpoint(fail)))
        assert seen <= {before[-1], 10}
        load_network(run.path)
    assert number > 10
    assert 10 in seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system with fork")
def test_killed_saves_leave_nothing_behind_after_the_next_one(tmp_path: Path) -> None:
    clean = begin_run(tmp_path / "clean", 10, 20)
    run = begin_run(tmp_path / "run", 10)
    number = 1
    while save_in_a_child_killed_at_event(run, 15, number):
        number += 1
    run.save_checkpoint(checkpoint_at(20))
    assert len(checkpoint_folders(run)) == len(checkpoint_folders(clean))
    names = [sorted(path.name for path in each.path.iterdir()) for each in (run, clean)]
    assert names[0] == names[1]


ENDLESS_SAVING = """
import sys
from pathlib import Path
import torch
from sunspring.training.checkpoint import Checkpoint, RunFolder

run, step = RunFolder(Path(sys.argv[1])), int(sys.argv[2])
while True:
    step += 1
    tensors = {"values": torch.full((300_000,), float(step))}
    print(step, flush=True)
    run.save_checkpoint(Checkpoint({"step": step}, tensors, tensors, tensors, tensors))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system with SIGKILL")
def test_process_killed_again_and_again_while_it_saves_leaves_a_whole_checkpoint(
    tmp_path: Path,
) -> None:
    run = begin_run(tmp_path / "run")
    step = 0
    for lines in (2, 5, 9):
        command = [sys.executable, "-c", ENDLESS_SAVING, str(run.path), str(step)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            started = [int(child.stdout.readline()) for _ in range(lines)]
            child.kill()
        checkpoint = run.latest_checkpoint(fail)
        step = checkpoint.state["step"]
        assert started[-2] <= step  # the one before was whole when the last was begun
        for tensors in (checkpoint.weights, checkpoint.best, checkpoint.carried):
            assert (tensors["values"] == step).all()
