"""When training ends: after a number of minutes, epochs or steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sunspring.errors import SettingsError
from sunspring.settings import check_settings, setting

Unit = Literal["minutes", "epochs", "steps"]

_USUAL_MINUTES = 3


@dataclass(frozen=True)
class Budget:
    """When training ends.

    Args:
        unit: what is counted.
        amount: how much of it; minutes and epochs may be fractional.
    """

    unit: Unit
    amount: float

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit.removesuffix('s') if self.amount == 1 else self.unit}"


@dataclass(frozen=True, kw_only=True)
class BudgetSettings:
    """When the training ends.

    Raises:
        SettingsError: more than one is given, or it is not above 0.
    """

    minutes: float | None = setting(
        None,
        "Train for this many minutes, counting the whole command.",
        above=0,
        shown_default=str(_USUAL_MINUTES),
    )
    epochs: float | None = setting(None, "Or: read the text this many times.", above=0)
    steps: int | None = setting(None, "Or: take this many steps.", above=0)

    def __post_init__(self) -> None:
        check_settings(self)
        if sum(each is not None for each in (self.minutes, self.epochs, self.steps)) > 1:
            raise SettingsError(
                "training ends after minutes, epochs or steps: give only one of these"
            )

    @property
    def given_budget(self) -> Budget | None:
        """The budget that was given, if any."""
        if self.epochs is not None:
            return Budget("epochs", self.epochs)
        if self.steps is not None:
            return Budget("steps", self.steps)
        return None if self.minutes is None else Budget("minutes", self.minutes)

    @property
    def budget(self) -> Budget:
        """The budget that was given, or else the usual minutes."""
        return self.given_budget or Budget("minutes", _USUAL_MINUTES)
