"""Settings, each declared once: as a dataclass field with its range and its line of help.

The options of the command line, the signatures in Python, the reference and the command that a
report prints are all made from these fields. Nothing here knows which settings exist.
"""

from __future__ import annotations

import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from sunspring.errors import SettingsError

_KEY = "setting"

Parameters = ParamSpec("Parameters")
Settings = TypeVar("Settings")
Result = TypeVar("Result")
Own = TypeVar("Own")
First = TypeVar("First")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Declaration:
    """What is declared about a setting besides its name, type and default.

    Args:
        help: a line that says what it does.
        at_least: the low end of its range, included.
        above: the low end of its range, excluded.
        at_most: the high end of its range, included.
        below: the high end of its range, excluded.
        option: its name on the command line, if that is not the field's.
        argument: its name on the command line, if it is an argument and not an option.
        metavar: the placeholder for its value in the help of the command line.
        shown_default: what happens by default, if the default itself does not say.
    """

    help: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    option: str | None = None
    argument: str | None = None
    metavar: str | None = None
    shown_default: str | None = None

    def contains(self, value: float) -> bool:
        """Return whether a number lies in the range."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    @property
    def range(self) -> str:
        """The range in words; empty if there is no limit."""
        if self.at_least is not None and self.at_most is not None:
            return f"between {_short(self.at_least)} and {_short(self.at_most)}"
        ends = {
            "at least": self.at_least,
            "above": self.above,
            "at most": self.at_most,
            "below": self.below,
        }
        known = [f"{name} {_short(end)}" for name, end in ends.items() if end is not None]
        return " and ".join(known)


def _short(end: float) -> str:
    """Write an end of a range, a large power of two as 2**n."""
    power = int(end).bit_length() - 1
    return f"2**{power}" if power > 32 and end == 1 << power else f"{end:,}"


def setting(default: Value, help: str, **declared: Any) -> Value:
    """Declare a field of a dataclass as a setting.

    Args:
        default: its default value.
        help: a line that says what it does.
        declared: the other fields of `Declaration`.
    """
    return field(default=default, metadata={_KEY: Declaration(help, **declared)})


def required(help: str, **declared: Any) -> Any:
    """Declare a setting that has no default; see `setting`."""
    return field(metadata={_KEY: Declaration(help, **declared)})


def optional(owner: type, name: str) -> Any:
    """Declare a setting as another dataclass does, but with None as default, so it can be left out.

    Args:
        owner: the dataclass that declares it.
        name: the setting's name.
    """
    other = settings_of(owner)[name]
    declared = replace(other.declared, shown_default=str(other.default))
    return field(default=None, metadata={_KEY: declared})


@dataclass(frozen=True)
class Setting:
    """A setting, as it was declared.

    Args:
        name: the field's name.
        owner: the dataclass that declares it.
        default: `dataclasses.MISSING` if there is none.
        declared: its help and its range.
        kind: `bool`, `int`, `float`, `str` or `Path`; `Mapping` of names to values; or `object`,
            which is not checked.
        choices: the words that it accepts; empty if it accepts any value.
        is_optional: whether it may be None.
        is_multiple: whether it accepts several values of its kind.
    """

    name: str
    owner: type
    default: Any
    declared: Declaration
    kind: type
    choices: tuple[str, ...]
    is_optional: bool
    is_multiple: bool

    @property
    def option(self) -> str:
        """Its name on the command line."""
        return self.declared.option or f"--{self.name.replace('_', '-')}"

    def check(self, value: Any) -> None:
        """Check a value.

        Raises:
            SettingsError: it has the wrong type, or is out of range.
        """
        if value is None and self.is_optional:
            return
        if self.is_multiple:
            is_one = isinstance(value, str) or not isinstance(value, Sequence)
            values = [value] if is_one else value
            if self.kind is str and not all(isinstance(each, str) for each in values):
                raise self._refusal(value, "it must be a text, or several")
        elif self.choices:
            if value not in self.choices:
                raise self._refusal(value, f"choose {_either(self.choices)}")
        elif self.kind is bool:
            if not isinstance(value, bool):
                raise self._refusal(value, "it must be true or false")
        elif self.kind in (int, float):
            self._check_number(value)
        elif self.kind is Path and str(value) == "":
            raise self._refusal(value, "it must be a name")
        elif self.kind is str and not isinstance(value, str):
            raise self._refusal(value, "it must be a text")
        elif self.kind is Mapping and not isinstance(value, Mapping):
            raise self._refusal(value, "it must be a mapping of names to values")

    def _check_number(self, value: Any) -> None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        is_number = is_whole or (isinstance(value, float) and math.isfinite(value))
        fits = is_whole if self.kind is int else is_number
        if fits and self.declared.contains(value):
            return
        wanted = [] if fits else ["a whole number" if self.kind is int else "a number"]
        wanted += [self.declared.range] if self.declared.range else []
        raise self._refusal(value, f"it must be {', '.join(wanted)}")

    def _refusal(self, value: Any, remedy: str) -> SettingsError:
        is_long = type(value) is int and abs(value) >= 10_000
        return SettingsError(f"{self.name} is {f'{value:,}' if is_long else repr(value)}: {remedy}")


def _either(words: Sequence[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def settings_of(owner: type) -> Mapping[str, Setting]:
    """Return the settings of a dataclass by name: first its own, then those that it inherits."""
    return _settings_of(owner)


@functools.cache
def _settings_of(owner: type) -> Mapping[str, Setting]:
    hints = get_type_hints(owner)
    declared = {each.name: each for each in fields(owner) if _KEY in each.metadata}
    found: dict[str, Setting] = {}
    for each in owner.__mro__:
        for name in inspect.get_annotations(each):
            if name in declared and name not in found:
                found[name] = _read(declared[name], each, hints[name])
    return found


def _read(declared: Field[Any], owner: type, hint: Any) -> Setting:
    """Read a setting from a field and its type."""
    is_union = get_origin(hint) in (Union, types.UnionType)
    parts = [each for each in (get_args(hint) if is_union else [hint]) if each is not type(None)]
    several = [each for each in parts if get_origin(each) in (tuple, list, Sequence)]
    words = [get_args(each) for each in parts if get_origin(each) is Literal]
    if several:
        kind = get_args(several[0])[0]
    elif words:
        kind = str
    elif len(parts) == 1:
        kind = get_origin(parts[0]) or parts[0]
    else:
        kind = Path if Path in parts else object
    return Setting(
        declared.name,
        owner,
        declared.default,
        declared.metadata[_KEY],
        kind if isinstance(kind, type) else object,
        words[0] if words else (),
        is_optional=is_union and type(None) in get_args(hint),
        is_multiple=bool(several),
    )


def check_settings(settings: Any) -> None:
    """Check all settings of a dataclass instance, and turn numbers of NumPy into Python's.

    Raises:
        SettingsError: one has the wrong type, or is out of range.
    """
    for name, each in settings_of(type(settings)).items():
        value = getattr(settings, name)
        if isinstance(value, numbers.Real) and not isinstance(value, int | float):
            value = int(value) if isinstance(value, numbers.Integral) else float(value)
            object.__setattr__(settings, name, value)  # it is frozen for everybody else
        each.check(value)


def part_of(settings: Any, part: Callable[..., Settings]) -> Settings:
    """Return a part of some settings: those of a dataclass that theirs inherits from."""
    names = settings_of(cast(type, part))
    return part(**{name: getattr(settings, name) for name in names})


def arguments_of(settings: Any) -> list[str]:
    """Write settings as words of a command line: arguments first, then options not at default."""
    arguments: list[str] = []
    options: list[str] = []
    for name, each in settings_of(type(settings)).items():
        value = getattr(settings, name)
        if each.declared.argument:
            arguments += several(value) if each.is_multiple else [str(value)]
        elif each.kind is Mapping:
            for key, chosen in (value or {}).items():
                options += [each.option, f"{key}={chosen}"]
        elif each.is_multiple:
            for one in several(value):
                options += [each.option, one]
        elif value != each.default:
            options += [each.option] if each.kind is bool else [each.option, _shown(value)]
    return [*arguments, *options]


def _shown(value: object) -> str:
    """Write a value so that it is read back as the same, in few digits where that can be."""
    if isinstance(value, float):
        short = f"{value:.10g}"
        return short if float(short) == value else repr(value)
    return str(value)


def several(values: object | Sequence[object]) -> tuple[str, ...]:
    """Return one value or several as a tuple of strings."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return tuple(map(str, values))
    return (str(values),)


