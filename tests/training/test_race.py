"""Plans that race on clocks which tick a little at each step."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from trainers import (
    CONFIG,
    DROPOUT,
    SENTENCE,
    TEXT,
    VOCABULARY,
    Recorder,
    Stopper,
    make_trainer,
    text_split,
    ticking_clock,
    weights,
)

from sunspring.corpus.batches import IGNORED, Batch
from sunspring.errors import SunspringError
from sunspring.network.config import ModelConfig, least_parameters
from sunspring.notices import unnoticed
from sunspring.training.budget import Budget
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.plan import Plan, Throughput, make_plan, read_overrides
from sunspring.training.race import (
    FIRST,
    Entrant,
    Outcome,
    is_worthwhile,
    judging_batches,
    race,
    rivals,
)
from sunspring.training.recipe import Recipe
from sunspring.training.trainer import Callback

JUDGED = judging_batches(text_split(SENTENCE * 400), VOCABULARY.start_id)
DROPPED = replace(CONFIG, **DROPOUT)
TICK = 0.001
MINUTES = Budget("minutes", 0.5)
WILD = {"optimizer": "adamw", "clip_norm": 0.0, "learning_rate": 1e30}
IDLE = {"optimizer": "adamw", "learning_rate": 1e-9}


def entrant(
    name: str,
    config: ModelConfig = CONFIG,
    *,
    tick: float = TICK,
    **more: Any,
) -> Entrant:
    settings = {"budget": MINUTES, "clock": ticking_clock(tick), **more}
    trainer = make_trainer(config, **settings)
    return Entrant(name, Plan("auto", config, Recipe(), ""), trainer)


def hold(*entrants: Entrant, seconds: float = 1.0) -> tuple[Entrant, Outcome]:
    return race(entrants, JUDGED, seconds, unnoticed)


def test_who_learns_more_wins_wherever_it_stands() -> None:
    for first, rival, winner in (({}, IDLE, FIRST), (IDLE, {}, "rival")):
        won, outcome = hold(entrant(FIRST, **first), entrant("rival", **rival))
        assert (won.name, outcome.chosen) == (winner, winner)
        nats = {each.name: each.nats for each in outcome.tries}
        assert nats.pop(winner) < min(nats.values())


def test_a_clear_race_is_over_soon_and_an_open_one_takes_its_time() -> None:
    _, clear = hold(entrant(FIRST), entrant("rival", **IDLE))
    _, tie = hold(entrant(FIRST), entrant("rival"))
    assert clear.step < tie.step
    assert 0.8 < tie.seconds < 1.1
    assert clear.seconds < 0.5


def test_the_first_plan_wins_a_tie() -> None:
    won, outcome = hold(entrant(FIRST), entrant("rival"), entrant("other"))
    assert won.name == FIRST
    assert [each.lead for each in outcome.tries] == pytest.approx([0, 0, 0], abs=0.02)


def test_of_two_that_learn_as_much_from_the_same_the_faster_wins_if_reading_more_helps() -> None:
    for text, winner in ((text_split(SENTENCE * 4000), "rival"), (TEXT, FIRST)):
        entrants = [
            entrant(name, tick=tick, split=text, budget=Budget("minutes", 1))
            for name, tick in ((FIRST, TICK), ("rival", TICK / 2))
        ]
        won, outcome = hold(*entrants)
        first, rival = outcome.tries
        assert first.nats == pytest.approx(rival.nats, abs=0.02)
        assert rival.tokens_per_second == pytest.approx(2 * first.tokens_per_second, rel=0.1)
        assert won.name == winner


def test_one_that_diverges_loses() -> None:
    for first, rival, winner in (({}, WILD, FIRST), (WILD, {}, "rival")):
        won, outcome = hold(entrant(FIRST, **first), entrant("rival", **rival))
        assert won.name == winner
        assert [each.diverged for each in outcome.tries] == [first is WILD, rival is WILD]


def test_a_race_in_which_all_diverge_is_an_error() -> None:
    with pytest.raises(SunspringError, match="training diverges"):
        hold(entrant(FIRST, **WILD), entrant("rival", **WILD))


def test_a_race_too_short_for_a_comparison_changes_nothing() -> None:
    won, outcome = hold(entrant(FIRST, **IDLE), entrant("rival"), seconds=0.1)
    assert won.name == FIRST
    assert outcome.step < 40
    assert all(math.isnan(each.nats) for each in outcome.tries)


def test_a_race_trains_the_winner_as_if_it_had_been_alone() -> None:
    steps = Budget("steps", 10_000)
    won, outcome = hold(*(entrant(name, DROPPED, budget=steps) for name in (FIRST, "rival")))
    alone = make_trainer(DROPPED, budget=steps)
    alone.try_until(outcome.step)
    assert weights(won.trainer) == weights(alone)
    ours, theirs = won.checkpoint().carried, alone.checkpoint().carried
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_a_race_leaves_the_random_generators_as_they_were() -> None:
    entrants = [entrant(FIRST), entrant("rival")]
    before = torch.get_rng_state()
    hold(*entrants)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_race_that_is_interrupted_ends_at_once() -> None:
    def interrupt(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    entrants = [entrant(FIRST), entrant("rival")]
    with pytest.raises(KeyboardInterrupt):
        race(entrants, JUDGED, 1.0, interrupt)
    assert [each.trainer.step for each in entrants] == [10, 10]


def go_on(
    checkpoint: Checkpoint, budget: Budget, callbacks: list[Callback], saved: list[Checkpoint]
) -> Any:
    trainer = make_trainer(
        DROPPED,
        budget=budget,
        callbacks=callbacks,
        save=saved.append,
        clock=ticking_clock(TICK),
    )
    trainer.resume(checkpoint)
    return trainer, trainer.run()


def test_a_run_after_a_race_that_is_resumed_ends_with_the_same_bytes() -> None:
    won, outcome = hold(entrant(FIRST, DROPPED), entrant("rival", DROPPED))
    end = Budget("steps", outcome.step + 60)
    saved: list[Checkpoint] = []
    whole, _ = go_on(won.checkpoint(), end, [], [])
    _, stopped = go_on(won.checkpoint(), end, [Stopper(outcome.step + 20)], saved)
    assert outcome.step < stopped.step < whole.step
    resumed, _ = go_on(saved[-1], end, [], [])
    assert resumed.step == whole.step
    assert weights(resumed) == weights(whole)


def test_the_time_of_the_losers_is_taken_from_the_minutes() -> None:
    won, outcome = hold(entrant(FIRST, DROPPED), entrant("rival", DROPPED), seconds=1.5)
    (lost,) = [each.seconds for each in outcome.tries if each.name == "rival"]
    recorder = Recorder()
    _, report = go_on(won.checkpoint(), MINUTES, [recorder], [])
    assert lost > 0.6
    assert report.seconds + lost == pytest.approx(30, rel=0.03)
    assert recorder.plans[0].step == outcome.step + 1  # from where on it is known


def plan_for(**changes: Any) -> Plan:
    settings: dict[str, Any] = {"overrides": read_overrides({}), "documents": 1, **changes}
    return make_plan(
        preset="auto",
        vocabulary_size=65,
        labels=(),
        training_characters=1_000_000,
        budget=Budget("minutes", 1),
        throughput=speed_of(30_000),
        **settings,
    )


def speed_of(tokens_per_second: float) -> Throughput:
    usual = ModelConfig(65, hidden_size=192, embedding_size=32, skip=True)
    work = tokens_per_second * least_parameters(usual)
    return Throughput(lambda config, batch_size: work / least_parameters(config))


def test_the_rival_of_a_plan_with_a_pointer_is_the_same_without() -> None:
    plan = plan_for()
    ((name, rival),) = rivals(plan, read_overrides({}))
    assert name == "the plan without its pointer"
    assert rival == replace(plan, model=replace(plan.model, pointer=0))


@pytest.mark.parametrize("given", [{"pointer": 512}, {"pointer": 0}, {"pointer_size": 16}])
def test_no_rival_changes_what_the_user_set(given: Mapping[str, Any]) -> None:
    overrides = read_overrides(given)
    assert rivals(plan_for(overrides=overrides), overrides) == []


def test_a_plan_without_a_pointer_has_no_rival() -> None:
    assert rivals(plan_for(documents=10_000), read_overrides({})) == []


@pytest.mark.parametrize(
    ("budget", "speed", "race", "expected"),
    [
        (Budget("minutes", 1), 30_000, 0.1, True),
        (Budget("minutes", 1), 30_000, 0.0, False),
        (Budget("steps", 1000), 30_000, 0.1, False),
        (Budget("minutes", 1), 3_000, 0.1, False),  # too few steps to compare anything
        (Budget("minutes", 10), 30_000, 0.1, False),  # reading more would hardly help
        (Budget("minutes", 10), 5_000, 0.1, True),
    ],
)
def test_a_race_is_held_where_it_can_change_the_plan(
    budget: Budget, speed: float, race: float, expected: bool
) -> None:
    plan = plan_for(overrides=read_overrides({"race": race}))
    assert is_worthwhile(plan, budget, 1_000_000, speed_of(speed)) is expected


def test_a_short_text_that_is_read_many_times_anyway_needs_no_race() -> None:
    plan = plan_for()
    assert not is_worthwhile(plan, Budget("minutes", 1), 30_000, speed_of(30_000))


def test_the_second_half_of_long_windows_is_judged() -> None:
    counted = 0
    for batch in JUDGED:
        assert batch.inputs.shape == (4, 2048)
        assert (batch.targets[:, :1024] == IGNORED).all()
        assert (batch.targets[:, 1024:] != IGNORED).all()
        counted += np.count_nonzero(batch.targets != IGNORED)
    assert counted == 8 * 1024


def test_a_validation_part_that_is_too_short_judges_nothing() -> None:
    batches: list[Batch] = judging_batches(TEXT, VOCABULARY.start_id)
    assert batches == []
