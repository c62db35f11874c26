"""The examples run as they are, on budgets of seconds."""

import re
import runpy
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import sunspring.api  # noqa: F401  (before capsys replaces the streams)

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
NOTEBOOK = EXAMPLES / "first_model.ipynb"
SECONDS = "0.05"  # minutes


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Run a script in an empty folder; gives what it printed."""

    def run(name: str, *arguments: object) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def write_text(path: Path) -> str:
    text = "".join(f"Line {number}: the cat sat on mat {number * 7}.\n" for number in range(800))
    path.write_text(text, encoding="utf-8")
    return text


def test_names_gives_as_many_new_and_different_names_as_asked_for(run_script, tmp_path) -> None:
    known = {f"{begin}{middle}{end}" for begin in "KMT" for middle in "aeio" for end in "nrs"}
    (tmp_path / "list.txt").write_text("\n".join(sorted(known)), encoding="utf-8")
    names = run_script("names.py", "list.txt", "--minutes", SECONDS, "--count", 12).splitlines()
    assert len({*names} - known) == 12 == len(names)


def test_names_makes_up_a_list_and_keeps_to_the_pattern(run_script) -> None:
    pattern = "[A-Z][a-z]{3,8}"
    printed = run_script("names.py", "--minutes", SECONDS, "--count", 5, "--pattern", pattern)
    assert len(printed.splitlines()) == 5
    assert all(re.fullmatch(pattern, name) for name in printed.splitlines())


def test_gates_compared_prints_a_line_for_each_kind_of_layer(run_script, tmp_path) -> None:
    write_text(tmp_path / "text.txt")
    rows = [
        line.split()
        for line in run_script(
            "gates_compared.py", "text.txt", "--steps", 2, "--hidden-size", 16
        ).splitlines()
    ]
    assert [row[0] for row in rows[:4]] == ["layers", "rnn", "gru", "lstm"]
    assert rows[4][0].startswith("order-")
    assert all(0 < float(row[-1]) < 10 for row in rows[1:])


def test_continue_a_text_goes_on_from_the_end_of_the_file(run_script, tmp_path) -> None:
    text = write_text(tmp_path / "text.txt")
    printed = run_script("continue_a_text.py", "text.txt", "--minutes", SECONDS, "--length", 50)
    assert printed.startswith(text[-300:])
    assert len(printed) == 300 + 50 + 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_short(script: Path) -> None:
    assert len(script.read_text(encoding="utf-8").splitlines()) < 60


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> nbformat.NotebookNode:
    """The notebook after it was run from top to bottom."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        cells, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return cells


def printed_by(notebook: nbformat.NotebookNode, code: str) -> str:
    """What the cell with this code wrote to its standard output."""
    (cell,) = [each for each in notebook.cells if code in each.source and each.cell_type == "code"]
    return "".join(output.get("text", "") for output in cell.outputs)


def test_the_notebook_shows_live_progress_in_one_output(notebook) -> None:
    (cell,) = [each for each in notebook.cells if "sunspring.train(" in each.source]
    shown = [out.data["text/html"] for out in cell.outputs if "text/html" in out.get("data", {})]
    live, of_model = shown
    assert "<progress" in live and "held-out" in live
    assert "sunspring.Model" in of_model and "bits per character" in of_model


def test_the_notebook_writes_streams_and_scores(notebook) -> None:
    assert len(printed_by(notebook, "model.write(")) == len("The value of ") + 300 + 1
    assert len(printed_by(notebook, "model.stream(")) == len("The value of ") + 200
    assert len(printed_by(notebook, "model.score(").splitlines()) == len(
        "The value of the expression"
    )


def test_the_notebook_is_kept_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
