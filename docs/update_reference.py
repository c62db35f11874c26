"""Update the reference from the program; run it after changing options or settings.

    python docs/update_reference.py

It writes the program's own help into reference/command-line.md, and the settings declared in the
code into reference/settings.md. A test compares both with the program.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path

from sunspring.evaluation.settings import LearningSettings
from sunspring.network.config import ModelConfig
from sunspring.runs.request import TrainingRequest
from sunspring.settings import Setting, settings_of
from sunspring.training.recipe import OptimizerSettings, Recipe
from sunspring.writing.settings import ProposalSettings, WritingSettings

COMMAND_LINE = Path(__file__).parent / "reference" / "command-line.md"
SETTINGS = Path(__file__).parent / "reference" / "settings.md"
_LISTING = re.compile(r"(?<=```text\n)\$ (sunspring[^\n]*--help)\n.*?(?=```)", re.DOTALL)
_OPENING = """# Settings

All settings, with their defaults and ranges. This page is made from the code by
`docs/update_reference.py`, as are the options of the command line and the parameters in Python.
"""
_SECTIONS: tuple[tuple[str, str, tuple[type, ...], bool], ...] = (
    (
        "Training",
        "What `sunspring train` and `sunspring.train` take.",
        (TrainingRequest,),
        True,
    ),
    (
        "Writing",
        "What `sunspring write` takes, and in Python `Model.write`, `write_many` and `stream`.",
        (WritingSettings,),
        True,
    ),
    (
        "Proposals",
        "What `Model.propose` takes.",
        (ProposalSettings,),
        False,
    ),
    (
        "Network and recipe",
        "What `--set key=value` and, in Python, `settings={...}` change. `dropout` stands for "
        "all four dropouts.",
        (ModelConfig, Recipe, OptimizerSettings),
        False,
    ),
    (
        "Learning while reading",
        "For `evaluate --dynamic`, `write --adapt`, and the methods of a model that do the same.",
        (LearningSettings,),
        False,
    ),
)


def with_help(page: str) -> str:
    """Replace each listing `$ sunspring … --help` on a page by what the program prints."""
    return _LISTING.sub(lambda match: f"$ {match[1]}\n{_output(match[1])}", page)


def _output(command: str) -> str:
    program = Path(sys.executable).with_name("sunspring")
    ran = subprocess.run(
        [program, *command.split()[1:]],
        env={**os.environ, "COLUMNS": "90"},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    ran.check_returncode()
    return ran.stdout


def settings_page() -> str:
    """Write the page of all settings."""
    return "\n".join([_OPENING, *(line for section in _SECTIONS for line in _section(*section))])


def _section(heading: str, opening: str, owners: tuple[type, ...], on: bool) -> Iterator[str]:
    """Write a table of the settings declared in some dataclasses, perhaps with their options."""
    yield from (f"## {heading}", "", opening, "")
    yield f"| name | {'option | ' * on}default | range | what it is |"
    yield f"|---|{'---|' * on}---|---|---|"
    for owner in owners:
        for each in settings_of(owner).values():
            option = f"`{each.declared.argument or each.option}` | " * on
            values = f"{_default(each)} | {_range(each)} | {each.declared.help}"
            yield f"| `{each.name}` | {option}{values} |"
    yield ""


def _default(setting: Setting) -> str:
    if setting.declared.shown_default:
        return setting.declared.shown_default
    if setting.default is MISSING:
        return "required"
    return "none" if setting.default in (None, "", ()) else f"`{setting.default}`"


def _range(setting: Setting) -> str:
    if setting.choices:
        return ", ".join(f"`{each}`" for each in setting.choices)
    if setting.kind is bool:
        return "`True`, `False`"
    return setting.declared.range


if __name__ == "__main__":
    COMMAND_LINE.write_text(with_help(COMMAND_LINE.read_text("utf-8")), encoding="utf-8")
    SETTINGS.write_text(settings_page(), encoding="utf-8")
