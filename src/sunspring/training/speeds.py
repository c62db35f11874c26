"""How fast this machine trains, and in which number format: measured once and remembered.

bf16 can be twice as fast as fp32, slower, or missing, and how much a larger model costs depends on
caches and cores. So a few steps are timed; the result is kept for this machine and these versions.
"""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sunspring.machine import Precision, processor_name, usable_cores
from sunspring.network.config import DROPOUTS, ModelConfig, least_parameters
from sunspring.network.loops import loop_names, loops_at_work
from sunspring.network.network import RecurrentModel
from sunspring.storage import write_atomically
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import Sequences, objective_of, run_batch
from sunspring.training.optimizers import Optimizers
from sunspring.training.plan import PRESETS, Throughput
from sunspring.training.recipe import Recipe

_BF16_GAIN = 1.1  # below this the speed is not worth the rounding
_SOUND_COSINE = 0.99  # between the gradients of the two formats
_TIMED_STEPS = 4  # after one that does not count
_STEPS_TOGETHER = 8  # on a GPU, which works while the next step is prepared
_TIMED_SIZES = (128, 384)
_LARGEST_PREDICTED = 512  # beyond, a processor is as busy as it gets
_LONGEST = 1.0  # seconds, even if fewer steps were timed


@dataclass(frozen=True)
class Speed:
    """Training speed of one model and recipe.

    Args:
        fp32: tokens a second, over complete training steps.
        bf16: the same under bf16 autocast; 0 if it does not run.
        cosine: of the angle between the gradients of the two formats.
    """

    fp32: float
    bf16: float
    cosine: float

    @property
    def choice(self) -> Precision:
        """bf16 if it is clearly faster and its gradient points the same way, otherwise fp32."""
        is_sound = self.cosine > _SOUND_COSINE
        return "bf16" if is_sound and self.bf16 > _BF16_GAIN * self.fp32 else "fp32"

    @property
    def tokens_per_second(self) -> float:
        """The speed in the chosen format."""
        return self.bf16 if self.choice == "bf16" else self.fp32


def measure_speed(
    config: ModelConfig, recipe: Recipe, device: torch.device, cache: Path | None = None
) -> Speed:
    """Time a few training steps in both formats, or look up an earlier result.

    Leaves the global random generators as they were.

    Args:
        config: the model's architecture.
        recipe: how it would be trained.
        device: where it would be trained.
        cache: folder of the file that keeps the results; None to measure again and keep nothing.
    """
    none = dict.fromkeys(DROPOUTS, 0.0)
    plain = ModelConfig(**{**asdict(config), "labels": (), **none})
    if cache is None:
        return _measure(plain, recipe, device)
    question = {
        "machine": _machine(device),
        "model": asdict(plain),
        "batch": [recipe.batch_size, recipe.window],
        "objective": {name: value > 0 for name, value in asdict(recipe.objective).items()},
        "optimizer": [recipe.optimization.optimizer, recipe.optimization.muon_every],
    }
    return _remember(
        cache / "speeds.json",
        json.dumps(question, sort_keys=True),
        lambda: _measure(plain, recipe, device),
    )


def runs_in_bf16(model: RecurrentModel, recipe: Recipe) -> bool:
    """Tell whether a model's layers can be trained under bf16 autocast on its device.

    PyTorch has no such LSTM layer for processors without AVX-512.
    """
    tokens = torch.zeros((1, 2), dtype=torch.int64, device=model.device)
    fresh = torch.zeros(1, dtype=torch.bool, device=model.device)
    labels = tokens[:, 0] if model.config.labels else None
    try:
        with _kept_random(model.device):
            _gradient(model, recipe, Sequences(tokens, tokens, fresh, labels), bf16=True)
    except RuntimeError:
        return False
    return True