class _Taking(Generic[Parameters, Settings]):
    """Turns a function that takes settings as one object into one that takes them by name."""

    def __init__(self, settings: Callable[Parameters, Settings]) -> None:
        self._settings: Callable[..., Settings] = settings

    @overload
    def __call__(self, function: Callable[[Settings], Result]) -> Callable[Parameters, Result]: ...
    @overload
    def __call__(
        self, function: Callable[[Own, Settings], Result]
    ) -> Callable[Concatenate[Own, Parameters], Result]: ...
    @overload
    def __call__(
        self, function: Callable[[Own, First, Settings], Result]
    ) -> Callable[Concatenate[Own, First, Parameters], Result]: ...
    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        *leading, last = inspect.signature(function).parameters.values()
        own = inspect.signature(self._settings).parameters.values()
        signature = inspect.Signature([*leading, *own])

        @functools.wraps(function)
        def taking(*arguments: Any, **named: Any) -> Any:
            try:
                given = signature.bind(*arguments, **named).arguments
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            before = [given.pop(each.name) for each in leading]
            return function(*before, self._settings(**given))

        described = settings_of(cast(type, self._settings)).items()
        lines = "\n    ".join(f"{name}: {each.declared.help}" for name, each in described)
        document = inspect.getdoc(function) or ""
        taking.__doc__ = document.replace(f"{last.name}: by name.", lines)
        taking.__signature__ = signature  # type: ignore[attr-defined]
        return taking


def takes(settings: Callable[Parameters, Settings]) -> _Taking[Parameters, Settings]:
    """Let callers of a function pass its last argument, the settings, by their names.

    Args:
        settings: the dataclass of the settings.
    """
    return _Taking(settings)
