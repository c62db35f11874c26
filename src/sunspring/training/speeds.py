"""How fast this machine trains, and in which number format: measured, and remembered.

bf16 can be twice as fast as fp32, slower, or missing, and how much a larger model costs depends on
caches and cores. So a few steps are timed, which takes seconds at most; the result is kept for this
machine and these versions, and corrected by every training. A busy machine is a slower one, so the
load is kept too: what was measured under another load is measured again.
"""

from __future__ import annotations

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

from sunspring.machine import OtherWork, Precision, processor_name, usable_cores
from sunspring.network.config import DROPOUTS, ModelConfig, least_parameters
from sunspring.network.loops import loop_names, loops_at_work
from sunspring.network.network import RecurrentModel
from sunspring.storage import write_atomically
from sunspring.training.budget import Budget
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
_MOST_SECONDS, _MOST_SHARE = 3.0, 1 / 20  # that measuring may take, of minutes this share
_QUESTIONS, _QUESTIONS_OF_GPU = 3, 12  # that share these seconds
_SAME_LOAD, _SAME_SHARE_OF_LOAD = 0.5, 0.4  # loads differ beyond so many cores, and this share
_USUAL_WORK = 1e10  # parameters · tokens a second on a core, if nothing was measured

Clock = Callable[[], float]


@dataclass(frozen=True)
class Speed:
    """Training speed of one model and recipe.

    Args:
        fp32: tokens a second, over complete training steps.
        bf16: the same under bf16 autocast; 0 if it does not run.
        cosine: of the angle between the gradients of the two formats.
        load: the cores that other programs kept busy meanwhile; None if unknown.
    """

    fp32: float
    bf16: float
    cosine: float
    load: float | None

    @property
    def choice(self) -> Precision:
        """bf16 if it is clearly faster and its gradient points the same way, otherwise fp32."""
        is_sound = self.cosine > _SOUND_COSINE
        return "bf16" if is_sound and self.bf16 > _BF16_GAIN * self.fp32 else "fp32"

    @property
    def tokens_per_second(self) -> float:
        """The speed in the chosen format."""
        return self.bf16 if self.choice == "bf16" else self.fp32

    def times(self, factor: float) -> Speed:
        """Return this speed, so many times as fast."""
        return replace(self, fp32=self.fp32 * factor, bf16=self.bf16 * factor)

    def holds_under(self, load: float | None) -> bool:
        """Tell whether the machine is about as fast under a load as when this was measured."""
        if load is None or self.load is None:
            return True
        return math.isclose(load, self.load, rel_tol=_SAME_SHARE_OF_LOAD, abs_tol=_SAME_LOAD)


def measuring_seconds(budget: Budget) -> float:
    """Return how long measuring speeds may take before a training."""
    if budget.unit != "minutes":
        return _MOST_SECONDS
    return min(_MOST_SECONDS, _MOST_SHARE * 60 * budget.amount)


