"""A short race between a plan and its rivals, on the text and the machine at hand.

They take turns, step by step, until one is clearly ahead or the time is up; the winner goes on from
where it stands. Rivals are compared after the same steps, over the same batches: what each will
read in the rest of the time, by the speed that it had here, is left to the laws. docs/planner.md
tells why, and what that found.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sunspring.corpus.batches import IGNORED, Batch, Windows
from sunspring.corpus.splits import Split
from sunspring.errors import SunspringError
from sunspring.notices import Progress
from sunspring.training import laws
from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.plan import Overrides, Plan, Throughput
from sunspring.training.trainer import Trainer, random_state, restore_random

FIRST = "the plan"
"""The name of what the laws chose."""

_TURN = 10  # steps
_FIRST_LOOK = 40  # steps: before, two seeds of one plan differ by more than two plans
_LEAST_LEAD = 0.02  # nats; so far apart do two seeds of one plan end
_CLEAR = 3.0  # times the lead that is needed
_FASTER = 2.0  # no rival reads more than so many times as much
_JUDGED_WINDOW, _JUDGED_ROWS, _JUDGED_BATCHES = 2048, 4, 2


@dataclass(frozen=True)
class Try:
    """How one plan did.

    Args:
        name: in a few words, for people.
        seconds: of its training.
        tokens_per_second: that it read.
        nats: per token of validation text, when it was last judged; NaN if it never was.
        lead: nats per token by which it is expected to end below the first plan; negative if above,
            NaN if one of them was not judged.
        diverged: whether it did.
    """

    name: str
    seconds: float
    tokens_per_second: float
    nats: float
    lead: float
    diverged: bool


@dataclass(frozen=True)
class Outcome:
    """How a race ended.

    Args:
        chosen: name of the winner.
        step: that the winner had reached.
        tries: the first plan and its rivals, in this order.
    """

    chosen: str
    step: int
    tries: Sequence[Try]

    @property
    def seconds(self) -> float:
        """Seconds that the race took."""
        return sum(each.seconds for each in self.tries)


class Entrant:
    """A plan in a race.

    The trainer draws from random generators of its own, so that its turns are those of a training
    alone. They are the process's generators as they are when the entrant is made.

    Args:
        name: in a few words, for people.
        plan: what is trained.
        trainer: with its batches, from the same seed as those of all entrants.
    """

    def __init__(self, name: str, plan: Plan, trainer: Trainer) -> None:
        self.name = name
        self.plan = plan
        self.trainer = trainer
        self.failure: SunspringError | None = None
        self.losses: Tensor | None = None
        self._random = random_state(trainer.model.device)
        self._timed_from: tuple[int, float] = (0, 0.0)
        self._judging = 0.0  # seconds

    def go_to(self, step: int) -> bool:
        """Train up to a step; returns whether it got there."""
        try:
            with self._own_random():
                is_there = self.trainer.try_until(step)
        except SunspringError as error:
            self.failure = error
            return False
        if self._timed_from[0] == 0:  # the first steps are slow
            self._timed_from = (self.trainer.step, self.trainer.seconds)
        return is_there

    def judge(self, batches: Sequence[Batch]) -> None:
        """Measure its losses."""
        before = self.trainer.seconds
        self.losses = self.trainer.losses(batches)
        self._judging += self.trainer.seconds - before
        if not bool(self.losses.isfinite().all()):
            self.failure = SunspringError("training diverges: the loss is no longer a number")

    @property
    def tokens_per_second(self) -> float:
        """Its speed, without what it was judged by."""
        step, seconds = self._timed_from
        taken, passed = self.trainer.step - step, self.trainer.seconds - seconds - self._judging
        batches = self.trainer.batches
        return taken * batches.batch_size * batches.window / max(1e-9, passed)

    @property
    def nats(self) -> float:
        """Its loss when it was last judged, in nats per token; NaN if it never was."""
        if self.losses is None:
            return math.nan
        total, tokens = self.losses.sum(0).tolist()
        return float(total / tokens)

    def checkpoint(self) -> Checkpoint:
        """Collect all that it needs to go on from here."""
        with self._own_random():
            return self.trainer.checkpoint()

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        device = self.trainer.model.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            restore_random(self._random, device)
            yield
            self._random = random_state(device)


def rivals(plan: Plan, overrides: Overrides) -> list[tuple[str, Plan]]:
    """List what is worth trying beside a plan, with a name for each.

    Nothing that the user has set is changed.
    """
    if not plan.model.pointer or {"pointer", "pointer_size"} & overrides.model.keys():
        return []
    return [("the plan without its pointer", replace(plan, model=replace(plan.model, pointer=0)))]


def is_worthwhile(plan: Plan, budget: Budget, characters: int, throughput: Throughput) -> bool:
    """Tell whether a race can change a plan: how it ends, and with what it would find out.

    Args:
        plan: by the laws.
        budget: when training will end.
        characters: in the training part.
        throughput: of this machine.
    """
    if budget.unit != "minutes":
        return False
    model, recipe = plan.model, plan.recipe
    seconds = laws.training_seconds(60 * budget.amount)
    read = seconds * throughput.tokens_per_second(model, recipe.batch_size)
    steps = recipe.race * read / (recipe.batch_size * recipe.window)
    gain = _of_reading(plan, read, characters) - _of_reading(plan, _FASTER * read, characters)
    return steps >= 2 * _FIRST_LOOK and gain > _LEAST_LEAD


def judging_batches(validation: Split, start_id: int) -> list[Batch]:
    """Draw the windows by which a race is judged; none if the text is too short.

    They are long, and only their second half counts, as what a model remembers counts in a text
    that is read from its beginning.
    """
    if len(validation.tokens) < _JUDGED_WINDOW * _JUDGED_ROWS:
        return []
    batches = Windows(validation, start_id, batch_size=_JUDGED_ROWS, window=_JUDGED_WINDOW, seed=0)
    drawn: list[Batch] = []
    while batches.epochs < 1 and len(drawn) < _JUDGED_BATCHES:
        drawn.append(_second_half(batches.next()))
    return drawn


def _second_half(batch: Batch) -> Batch:
    """Let only the second half of each row count."""
    is_there = batch.targets != IGNORED
    is_late = 2 * is_there.cumsum(1) > is_there.sum(1, keepdims=True)
    targets = batch.targets.copy()
    targets[~is_late] = IGNORED
    return batch._replace(targets=targets)


def race(
    entrants: Sequence[Entrant],
    judged: Sequence[Batch],
    seconds: float,
    on_progress: Progress,
) -> tuple[Entrant, Outcome]:
    """Let plans race, and let the winner have the time that the others have not used.

    Ties go to the first.

    Args:
        entrants: the first plan and its rivals, at step 0.
        judged: see `judging_batches`.
        seconds: that all may take together.
        on_progress: told how many thousandths of the time have passed.

    Returns:
        The winner, and how the race went.

    Raises:
        SunspringError: the trainings of all diverge.
    """
    left, step, next_look, spent, is_last = list(entrants), 0, _FIRST_LOOK, 0.0, False
    while len(left) > 1 and not is_last:
        step, before = step + _TURN, spent
        in_turn = left if step // _TURN % 2 else left[::-1]  # what slows the machine slows all
        are_there = [each.go_to(step) for each in in_turn]
        spent = _seconds_of(entrants)
        on_progress(min(1000, round(1000 * spent / seconds)), 1000)
        left = [each for each in left if each.failure is None]
        is_last = not any(are_there) or 2 * spent - before > seconds
        if step >= next_look or (is_last and step > _FIRST_LOOK):
            next_look = 2 * step
            for each in left:
                each.judge(judged)
            spent = _seconds_of(entrants)
            left = _not_beaten(left, spent, 1.0 if is_last else _CLEAR)
    on_progress(1000, 1000)
    if not left:
        raise entrants[0].failure or SunspringError("training diverges")
    winner = left[0]
    spent = _seconds_of(entrants)
    tries = [_try_of(each, entrants[0], spent) for each in entrants]
    winner.trainer.pace.set_aside(spent - winner.trainer.seconds)
    return winner, Outcome(winner.name, winner.trainer.step, tries)


def _seconds_of(entrants: Sequence[Entrant]) -> float:
    return sum(each.trainer.seconds for each in entrants)


def _not_beaten(entrants: Sequence[Entrant], spent: float, times: float) -> list[Entrant]:
    """Leave out those that another leads by so many times the lead that is needed."""
    sound = [each for each in entrants if each.failure is None]
    return [
        each
        for each in sound
        if not any(_lead(other, each, spent) > times * _needed(other, each) for other in sound)
    ]


def _lead(one: Entrant, other: Entrant, spent: float) -> float:
    """Return by how many nats per token one is expected to end below another.

    Args:
        one: as the other, judged after the same steps.
        other: as above.
        spent: seconds of all trainings together.
    """
    return other.nats + _to_come(other, spent) - one.nats - _to_come(one, spent)


def _to_come(entrant: Entrant, spent: float) -> float:
    """Return what the loss will owe to little reading, if the entrant trains for the time left."""
    trainer = entrant.trainer
    tokens = len(trainer.batches.split.tokens)
    left = max(0.0, trainer.pace.seconds - spent)
    read = trainer.batches.epochs * tokens + entrant.tokens_per_second * left
    return _of_reading(entrant.plan, read, tokens)


def _of_reading(plan: Plan, read: float, tokens: int) -> float:
    """Return how much loss is due to reading no more than this of a text of so many tokens."""
    size, most = plan.model.hidden_size, (plan.recipe.most_epochs or math.inf) * tokens
    worth = laws.worth_of_reading(min(read, most), tokens)
    return laws.avoidable_nats(size, worth) - laws.avoidable_nats(size, math.inf)


def _needed(one: Entrant, other: Entrant) -> float:
    """Return the lead that is not noise: the standard error of the difference, over windows."""
    if one.losses is None or other.losses is None:
        return math.inf
    (sums, counts), (others, _) = one.losses.T, other.losses.T
    differences = sums - others
    scattered = differences - counts * (differences.sum() / counts.sum())
    rows = len(counts)
    variance = float(scattered.square().sum()) * rows / max(1, rows - 1)
    return max(_LEAST_LEAD, math.sqrt(variance) / float(counts.sum()))


def _try_of(entrant: Entrant, first: Entrant, spent: float) -> Try:
    return Try(
        entrant.name,
        entrant.trainer.seconds,
        entrant.tokens_per_second,
        entrant.nats,
        _lead(entrant, first, spent),
        entrant.failure is not None,
    )
