"""An examination of this machine: what it has, how fast it is, and what `train` would do on it.

The speeds are measured, beside whatever else the machine does just now: of writing with the bundled
model and, if PyTorch is installed, of training the model of the default plan.
"""

from __future__ import annotations

import string
import time
from dataclasses import asdict
from typing import Any

from sunspring.machine import OtherWork, describe_machine, has_torch, usable_cores
from sunspring.model import Model
from sunspring.network.native import instruction_sets
from sunspring.storage import cache_folder
from sunspring.training.budget import Budget

MEASURED_MODEL = "shakespeare"

_CHARACTERS = 1_000_000  # length of the text that is planned for
_WRITTEN = 5000
_LOOK_SECONDS = 0.3  # at the work of other programs
_BUSY = 0.25  # cores; less hardly slows anything


def examine() -> dict[str, Any]:
    """Examine this machine, and return the object that `doctor --json` prints."""
    other_work = OtherWork()
    time.sleep(_LOOK_SECONDS)
    busy = _busy(other_work.cores(), usable_cores())
    model = Model.load(MEASURED_MODEL)
    report = {
        **describe_machine(cache_folder()),
        "busy": busy,
        "engine": model.engine,
        "instruction_sets": instruction_sets(),
        "speeds": {"writing": _writing_speed(model)},
    }
    if not has_torch():
        return report
    training = _examine_training()
    report["speeds"]["training"] = training.pop("speed")
    return report | training


def _busy(other_cores: float | None, cores: int) -> dict[str, Any]:
    """Say how busy the machine is, and which share of the quiet speed that leaves.

    Threads wait for the one whose core is taken, so the share is that of the cores which are free.
    """
    if other_cores is None:
        return {"other_cores": None, "is_busy": None, "speed_left": None}
    is_busy = other_cores > _BUSY
    left = max(0.0, 1 - other_cores / cores) if is_busy else 1.0
    return {
        "other_cores": round(other_cores, 2),
        "is_busy": is_busy,
        "speed_left": round(left, 2),
    }


def _writing_speed(model: Model) -> float:
    """Return the characters per second of writing one text."""
    model.write(length=1)
    began = time.perf_counter()
    model.write(length=_WRITTEN)
    return _WRITTEN / (time.perf_counter() - began)


def _examine_training() -> dict[str, Any]:
    from sunspring.machine import choose_device
    from sunspring.network.loops import loop_names
    from sunspring.training.plan import Overrides, make_plan
    from sunspring.training.speeds import Speeds

    device = choose_device("auto")
    budget, speeds = Budget("minutes", 3), Speeds(device)
    plan = make_plan(
        preset="auto",
        vocabulary_size=len(string.printable),
        labels=(),
        training_characters=_CHARACTERS,
        documents=1,
        budget=budget,
        throughput=speeds.throughput,
        overrides=Overrides({}, {}, {}),
    )
    speed = speeds.of(plan.model, plan.recipe)
    return {
        "device": device.type,
        "speed": speed.tokens_per_second,
        "bf16": {
            "supported": speed.bf16 > 0,
            "chosen": speed.choice == "bf16",
            "fp32": speed.fp32,
            "bf16": speed.bf16,
            "cosine": speed.cosine,
            "choice": speed.choice,
        },
        "loops": loop_names(),
        "train_would_choose": {
            "for": f"{_CHARACTERS:,} characters in {budget}",
            "preset": plan.preset,
            "precision": speed.choice,
            "model": asdict(plan.model),
            "recipe": asdict(plan.recipe),
        },
    }