class Speeds:
    """How fast a device trains: looked up, or measured by a few steps in both formats.

    Leaves the global random generators as they were.

    Args:
        device: where models would be trained.
        cache: folder of the file that keeps the results; None to keep nothing.
        seconds: that measuring may take in all. Once they are used up, speeds are what was measured
            before, under whatever load, or else estimated from those of other models.
        clock: returns seconds; only differences matter.
        load: returns the cores that other programs keep busy, or None if it is unknown; None to
            measure it from now on.
    """

    def __init__(
        self,
        device: torch.device,
        cache: Path | None = None,
        seconds: float = _MOST_SECONDS,
        clock: Clock = time.perf_counter,
        load: Callable[[], float | None] | None = None,
    ) -> None:
        self._device = device
        self._path = None if cache is None else cache / "speeds.json"
        self._seconds = self._left = seconds
        self._clock = clock
        self._load = OtherWork().cores if load is None else load
        self._known: dict[str, Speed] = {}  # answers of this object, by question
        self._predicted: dict[ModelConfig, float] = {}  # tokens a second
        self._usual = Speed(_USUAL_WORK * usable_cores(), 0.0, 0.0, None)  # of one parameter

    def of(self, config: ModelConfig, recipe: Recipe) -> Speed:
        """Return the speed of a model and recipe."""
        config = _without_dropout(config)
        question = self._question(config, recipe)
        if question not in self._known:
            found = self._find(question, config, recipe)
            if found is None:
                return self._estimate(config)
            self._known[question] = found
            self._usual = found.times(least_parameters(config))
        return self._known[question]

    @property
    def throughput(self) -> Throughput:
        """The training speed of any model, predicted from two sizes, timed when first needed.

        The work done in a second is assumed to be a power of the hidden size: small matrices keep a
        processor less busy than large ones.
        """
        usual = PRESETS["small"]

        def work_per_second(size: int, pointer: int, batch_size: int) -> float:
            config = ModelConfig(96, **{**usual.model, "hidden_size": size, "pointer": pointer})
            speed = self.of(config, replace(usual.recipe, batch_size=batch_size))
            return speed.tokens_per_second * least_parameters(config)

        def tokens_per_second(config: ModelConfig, batch_size: int) -> float:
            small, large = _TIMED_SIZES
            slow, fast = (
                work_per_second(size, config.pointer, batch_size) for size in _TIMED_SIZES
            )
            power = math.log(fast / slow) / math.log(large / small)
            size = min(config.hidden_size, _LARGEST_PREDICTED)
            predicted = slow * math.pow(size / small, power) / least_parameters(config)
            self._predicted[_without_dropout(config)] = predicted
            return predicted

        return Throughput(tokens_per_second, self._device.type == "cuda")

    def correct(
        self,
        config: ModelConfig,
        recipe: Recipe,
        precision: Precision,
        steps_per_second: float,
        load: float | None,
    ) -> None:
        """Correct what is remembered by what a training has measured.

        That is the model's own speed, and those from which it was predicted for the plan.

        Args:
            config: the model's architecture.
            recipe: how it was trained.
            precision: number format of the matrix products.
            steps_per_second: of the training.
            load: the cores that other programs kept busy meanwhile; None if unknown.
        """
        if steps_per_second <= 0:
            return
        config = _without_dropout(config)
        tokens_per_second = steps_per_second * recipe.batch_size * recipe.window
        own, planned = self._question(config, recipe), self._predicted.get(config, 0.0)
        corrected = {}
        for question, speed in self._known.items():
            of_own = speed.bf16 if precision == "bf16" else speed.fp32
            expected = of_own if question == own else planned
            if expected > 0:
                faster = speed.times(tokens_per_second / expected)
                corrected[question] = replace(faster, load=load)
        self._known |= corrected
        self._remember(corrected)

    def _question(self, config: ModelConfig, recipe: Recipe) -> str:
        """Describe all that a speed depends on."""
        question = {
            "machine": _machine(self._device),
            "model": asdict(config),
            "batch": [recipe.batch_size, recipe.window],
            "objective": {name: value > 0 for name, value in asdict(recipe.objective).items()},
            "optimizer": [recipe.optimization.optimizer, recipe.optimization.muon_every],
        }
        return json.dumps(question, sort_keys=True)

    def _find(self, question: str, config: ModelConfig, recipe: Recipe) -> Speed | None:
        """Look up a speed, or else measure it; None if there is no time for that."""
        remembered = self._remembered().get(question)
        gradient_seconds = recipe.batch_size * recipe.window / self._estimate(config).fp32
        has_time = self._left > 2 * gradient_seconds
        if remembered is not None and (not has_time or remembered.holds_under(self._load())):
            return remembered
        if not has_time:
            return None
        questions = _QUESTIONS_OF_GPU if self._device.type == "cuda" else _QUESTIONS
        share = min(self._left, self._seconds / questions)
        measured, seconds = _measure(config, recipe, self._device, share, self._clock)
        measured = replace(measured, load=self._load())
        self._left -= seconds
        self._remember({question: measured})
        return measured

    def _estimate(self, config: ModelConfig) -> Speed:
        """Estimate a speed from the latest answer: every parameter is the same work."""
        return self._usual.times(1 / least_parameters(config))

    def _remembered(self) -> dict[str, Speed]:
        """Read the file; one that is missing, damaged or of an earlier version has nothing."""
        try:
            answers = dict(json.loads(self._path.read_text("utf-8"))) if self._path else {}
            return {question: Speed(**answer) for question, answer in answers.items()}
        except (OSError, ValueError, TypeError):
            return {}

    def _remember(self, answers: dict[str, Speed]) -> None:
        """Put answers into the file."""
        if self._path is None or not answers:
            return
        kept = {question: asdict(each) for question, each in (self._remembered() | answers).items()}
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(kept, indent=1).encode())
        except OSError:
            pass  # a cache that cannot be written costs seconds next time


def runs_in_bf16(model: RecurrentModel, recipe: Recipe) -> bool:
    """Tell whether a model's layers can be trained under bf16 autocast on its device.

    PyTorch has no such LSTM layer for processors without AVX-512.
    """
    try:
        with _kept_random(model.device):
            _warm_up(model, recipe, bf16=True)
    except RuntimeError:
        return False
    return True


