"""Checkpoints that tell their step, and saves that are killed, for the tests of both."""

import os
import signal
import sys
from collections.abc import Callable

import torch

from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.checkpoint import Checkpoint

VOCABULARY = CharacterVocabulary("abcé\n", end=False, unknown=False)
CONFIG = ModelConfig(5, layers=2, hidden_size=4, embedding_size=3)


def make_model() -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(CONFIG)


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


def fail(warning: str) -> None:
    raise AssertionError(warning)


DISK_EVENTS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")


def save_in_a_child_killed_at_event(
    save: Callable[[Checkpoint], None], step: int, number: int
) -> bool:
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
            save(checkpoint)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0
