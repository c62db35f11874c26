"""A look at this machine: what it is, how fast it is, and what `train` would do on it.

Measured on the spot with the model of the default plan. Stands after everything that it measures.
"""

from __future__ import annotations

import string
import time
from dataclasses import asdict
from typing import Any

from sunspring.downloads import cache_folder
from sunspring.drafts import WritingSettings
from sunspring.generation import Writer
from sunspring.machine import choose_device, describe_machine
from sunspring.model import RecurrentModel
from sunspring.plan import Budget, make_plan
from sunspring.recurrence import has_fused_scan
from sunspring.speeds import measure_machine, measure_speed
from sunspring.vocabulary import CharacterVocabulary

_CHARACTERS = 1_000_000  # of the text that the plan is asked for
_WRITTEN = 500


def examine() -> dict[str, Any]:
    """Measure this machine; the keys are those of `doctor --json`."""
    device = choose_device("auto")
    vocabulary = CharacterVocabulary(string.printable, end=False, unknown=False)
    budget = Budget("minutes", 3)
    plan = make_plan(
        preset="auto",
        vocabulary_size=vocabulary.size,
        labels=(),
        training_characters=_CHARACTERS,
        documents=1,
        budget=budget,
        throughput=measure_machine(device),
        overrides={},
    )
    speed = measure_speed(plan.model, plan.recipe, device)
    writer = Writer(RecurrentModel(plan.model).to(device), vocabulary)
    began = time.perf_counter()
    writer.write("", WritingSettings(length=_WRITTEN))
    writing = _WRITTEN / (time.perf_counter() - began)
    bf16 = {
        "supported": speed.bf16 > 0,
        "chosen": speed.choice == "bf16",
        **asdict(speed),
        "choice": speed.choice,
    }
    return {
        "device": device.type,
        **describe_machine(cache_folder()),
        "bf16": bf16,
        "fused_training": has_fused_scan(),
        "speeds": {"training": speed.tokens_per_second, "writing": writing},
        "engine": "torch",
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
    bf16, speeds, choice = report["bf16"], report["speeds"], report["train_would_choose"]
    model, recipe = choice["model"], choice["recipe"]
    gain = f"{bf16['bf16'] / bf16['fp32']:.2f} times fp32's speed" if bf16["supported"] else "none"
    facts = {
        "processor": f"{report['processor']}, {report['cores']} cores",
        "threads": report["threads"],
        "gpu": report["gpu"] or "none that PyTorch can use",
        "device": report["device"],
        "bf16": f"{gain}; training uses {bf16['choice']}",
        "training": f"about {speeds['training']:,.0f} characters/s, "
        f"{'fused loop over time' if report['fused_training'] else 'layers of PyTorch'}",
        "writing": f"about {speeds['writing']:,.0f} characters/s, engine {report['engine']}",
        "free disk": f"{report['free_disk_gb']['here']} GB here, "
        f"{report['free_disk_gb']['cache']} GB for the cache in {report['cache']}",
        "versions": ", ".join(f"{name} {number}" for name, number in report["versions"].items()),
        "train": f"for {choice['for']}: preset {choice['preset']}, {model['layers']} × "
        f"{model['hidden_size']} {model['cell']}, batch {recipe['batch_size']}, "
        f"window {recipe['window']}, {recipe['optimization']['optimizer']}",
    }
    return "\n".join(f"{name:<10} {fact}" for name, fact in facts.items())
