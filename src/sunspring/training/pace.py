"""From a budget to a number of steps, so that the schedule of a run depends on steps alone.

Budgets of steps and epochs say directly when training ends. Minutes are turned into steps by the
speed of the first few; if the machine's speed drifts, the number is revised and the revision
reported. So a resumed run repeats what it would have done, and minutes are kept.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from sunspring.training.budget import Budget

_CALIBRATION = 0.02  # share of the time before the first plan,
_CALIBRATION_STEPS = 10  # with at least this many steps,
_LONGEST_CALIBRATION = 0.1  # unless these would take this share of the time
_CHECK_EVERY = 0.05  # share of the planned steps
_CHECK_LATE = 0.01  # the same near the end
_LATE = 0.9  # share of the planned steps where the end is near
_RECENT = 0.2  # share of the planned steps whose speed is expected to last
_TOLERANCE = 0.01  # of the remaining steps


@dataclass(frozen=True)
class Revision:
    """A plan of steps made during training.

    Args:
        step: when it was made.
        seconds: of training until then.
        share: of the budget, counted as spent at this step.
        steps: total number planned.
    """

    step: int
    seconds: float
    share: float
    steps: int


class Pace:
    """How far training has come, as a share of its budget.

    Args:
        budget: when training ends.
        reserve: seconds of the minutes for what comes before the first step and after the last;
            at least half of the minutes remain for training.
        most_epochs: epochs after which a budget of minutes ends early; 0 for no limit.
    """

    def __init__(self, budget: Budget, reserve: float = 0.0, most_epochs: float = 0.0) -> None:
        self.budget = budget
        self._most_epochs = most_epochs or math.inf
        minutes = budget.amount if budget.unit == "minutes" else 0.0
        self._target = max(60 * minutes - reserve, 30 * minutes)  # seconds of training
        self._from = Revision(0, 0.0, 0.0, 0)  # no steps planned: not calibrated yet
        self._marks: list[tuple[int, float]] = []  # (step, seconds) at the latest checks
        self._next_check = 0

    @property
    def seconds(self) -> float:
        """Seconds of training that the minutes leave room for."""
        return self._target

    def set_aside(self, seconds: float) -> None:
        """Take away time that was spent on something else; the next step revises the plan."""
        self._target -= seconds
        self._next_check = 0

    def share(self, step: int, epochs: float) -> float:
        """Return the share of the budget that is spent: training ends at 1 or above.

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
        """Estimate how many more seconds training takes; infinite if not known yet.

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
        """Note that a step was taken, and revise the plan if that is due.

        Args:
            step: steps taken, at least one.
            seconds: of training so far.

        Returns:
            The new plan, or None if the old one stands.
        """
        if self.budget.unit != "minutes" or self._share_of_time(step) >= 1:
            return None
        if not self._marks:
            self._marks = [(step, seconds)]  # the first step is slow: it does not count
        if seconds < self._target and not self._is_due(step, seconds):
            return None
        steps, planned = self._predict(step, seconds), self._from.steps
        self._mark(step, seconds, steps)
        if planned and abs(steps - planned) <= _TOLERANCE * (planned - step):
            return None
        self._from = Revision(step, seconds, self._share_of_time(step), steps)
        return self._from

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to keep."""
        return {
            "budget": asdict(self.budget),
            "target": self._target,
            "from": asdict(self._from),
            "marks": self._marks,
            "next_check": self._next_check,
        }

    def load(self, state: dict[str, Any], step: int, seconds: float) -> None:
        """Restore what `state` returned; with another budget, only the share of it spent so far."""
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
        """Predict how many steps will have been taken when the time is up."""
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
    """Seconds that the rest will take, if `share` of the whole took `seconds`."""
    return seconds * max(0.0, 1 / share - 1) if share > 0 else math.inf
