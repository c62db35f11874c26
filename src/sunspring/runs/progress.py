"""The progress of a training, for a terminal, a pipe or a notebook.

Each display is a callback that writes to the place it is given; none affects what is learned.
"""

from __future__ import annotations

import html
import math
from typing import Any, TextIO

from sunspring.notices import displayable, duration
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
                figures.append(f"{name} {bpc:.3f} bpc")
        # What a narrow terminal may cut off comes last.
        figures += [f"epoch {report.epochs:.1f}", f"{speed:,.0f} characters/s"]
        if self._planned:
            figures.append(f"step {report.step:,} of {self._planned:,}")
        return "  ".join(figures)


class PlainProgress(_Progress):
    """Plain lines every ten seconds, for output that is not a terminal.

    Args:
        stream: where they go.
        units: for the figures per character.
    """

    def __init__(self, stream: TextIO, units: Units) -> None:
        super().__init__(units)
        self._stream = stream

    def _show(self) -> None:
        print(self._figures(), file=self._stream, flush=True)

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Print a sample, indented."""
        print(_sample_block(temperature, text), file=self._stream, flush=True)

    def on_notice(self, step: int, line: str) -> None:
        """Print what people should know."""
        print(line, file=self._stream, flush=True)

    def on_end(self, report: StepReport) -> None:
        """Print the last figures."""
        self._report = report
        self._show()


class TerminalProgress(_Progress):
    """One live line with a bar at the bottom of the terminal, samples scrolling above it.

    Args:
        stream: the terminal.
        units: for the figures per character.
    """

    _every = _LIVE_SECONDS

    def __init__(self, stream: TextIO, units: Units) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        super().__init__(units)
        self._bar = Progress(
            BarColumn(bar_width=20),
            TextColumn("{task.description}"),
            console=Console(file=stream),
            refresh_per_second=5,
        )
        self._task = self._bar.add_task("getting ready", total=1.0)

    def on_start(self, trainer: Trainer) -> None:
        """Show the bar."""
        self._bar.start()

    def _show(self) -> None:
        if self._report is not None:
            self._bar.update(self._task, completed=self._report.spent, description=self._figures())

    def on_sample(self, step: int, temperature: float, text: str) -> None:
        """Print a sample above the bar."""
        from rich.text import Text

        self._bar.console.print(Text(_sample_block(temperature, text), style="dim"))

    def on_notice(self, step: int, line: str) -> None:
        """Print above the bar what people should know."""
        from rich.text import Text

        self._bar.console.print(Text(line))

    def on_end(self, report: StepReport) -> None:
        """Leave the last figures in view."""
        self._report = report
        self._show()
        self._bar.stop()


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


def choose_progress(
    stream: TextIO, units: Units
) -> PlainProgress | TerminalProgress | NotebookProgress:
    """Pick the display that fits where the program runs."""
    if _in_notebook():
        return NotebookProgress(units)
    return TerminalProgress(stream, units) if stream.isatty() else PlainProgress(stream, units)


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
