import math
from typing import Any

import pytest

from sunspring.errors import SettingsError
from sunspring.training.budget import Budget, BudgetSettings


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ({"minutes": 0.5}, Budget("minutes", 0.5)),
        ({"minutes": 7}, Budget("minutes", 7)),
        ({"epochs": 2.5}, Budget("epochs", 2.5)),
        ({"steps": 100}, Budget("steps", 100)),
    ],
    ids=str,
)
def test_the_budget_is_the_one_that_was_given(given: dict[str, Any], budget: Budget) -> None:
    settings = BudgetSettings(**given)
    assert settings.given_budget == settings.budget == budget


def test_without_any_there_are_the_usual_minutes_but_none_that_were_given() -> None:
    settings = BudgetSettings()
    assert settings.given_budget is None
    assert settings.budget == Budget("minutes", 3)


@pytest.mark.parametrize("unit", ["minutes", "epochs"])
@pytest.mark.parametrize("amount", [0, -1, -0.5])
def test_a_budget_of_nothing_is_refused(unit: str, amount: float) -> None:
    with pytest.raises(SettingsError) as caught:
        BudgetSettings(**{unit: amount})  # type: ignore[arg-type]
    assert str(caught.value) == f"{unit} is {amount}: it must be above 0"


@pytest.mark.parametrize("amount", [math.nan, math.inf, "3", True])
def test_a_budget_that_is_no_number_is_refused(amount: Any) -> None:
    with pytest.raises(SettingsError, match=r"minutes is .*: it must be a number, above 0"):
        BudgetSettings(minutes=amount)


@pytest.mark.parametrize("steps", [2.5, 3.0, math.nan])
def test_steps_are_whole(steps: Any) -> None:
    with pytest.raises(SettingsError, match=r"steps is .*: it must be a whole number, above 0"):
        BudgetSettings(steps=steps)


@pytest.mark.parametrize(
    "given",
    [
        {"minutes": 1, "epochs": 1},
        {"minutes": 3, "steps": 9},
        {"epochs": 1, "steps": 1},
        {"minutes": 1, "epochs": 1, "steps": 1},
    ],
    ids=str,
)
def test_more_than_one_budget_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="minutes, epochs or steps: give only one"):
        BudgetSettings(**given)


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        (Budget("minutes", 3), "3 minutes"),
        (Budget("minutes", 1.0), "1 minute"),
        (Budget("epochs", 1), "1 epoch"),
        (Budget("epochs", 2.5), "2.5 epochs"),
        (Budget("steps", 400), "400 steps"),
    ],
)
def test_a_budget_in_words_knows_one_from_many(budget: Budget, words: str) -> None:
    assert str(budget) == words
