"""Commands made from functions whose parameters are dataclasses of settings.

Each setting becomes an option, or an argument if it is declared as one. Nothing here knows what a
command does.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any, get_type_hints

import click

from sunspring.cli.common import Verbosity
from sunspring.cli.console import clear, detail, verbosity
from sunspring.errors import SettingsError, SunspringError
from sunspring.machine import package_versions
from sunspring.notices import command
from sunspring.settings import Setting, check_settings, settings_of


class _PathType(click.Path):
    """A path, which is not empty: as a `Path` that would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "" and param is not None:
            raise SettingsError(f"{param.opts[0]} is empty: give it a name, or leave it out")
        return super().convert(value, param, ctx)


_TYPES: Mapping[type, click.ParamType[Any]] = {
    int: click.INT,
    float: click.FLOAT,
    Path: _PathType(path_type=Path),
}
_ROOM = "sunspring.cli."
_WORDS = f"{_ROOM}words"  # of the command line, as they were given

Arguments = list[str]


class Command(click.Command):
    """A command.

    Args:
        function: runs the command. Its parameters are dataclasses, whose settings become the
            command's options; its docstring is the help.
        expand: rewrites the words of the command line before they are parsed, if given.
        check: checks the parsed parameters before settings are made from them, if given.
    """

    def __init__(
        self,
        function: Callable[..., None],
        expand: Callable[[Arguments], Arguments] | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        hints = get_type_hints(function)
        self._function = function
        self._expand = expand
        self._check = check
        self._owners = [hint for name, hint in hints.items() if name != "return"]
        self._owners.append(Verbosity)
        settings = [each for owner in self._owners for each in settings_of(owner).values()]
        self._settings = sorted(settings, key=lambda each: not _is_required_argument(each))
        parameters = [_parameter(each) for each in self._settings]
        super().__init__(function.__name__, help=function.__doc__, params=parameters)

    def parse_args(self, ctx: click.Context, args: Arguments) -> Arguments:
        """Parse the words of the command line."""
        ctx.meta[_WORDS] = list(args)
        return super().parse_args(ctx, self._expand(args) if self._expand else args)

    def invoke(self, ctx: click.Context) -> None:
        """Call the function with the given settings."""
        if self._check:
            self._check()
        made = [
            owner(
                **{
                    name: _value(each, ctx.params[name])
                    for name, each in settings_of(owner).items()
                }
            )
            for owner in self._owners
        ]
        for each in made:
            check_settings(each)
        *made, ctx.obj = made
        self._run(made, ctx.meta[_WORDS])

    def _run(self, made: Sequence[Any], words: Sequence[str]) -> None:
        """Run the command, and say more about it if that is wanted.

        Raises:
            SunspringError: also for an error that nobody foresaw, unless all of it is to be shown.
        """
        began = time.perf_counter()
        if verbosity().verbose:
            detail(f"running {command(self.name or '', *words)}")
            detail(", ".join(f"{name} {each}" for name, each in package_versions().items()))
        elif verbosity().quiet:
            warnings.simplefilter("ignore")
        try:
            self._function(*made)
        except (SunspringError, click.ClickException, OSError, ModuleNotFoundError):
            raise
        except Exception as error:
            if verbosity().verbose:
                raise
            what = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise SunspringError(
                f"this should not happen ({what}): run it again with --verbose, and report what it "
                "says"
            ) from error
        finally:
            clear()
        detail(f"done in {time.perf_counter() - began:.1f} s")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help of arguments and options, in one section for each dataclass."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for setting, parameter in zip(self._settings, self.params, strict=True):
            value = parameter.make_metavar(ctx)
            if setting.declared.argument:
                heading, name = "Arguments", setting.declared.argument
            else:
                heading = self._heading(setting.owner)
                name = setting.option if setting.kind is bool else f"{setting.option} {value}"
            sections.setdefault(heading, []).append((name, _help(setting)))
        sections["Options"].append(("--help", "Show this message and exit."))
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def _heading(self, owner: type) -> str:
        if owner is self._owners[0] or owner.__module__.startswith(_ROOM):
            return "Options"
        return (owner.__doc__ or "").partition("\n")[0].removesuffix(".")


def _is_required_argument(setting: Setting) -> bool:
    """Return whether a setting is a required argument, which must come first."""
    return setting.declared.argument is not None and setting.default is MISSING


def _parameter(setting: Setting) -> click.Parameter:
    """Turn a setting into an option or an argument."""
    declared, default = setting.declared, setting.default
    kind = (
        click.Choice(setting.choices) if setting.choices else _TYPES.get(setting.kind, click.STRING)
    )
    is_required = default is MISSING
    # click counts None as a value: with that default nothing would be required
    usual: dict[str, Any] = {} if is_required or setting.is_multiple else {"default": default}
    if declared.argument:
        return click.Argument(
            [setting.name],
            type=kind,
            required=is_required,
            nargs=-1 if setting.is_multiple else 1,
            metavar=_shown_argument(setting),
            **usual,
        )
    is_flag = setting.kind is bool
    return click.Option(
        [setting.option, setting.name],
        type=None if is_flag else kind,
        required=is_required,
        multiple=setting.is_multiple or setting.kind is Mapping,
        is_flag=is_flag or None,  # False would make the option's value optional
        metavar=declared.metavar,
        **usual,
    )


def _shown_argument(setting: Setting) -> str:
    """Return an argument as the usage line shows it."""
    name = setting.declared.argument or ""
    name = name if setting.default is MISSING else f"[{name}]"
    return f"{name}..." if setting.is_multiple else name


def _help(setting: Setting) -> str:
    """Return a setting's line of help, with its default and its range."""
    declared, default = setting.declared, setting.default
    notes = []
    if declared.shown_default:
        notes.append(f"default: {declared.shown_default}")
    elif default is MISSING:
        notes.append("required")
    elif not (setting.is_multiple or default is None or default is False or default == ""):
        notes.append(f"default: {default}")
    notes += [declared.range] if declared.range else []
    return f"{declared.help}  [{'; '.join(notes)}]" if notes else declared.help


def _value(setting: Setting, value: Any) -> Any:
    """Convert what was given for an option to the setting's own type."""
    if setting.kind is not Mapping:
        return value
    pairs = {}
    for word in value:
        name, separator, chosen = word.partition("=")
        if not separator:
            raise SettingsError(f"{setting.option} {word} has no value: write it as key=value")
        pairs[name.strip()] = chosen.strip()
    return pairs


def is_given(name: str) -> bool:
    """Return whether the user gave a parameter of the running command."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def names_given() -> list[str]:
    """Return the names of the parameters that the user gave to the running command.

    Those that only say how much is said are left out.
    """
    names = click.get_current_context().params
    return [name for name in names if name not in settings_of(Verbosity) and is_given(name)]


def shown(name: str) -> str:
    """Return a parameter of the running command as the user writes it."""
    (parameter,) = (
        each for each in click.get_current_context().command.params if each.name == name
    )
    return parameter.opts[0] if parameter.opts[0].startswith("-") else name.upper()


def refuse(names: Iterable[str], beside: str) -> None:
    """Check that the user gave none of some parameters together with something else.

    Args:
        names: the parameters that are not allowed.
        beside: what they do not go with, in words.

    Raises:
        SettingsError: one of them was given.
    """
    for name in names:
        if is_given(name):
            raise SettingsError(f"{shown(name)} does not go with {beside}: leave one of them out")
