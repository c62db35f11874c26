"""Whether a training fits into this machine's memory and disk."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sunspring.errors import SettingsError
from sunspring.machine import memory_bytes
from sunspring.network.config import ModelConfig, least_parameters
from sunspring.notices import counted
from sunspring.storage import check_room
from sunspring.training.checkpoint import MOST_AT_ONCE
from sunspring.training.memory import checkpoint_bytes, step_bytes
from sunspring.training.plan import Plan
from sunspring.training.recipe import Recipe


def check_capacity(plan: Plan, device: torch.device, folder: Path) -> None:
    """Refuse a training that cannot fit in the memory of its device, or on the disk of its folder.

    Raises:
        SettingsError: a step needs more memory than this device has.
        ModelError: the folder's disk has too little room.
    """
    _check_memory(plan, device)
    _check_disk(plan, folder)


def fit_together(plans: Sequence[Plan], device: torch.device) -> bool:
    """Tell whether several trainings that take turns fit in the memory of their device."""
    return sum(step_bytes(each.model, each.recipe) for each in plans) <= memory_bytes(device)


def _check_memory(plan: Plan, device: torch.device) -> None:
    """Refuse what cannot fit in memory before allocating it: some systems kill the process."""
    config, recipe, held = plan.model, plan.recipe, memory_bytes(device)
    needed = step_bytes(config, recipe)
    if needed > held:
        raise SettingsError(
            f"a step of training {least_parameters(config):,} parameters with {_rows(recipe)} "
            f"takes at least {needed / 1e9:,.0f} GB of memory and this {device.type} has "
            f"{held / 1e9:,.0f}: lower {_what_helps(config, recipe, held)}"
        )


def _what_helps(config: ModelConfig, recipe: Recipe, held: float) -> str:
    """Name what may be lowered: what alone can make a step fit, or if nothing can, all there is."""
    loose = replace(config, tied=False)  # so that each size may change alone
    least = {
        "batch_size": step_bytes(config, replace(recipe, batch_size=1)),
        "window": step_bytes(config, replace(recipe, window=1)),
        "layers": step_bytes(replace(loose, layers=1), recipe),
        "hidden_size": step_bytes(replace(loose, hidden_size=1), recipe),
        "embedding_size": step_bytes(replace(loose, embedding_size=1), recipe),
    }
    lower = {name: each for name, each in least.items() if each < step_bytes(config, recipe)}
    names = [name for name, each in lower.items() if each <= held] or list(lower)
    return " or ".join(", ".join(names).rsplit(", ", 1))


def _check_disk(plan: Plan, folder: Path) -> None:
    """Refuse to train where the disk has no room for the model and its checkpoints."""
    check_room(
        folder,
        MOST_AT_ONCE * checkpoint_bytes(plan.model, plan.recipe),
        "the checkpoints of this training",
        "make room, or train in a folder on another disk",
    )


@contextlib.contextmanager
def explaining_memory(plan: Plan) -> Iterator[None]:
    """Turn what PyTorch says where memory is short into a message that says what to do.

    Raises:
        SettingsError: instead.
    """
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError is one of these
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise SettingsError(
            f"there is not enough memory for a step with {_rows(plan.recipe)}: "
            "choose a smaller batch_size, window or hidden_size"
        ) from None


def _rows(recipe: Recipe) -> str:
    return f"{counted(recipe.batch_size, 'row')} of {counted(recipe.window, 'token')}"
