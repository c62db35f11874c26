"""The command that trains."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sunspring.cli import printing
from sunspring.cli.common import JsonOption
from sunspring.cli.console import notices, print_json, say
from sunspring.cli.parameters import names_given
from sunspring.errors import SettingsError
from sunspring.runs.request import TrainingRequest
from sunspring.settings import setting

if TYPE_CHECKING:
    from sunspring.runs.result import TrainingResult


@dataclass(frozen=True, kw_only=True)
class TrainOptions(JsonOption):
    """What the command line adds to a request."""

    resume: bool = setting(
        False,
        "Continue the run in --out. Only the budget, --device, --tensorboard and the names of the "
        "sources may differ from what it began with.",
    )


def train(request: TrainingRequest, options: TrainOptions) -> None:
    """Teach a network to write like your text.

    It ends with a report of how the training went: a page in the folder of the run.
    """
    began = time.perf_counter()
    if request.out is None:
        request = replace(request, out=_free_run(request.source_names))
    from sunspring.api import run

    def announce(result: TrainingResult) -> None:
        if options.as_json:
            print_json(result.to_json())
        say(printing.describe_result(result))

    resumed_with = names_given() if options.resume else None
    result = run(request, notices(), resumed_with=resumed_with, began=began, announce=announce)
    if result.interrupted:
        raise SystemExit(130)


def check_train() -> None:
    """Refuse to resume a run that is not named."""
    given = click.get_current_context().params
    if given["resume"] and given["out"] is None:
        raise SettingsError("--resume needs the folder of a run: name it with --out")


def _free_run(sources: Sequence[str]) -> Path:
    """Return a new folder under runs/, named after the first source."""
    stem = Path(sources[0].rstrip("/")).name.split(".")[0] if sources else "python-help"
    name = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem)
    base = Path("runs") / (name[:60].strip("-") or "text")
    number = 1
    path = base
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}")
    return path
