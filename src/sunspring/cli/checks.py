"""What several commands check of what they were given, and how they name it.

Right before these commands in the street.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from sunspring.errors import SettingsError

if TYPE_CHECKING:
    from sunspring.evaluation.dynamic import LearningSettings


def check_rate(rate: float | None, learns: bool, option: str) -> None:
    """Make sure that something learns at the rate that was given."""
    if rate is not None and not learns:
        raise SettingsError(f"--rate says how fast {option} learns: give that too, or leave it out")


def learning(rate: float | None) -> LearningSettings | None:
    """Give the settings of learning at a rate; None for the usual one."""
    from sunspring.evaluation.dynamic import LearningSettings

    return None if rate is None else LearningSettings(rate)


def is_given(context: typer.Context, name: str) -> bool:
    """Tell whether a parameter was written by the user."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def shown(context: typer.Context, name: str) -> str:
    """Name a parameter as the user writes it."""
    parameter = next(each for each in context.command.params if each.name == name)
    return parameter.opts[0] if parameter.opts[0].startswith("-") else name.upper()


def refuse(context: typer.Context, names: Iterable[str], beside: str) -> None:
    """Make sure that the user wrote none of some parameters beside something."""
    for name in names:
        if is_given(context, name):
            raise SettingsError(
                f"{shown(context, name)} does not go with {beside}: leave one of them out"
            )
