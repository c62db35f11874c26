"""What may change when a run is resumed, and what may not.

All that the user names again is compared with what the run began with. It is taken if it is the
same, or if the run goes on to the same end with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sunspring.errors import SettingsError
from sunspring.runs.request import TrainingRequest
from sunspring.settings import settings_of
from sunspring.training.budget import Budget
from sunspring.training.plan import Plan, read_overrides

_BUDGET = {"minutes", "epochs", "steps"}
_FREE = {"sources", "heldout", "device", "tensorboard"}  # the text is compared when it is read


def resumed_request(
    kept: TrainingRequest, plan: Plan, given: TrainingRequest, names: Collection[str]
) -> TrainingRequest:
    """Return the request of a run that goes on.

    Args:
        kept: what the run began with.
        plan: what it led to.
        given: what the user asks for now.
        names: the settings that the user named; the others of `given` do not count.

    Raises:
        SettingsError: a setting that the run depends on is not what it was.
    """
    for name in {*names} & {*settings_of(TrainingRequest)} - {"out", *_BUDGET, *_FREE}:
        _check_kept(name, kept, plan, given)
    if "heldout" in names and bool(kept.heldout_names) != bool(given.heldout_names):
        raise _changed("--heldout", kept.heldout_names, given.heldout_names, given.folder)
    changes = {name: getattr(given, name) for name in _FREE & {*names}}
    request = replace(kept, **changes, out=given.out)
    budget = given.given_budget if _BUDGET & {*names} else None
    return request if budget is None else request.with_budget(budget)


def check_budget(budget: Budget, kept: Budget, trained: Mapping[str, Any], folder: Path) -> None:
    """Make sure that a run has not been trained for longer than it should be now.

    Args:
        budget: how long it should be trained.
        kept: how long it should have been until now.
        trained: the steps, epochs and seconds of its last checkpoint.
        folder: the run.

    Raises:
        SettingsError: it has been trained for longer.
    """
    done = Budget(budget.unit, _amount(budget.unit, trained))
    if budget != kept and budget.amount < done.amount:
        raise SettingsError(
            f"--{budget.unit} is {budget.amount:g}, but the run in {folder} has already trained "
            f"{done}: give more, or leave it out"
        )


def epochs_within(budget: Budget, trained: Mapping[str, Any]) -> float:
    """Foresee how many epochs a run will have read when its budget is spent.

    Args:
        budget: how long it should be trained.
        trained: the steps, epochs and seconds of its last checkpoint.
    """
    done = _amount(budget.unit, trained)
    return float(trained["epochs"] * budget.amount / done if done else trained["epochs"])


def _amount(unit: str, trained: Mapping[str, Any]) -> float:
    """How much of a kind of budget a checkpoint has spent."""
    return float(
        {
            "steps": trained["step"],
            "epochs": trained["epochs"],
            "minutes": trained["seconds"] / 60,
        }[unit]
    )


def names_other_text(kept: TrainingRequest, request: TrainingRequest) -> bool:
    """Tell whether a request names its text otherwise than the run did."""
    names = ("sources", "heldout")
    before, now = kept.to_json(), request.to_json()
    return any(before[name] != now[name] for name in names)


def _check_kept(name: str, kept: TrainingRequest, plan: Plan, given: TrainingRequest) -> None:
    """Check one setting."""
    option = settings_of(TrainingRequest)[name].option
    if name == "settings":
        began = {**asdict(plan.model), **asdict(plan.recipe), **asdict(plan.recipe.optimization)}
        asked = read_overrides(given.settings or {})
        for each, value in {**asked.model, **asked.recipe, **asked.optimization}.items():
            if value != began[each]:
                raise _changed(f"{option} {each}", began[each], value, given.folder)
        return
    before, now = getattr(kept, name), getattr(given, name)
    if name == "init_from":  # run.json has absolute paths
        is_same = before is not None and now is not None and _absolute(before) == _absolute(now)
    else:
        is_same = before == now
    if not is_same:
        raise _changed(option, before, now, given.folder)


def _absolute(path: str | Path) -> Path:
    return Path(path).absolute()


def _changed(option: str, before: object, now: object, folder: Path) -> SettingsError:
    return SettingsError(
        f"{option} is {_shown(now)}, and was {_shown(before)} when the run in {folder} began: "
        "leave it out with --resume, or train anew with another --out"
    )


def _shown(value: object) -> str:
    if value is None or value == ():
        return "not given"
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
