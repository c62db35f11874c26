"""Every command and option that a report or a message advises: they are run as printed."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from commands import SMALL, error_of, run, succeed

import sunspring
from sunspring.cli.main import COMMANDS, app
from sunspring.network.model_folder import ModelFiles
from sunspring.notices import command
from sunspring.reports.report import make_report
from sunspring.reports.verdict import Facts, judge
from sunspring.runs.request import TrainingRequest
from sunspring.storage import read_json, write_json

PACKAGE = Path(sunspring.__file__).parent
LINES = "".join(f"The café of number {n} is closed.\n" for n in range(300))
TABLE = "kind,text\n" + "".join(f"{'a' if n % 2 else 'b'},line {n} of it\n" for n in range(300))
OVERFITTED = Facts(2.0, 2.5, 3.0, 4.0, 1.0, 2.0, 10_000, 20.0, 0.5, 0.3, 12.0)
IMPROVING = Facts(2.0, 2.5, 3.0, 4.0, 1.9, 2.0, 10_000_000, 1.0, 1.0, 0.0, 12.0)

RUNS: dict[str, tuple[str, list[str]]] = {
    "chars": ("my text.txt", ["--minimum-count", "2"]),
    "bytes": ("my text.txt", ["--tokens", "bytes"]),
    "subwords": ("my text.txt", ["--tokens", "subwords", "--subword-vocabulary", "300"]),
    "lines": ("my text.txt", ["--documents", "lines"]),
    "a table": ("t.csv:text", ["--documents", "lines", "--label-column", "kind"]),
    "folders": ("stories", ["--documents", "files", "--label-folders"]),
}


def write_sources() -> None:
    for name in ("my text.txt", "MORE.txt"):
        Path(name).write_text(LINES)
    for name in ("t.csv", "MORE.csv"):
        Path(name).write_text(TABLE)
    for name in ("stories", "MORE"):
        for label in ("sad", "glad"):
            Path(name, label).mkdir(parents=True)
            for number in range(9):
                Path(name, label, f"{number}.txt").write_text(LINES[:900])


def words_of(advice: str) -> list[str]:
    program, *words = shlex.split(advice)
    assert program == "sunspring"
    return words


@pytest.mark.parametrize("kind", RUNS)
def test_what_a_report_advises_works(kind: str) -> None:
    write_sources()
    source, options = RUNS[kind]
    folder = Path("a run")
    done = succeed("train", source, "--out", folder, "--steps", "4", *options, *SMALL)
    (write,) = re.findall(r"write with: (.*)", done.err)
    label = ["--label", "a"] if kind == "a table" else []
    label = ["--label", "sad"] if kind == "folders" else label
    succeed(*words_of(write), *label)
    report = make_report(folder, print)
    request = TrainingRequest.from_record(read_json(folder / "run.json"))
    advised = [step for facts in (OVERFITTED, IMPROVING) for step in judge(facts, request).steps]
    advised += report.verdict.steps
    commands = {step.command for step in advised}
    assert any("--resume" in each for each in commands)
    assert any("MORE" in each for each in commands)
    assert any("--init-from" in each for each in commands) == (kind not in ("bytes", "subwords"))
    for number, each in enumerate(sorted(commands)):
        words = words_of(each)
        if "--resume" not in words:  # each of them names the same new folder
            words[words.index("--out") + 1] += str(number)
        assert run(*words).code == 0, each
    succeed(*words_of(command("report", folder)))


def test_what_an_unfinished_run_advises_works() -> None:
    write_sources()
    succeed("train", "my text.txt", "--out", "a run", "--steps", "4", *SMALL)
    card: dict[str, Any] = dict(ModelFiles.read(Path("a run")).card)
    write_json(Path("a run/card.json"), {**card, "heldout": None})
    (advice,) = re.findall(r"with (sunspring .*)", error_of("report", "a run"))
    assert run(*words_of(advice)).code == 0


def options_of_commands() -> set[str]:
    found = {"--help"}
    for name in COMMANDS:
        made = app.get_command(click.Context(app), name)
        assert made is not None
        found |= {option for each in made.params for option in each.opts}
    return found


def test_every_option_and_command_that_is_named_exists() -> None:
    known, found = options_of_commands(), 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
                continue
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", node.value):
                found += 1
                assert option in known, f"{path.name}: {node.value}"
            for name in re.findall(r"\bsunspring ([a-z]+)\b(?! (?:on|again|needs))", node.value):
                found += 1
                is_prose = name in ("again", "on", "or")
                assert name in COMMANDS or is_prose, f"{path.name}: {node.value}"
    assert found > 50
