import io
import math
import sys
from typing import Any

import nbformat
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from listeners import END, STEP, UNITS, make_trainer, tell
from nbclient import NotebookClient

from sunspring.runs.progress import (
    NotebookProgress,
    PlainProgress,
    TerminalProgress,
    choose_progress,
)
from sunspring.training.trainer import Callback, EvaluationReport, StepReport


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def on_an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


class TestPlainProgress:
    def test_is_plain_lines(self) -> None:
        stream = io.StringIO()
        tell(PlainProgress(stream, UNITS))
        assert stream.getvalue() == (
            " 25%  1:30 left  training 1.000 bpc  epoch 1.5  2,000 characters/s\n"
            "  at temperature 0.5:\n    To be\n    [bold]or <not>\n"
            "100%  0:00 left  training 1.000 bpc  held-out 3.000 bpc  epoch 6.0"
            "  2,000 characters/s\n"
        )

    def test_is_a_line_every_ten_seconds(self) -> None:
        stream = io.StringIO()
        progress = PlainProgress(stream, UNITS)
        for second in range(95):
            progress.on_step(StepReport(second, float(second), 0.5, 9.0, 1.0, 1.0, 1.0))
        assert len(stream.getvalue().splitlines()) == 10

    def test_leaves_out_figures_that_there_are_not_yet(self) -> None:
        stream = io.StringIO()
        progress = PlainProgress(stream, UNITS)
        progress.on_step(StepReport(0, 0.0, 0.0, math.inf, 0.0, 0.0, math.nan))
        progress.on_evaluation(EvaluationReport(STEP, math.nan, math.nan, True))
        progress.on_end(StepReport(5, 7300.0, 0.5, 7300.0, 0.5, 10.0, math.nan))
        assert stream.getvalue().splitlines() == [
            "  0%  ? left  epoch 0.0  0 characters/s",
            " 50%  2:01:40 left  epoch 0.5  10 characters/s",
        ]

    def test_shows_no_control_characters_of_a_sample(self) -> None:
        stream = io.StringIO()
        PlainProgress(stream, UNITS).on_sample(1, 1.0, "a\x1b[31mb\tc\x07\x85é🙂\ufffd\n\nd")
        assert stream.getvalue() == (
            "  at temperature 1:\n    a\ufffd[31mb\tc\ufffd\ufffdé🙂\ufffd\n    \n    d\n"
        )


class TestTerminalProgress:
    def test_is_a_bar_whose_last_figures_are_left_standing(self) -> None:
        stream = Terminal()
        tell(TerminalProgress(stream, UNITS))
        shown = stream.getvalue()
        assert "━" in shown
        assert "\x1b[?25l" in shown
        assert shown.index("\x1b[?25h") > shown.index("100%  0:00 left")
        assert "held-out 3.000 bpc" in shown.split("100%")[-1]

    def test_scrolls_samples_above_the_bar_as_they_are(self) -> None:
        stream = Terminal()
        tell(TerminalProgress(stream, UNITS))
        assert "    [bold]or <not>" in stream.getvalue()

    def test_shows_what_was_learned_on_a_narrow_terminal(self) -> None:
        stream = Terminal()
        progress = TerminalProgress(stream, UNITS)
        tell(progress)
        assert "training 1.000 bpc  held-out 3.000 bpc" in stream.getvalue()

    def test_takes_one_line_and_leaves_no_thread_after_a_training(self) -> None:
        stream = Terminal()
        make_trainer([TerminalProgress(stream, UNITS)]).run()
        assert stream.getvalue().count("\n") == 1

    def test_gives_the_terminal_back_when_training_fails(self) -> None:
        class Failing(Callback):
            def on_step(self, report: StepReport) -> None:
                raise OSError("no space left")

        stream, stdout = Terminal(), sys.stdout
        with pytest.raises(OSError, match="no space"):
            make_trainer([TerminalProgress(stream, UNITS), Failing()]).run()
        assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")
        assert sys.stdout is stdout


@pytest.fixture
def shell() -> Any:
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()


class TestNotebookProgress:
    def test_is_one_output_that_is_updated(self, shell: Any) -> None:
        published = shell.display_pub = CapturingDisplayPublisher()
        progress = NotebookProgress(UNITS)
        progress.on_step(STEP)
        progress.on_sample(20, 0.5, "<first>")
        progress.on_sample(20, 1.0, "wild")
        progress.on_sample(40, 0.5, "<second>")
        progress.on_end(END)
        assert len({output["transient"]["display_id"] for output in published.outputs}) == 1
        assert [output["update"] for output in published.outputs] == [False] + 5 * [True]
        last = published.outputs[-1]["data"]["text/html"]
        assert '<progress value="1.0000" max="1">' in last
        assert "training 1.000 bpc" in last
        assert "&lt;second&gt;" in last
        assert "wild" in last
        assert "first" not in last

    def test_is_chosen_in_a_notebook(self) -> None:
        code = (
            "import sys\n"
            "from sunspring.runs.log import Units\n"
            "from sunspring.runs.progress import choose_progress\n"
            "from sunspring.training.trainer import StepReport\n"
            "progress = choose_progress(sys.stderr, Units(1.0))\n"
            "progress.on_end(StepReport(80, 120.0, 1.0, 0.0, 6.0, 2000.0, 1.0))\n"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        (output,) = notebook.cells[0].outputs
        assert "100%  0:00 left" in output["data"]["text/html"]


class TestChoice:
    def test_is_plain_where_it_is_no_terminal(self) -> None:
        assert isinstance(choose_progress(io.StringIO(), UNITS), PlainProgress)

    def test_is_a_bar_on_a_terminal(self) -> None:
        assert isinstance(choose_progress(Terminal(), UNITS), TerminalProgress)

    def test_is_the_same_in_ipython_without_a_notebook(self, shell: Any) -> None:
        assert isinstance(choose_progress(io.StringIO(), UNITS), PlainProgress)
