"""What this machine is and what it does well: device, number format, memory, versions.

Training asks it once before the first step, `sunspring doctor` prints all of it.
"""

from __future__ import annotations

import os
import platform
import shutil
import time
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sunspring.errors import SettingsError
from sunspring.model import ModelConfig, RecurrentModel

Precision = Literal["fp32", "bf16"]

_BF16_GAIN = 1.1  # below this the speed is not worth the rounding
_SOUND_COSINE = 0.99  # between the gradients of the two formats
_PROBE_STEPS = 3


@dataclass(frozen=True)
class PrecisionProbe:
    """What `probe_precision` measured.

    Args:
        fp32: tokens a second, forward and backward.
        bf16: the same under bf16 autocast; 0 where it does not run.
        cosine: of the angle between the gradients of the two.
        choice: the faster that is sound.
    """

    fp32: float
    bf16: float
    cosine: float
    choice: Precision


def choose_device(name: str) -> torch.device:
    """Pick the device: `auto` takes a CUDA GPU where there is one.

    Raises:
        SettingsError: the name is unknown, or `cuda` is asked for and there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"device is {name!r}: choose auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise SettingsError(
            "there is no CUDA GPU that PyTorch can use: take --device cpu, or see sunspring doctor"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def probe_precision(
    config: ModelConfig, batch_size: int, window: int, device: torch.device
) -> PrecisionProbe:
    """Measure whether bf16 is faster and sound for training this model on this device.

    Both formats run the same few steps from the same weights; bf16 is chosen if it is clearly
    faster and its gradient points the same way. Leaves the global random generators as they were.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        no_dropout = replace(config, embedding_dropout=0, layer_dropout=0, output_dropout=0)
        model = RecurrentModel(no_dropout).to(device)
        tokens = torch.randint(config.vocabulary_size, (batch_size, window + 1), device=device)
        fp32_speed, fp32_gradient = _time_steps(model, tokens, bf16=False)
        try:
            bf16_speed, bf16_gradient = _time_steps(model, tokens, bf16=True)
        except RuntimeError:  # no bf16 kernels for this device or cell
            return PrecisionProbe(fp32_speed, 0.0, 0.0, "fp32")
    cosine = float(F.cosine_similarity(fp32_gradient, bf16_gradient, dim=0))
    sound = cosine > _SOUND_COSINE and bf16_speed > _BF16_GAIN * fp32_speed
    return PrecisionProbe(fp32_speed, bf16_speed, cosine, "bf16" if sound else "fp32")


def _time_steps(model: RecurrentModel, tokens: Tensor, bf16: bool) -> tuple[float, Tensor]:
    """Time forward and backward passes; returns tokens a second and the gradient (parameters,)."""
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    rows = len(tokens)
    labels = torch.zeros(rows, dtype=torch.long, device=tokens.device)
    parameters = list(model.parameters())
    fastest = float("inf")
    for _ in range(1 + _PROBE_STEPS):
        _synchronise(tokens.device)
        began = time.perf_counter()
        with torch.autocast(tokens.device.type, dtype=torch.bfloat16, enabled=bf16):
            logits, _ = model(inputs, model.initial_state(rows), labels)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        gradients = torch.autograd.grad(loss, parameters)
        _synchronise(tokens.device)
        fastest = min(fastest, time.perf_counter() - began)
    return inputs.numel() / fastest, torch.cat([each.flatten() for each in gradients])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe_machine(cache: Path) -> dict[str, Any]:
    """Collect what a report about this machine needs: processor, GPU, threads, disk, versions."""
    return {
        "processor": _processor_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "free_disk_gb": {"here": _free_gigabytes(Path.cwd()), "cache": _free_gigabytes(cache)},
        "cache": str(cache),
        "versions": {"python": platform.python_version(), **_package_versions()},
    }


def memory_bytes(device: torch.device) -> float:
    """Give the memory that a device has; infinity where the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return float("inf")


def usable_cores() -> int:
    """Count the processor cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _free_gigabytes(path: Path) -> float:
    existing = next(each for each in (path, *path.parents) if each.exists())
    return round(shutil.disk_usage(existing).free / 1e9, 1)


def _package_versions() -> dict[str, str]:
    names = ("sunspring", "torch", "numpy", "tokenizers", "safetensors", "outlines-core")
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor_name() -> str:
    """Name the processor; Linux says it in /proc/cpuinfo, others through `platform`."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
