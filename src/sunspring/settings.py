"""Settings, each declared once: as a field of a dataclass, with its range and its line of help.

The options of the command line, the signatures in Python, the reference and the command that a
report prints are all made from these fields. Nothing here knows which settings there are.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
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
    """What is known of a setting beside its name, type and default.

    Args:
        help: a line that says what it does.
        at_least: the low end of its range.
        above: the same, where the end itself is not part of it.
        at_most: the high end of its range.
        below: the same, where the end itself is not part of it.
        option: its name on the command line, where that is not the field's.
        argument: its name on the command line, where it is an argument and not an option.
        metavar: what stands for its value in the help of the command line.
        shown_default: what happens by default, where the default itself does not tell.
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
        """Tell whether a number lies in the range."""
        return (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )

    @property
    def range(self) -> str:
        """The range in words; empty if there is none."""
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
    """Write an end of a range; large powers of two as such."""
    power = int(end).bit_length() - 1
    return f"2**{power}" if power > 32 and end == 1 << power else f"{end:,}"


def setting(default: Value, help: str, **declared: Any) -> Value:
    """Declare a field of a dataclass as a setting.

    Args:
        default: of the setting.
        help: see `Declaration`.
        declared: likewise.
    """
    return field(default=default, metadata={_KEY: Declaration(help, **declared)})


def required(help: str, **declared: Any) -> Any:
    """Declare a setting that has no default; see `setting`."""
    return field(metadata={_KEY: Declaration(help, **declared)})


def optional(owner: type, name: str) -> Any:
    """Declare a setting as another dataclass does, but None by default: so that it may be left out.

    Args:
        owner: the dataclass that declares it.
        name: of the setting.
    """
    other = settings_of(owner)[name]
    declared = replace(other.declared, shown_default=str(other.default))
    return field(default=None, metadata={_KEY: declared})


@dataclass(frozen=True)
class Setting:
    """A setting, as it was declared.

    Args:
        name: of the field.
        owner: the dataclass that declares it.
        default: `dataclasses.MISSING` if there is none.
        declared: its help and its range.
        kind: `bool`, `int`, `float`, `str` or `Path`; `Mapping` of names to values; or `object`,
            which is not checked.
        choices: the words that it takes, if it takes only some.
        is_optional: whether it may be None.
        is_multiple: whether it takes several values of its kind.
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
            SettingsError: it is of another type, or out of the range.
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
    """Find the settings of a dataclass by name: first its own, then those that it inherits."""
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
    """Read what a field's type says of a setting."""
    is_union = get_origin(hint) in (Union, types.UnionType)
    parts = [each for each in (get_args(hint) if is_union else [hint]) if each is not type(None)]
    several = [each for each in parts if get_origin(each) in (tuple, list, Sequence)]
    words = [get_args(each) for each in parts if get_origin(each) is Literal]
    if several:
        kind = get_args(several[0])[0]
    elif words:
        kind = str
    else:
        kind = get_origin(parts[-1]) or parts[-1]
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
    """Check all settings of an instance of a dataclass.

    Raises:
        SettingsError: one is of another type, or out of its range.
    """
    for name, each in settings_of(type(settings)).items():
        each.check(getattr(settings, name))


def part_of(settings: Any, part: Callable[..., Settings]) -> Settings:
    """Give a part of some settings: those of a dataclass from which theirs inherits."""
    names = settings_of(cast(type, part))
    return part(**{name: getattr(settings, name) for name in names})


def arguments_of(settings: Any) -> list[str]:
    """Write settings as words of the command line: arguments first, then what is not usual."""
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
            shown = f"{value:.10g}" if isinstance(value, float) else str(value)
            options += [each.option] if each.kind is bool else [each.option, shown]
    return [*arguments, *options]


def several(values: object | Sequence[object]) -> tuple[str, ...]:
    """Give one value or several as a tuple of texts."""
    if isinstance(values, Sequence) and not isinstance(values, str):
        return tuple(map(str, values))
    return (str(values),)


class _Taking(Generic[Parameters, Settings]):
    """Makes functions that take settings by name of such that take them as one object."""

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
    """Let a function's caller give the settings, its last argument, by their names.

    Args:
        settings: the dataclass.
    """
    return _Taking(settings)
