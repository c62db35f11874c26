"""The command line: it parses arguments, calls the rooms and prints their results.

Text and JSON go to stdout, everything else to stderr. Exit codes: 0 done, 1 the input or the model
is at fault, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from sunspring.cli.console import prepare_streams
from sunspring.errors import MissingExtraError, SunspringError
from sunspring.machine import ENDING_SIGNALS, HANG_UP, leave_terminal
from sunspring.notices import screen_on

COMMANDS = {
    "train": "training",
    "write": "writing",
    "evaluate": "evaluating",
    "report": "pages",
    "explain": "pages",
    "compare": "pages",
    "score": "lines",
    "encode": "lines",
    "quantize": "evaluating",
    "doctor": "doctor",
}
"""Each command, and the module in this room that defines it."""

_EXTRAS = {
    "torch": ("this command", "train"),
    "tokenizers": ("a vocabulary of subwords", "subwords"),
}
"""What needs a package that may be missing, and the extra that installs it."""


class _Commands(click.Group):
    """The commands; each one's module is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return their names in order."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Build a command."""
        if cmd_name not in COMMANDS:
            return None
        from sunspring.cli.parameters import Command

        module = import_module(f"sunspring.cli.{COMMANDS[cmd_name]}")
        extras = (getattr(module, f"{extra}_{cmd_name}", None) for extra in ("expand", "check"))
        return Command(getattr(module, cmd_name), *extras)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each command does, without building its options."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _summary(name)) for name in COMMANDS])


def _summary(name: str) -> str:
    """Return the first line of a command's help."""
    function = getattr(import_module(f"sunspring.cli.{COMMANDS[name]}"), name)
    return str(function.__doc__).partition("\n")[0]


app = _Commands(
    "sunspring",
    help="Teach a small recurrent network to write like a text of your own.",
    no_args_is_help=True,
)
app = click.version_option(package_name="sunspring", prog_name="sunspring")(app)


def main() -> None:
    """Run the command line; errors that users can fix end it with one line and exit code 1."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _interrupt)
    prepare_streams()
    try:
        app()
    except SunspringError as error:
        _fail(str(error))
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        what, extra = _EXTRAS[error.name]
        _fail(str(MissingExtraError(what, extra)))
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _fail(f"{place}{error.strerror or error}: check the disk and the permissions")


def _fail(message: str) -> NoReturn:
    screen_on(sys.stderr)(f"sunspring: {message}")
    raise SystemExit(1)


def _interrupt(number: int, frame: Any) -> NoReturn:
    if number == HANG_UP:
        leave_terminal()
    line = f"{screen_on(sys.stderr).give_up_line()}sunspring: interrupted\n"
    os.write(2, line.encode())  # print itself may have been interrupted
    raise SystemExit(130)
