"""A budget of minutes as a plan of steps, on clocks of every speed."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.training.budget import Budget
from sunspring.training.pace import Pace, Revision

few = settings(max_examples=25, deadline=None)
SecondsOfStep = Callable[[int], float]


def train(
    pace: Pace, seconds_of: SecondsOfStep, step: int = 0, seconds: float = 0.0, until: int = 10**6
) -> tuple[int, float, list[float], list[Revision]]:
    """Step on to the end; gives steps, seconds, the share before each step and the plans."""
    shares, plans = [], []
    while (share := pace.share(step, 0.0)) < 1 and step < until:
        shares.append(share)
        step, seconds = step + 1, seconds + seconds_of(step)
        if (plan := pace.observe(step, seconds)) is not None:
            plans.append(plan)
    return step, seconds, shares, plans


@few
@given(
    minutes=st.floats(0.2, 600),
    steps=st.integers(150, 5000),
    reserve=st.floats(0, 0.1),
)
def test_a_steady_machine_keeps_the_minutes(minutes: float, steps: int, reserve: float) -> None:
    target = 60 * minutes * (1 - reserve)
    pace = Pace(Budget("minutes", minutes), 60 * minutes * reserve)
    taken, seconds, shares, plans = train(pace, lambda _: target / steps)
    assert math.isclose(seconds, target, rel_tol=0.02)
    assert math.isclose(taken, steps, rel_tol=0.02)
    assert len(plans) <= 2
    assert all(0 <= earlier <= later < 1 for earlier, later in pairwise(shares))


@few
@given(
    speeds=st.lists(st.floats(0.6, 1.6), min_size=8, max_size=8),
    slow_first=st.floats(1, 30),
)
def test_a_machine_whose_speed_drifts_keeps_them_to_three_percent(
    speeds: list[float], slow_first: float
) -> None:
    def seconds_of(step: int) -> float:
        place = min(step / 3000, 1) * (len(speeds) - 1)
        before = min(int(place), len(speeds) - 2)
        drifting = speeds[before] + (place - before) * (speeds[before + 1] - speeds[before])
        return 0.06 * drifting * (slow_first if step == 0 else 1)

    _, seconds, shares, plans = train(Pace(Budget("minutes", 3)), seconds_of)
    assert math.isclose(seconds, 180, rel_tol=0.03)
    assert all(earlier <= later for earlier, later in pairwise(shares))
    assert plans[-1].steps == len(shares)


@few
@given(stop=st.integers(1, 400), jump=st.sampled_from([0.5, 1.0, 2.0]))
def test_a_resumed_run_goes_on_as_it_would_have(stop: int, jump: float) -> None:
    def seconds_of(step: int) -> float:
        return 0.1 * (jump if step > 200 else 1)

    budget = Budget("minutes", 0.7)
    _, _, whole, _ = train(Pace(budget, 3.0), seconds_of)
    pace = Pace(budget, 3.0)
    step, seconds, first, _ = train(pace, seconds_of, until=stop)
    saved = json.loads(json.dumps(pace.state()))
    resumed = Pace(budget, 9.0)  # reading the text took longer this time
    resumed.load(saved, step, seconds)
    _, _, second, _ = train(resumed, seconds_of, step, seconds)
    assert first + second == whole


def test_more_minutes_let_a_finished_run_go_on_from_the_share_that_it_has_spent() -> None:
    pace = Pace(Budget("minutes", 1))
    step, seconds, _, _ = train(pace, lambda _: 0.1)
    longer = Pace(Budget("minutes", 4))
    longer.load(pace.state(), step, seconds)
    assert math.isclose(longer.share(step, 0.0), 0.25, rel_tol=0.03)
    steps, seconds, shares, _ = train(longer, lambda _: 0.1, step, seconds)
    assert math.isclose(seconds, 240, rel_tol=0.02)
    assert math.isclose(steps, 2400, rel_tol=0.02)
    assert all(earlier <= later for earlier, later in pairwise(shares))


def test_a_step_longer_than_the_minutes_is_the_only_one() -> None:
    step, _, _, plans = train(Pace(Budget("minutes", 1)), lambda _: 100.0)
    assert (step, plans[-1].steps) == (1, 1)


def test_half_of_the_minutes_are_for_training_however_long_the_text_took_to_read() -> None:
    _, seconds, _, _ = train(Pace(Budget("minutes", 1), reserve=500.0), lambda _: 0.05)
    assert math.isclose(seconds, 30, rel_tol=0.02)


@pytest.mark.parametrize(
    ("unit", "end"), [("epochs", {"step": 5, "epochs": 2.0}), ("steps", {"step": 2, "epochs": 5.0})]
)
def test_epochs_and_steps_count_themselves_alone(unit: Any, end: dict[str, Any]) -> None:
    pace = Pace(Budget(unit, 2))
    assert pace.observe(1, 1e9) is None
    assert pace.share(0, 0.0) == 0
    assert pace.share(**end) == 1


def test_minutes_end_early_when_a_text_was_read_often_enough() -> None:
    pace = Pace(Budget("minutes", 1), most_epochs=10)
    for step in range(100):
        pace.observe(step + 1, 0.1 * (step + 1))  # 600 steps in a minute
    assert math.isclose(pace.share(150, 2.0), 0.25, abs_tol=0.02)
    assert pace.share(150, 5.0) == 0.5
    assert pace.share(150, 10.0) == 1


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_epochs_and_steps_that_were_asked_for_are_taken(unit: Any) -> None:
    assert Pace(Budget(unit, 100), most_epochs=10).share(50, 50.0) == 0.5


def test_what_is_left_of_minutes_is_known_from_the_first_step() -> None:
    pace = Pace(Budget("minutes", 10), reserve=60.0, most_epochs=20)
    pace.observe(1, 4.0)
    assert pace.left(1, 0.001, 4.0) == 536
    assert math.isclose(pace.left(50, 5.0, 30.0), 90)  # read often enough before the time is over
    assert pace.left(90, 20.0, 120.0) == 0


def test_what_is_left_of_minutes_is_nothing_after_the_last_step() -> None:
    pace = Pace(Budget("minutes", 1))
    step, seconds, _, _ = train(pace, lambda _: 0.1)
    assert pace.left(step - 1, 0.0, seconds - 0.1) == pytest.approx(0.1, abs=0.15)
    assert pace.left(step, 0.0, seconds) == 0


@pytest.mark.parametrize("unit", ["epochs", "steps"])
def test_what_is_left_of_epochs_and_steps_follows_from_what_is_done(unit: Any) -> None:
    pace = Pace(Budget(unit, 100))
    assert pace.left(0, 0.0, 1.0) == math.inf
    assert math.isclose(pace.left(25, 25.0, 30.0), 90)
