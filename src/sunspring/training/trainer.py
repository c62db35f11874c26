"""The training loop.

`Trainer.run` takes batch after batch until the budget is spent or a stop is requested. What people
see of it (progress, samples, logs) is up to callbacks, and a run resumed from a checkpoint at any
step ends with the same bytes. A training that diverges goes back to its last good state, at a lower
rate, and a run in which that happened is the one that is not repeated by resuming.

One file, although it is long: the loop, what it tells and what it keeps depend on one another.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sunspring.corpus.batches import IGNORED, Batch, Batches, Lanes, Windows
from sunspring.corpus.splits import Split
from sunspring.errors import SunspringError
from sunspring.machine import Precision
from sunspring.network.loops import loops_at_work
from sunspring.network.network import RecurrentModel, Weights
from sunspring.network.predictor import State
from sunspring.network.weights import load_weights, model_weights
from sunspring.notices import counted, readable
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.clock import WorkClock
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import run_batch, to_device
from sunspring.training.optimizers import Optimizers, rate_factor
from sunspring.training.pace import Pace, Revision
from sunspring.training.recipe import ObjectiveSettings, Recipe

_REPORT_EVERY = 10  # steps; reading the loss waits for the GPU
_CHECKPOINT_SECONDS = 60.0
_QUICK_TOKENS = 8192  # of a quick evaluation
_QUICK_WINDOW = 256
_TIE = 0.01  # nats per token: a sample tells no less, and later weights are calmer
_FAR = 3.0  # times the loss of an untrained model is a training that diverges
_LOWER = 0.1  # factor on the learning rates after it has
_MOST_RETURNS = 3  # to the last good state


@dataclass(frozen=True)
class StepReport:
    """How far training has come.

    Args:
        step: steps taken.
        seconds: of training so far, earlier parts of a resumed run included.
        spent: share of the budget, 0 to 1.
        left: seconds that the rest is expected to take; infinite if not known yet.
        epochs: epochs read.
        tokens_per_second: since the run was started or resumed.
        loss: training loss in nats per token, averaged over the last few steps.
    """

    step: int
    seconds: float
    spent: float
    left: float
    epochs: float
    tokens_per_second: float
    loss: float


@dataclass(frozen=True)
class EvaluationReport:
    """A quick evaluation on text that is not trained on; losses in nats per token.

    Args:
        report: how far training has come.
        validation: loss on the part that steers training, or NaN if the text is too short for one.
        heldout: loss on a sample of the held-out text, for display only.
        best: whether these weights are the best so far, or as good.
    """

    report: StepReport
    validation: float
    heldout: float
    best: bool


class Callback:
    """A listener to training; each method does nothing by default."""

    def on_start(self, trainer: Trainer) -> None:
        """Training begins, or is resumed."""

    def on_step(self, report: StepReport) -> None:
        """Some steps were taken."""

    def on_plan(self, revision: Revision) -> None:
        """Minutes were turned into a number of steps, or that number was revised."""

    def on_evaluation(self, report: EvaluationReport) -> None:
        """The model was evaluated."""

    def on_notice(self, step: int, line: str) -> None:
        """Something happened that people should know, in a line."""

    def on_end(self, report: StepReport) -> None:
        """Training is over, was interrupted, or failed."""


@dataclass(frozen=True)
class QuickSets:
    """Fixed batches for quick evaluations during training."""

    validation: Sequence[Batch]
    heldout: Sequence[Batch]


def make_batches(split: Split, start_id: int, recipe: Recipe, seed: int) -> Batches:
    """Build the stream of training batches that a recipe asks for."""
    kind = Windows if recipe.batching == "windows" else Lanes
    return kind(split, start_id, batch_size=recipe.batch_size, window=recipe.window, seed=seed)


def quick_batches(split: Split, start_id: int) -> list[Batch]:
    """Draw the same few windows of a split every time; none if it is too short."""
    window = min(_QUICK_WINDOW, len(split.tokens) - 1)
    if window < 1:
        return []
    batches = Windows(split, start_id, batch_size=32, window=window, seed=0)
    drawn: list[Batch] = []
    while batches.epochs < 1 and sum(batch.targets.size for batch in drawn) < _QUICK_TOKENS:
        drawn.append(batches.next())
    return drawn


def random_state(device: torch.device) -> Weights:
    """Return the states of the random generators that a training on a device draws from."""
    states = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["random.cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore_random(states: Weights, device: torch.device) -> None:
    """Go on from what `random_state` returned, perhaps on another device."""
    torch.set_rng_state(states["random.cpu"])
    if "random.cuda" in states and device.type == "cuda":
        torch.cuda.set_rng_state(states["random.cuda"], device)


class Trainer:
    """Trains one model on one stream of batches.

    Args:
        model: already on its device.
        batches: the training text.
        optimizers: of the model's parameters.
        pace: when to stop.
        warmup_steps: steps over which the learning rates rise.
        precision: number format of the matrix products.
        objective: terms to add to the loss.
        quick: batches for quick evaluations.
        callbacks: progress, samples, logs.
        save: called with each checkpoint; None to keep none.
        clock: returns seconds; only differences matter.
    """

    def __init__(
        self,
        model: RecurrentModel,
        batches: Batches,
        optimizers: Optimizers,
        *,
        pace: Pace,
        warmup_steps: int,
        precision: Precision,
        objective: ObjectiveSettings,
        quick: QuickSets,
        callbacks: Sequence[Callback] = (),
        save: Callable[[Checkpoint], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.model = model
        self.batches = batches
        self.optimizers = optimizers
        self.precision: Precision = precision
        self.step = 0
        self.best = model_weights(model)
        self.best_validation = math.inf
        self.pace = pace
        self._warmup_steps = warmup_steps
        self._gradients = gradients_of(model, objective, precision == "bf16")
        self._quick = quick
        self._callbacks = callbacks
        self._save = save
        self._clock = WorkClock(clock)
        self._good: Checkpoint | None = None  # where to go back to if training diverges
        self._untrained_loss = math.log(max(math.e, model.vocabulary_size))  # nats per token
        self._returns = 0
        self._has_recovered = True
        self._has_learned = False
        self._state: State = model.initial_state(batches.batch_size)
        self._next_evaluation = 0.01
        self._tokens, self._latest_loss = 0, math.nan
        self._earlier_seconds = self._evaluating = 0.0
        self._ran_from = (0, 0.0)  # step and seconds
        self._began: float | None = None  # it stands still
        self._stop = False

    def request_stop(self) -> None:
        """Ask the loop to end after the current step; may be called from a signal handler."""
        self._stop = True

    def run(self) -> StepReport:
        """Train until the budget is spent or a stop is requested.

        Raises:
            SunspringError: training diverges, however low the learning rate.
        """
        self._good = self.checkpoint()
        self._began = self._clock()
        self._ran_from, self._evaluating = (self.step, self.seconds), 0.0
        self._tokens, self._latest_loss = 0, math.nan
        self._tell("on_start", self)
        try:
            with loops_at_work(self.model):
                self._train()
        finally:
            report = self._report()
            self._tell("on_end", report)
        return report

    def try_until(self, step: int) -> bool:
        """Train up to a step, and then stand still: the training is tried beside others.

        Nobody is told, and nothing is saved.

        Returns:
            Whether it got there; not if the budget is spent before.

        Raises:
            SunspringError: training diverges, however low the learning rate.
        """
        if self._good is None:
            self._good = self.checkpoint()
        with self._at_work(), loops_at_work(self.model):
            self._train(step)
        return self.step == step

    def losses(self, batches: Sequence[Batch]) -> Tensor:
        """Return the losses of batches, each from a fresh state; the time counts as training.

        Returns:
            (rows, 2) sum of a row's losses in nats, and number of its targets.
        """
        with self._at_work(), loops_at_work(self.model):
            rows = [
                torch.stack((losses.double().sum(1), (targets != IGNORED).double().sum(1)), dim=1)
                for losses, targets in self._losses(batches)
            ]
            return torch.cat(rows).cpu()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self._earlier_seconds + self._elapsed()

    @property
    def steps_per_second(self) -> float:
        """The speed since `run` was called, without the evaluations between the steps."""
        step, seconds = self._ran_from
        passed = self.seconds - seconds - self._evaluating
        return (self.step - step) / max(1e-9, passed)

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Let the seconds pass."""
        self._began = self._clock()
        try:
            yield
        finally:
            self._earlier_seconds, self._began = self.seconds, None

    def _train(self, until: float = math.inf) -> None:
        """Take step after step, with evaluations, reports and checkpoints now and then.

        Args:
            until: the step after which to pause.
        """
        loss, summed = torch.zeros((), device=self.model.device), 0
        last_checkpoint = began = self._clock()
        while (spent := self._spent()) < 1 and self.step < until and not self._stop:
            batch = self.batches.next()
            factor = _LOWER**self._returns * rate_factor(spent, self.step, self._warmup_steps)
            loss += self._train_step(batch, factor)
            self._leave_out_sleep(began)
            self.step, summed = self.step + 1, summed + 1
            if self.step == 1:
                self._untrained_loss = max(self._untrained_loss, float(loss))
            self._tokens += int(np.count_nonzero(batch.targets != IGNORED))
            if (revision := self.pace.observe(self.step, self.seconds)) is not None:
                self._tell_briefly("on_plan", revision)
            if self.step % _REPORT_EVERY == 0:
                self._report_step(float(loss) / summed)
                loss, summed = loss.zero_(), 0
                if spent >= self._next_evaluation:
                    self._next_evaluation = spent + min(0.08, max(0.02, 0.5 * spent))
                    began = self._clock()
                    self._evaluate()
                    self._evaluating += self._clock() - began
            began = self._clock()
            if began - last_checkpoint > _CHECKPOINT_SECONDS:
                self._checkpoint()
                last_checkpoint = began = self._clock()
        if summed:
            self._report_step(float(loss) / summed)
        if spent >= 1:
            if not self._has_recovered and not self._has_learned:
                raise SunspringError(self._divergence())
            self._evaluate()
        self._checkpoint()

    def _train_step(self, batch: Batch, factor: float) -> Tensor:
        """Forward, loss, backward, update; returns the loss in nats per token."""
        self.model.train()
        loss, self._state = self._gradients(to_device(batch, self.model.device), self._state)
        self.optimizers.step(factor)
        return loss

    def _evaluate(self) -> None:
        """Evaluate the model; keep its weights if they do best on the validation part."""
        validation = self._mean_loss(self._quick.validation)
        if not self._is_sound(validation if self._quick.validation else 0.0):
            self._go_back()
            return
        self._good, self._has_learned = self.checkpoint(), True
        # NaN without a validation part: then the last are the best
        best = not validation > self.best_validation + _TIE
        if best:
            self.best = model_weights(self.model)
            self.best_validation = min(self.best_validation, validation)
        heldout = self._mean_loss(self._quick.heldout)
        self._tell("on_evaluation", EvaluationReport(self._report(), validation, heldout, best))

    def _mean_loss(self, batches: Sequence[Batch]) -> float:
        """Nats per token over fixed batches, each from a fresh state; NaN if there are none."""
        total, tokens = 0.0, 0
        for losses, targets in self._losses(batches):
            total += float(losses.sum())
            tokens += int((targets != IGNORED).sum())
        return total / tokens if tokens else math.nan

    @torch.inference_mode()
    def _losses(self, batches: Sequence[Batch]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the losses of each batch in nats, and its targets; both (batch, time)."""
        self.model.eval()
        for batch in batches:
            sequences = to_device(batch, self.model.device)
            state = self.model.initial_state(len(batch.inputs))
            output = run_batch(self.model, sequences, state, self.precision == "bf16")
            yield output.losses(sequences.targets)[0], sequences.targets

    def checkpoint(self) -> Checkpoint:
        """Collect everything that the rest of the run depends on."""
        carried = {
            f"state.{layer}.{index}": tensor.to("cpu", copy=True).contiguous()
            for layer, tensors in enumerate(self._state)
            for index, tensor in enumerate(tensors)
        }
        carried |= random_state(self.model.device)
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "epochs": self.batches.epochs,
            "position": self.batches.position(),
            "best_validation": self.best_validation,
            "next_evaluation": self._next_evaluation,
            "untrained_loss": self._untrained_loss,
            "returns": self._returns,
            "pace": self.pace.state(),
        }
        optimizers = {name: tensor.cpu() for name, tensor in self.optimizers.state().items()}
        weights = model_weights(self.model)
        # before the first evaluation the latest weights are the best known
        best = weights if math.isinf(self.best_validation) else self.best
        return Checkpoint(state, weights, best, optimizers, carried)

    def resume(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint."""
        state, carried = checkpoint.state, checkpoint.carried
        self._load(checkpoint)
        self.batches.seek(state["position"])
        self.best = checkpoint.best
        self.step = state["step"]
        self.best_validation = state["best_validation"]
        self._next_evaluation = state["next_evaluation"]
        self._untrained_loss = state.get("untrained_loss", self._untrained_loss)
        self._returns = state.get("returns", 0)  # earlier versions had neither
        self._has_learned = self.step > 0
        self._earlier_seconds = state["seconds"]
        self.pace.load(state["pace"], self.step, self._earlier_seconds)
        restore_random(carried, self.model.device)

    def _load(self, checkpoint: Checkpoint) -> None:
        """Take the weights, the optimisers' tensors and the lanes' states of a checkpoint."""
        load_weights(self.model, checkpoint.weights)
        self.optimizers.load(checkpoint.optimizers)
        self._state = tuple(
            tuple(
                checkpoint.carried[f"state.{layer}.{index}"].to(self.model.device)
                for index in range(len(tensors))
            )
            for layer, tensors in enumerate(self._state)
        )

    def _checkpoint(self) -> None:
        if self._save is not None:
            if not self._is_sound(0.0):
                self._go_back()
            self._save(self.checkpoint())

    def _is_sound(self, loss: float) -> bool:
        """Tell whether a loss and the weights are not those of a training that diverges."""
        if not loss <= _FAR * self._untrained_loss:  # nor a number
            self._latest_loss = loss
            return False
        return all(bool(each.isfinite().all()) for each in self.model.parameters())

    def _go_back(self) -> None:
        """Go back to the last good state, and on from there at a lower rate.

        Steps, batches and time go on.

        Raises:
            SunspringError: it has been done too often.
        """
        if self._good is None or self._returns == _MOST_RETURNS:
            raise SunspringError(self._divergence())
        self._returns += 1
        self._has_recovered = False
        self._load(self._good)
        self._notice(
            f"training diverges at step {self.step:,}: back to the last good state, "
            f"that of step {self._good.state['step']:,}, with the learning rates times "
            f"{_LOWER**self._returns:g}"
        )

    def _divergence(self) -> str:
        is_number = math.isfinite(self._latest_loss)
        grown = (
            f"{readable(self._latest_loss, 0)} nats per token"
            if is_number
            else "no longer a number"
        )
        return (
            f"training diverges: the loss is {grown} after {counted(self.step, 'step')}, even with "
            f"the learning rates times {_LOWER**self._returns:g}: train again with a smaller --set "
            "learning_rate or muon_learning_rate"
        )

    def _notice(self, line: str) -> None:
        for callback in self._callbacks:
            callback.on_notice(self.step, line)

    def _elapsed(self) -> float:
        return 0.0 if self._began is None else self._clock() - self._began

    def _spent(self) -> float:
        return self.pace.share(self.step, self.batches.epochs)

    def _report(self) -> StepReport:
        elapsed = max(1e-9, self._elapsed())
        seconds, epochs = self.seconds, self.batches.epochs
        return StepReport(
            step=self.step,
            seconds=seconds,
            spent=min(1.0, self._spent()),
            left=self.pace.left(self.step, epochs, seconds),
            epochs=epochs,
            tokens_per_second=self._tokens / elapsed,
            loss=self._latest_loss,
        )

    def _report_step(self, loss: float) -> None:
        if not loss <= _FAR * self._untrained_loss:
            self._latest_loss = loss
            self._go_back()
            return
        self._latest_loss, self._has_recovered = loss, True
        self._tell_briefly("on_step", self._report())

    def _tell_briefly(self, event: str, what: Any) -> None:
        """Tell the callbacks what takes them next to no time; if it takes long, that is sleep."""
        began = self._clock()
        self._tell(event, what)
        self._leave_out_sleep(began)

    def _leave_out_sleep(self, began: float) -> None:
        """Leave out what was sleep since a moment, and say so."""
        if slept := self._clock.step_ended(began):
            self._notice(
                f"stopped or asleep for {counted(round(slept), 'second')}, which do not count"
            )

    def _tell(self, event: str, value: Any) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(value)