def _warm_up(model: RecurrentModel, recipe: Recipe, bf16: bool) -> None:
    """Compute one gradient of two tokens."""
    tokens = torch.zeros((1, 2), dtype=torch.int64, device=model.device)
    fresh = torch.zeros(1, dtype=torch.bool, device=model.device)
    labels = tokens[:, 0] if model.config.labels else None
    _gradient(model, recipe, Sequences(tokens, tokens, fresh, labels), bf16)


def _kept_random(device: torch.device) -> AbstractContextManager[None]:
    """Leave the random generators as they were."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


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


def _without_dropout(config: ModelConfig) -> ModelConfig:
    """Leave out of a model what hardly changes its speed."""
    none = dict.fromkeys(DROPOUTS, 0.0)
    return ModelConfig(**{**asdict(config), "labels": (), **none})


def _measure(
    config: ModelConfig, recipe: Recipe, device: torch.device, seconds: float, clock: Clock
) -> tuple[Speed, float]:
    """Compute a gradient in both formats, and time as many steps as fit into some seconds.

    Returns:
        The speed, and the seconds that this took, without the first use of a GPU.
    """
    began = clock()
    with _kept_random(device):
        torch.manual_seed(0)
        model = RecurrentModel(config).to(device)
        size = (recipe.batch_size, recipe.window + 1)
        tokens = torch.randint(config.vocabulary_size, size).to(device)
        fresh = torch.zeros(recipe.batch_size, dtype=torch.bool, device=device)
        sequences = Sequences(tokens[:, :-1], tokens[:, 1:], fresh, None)
        with loops_at_work(model):
            _warm_up(model, recipe, bf16=False)
            has_bf16 = runs_in_bf16(model, recipe)
            if device.type == "cuda":
                began = clock()  # what came before, training would have to wait for anyway
            formats = [
                _TimedFormat(model, recipe, sequences, bf16, clock)
                for bf16 in (False, True)[: 1 + has_bf16]
            ]
            for _ in range(1 + _TIMED_STEPS):
                if clock() - began + sum(each.next_seconds for each in formats) > seconds:
                    break
                for each in formats:
                    each.take_steps()
            taken = clock() - began
    fp32, *others = formats
    speed = Speed(fp32.tokens_per_second, 0.0, 0.0, None)
    for bf16 in others:
        cosine = F.cosine_similarity(fp32.gradient, bf16.gradient, dim=0)
        speed = replace(speed, bf16=bf16.tokens_per_second, cosine=float(cosine))
    return speed, taken


class _TimedFormat:
    """Training steps in one format, and how long each took; the first is a gradient alone.

    Args:
        model: what is trained, without being changed.
        recipe: how.
        sequences: what is read in each step.
        bf16: whether under bf16 autocast.
        clock: returns seconds; only differences matter.

    Attributes:
        gradient: of the objective with respect to all parameters, (parameters,).
    """

    def __init__(
        self, model: RecurrentModel, recipe: Recipe, sequences: Sequences, bf16: bool, clock: Clock
    ) -> None:
        self._device, self._sequences, self._clock = model.device, sequences, clock
        began = self._now()
        self.gradient = _gradient(model, recipe, sequences, bf16)
        self._seconds = [self._now() - began]
        self._optimizers = Optimizers(model, recipe.optimization)
        self._gradients = gradients_of(model, recipe.objective, bf16)
        self._state = model.initial_state(len(sequences.inputs))
        self._together = _STEPS_TOGETHER if model.device.type == "cuda" else 1

    def take_steps(self) -> None:
        """Take one step, or on a GPU some."""
        began = self._now()
        for _ in range(self._together):
            _, self._state = self._gradients(self._sequences, self._state)
            self._optimizers.step(0.0)
        self._seconds.append((self._now() - began) / self._together)

    @property
    def next_seconds(self) -> float:
        """How long `take_steps` is expected to take."""
        return self._seconds[-1] * self._together

    @property
    def tokens_per_second(self) -> float:
        """The speed of the steps, if possible without the first, which is slow."""
        counted = self._seconds[2:] or self._seconds[1:] or self._seconds
        return self._sequences.targets.numel() * len(counted) / sum(counted)

    def _now(self) -> float:
        synchronise(self._device)
        return self._clock()


def _gradient(model: RecurrentModel, recipe: Recipe, sequences: Sequences, bf16: bool) -> Tensor:
    """Gradient of the objective with respect to all parameters, (parameters,)."""
    state = model.initial_state(len(sequences.inputs))
    output = run_batch(model, sequences, state, bf16)
    objective = objective_of(output, sequences.targets, recipe.objective)[1]
    gradients = torch.autograd.grad(objective, list(model.parameters()))
    return torch.cat([each.flatten() for each in gradients])


def synchronise(device: torch.device) -> None:
    """Wait until a device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
