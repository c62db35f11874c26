"""From a budget to a number of steps, so that the schedule of a run is one of steps.

Steps and epochs say themselves when training ends. Minutes are turned into steps by the speed of
the first few; where the machine's speed drifts the number is changed, and the change is told. So a
resumed run repeats what it would have done, and minutes are kept.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sunspring.training.budget import Budget

_CALIBRATION = 0.02  # of the time, and
_CALIBRATION_STEPS = 10  # at least this many, unless they take
_LONGEST_CALIBRATION = 0.1  # of the time
_CHECK_EVERY = 0.05  # of the planned steps; near the end
_CHECK_LATE = 0.01
_LATE = 0.9
_RECENT = 0.2  # of the planned steps whose speed is expected to go on
_TOLERANCE = 0.01  # of the remaining steps


@dataclass(frozen=True)
class Revision:
    """A plan of steps made during training.

    Args:
        step: at which it was made.
        seconds: of training so far.
        share: of the budget that counts as spent at this step.
        steps: planned in all.
    """

    step: int
    seconds: float
    share: float
    steps: int


class Pace:
    """How far a training is, as a share of its budget.

    Args:
        budget: when training ends.
        reserve: seconds of the minutes for what comes before the first step and after the last;
            half of the minutes remain for training in any case.
        most_epochs: after which minutes end early; 0 for no such end.
    """

    def __init__(self, budget: Budget, reserve: float = 0.0, most_epochs: float = 0.0) -> None:
        self.budget = budget
        self._most_epochs = most_epochs or math.inf
        minutes = budget.amount if budget.unit == "minutes" else 0.0
        self._target = max(60 * minutes - reserve, 30 * minutes)  # seconds of training
        self._from = Revision(0, 0.0, 0.0, 0)  # no steps planned: not calibrated yet
        self._marks: list[tuple[int, float]] = []  # (step, seconds) at the latest checks
        self._next_check = 0

    def share(self, step: int, epochs: float) -> float:
        """Give the share of the budget that is spent: 1 and above means the end.

        Args:
            step: steps taken.
            epochs: epochs read.
        """
        if self.budget.unit == "steps":
            return step / self.budget.amount
        if self.budget.unit == "epochs":
            return epochs / self.budget.amount
        return max(self._share_of_time(step), epochs / self._most_epochs)

    def left(self, step: int, epochs: float, seconds: float) -> float:
        """Foresee how many more seconds training takes; infinite where nothing tells yet.

        Args:
            step: steps taken.
            epochs: epochs read.
            seconds: of training so far.
        """
        share = self.share(step, epochs)
        if self.budget.unit != "minutes" or share >= 1:
            return _rest(seconds, share)
        in_time = max(0.0, self._target - seconds)
        return min(in_time, _rest(seconds, epochs / self._most_epochs))

    def _share_of_time(self, step: int) -> float:
        made = self._from
        if made.steps == 0:
            return made.share
        if step >= made.steps:
            return 1.0
        return made.share + (1 - made.share) * (step - made.step) / (made.steps - made.step)

    def observe(self, step: int, seconds: float) -> Revision | None:
        """Take note of a step, and plan anew where that is due.

        Args:
            step: steps taken, at least one.
            seconds: of training so far.

        Returns:
            The new plan, or None where the old one holds.
        """
        if self.budget.unit != "minutes" or self._share_of_time(step) >= 1:
            return None
        if not self._marks:
            self._marks = [(step, seconds)]  # the first step is slow: it is not part of the speed
        if seconds < self._target and not self._is_due(step, seconds):
            return None
        steps, planned = self._predict(step, seconds), self._from.steps
        self._mark(step, seconds, steps)
        if planned and abs(steps - planned) <= _TOLERANCE * (planned - step):
            return None
        self._from = Revision(step, seconds, self._share_of_time(step), steps)
        return self._from

    def state(self) -> dict[str, Any]:
        """Give what a checkpoint keeps of this."""
        return {
            "budget": asdict(self.budget),
            "target": self._target,
            "from": asdict(self._from),
            "marks": self._marks,
            "next_check": self._next_check,
        }

    def load(self, state: dict[str, Any], step: int, seconds: float) -> None:
        """Go on from what `state` gave; with another budget, from what of it is spent by then."""
        if state["budget"] == asdict(self.budget):
            self._target = float(state["target"])
            self._from = Revision(**state["from"])
            self._marks = [(int(mark[0]), float(mark[1])) for mark in state["marks"]]
            self._next_check = int(state["next_check"])
        elif self.budget.unit == "minutes":
            self._from = Revision(step, seconds, min(1.0, seconds / self._target), 0)

    def _is_due(self, step: int, seconds: float) -> bool:
        if self._from.steps:
            return step >= self._next_check
        taken, passed = step - self._from.step, seconds - self._from.seconds
        enough = taken > _CALIBRATION_STEPS and passed >= _CALIBRATION * self._target
        return taken > 1 and (enough or passed >= _LONGEST_CALIBRATION * self._target)

    def _predict(self, step: int, seconds: float) -> int:
        """Number of steps that will have been taken when the time is over."""
        first_step, first_seconds = self._marks[0]
        if seconds >= self._target or step == first_step:
            return step
        speed = (step - first_step) / max(1e-9, seconds - first_seconds)
        return step + max(1, round(speed * (self._target - seconds)))

    def _mark(self, step: int, seconds: float, steps: int) -> None:
        every = _CHECK_EVERY if step < _LATE * steps else _CHECK_LATE
        self._next_check = step + max(1, round(every * steps))
        self._marks.append((step, seconds))
        while len(self._marks) > 2 and self._marks[1][0] < step - _RECENT * steps:
            del self._marks[0]


def _rest(seconds: float, share: float) -> float:
    """Seconds that the rest takes if that share of it took so many."""
    return seconds * max(0.0, 1 / share - 1) if share > 0 else math.inf
