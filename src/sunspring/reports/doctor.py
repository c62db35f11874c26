"""A look at this machine: what it is, how fast it is, and what `train` would do on it.

Measured on the spot: writing with the model in the box, training with the model of the default
plan, where PyTorch is installed. Stands after everything that it measures.
"""

from __future__ import annotations

import string
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sunspring.loaded import LoadedModel
from sunspring.machine import describe_machine, has_torch
from sunspring.network.model_folder import ModelFiles
from sunspring.network.native import instruction_sets
from sunspring.text.downloads import cache_folder
from sunspring.training.budget import Budget

_CHARACTERS = 1_000_000  # of the text that the plan is asked for
_MODEL = Path("shakespeare")
_WRITTEN = 5000
_NO_TRAINING = "none: pip install 'sunspring[train]' brings PyTorch"


def examine() -> dict[str, Any]:
    """Measure this machine; the keys are those of `doctor --json`."""
    model = LoadedModel(ModelFiles.read(_MODEL))
    report = {
        **describe_machine(cache_folder()),
        "engine": model.engine,
        "instruction_sets": instruction_sets(),
        "speeds": {"writing": _writing_speed(model)},
    }
    if not has_torch():
        return report
    training = _examine_training()
    report["speeds"]["training"] = training.pop("speed")
    return report | training


def _writing_speed(model: LoadedModel) -> float:
    """Measure characters a second of one text."""
    model.write(length=1)
    began = time.perf_counter()
    model.write(length=_WRITTEN)
    return _WRITTEN / (time.perf_counter() - began)


def _examine_training() -> dict[str, Any]:
    from sunspring.machine import choose_device
    from sunspring.network.recurrence import has_fused_scan
    from sunspring.training.plan import make_plan
    from sunspring.training.speeds import measure_machine, measure_speed

    device = choose_device("auto")
    budget = Budget("minutes", 3)
    plan = make_plan(
        preset="auto",
        vocabulary_size=len(string.printable),
        labels=(),
        training_characters=_CHARACTERS,
        documents=1,
        budget=budget,
        throughput=measure_machine(device),
        overrides={},
    )
    speed = measure_speed(plan.model, plan.recipe, device)
    return {
        "device": device.type,
        "speed": speed.tokens_per_second,
        "bf16": {
            "supported": speed.bf16 > 0,
            "chosen": speed.choice == "bf16",
            **asdict(speed),
            "choice": speed.choice,
        },
        "fused_training": has_fused_scan(),
        "train_would_choose": {
            "for": f"{_CHARACTERS:,} characters in {budget}",
            "preset": plan.preset,
            "precision": speed.choice,
            "model": asdict(plan.model),
            "recipe": asdict(plan.recipe),
        },
    }


def describe(report: dict[str, Any]) -> str:
    """Put a report in words, a line a fact."""
    facts = {
        "processor": f"{report['processor']}, {report['cores']} cores",
        "writing": f"about {report['speeds']['writing']:,.0f} characters/s with the model "
        f"{_MODEL}, {_describe_engine(report)}",
        **(_describe_training(report) if "bf16" in report else {"training": _NO_TRAINING}),
        "free disk": f"{report['free_disk_gb']['here']} GB here, "
        f"{report['free_disk_gb']['cache']} GB for the cache in {report['cache']}",
        "versions": ", ".join(f"{name} {number}" for name, number in report["versions"].items()),
    }
    return "\n".join(f"{name:<10} {fact}" for name, fact in facts.items())


def _describe_training(report: dict[str, Any]) -> dict[str, str]:
    bf16, choice = report["bf16"], report["train_would_choose"]
    model, recipe = choice["model"], choice["recipe"]
    gain = f"{bf16['bf16'] / bf16['fp32']:.2f} times fp32's speed" if bf16["supported"] else "none"
    return {
        "training": f"about {report['speeds']['training']:,.0f} characters/s, "
        f"{'fused loop over time' if report['fused_training'] else 'layers of PyTorch'}",
        "threads": str(report["threads"]),
        "gpu": report["gpu"] or "none that PyTorch can use",
        "device": report["device"],
        "bf16": f"{gain}; training uses {bf16['choice']}",
        "train": f"for {choice['for']}: preset {choice['preset']}, {model['layers']} × "
        f"{model['hidden_size']} {model['cell']}, batch {recipe['batch_size']}, "
        f"window {recipe['window']}, {recipe['optimization']['optimizer']}",
    }


def _describe_engine(report: dict[str, Any]) -> str:
    if report["engine"] == "torch":
        return "engine torch: the native one was not built, as there was no C++ compiler"
    first, *rest = report["instruction_sets"]
    others = f"; there are {', '.join(rest)} too" if rest else ""
    return f"engine native by {first}{others}"
