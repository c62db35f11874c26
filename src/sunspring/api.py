"""The Python interface: `train` and `load`, and the `Model` that both return."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from sunspring.model import Model
from sunspring.notices import notify_on
from sunspring.runs.request import TrainingRequest
from sunspring.settings import part_of, setting, takes

if TYPE_CHECKING:
    from sunspring.runs.result import TrainingResult

__all__ = ["Model", "load", "train"]

load = Model.load


@dataclass(frozen=True, kw_only=True)
class Call(TrainingRequest):
    """A training request made in Python."""

    progress: bool | TextIO | None = setting(
        True, "Where progress and samples go: True for standard error, None for silence."
    )


@takes(Call)
def train(call: Call) -> Model:
    """Teach a network to write like a text.

    Args:
        call: by name.

    Returns:
        The model; its `training` says how the training went. Without `out`, the run is only kept in
        memory.

    Raises:
        SunspringError: something that the user can fix.
    """
    stream = sys.stderr if call.progress is True else call.progress or None
    with tempfile.TemporaryDirectory(prefix="sunspring-") as temporary:
        request = part_of(call, TrainingRequest)
        if call.out is None:
            request = replace(request, out=Path(temporary) / "run")
        result = run(request, stream, reported=call.out is not None)
        model = load(request.folder)
    model.training = result
    return model


def run(
    request: TrainingRequest,
    stream: TextIO | None,
    *,
    resumed_with: Collection[str] | None = None,
    began: float | None = None,
    announce: Callable[[TrainingResult], None] | None = None,
    reported: bool = True,
) -> TrainingResult:
    """Carry out a request or resume the run that it names, and write the report.

    Args:
        request: what to train, and on what.
        stream: where progress and notices go; None for silence.
        resumed_with: to resume a run, the settings of the request that the user gave.
        began: see `sunspring.runs.train.train`.
        announce: called with the result before the report is written.
        reported: whether to write the report.

    Raises:
        SunspringError: something that the user can fix.
    """
    from sunspring.runs import train as runs

    if resumed_with is None:
        result = runs.train(request, stream, began)
    else:
        result = runs.resume(request, resumed_with, stream)
    if announce:
        announce(result)
    if reported:
        from sunspring.reports.page import report_training

        report_training(result, notify_on(stream))
    return result
