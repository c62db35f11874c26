"""The page of a report: turns its figures into charts and tables for the template."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from sunspring.corpus.overlap import describe_overlap
from sunspring.errors import SunspringError
from sunspring.explanation.copies import LEAST_COPIED, Copies
from sunspring.explanation.page import copying_chart
from sunspring.notices import Notify, command, ignore
from sunspring.pages.charts import Chart, Line, Point
from sunspring.pages.html import render, write_page
from sunspring.reports.report import WRITTEN_AT, Copying, Report, make_report
from sunspring.runs.log import RunLog
from sunspring.runs.result import TrainingResult

NAME = "report.html"
"""File name of the page in the folder of its run."""

_TEMPLATE = Path(__file__).parent / "templates" / "report.html"
_LISTED = 40  # characters in the table of mistakes
_TAKEN_FOR = 4  # wrong guesses shown for each
_COPIES = 12  # in the table of copied stretches
_LINES = 12  # in the list of repeated lines
_ROOM = 0.25  # bits above the highest end of the learning curves
_SOON_SEARCHED = 30_000_000  # characters that are searched in a few seconds
_ENOUGH = 100  # predictions in a bin whose gap is reported


class Moment(NamedTuple):
    """Samples written at one moment of the training, by temperature."""

    seconds: float
    texts: dict[float, str]


def write_report(folder: Path, out: Path, notify: Notify, most_searched: int | None = None) -> None:
    """Write the page of a run.

    Args:
        folder: folder of the run.
        out: file of the page.
        notify: see `make_report`.
        most_searched: see `make_report`.

    Raises:
        SunspringError: see `make_report`; or the page cannot be written.
    """
    write_page(out, report_page(make_report(folder, notify, most_searched)))


def report_training(result: TrainingResult, notify: Notify) -> None:
    """Write the page of a training that has just ended into its folder, and say where it is.

    A training text of more than thirty million characters is not searched for copies, which would
    take too long. Errors are reported only: the training itself is already saved.
    """
    if result.interrupted:
        return
    out = Path(result.run) / NAME
    try:
        write_report(Path(result.run), out, ignore, _SOON_SEARCHED)  # training has said it all
    except SunspringError as error:
        notify(f"no report: {error}")
    else:
        notify(f"report of what it learned and what it copied: {out}")


def report_page(report: Report) -> str:
    """Return the page as HTML."""
    unit = (
        "character"
        if report.card["corpus"]["characters"] == report.card["corpus"]["tokens"]
        else "token"
    )
    bins = [each for each in report.calibration.bins if each.count >= _ENOUGH]
    accuracies, along = report.calibration.accuracies, moments(report.log)
    return render(
        _TEMPLATE,
        "passage.js",
        report=report,
        data={**report.passage, "copied": None},
        unit=unit,
        search=command("report", report.folder),
        overlap=describe_overlap(report.card["heldout"].get("overlap")),
        moments=along,
        logged_temperatures=sorted({t for each in along for t in each.texts}),
        learning=_learning(report),
        reliability=_reliability(report),
        gap=max((abs(each.predicted - each.observed) for each in bins), default=0.0),
        memory=_memory(report, unit),
        copying=None if report.copying is None else _copying(report.copying),
        accuracies=[
            (each, [(report.names[other], n) for other, n in each.taken_for[:_TAKEN_FOR]])
            for each in accuracies[:_LISTED]
        ],
        right=sum(each.first for each in accuracies)
        / max(1, sum(each.count for each in accuracies)),
        settings=json.dumps(report.settings, indent=2, ensure_ascii=False),
        written_at=WRITTEN_AT,
    )


def moments(log: RunLog) -> list[Moment]:
    """Group the samples of a training by the moment at which they were written."""
    seconds = {event["step"]: event["seconds"] for event in log.of("evaluation")}
    found: dict[int, dict[float, str]] = {}
    for event in log.of("sample"):
        found.setdefault(event["step"], {})[event["temperature"]] = event["text"]
    return [Moment(seconds.get(step, 0.0), texts) for step, texts in found.items()]


def _learning(report: Report) -> Chart:
    log = report.log
    is_long = log.seconds > 180
    in_units = 60.0 if is_long else 1.0

    def curve(kind: str, figure: str) -> list[Point]:
        return [(seconds / in_units, bpc) for seconds, bpc in log.curve(kind, figure)]

    training = curve("step", "training_bpc") + curve("evaluation", "training_bpc")
    lines = [
        Line("training text", sorted(training), 0),
        Line("validation text", curve("evaluation", "validation_bpc"), 1),
        Line("held-out text", curve("evaluation", "heldout_bpc"), 2),
    ]
    end = log.seconds / in_units
    levels = [
        Line(f"{name.removeprefix('order-')}-grams", [(0.0, bits), (end, bits)], straight=True)
        for name, bits in report.ngrams.items()
        if name != "order-1"
    ]
    known = [y for line in (*lines, *levels) for _, y in line.points]
    ends = [line.points[-1][1] for line in (*lines, *levels) if line.points]
    mark = None
    if log.best is not None:
        mark = (log.best["seconds"] / in_units, "best weights")
    return Chart(
        "Bits per character during training, and those of n-gram models",
        f"{'minutes' if is_long else 'seconds'} of training",
        "bits per character",
        [*levels, *lines],
        mark,
        x_range=(0.0, end or 1.0),
        y_range=(min(known, default=0.0) - 0.1, max(ends, default=8.0) + _ROOM),
    )


def _reliability(report: Report) -> Chart:
    points = [(each.predicted, each.observed) for each in report.calibration.bins]
    return Chart(
        "Share of predictions that came true, by predicted probability",
        "predicted probability",
        "share that came true",
        [Line("as predicted", [(0.0, 0.0), (1.0, 1.0)], straight=True), Line("the model", points)],
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
    )


def _memory(report: Report, unit: str) -> Chart | None:
    if len(report.memory) < 2:
        return None
    return Chart(
        f"Bits per {unit}, by the number of {unit}s read before it",
        f"{unit}s read before",
        f"bits per {unit}",
        [Line("the model", [(float(n), bits) for n, bits in report.memory.items()])],
        log_x=True,
    )


def _copying(found: Copying) -> dict[str, Any]:
    """Return what the section on copies shows."""
    copies, control = found.copies, found.control
    stretches = copies.longest(LEAST_COPIED)
    shares = (copies.new_shares().tolist(), control.new_shares().tolist())
    return {
        "characters": len(copies.text),
        "least": LEAST_COPIED,
        "share": _copied_share(copies),
        "control_share": _copied_share(control),
        "chart": copying_chart(*shares),
        "count": len(stretches),
        "stretches": [copies.text[slice(*each)] for each in stretches[:_COPIES]],
        "lines": found.lines[:_LINES],
        "line_count": len(found.lines),
    }


def _copied_share(copies: Copies) -> float:
    """Return the share of characters that are part of a copied stretch."""
    return float(copies.is_copied(LEAST_COPIED).sum()) / max(1, len(copies.text))
