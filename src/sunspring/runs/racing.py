"""The race before a run: which plan to follow, and from where, told in two lines.

It belongs to the preparation. Until it is decided, nothing is written, and a run that is
interrupted in it begins anew.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from sunspring.network.network import RecurrentModel
from sunspring.notices import Notify, Work, counted, readable
from sunspring.runs.capacity import explaining_memory, fit_together
from sunspring.runs.log import Units
from sunspring.runs.record import Setup
from sunspring.training.checkpoint import Checkpoint
from sunspring.training.plan import Overrides, Plan, Throughput
from sunspring.training.race import (
    FIRST,
    Entrant,
    Outcome,
    Try,
    is_worthwhile,
    judging_batches,
    race,
    rivals,
)
from sunspring.training.trainer import Trainer

_SHOWN = 0.005  # bits per character: less is 0.00


@dataclass(frozen=True)
class Start:
    """Where the winner of a race goes on.

    Args:
        plan: of the winner, which says why it won.
        model: the winner's.
        checkpoint: of its training until now.
        outcome: how the race went.
    """

    plan: Plan
    model: RecurrentModel
    checkpoint: Checkpoint
    outcome: Outcome


def try_rivals(
    setup: Setup,
    overrides: Overrides,
    throughput: Throughput,
    make_trainer: Callable[[Plan], Trainer],
    units: Units,
    notify: Notify,
) -> Start | None:
    """Let the plan and its rivals race, if that may change the plan.

    Args:
        setup: of the run, with the plan by the laws.
        overrides: the user's own settings, which every rival keeps.
        throughput: of this machine.
        make_trainer: makes the trainer of a plan, from the seed of the run.
        units: for the figures per character.
        notify: told how the race goes, and who won.

    Returns:
        Where training goes on; None if there was no race.

    Raises:
        SunspringError: the trainings of all plans diverge, or there is not enough memory.
    """
    plan, corpus, request = setup.plan, setup.corpus, setup.request
    if plan.preset != "auto" or request.init_from is not None:
        return None
    others = rivals(plan, overrides)
    if not others or not is_worthwhile(plan, request.budget, corpus.train.characters, throughput):
        return None
    judged = judging_batches(corpus.validation, corpus.vocabulary.start_id)
    if not judged or not fit_together([plan, *(each for _, each in others)], setup.device):
        return None
    with explaining_memory(plan):
        entrants = [Entrant(*each, make_trainer(each[1])) for each in ((FIRST, plan), *others)]
        allowed = plan.recipe.race * entrants[0].trainer.pace.seconds
        winner, outcome = race(entrants, judged, allowed, Work(notify, "trying"))
    lines = describe_race(outcome, units)
    for line in lines:
        notify(line)
    reason = "\n".join((plan.reason, *lines))
    return Start(
        replace(winner.plan, reason=reason), winner.trainer.model, winner.checkpoint(), outcome
    )


def describe_race(outcome: Outcome, units: Units) -> tuple[str, str]:
    """Say in two lines what was tried, and why the winner won."""
    tried, going_on = f"tried for {outcome.seconds:.0f} s", f"going on with {outcome.chosen}"
    steps = f"{counted(outcome.step, 'step')} of each plan"
    first, *others = outcome.tries
    (won,) = [each for each in outcome.tries if each.name == outcome.chosen]
    if math.isnan(won.nats) and not any(each.diverged for each in outcome.tries):
        return f"{tried}: {steps} are too few to compare them", going_on
    figures = [f"{first.name} {_figure(first, units)}"]
    for each in others:
        times = each.tokens_per_second / max(1e-9, first.tokens_per_second)
        speed = "" if each.diverged else f" at {times:.1f} times the speed"
        figures.append(f"{each.name} {_figure(each, units)}{speed}")
    leads = [won.lead - each.lead for each in outcome.tries if each is not won]
    lead = units.bpc(min((each for each in leads if not math.isnan(each)), default=0.0))
    why = f"which should end {lead:.2f} lower" if lead >= _SHOWN else "as none is clearly better"
    return (
        f"{tried}, bits per character of validation text after {steps}: {', '.join(figures)}",
        f"{going_on}, {why}",
    )


def _figure(tried: Try, units: Units) -> str:
    if tried.diverged:
        return "diverged"
    return "not measured" if math.isnan(tried.nats) else readable(units.bpc(tried.nats), 3)
