"""When a training ends: after so many minutes, epochs or steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sunspring.errors import SettingsError


@dataclass(frozen=True)
class Budget:
    """When training ends.

    Args:
        unit: what is counted.
        amount: how much of it; fractions of minutes and epochs are fine.
    """

    unit: Literal["minutes", "epochs", "steps"]
    amount: float

    def __post_init__(self) -> None:
        if not self.amount > 0:
            raise SettingsError(f"{self.unit} is {self.amount:g}: it must be above 0")

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def choose_budget(minutes: float | None, epochs: float | None, steps: int | None) -> Budget:
    """Make a budget of the one that is given; 3 minutes where none is.

    Raises:
        SettingsError: more than one is given, or it is not above 0.
    """
    given = {"minutes": minutes, "epochs": epochs, "steps": steps}
    chosen = [Budget(unit, amount) for unit, amount in given.items() if amount is not None]  # type: ignore[arg-type]
    if len(chosen) > 1:
        raise SettingsError("give one of minutes, epochs and steps: training ends at one of them")
    return chosen[0] if chosen else Budget("minutes", 3)
