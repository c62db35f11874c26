"""The progress of a training, for a terminal, a pipe or a notebook.

Each display is a callback that writes to the place it is given; none affects what is learned.
"""

from __future__ import annotations

import html
import math
from typing import Any

from sunspring.notices import Screen, displayable, duration, readable
from sunspring.runs.log import Units
from sunspring.training.pace import Revision
from sunspring.training.trainer import Callback, EvaluationReport, StepReport, Trainer

_PLAIN_SECONDS = 10.0
_LIVE_SECONDS = 0.2


class _Progress(Callback):
    """What the progress displays share: the latest figures in words."""

    _every = _PLAIN_SECONDS

    def __init__(self, units: Units) -> None:
        self._units = units
        self._heldout = math.nan
        self._shown = -math.inf
        self._report: StepReport | None = None
        self._planned = 0

    def on_plan(self, revision: Revision) -> None:
        """Remember the number of steps."""
        self._planned = revision.steps

    def on_step(self, report: StepReport) -> None:
        """Show the figures now and then."""
        self._report = report
        if report.spent < 1 and report.seconds - self._shown >= self._every:
            self._shown = report.seconds
            self._show()

    def on_evaluation(self, report: EvaluationReport) -> None:
        """Remember the held-out figure."""
        self._heldout = self._units.bpc(report.heldout)
        self._report = report.report

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Show a sample."""

    def _show(self) -> None:
        """Show the latest figures."""

    def _figures(self) -> str:
        if self._report is None:
            return "getting ready"
        report = self._report
        speed = self._units.characters(report.tokens_per_second)
        figures = [f"{report.spent:4.0%}", f"{duration(report.left)} left"]
        for name, bpc in (("training", self._units.bpc(report.loss)), ("held-out", self._heldout)):
            if not math.isnan(bpc):
                figures.append(f"{name} {readable(bpc, 3)} bpc")
        # What a narrow terminal may cut off comes last.
        figures += [f"epoch {report.epochs:.1f}", f"{speed:,.0f} characters/s"]
        if self._planned:
            figures.append(f"step {report.step:,} of {self._planned:,}")
        return "  ".join(figures)


class ScreenProgress(_Progress):
    """A bar on a terminal, below the samples; elsewhere plain lines every ten seconds.

    Args:
        screen: where they go.
        units: for the figures per character.
    """

    def __init__(self, screen: Screen, units: Units) -> None:
        super().__init__(units)
        self._screen = screen
        self._every = _LIVE_SECONDS if screen.is_live else _PLAIN_SECONDS

    def on_start(self, trainer: Trainer) -> None:
        """Show the bar."""
        if self._screen.is_live:
            self._show()

    def _show(self) -> None:
        if self._screen.is_live:
            self._screen.draw(self._report.spent if self._report else 0.0, self._figures())
        else:
            self._screen(self._figures())

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Print a sample, indented."""
        self._screen(_sample_block(temperature, text))

    def on_notice(self, step: int, line: str) -> None:
        """Print what people should know."""
        self._screen(line)

    def on_end(self, report: StepReport) -> None:
        """Leave the last figures in view."""
        self._report = report
        self._screen(self._figures())


class NotebookProgress(_Progress):
    """One live output in a notebook cell: a bar, the figures and the latest samples.

    Args:
        units: for the figures per character.
    """

    _every = 1.0

    def __init__(self, units: Units) -> None:
        from IPython import display

        super().__init__(units)
        self._display: Any = display  # untyped
        self._handle = self._display.display(self._display.HTML("getting ready"), display_id=True)
        self._samples: dict[float, str] = {}
        self._notices: list[str] = []

    def _show(self) -> None:
        spent = self._report.spent if self._report is not None else 0.0
        samples = "".join(
            f"<pre>{html.escape(_sample_block(temperature, text))}</pre>"
            for temperature, text in self._samples.items()
        )
        bar = f'<progress value="{spent:.4f}" max="1"></progress>'
        notices = "".join(f"<p>{html.escape(line)}</p>" for line in self._notices)
        text = f"{bar} {html.escape(self._figures())}{notices}{samples}"
        self._handle.update(self._display.HTML(text))

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Show the latest sample of each temperature."""
        self._samples[temperature] = text
        self._show()

    def on_notice(self, step: int, line: str) -> None:
        """Show what people should know."""
        self._notices.append(line)
        self._show()

    def on_end(self, report: StepReport) -> None:
        """Leave the last figures in view."""
        self._report = report
        self._show()


def choose_progress(screen: Screen, units: Units) -> ScreenProgress | NotebookProgress:
    """Pick the display that fits where the program runs."""
    return NotebookProgress(units) if _in_notebook() else ScreenProgress(screen, units)


def _in_notebook() -> bool:
    """Tell whether a Jupyter kernel runs this, without importing IPython just to ask."""
    import sys

    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def _sample_block(temperature: float, text: str) -> str:
    """Indent a sample."""
    body = "\n".join(f"    {line}" for line in displayable(text).strip("\n").split("\n"))
    return f"  at temperature {temperature:g}:\n{body}"