def _kept_random(device: torch.device) -> AbstractContextManager[None]:
    """Leave the random generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def measure_machine(device: torch.device, cache: Path | None = None) -> Throughput:
    """Predict the training speed of any model from two sizes, timed when first needed.

    The work done in a second is assumed to be a power of the hidden size: small matrices keep a
    processor less busy than large ones.
    """
    usual = PRESETS["small"]

    @functools.cache
    def work_per_second(size: int, pointer: int, batch_size: int) -> float:
        config = ModelConfig(96, **{**usual.model, "hidden_size": size, "pointer": pointer})
        recipe = replace(usual.recipe, batch_size=batch_size)
        speed = measure_speed(config, recipe, device, cache)
        return speed.tokens_per_second * least_parameters(config)

    def tokens_per_second(config: ModelConfig, batch_size: int) -> float:
        small, large = _TIMED_SIZES
        slow, fast = (work_per_second(size, config.pointer, batch_size) for size in _TIMED_SIZES)
        power = math.log(fast / slow) / math.log(large / small)
        size = min(config.hidden_size, _LARGEST_PREDICTED)
        return slow * math.pow(size / small, power) / least_parameters(config)

    return Throughput(tokens_per_second, device.type == "cuda")


def _machine(device: torch.device) -> dict[str, Any]:
    """Describe what a speed depends on, besides the model."""
    return {
        "processor": processor_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "loops": loop_names(),
        "versions": [version("sunspring"), torch.__version__],
    }


def _remember(path: Path, question: str, measure: Callable[[], Speed]) -> Speed:
    """Look up a result in a file, or measure and store it there; a damaged file is replaced."""
    try:
        answers = dict(json.loads(path.read_text(encoding="utf-8")))
        return Speed(**answers[question])
    except KeyError:
        pass
    except (OSError, ValueError, TypeError):
        answers = {}
    speed = measure()
    answers[question] = asdict(speed)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(answers, indent=1).encode())
    except OSError:
        pass  # a cache that cannot be written costs a second next time
    return speed


def _measure(config: ModelConfig, recipe: Recipe, device: torch.device) -> Speed:
    with _kept_random(device):
        torch.manual_seed(0)
        model = RecurrentModel(config).to(device)
        size = (recipe.batch_size, recipe.window + 1)
        tokens = torch.randint(config.vocabulary_size, size).to(device)
        fresh = torch.zeros(recipe.batch_size, dtype=torch.bool, device=device)
        sequences = Sequences(tokens[:, :-1], tokens[:, 1:], fresh, None)
        with loops_at_work(model):
            return _compare_formats(model, recipe, sequences)


def _compare_formats(model: RecurrentModel, recipe: Recipe, sequences: Sequences) -> Speed:
    fp32_gradient = _gradient(model, recipe, sequences, bf16=False)
    try:
        bf16_gradient = _gradient(model, recipe, sequences, bf16=True)
    except RuntimeError:  # no bf16 kernels for this device or cell
        return Speed(_time_steps(model, recipe, sequences, bf16=False), 0.0, 0.0)
    cosine = F.cosine_similarity(fp32_gradient, bf16_gradient, dim=0)
    fp32, bf16 = (_time_steps(model, recipe, sequences, bf16=each) for each in (False, True))
    return Speed(fp32, bf16, float(cosine))


def _gradient(model: RecurrentModel, recipe: Recipe, sequences: Sequences, bf16: bool) -> Tensor:
    """Gradient of the objective with respect to all parameters, (parameters,)."""
    state = model.initial_state(len(sequences.inputs))
    output = run_batch(model, sequences, state, bf16)
    objective = objective_of(output, sequences.targets, recipe.objective)[1]
    gradients = torch.autograd.grad(objective, list(model.parameters()))
    return torch.cat([each.flatten() for each in gradients])


def _time_steps(model: RecurrentModel, recipe: Recipe, sequences: Sequences, bf16: bool) -> float:
    """Time a few steps in tokens a second, after the first ones, which are slow."""
    optimizers = Optimizers(model, recipe.optimization)
    gradients = gradients_of(model, recipe.objective, bf16)
    state = model.initial_state(len(sequences.inputs))
    together = _STEPS_TOGETHER if model.device.type == "cuda" else 1
    seconds: list[float] = []
    while len(seconds) <= _TIMED_STEPS and sum(seconds) < _LONGEST:
        synchronise(model.device)
        began = time.perf_counter()
        for _ in range(together):
            _, state = gradients(sequences, state)
            optimizers.step(0.0)
        synchronise(model.device)
        seconds.append(time.perf_counter() - began)
    counted = seconds[1:] or seconds
    return sequences.targets.numel() * together * len(counted) / sum(counted)


def synchronise(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
