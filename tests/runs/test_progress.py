import io
import math
from dataclasses import replace
from typing import Any

import nbformat
import pytest
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from listeners import END, STEP, UNITS, make_trainer, tell
from nbclient import NotebookClient

from sunspring.notices import Screen
from sunspring.runs.progress import (
    NotebookProgress,
    ScreenProgress,
    choose_progress,
)
from sunspring.training.trainer import Callback, EvaluationReport, StepReport


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def on_an_ordinary_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")


class TestOnPipes:
    def test_is_plain_lines(self) -> None:
        stream = io.StringIO()
        tell(ScreenProgress(Screen(stream), UNITS))
        assert stream.getvalue() == (
            " 25%  1:30 left  training 1.000 bpc  epoch 1.5  2,000 characters/s\n"
            "  at temperature 0.5:\n    To be\n    [bold]or <not>\n"
            "100%  0:00 left  training 1.000 bpc  held-out 3.000 bpc  epoch 6.0"
            "  2,000 characters/s\n"
        )

    def test_is_a_line_every_ten_seconds(self) -> None:
        stream = io.StringIO()
        progress = ScreenProgress(Screen(stream), UNITS)
        for second in range(95):
            progress.on_step(StepReport(second, float(second), 0.5, 9.0, 1.0, 1.0, 1.0))
        assert len(stream.getvalue().splitlines()) == 10

    def test_leaves_out_figures_that_there_are_not_yet(self) -> None:
        stream = io.StringIO()
        progress = ScreenProgress(Screen(stream), UNITS)
        progress.on_step(StepReport(0, 0.0, 0.0, math.inf, 0.0, 0.0, math.nan))
        progress.on_evaluation(EvaluationReport(STEP, math.nan, math.nan, True))
        progress.on_end(StepReport(5, 7300.0, 0.5, 7300.0, 0.5, 10.0, math.nan))
        assert stream.getvalue().splitlines() == [
            "  0%  ? left  epoch 0.0  0 characters/s",
            " 50%  2:01:40 left  epoch 0.5  10 characters/s",
        ]

    def test_shows_no_control_characters_of_a_sample(self) -> None:
        stream = io.StringIO()
        ScreenProgress(Screen(stream), UNITS).on_sample(
            1, 1.0, "a\x1b[31mb\tc\x07\x85é🙂\ufffd\n\nd"
        )
        assert stream.getvalue() == (
            "  at temperature 1:\n    a\ufffd[31mb\tc\ufffd\ufffdé🙂\ufffd\n    \n    d\n"
        )

    def test_shows_no_control_characters_of_a_notice(self) -> None:
        stream = io.StringIO()
        ScreenProgress(Screen(stream), UNITS).on_notice(1, "saved in a\x1b[31mb")
        assert stream.getvalue() == "saved in a\ufffd[31mb\n"

    @pytest.mark.parametrize("bits", [1e20, math.inf])
    def test_says_in_few_words_that_training_is_far_off(self, bits: float) -> None:
        stream = io.StringIO()
        ScreenProgress(Screen(stream), UNITS).on_end(replace(END, loss=bits))
        assert stream.getvalue() == (
            "100%  0:00 left  training over 99 bpc  epoch 6.0  2,000 characters/s\n"
        )


class TestOnATerminal:
    def test_is_a_bar_that_gives_way_to_samples_and_the_last_figures(self) -> None:
        stream = Terminal()
        tell(ScreenProgress(Screen(stream), UNITS))
        shown = stream.getvalue().split("\r\x1b[K")
        assert shown == [
            "",
            "─" * 20 + " getting ready",
            "━" * 5 + "─" * 15 + "  25%  1:30 left  training 1.000 bpc  epoch 1.5  2,000 char",
            "  at temperature 0.5:\n    To be\n    [bold]or <not>\n"
            "100%  0:00 left  training 1.000 bpc  held-out 3.000 bpc  epoch 6.0"
            "  2,000 characters/s\n",
        ]

    def test_takes_one_line_and_leaves_it_after_a_training(self) -> None:
        stream = Terminal()
        make_trainer([ScreenProgress(Screen(stream), UNITS)]).run()
        assert stream.getvalue().count("\n") == 1
        assert stream.getvalue().endswith(" characters/s\n")

    def test_takes_the_bar_away_when_training_fails(self) -> None:
        class Failing(Callback):
            def on_step(self, report: StepReport) -> None:
                raise OSError("no space left")

        stream = Terminal()
        with pytest.raises(OSError, match="no space"):
            make_trainer([ScreenProgress(Screen(stream), UNITS), Failing()]).run()
        assert "━" not in stream.getvalue().rpartition("\r\x1b[K")[2]

    def test_is_plain_lines_on_one_that_cannot_move_its_cursor(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        stream = Terminal()
        tell(ScreenProgress(Screen(stream), UNITS))
        assert "\x1b" not in stream.getvalue()


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
            "from sunspring.notices import Screen\n"
            "from sunspring.runs.log import Units\n"
            "from sunspring.runs.progress import choose_progress\n"
            "from sunspring.training.trainer import StepReport\n"
            "progress = choose_progress(Screen(sys.stderr), Units(1.0))\n"
            "progress.on_end(StepReport(80, 120.0, 1.0, 0.0, 6.0, 2000.0, 1.0))\n"
        )
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
        NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
        (output,) = notebook.cells[0].outputs
        assert "100%  0:00 left" in output["data"]["text/html"]


class TestChoice:
    def test_is_lines_or_a_bar_in_ipython_without_a_notebook(self, shell: Any) -> None:
        assert isinstance(choose_progress(Screen(io.StringIO()), UNITS), ScreenProgress)
