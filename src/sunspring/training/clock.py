"""A clock of work: time in which the machine slept, or the process was stopped, does not count.

Python's clock stands still while Linux and macOS sleep, but not on Windows, and nowhere while a
process is stopped. So a step that takes far longer than those before it is taken for sleep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_REMEMBERED = 20  # steps
_FAR = 20.0  # times as long as the longest of them is sleep,
_LEAST = 2.0  # if it is so many seconds


class WorkClock:
    """Seconds of work.

    Args:
        clock: returns seconds; only differences matter.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._slept = 0.0
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)

    def __call__(self) -> float:
        """Return the seconds; only differences matter."""
        return self._clock() - self._slept

    def step_ended(self, began: float) -> float:
        """Note that a step has ended, and from now on leave out the time that was sleep.

        Args:
            began: when, by this clock.

        Returns:
            The seconds of sleep.
        """
        seconds = self() - began
        if self._steps and seconds > max(_LEAST, _FAR * max(self._steps)):
            slept = seconds - max(self._steps)
            self._slept += slept
            return slept
        self._steps.append(seconds)
        return 0.0
