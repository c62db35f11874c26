import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sunspring
from sunspring.cli.parameters import Command
from sunspring.errors import SettingsError
from sunspring.settings import (
    Declaration,
    arguments_of,
    check_settings,
    optional,
    part_of,
    required,
    setting,
    settings_of,
    several,
    takes,
)


@dataclass(frozen=True, kw_only=True)
class Oven:
    """How it is baked."""

    heat: float = setting(180.0, "Degrees.", above=0, at_most=300)
    minutes: int = setting(30, "How long.", at_least=1)
    mode: Literal["top", "bottom", "both"] = setting("both", "Where the heat comes from.")
    fan: bool = setting(False, "Move the air.")

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class Cake(Oven):
    """A cake."""

    names: str | Path | Sequence[str | Path] = setting((), "What goes in.", argument="NAMES")
    title: str = setting("cake", "What it is called.")
    _: KW_ONLY
    seed: int | None = setting(None, "Of the crumbs.", at_least=0, below=1 << 63)
    out: str | Path | None = setting(None, "Where to.")
    notes: tuple[str, ...] = setting((), "To be written on it.", option="--note")
    amounts: Mapping[str, Any] | None = setting(None, "Of what goes in.", option="--set")
    sugar: float = setting(0.5, "Share of it.", at_least=0, below=1)
    layers: int = field(default=1)  # no setting


@dataclass(frozen=True)
class Tin:
    """What it is baked in."""

    width: int = required("In millimetres.", at_least=10, argument="WIDTH")
    shape: str = setting("round", "Of the rim.")

    def __post_init__(self) -> None:
        check_settings(self)


class TestRanges:
    @pytest.mark.parametrize(
        ("ends", "words"),
        [
            ({}, ""),
            ({"at_least": 0}, "at least 0"),
            ({"above": 0}, "above 0"),
            ({"at_most": 1_000_000}, "at most 1,000,000"),
            ({"below": 1}, "below 1"),
            ({"at_least": 0, "at_most": 0.5}, "between 0 and 0.5"),
            ({"at_least": 0.01, "below": 1}, "at least 0.01 and below 1"),
            ({"above": 0, "at_most": 1}, "above 0 and at most 1"),
            ({"at_least": 0, "below": 1 << 63}, "at least 0 and below 2**63"),
            ({"at_least": 1 << 10}, "at least 1,024"),
        ],
        ids=str,
    )
    def test_are_said_in_words(self, ends: dict[str, float], words: str) -> None:
        assert Declaration("Help.", **ends).range == words  # type: ignore[arg-type]

    @given(
        st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("at_least", "above", "at_most", "below"), st.integers(0, 5))
        ),
        st.one_of(st.integers(-1, 6), st.floats(-1, 6)),
    )
    def test_contain_what_fulfils_each_of_their_ends(
        self, ends: dict[str, float], value: float
    ) -> None:
        fulfilled: dict[str, Callable[[float], bool]] = {
            "at_least": lambda end: value >= end,
            "above": lambda end: value > end,
            "at_most": lambda end: value <= end,
            "below": lambda end: value < end,
        }
        expected = all(fulfilled[name](end) for name, end in ends.items())
        assert Declaration("Help.", **ends).contains(value) is expected  # type: ignore[arg-type]


class TestChecks:
    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"heat": 0}, "heat is 0: it must be above 0 and at most 300"),
            ({"heat": 300.5}, "heat is 300.5: it must be above 0 and at most 300"),
            ({"heat": math.nan}, "heat is nan: it must be a number, above 0 and at most 300"),
            ({"heat": math.inf}, "heat is inf: it must be a number, above 0 and at most 300"),
            ({"heat": "hot"}, "heat is 'hot': it must be a number, above 0 and at most 300"),
            ({"heat": True}, "heat is True: it must be a number, above 0 and at most 300"),
            ({"heat": None}, "heat is None: it must be a number, above 0 and at most 300"),
            ({"minutes": 0}, "minutes is 0: it must be at least 1"),
            ({"minutes": 2.5}, "minutes is 2.5: it must be a whole number, at least 1"),
            ({"minutes": 2.0}, "minutes is 2.0: it must be a whole number, at least 1"),
            ({"minutes": "2"}, "minutes is '2': it must be a whole number, at least 1"),
            ({"minutes": True}, "minutes is True: it must be a whole number, at least 1"),
            ({"minutes": -10_000}, "minutes is -10,000: it must be at least 1"),
            ({"mode": "sideways"}, "mode is 'sideways': choose top, bottom or both"),
            ({"mode": None}, "mode is None: choose top, bottom or both"),
            ({"mode": ["top"]}, "mode is ['top']: choose top, bottom or both"),
            ({"fan": 1}, "fan is 1: it must be true or false"),
            ({"fan": "yes"}, "fan is 'yes': it must be true or false"),
            ({"title": 3}, "title is 3: it must be a text"),
            ({"title": None}, "title is None: it must be a text"),
            ({"seed": -1}, "seed is -1: it must be at least 0 and below 2**63"),
            (
                {"seed": 1 << 63},
                "seed is 9,223,372,036,854,775,808: it must be at least 0 and below 2**63",
            ),
            ({"sugar": 1}, "sugar is 1: it must be at least 0 and below 1"),
        ],
        ids=str,
    )
    def test_say_what_is_wrong_and_what_would_be_right(
        self, wrong: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(SettingsError) as caught:
            Cake(**wrong)
        assert str(caught.value) == message

    def test_refuse_what_is_no_mapping_where_one_is_wanted(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Cake(amounts=["flour=2"])  # type: ignore[arg-type]
        assert (
            str(caught.value) == "amounts is ['flour=2']: it must be a mapping of names to values"
        )

    def test_name_two_choices_without_a_comma(self) -> None:
        @dataclass(frozen=True)
        class Switch:
            state: Literal["on", "off"] = setting("on", "Of it.")

        with pytest.raises(SettingsError) as caught:
            check_settings(Switch("half"))  # type: ignore[arg-type]
        assert str(caught.value) == "state is 'half': choose on or off"

    @given(heat=st.floats(), minutes=st.integers(), seed=st.none() | st.integers())
    def test_refuse_numbers_out_of_their_ranges_and_no_others(
        self, heat: float, minutes: int, seed: int | None
    ) -> None:
        fits = 0 < heat <= 300 and minutes >= 1 and (seed is None or 0 <= seed < 1 << 63)
        if fits:
            Cake(heat=heat, minutes=minutes, seed=seed)
        else:
            with pytest.raises(SettingsError, match=r"^(heat|minutes|seed) is .*: it must be "):
                Cake(heat=heat, minutes=minutes, seed=seed)

    @pytest.mark.parametrize(
        "right",
        [
            {"heat": 200, "minutes": 1 << 70},
            {"seed": None, "out": None, "amounts": None},
            {"seed": 0, "out": "here", "amounts": {"flour": 2}},
            {"names": "one"},
            {"names": Path("one")},
            {"names": ("one", Path("two"))},
            {"notes": ("one", "two"), "out": Path("here")},
            {"layers": "what is no setting is not looked at"},
        ],
        ids=str,
    )
    def test_let_pass_what_fits(self, right: dict[str, Any]) -> None:
        cake = Cake(**right)
        assert {name: getattr(cake, name) for name in right} == right

    def test_let_pass_what_may_be_of_several_types(self) -> None:
        @dataclass(frozen=True)
        class Place:
            where: bool | Path | None = setting(True, "Where; True is here, None is nowhere.")

        for where in (True, None, Path("there")):
            check_settings(Place(where))

    @pytest.mark.parametrize("hint", [str | int | None, int | str | None])
    def test_let_pass_what_may_be_of_several_types_in_any_order(self, hint: Any) -> None:
        mixed = make_dataclass("Mixed", [("what", hint, setting(None, "Anything."))])
        for what in ("a", 1, None):
            check_settings(mixed(what))

    def test_take_numbers_of_numpy_and_make_them_python_s(self) -> None:
        cake = Cake(heat=np.float32(200), minutes=np.int64(5), seed=np.uint8(7))
        assert cake == Cake(heat=200.0, minutes=5, seed=7)
        assert [type(each) for each in (cake.heat, cake.minutes, cake.seed)] == [float, int, int]
        with pytest.raises(SettingsError, match="minutes is 0: it must be at least 1"):
            Cake(minutes=np.int64(0))


class TestSettings:
    def test_are_those_of_a_dataclass_first_and_then_those_that_it_inherits(self) -> None:
        own = ["names", "title", "seed", "out", "notes", "amounts", "sugar"]
        assert list(settings_of(Cake)) == [*own, "heat", "minutes", "mode", "fan"]
        assert {each.owner for each in settings_of(Cake).values()} == {Cake, Oven}
        assert settings_of(Cake)["heat"] == settings_of(Oven)["heat"]

    @pytest.mark.parametrize(
        ("name", "kind", "choices", "is_optional", "is_multiple"),
        [
            ("heat", float, (), False, False),
            ("minutes", int, (), False, False),
            ("mode", str, ("top", "bottom", "both"), False, False),
            ("fan", bool, (), False, False),
            ("title", str, (), False, False),
            ("seed", int, (), True, False),
            ("out", Path, (), True, False),
            ("notes", str, (), False, True),
            ("names", object, (), False, True),
            ("amounts", Mapping, (), True, False),
        ],
    )
    def test_are_what_their_types_say(
        self,
        name: str,
        kind: type,
        choices: tuple[str, ...],
        is_optional: bool,
        is_multiple: bool,
    ) -> None:
        found = settings_of(Cake)[name]
        assert (found.kind, found.choices) == (kind, choices)
        assert (found.is_optional, found.is_multiple) == (is_optional, is_multiple)

    def test_have_the_field_s_name_as_an_option_unless_they_say_another(self) -> None:
        options = {name: each.option for name, each in settings_of(Cake).items()}
        assert (options["heat"], options["notes"], options["amounts"]) == (
            *("--heat", "--note", "--set"),
        )

        @dataclass(frozen=True)
        class Long:
            longest_side: int = setting(1, "Of it.")

        assert settings_of(Long)["longest_side"].option == "--longest-side"

    def test_that_are_required_have_no_default(self) -> None:
        assert settings_of(Tin)["width"].default is MISSING
        with pytest.raises(TypeError, match="width"):
            Tin()  # type: ignore[call-arg]

    def test_of_a_subclass_replace_those_of_the_same_name(self) -> None:
        @dataclass(frozen=True, kw_only=True)
        class Hot(Oven):
            heat: float = setting(250.0, "Hotter.", at_least=200)

        found = settings_of(Hot)["heat"]
        assert (found.owner, found.default, found.declared.range) == (Hot, 250.0, "at least 200")
        with pytest.raises(SettingsError, match=r"heat is 180\.0: it must be at least 200"):
            Hot(heat=180.0)


class TestOptional:
    @dataclass(frozen=True)
    class Perhaps:
        """What may be left out."""

        heat: float | None = optional(Oven, "heat")

        def __post_init__(self) -> None:
            check_settings(self)

    def test_is_declared_as_elsewhere_but_none_by_default(self) -> None:
        found, other = settings_of(self.Perhaps)["heat"], settings_of(Oven)["heat"]
        assert self.Perhaps().heat is None
        assert (found.declared.help, found.declared.range) == (
            other.declared.help,
            other.declared.range,
        )
        assert found.declared.shown_default == "180.0"
        assert found.owner is self.Perhaps

    def test_is_checked_as_elsewhere(self) -> None:
        self.Perhaps(300)
        with pytest.raises(SettingsError, match="heat is 301: it must be above 0 and at most 300"):
            self.Perhaps(301)


class Baker:
    """Bakes."""

    @takes(Cake)
    def bake(self, cake: Cake) -> Cake:
        """Bake a cake.

        Args:
            cake: by name.

        Raises:
            SettingsError: it cannot be baked.
        """
        return cake

    @takes(Tin)
    def fill(self, amount: float, tin: Tin) -> tuple[float, Tin]:
        """Fill a tin.

        Args:
            amount: of dough.
            tin: by name.
        """
        return amount, tin


@takes(Oven)
def preheat(oven: Oven) -> Oven:
    """Make it hot.

    Args:
        oven: by name.
    """
    return oven


class TestTakes:
    def test_makes_one_object_of_what_is_given_by_name(self) -> None:
        assert Baker().bake(heat=200, mode="top") == Cake(heat=200, mode="top")
        assert preheat(fan=True) == Oven(fan=True)
        assert preheat() == Oven()

    def test_takes_by_place_what_the_dataclass_takes_so(self) -> None:
        assert Baker().bake("one", "pie", seed=3) == Cake("one", "pie", seed=3)
        with pytest.raises(TypeError, match=r"^bake\(\) too many positional arguments$"):
            Baker().bake("one", "pie", 3)  # type: ignore[call-arg]

    def test_hands_on_what_stands_before_the_settings_by_place_or_name(self) -> None:
        baker, expected = Baker(), (0.5, Tin(20))
        assert baker.fill(0.5, 20) == expected
        assert baker.fill(0.5, width=20) == expected
        assert baker.fill(amount=0.5, width=20) == expected  # type: ignore[call-arg]

    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda bake, _: bake(heet=1), "bake() got an unexpected keyword argument 'heet'"),
            (
                lambda bake, fill: bake("a", names="b"),
                "bake() multiple values for argument 'names'",
            ),
            (lambda _, fill: fill(0.5), "fill() missing a required argument: 'width'"),
            (lambda _, fill: fill(width=20), "fill() missing a required argument: 'amount'"),
            (lambda _, fill: fill(1, 20, "", 3), "fill() too many positional arguments"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_refuses_other_names_as_python_does(
        self, call: Callable[..., object], message: str
    ) -> None:
        with pytest.raises(TypeError) as caught:
            call(Baker().bake, Baker().fill)
        assert str(caught.value) == message

    def test_checks_the_values(self) -> None:
        with pytest.raises(SettingsError, match="heat is 0: it must be above 0 and at most 300"):
            Baker().bake(heat=0)

    def test_lets_errors_of_the_function_itself_pass(self) -> None:
        @takes(Oven)
        def burn(oven: Oven) -> None:
            raise TypeError("too hot")

        with pytest.raises(TypeError, match=r"^too hot$"):
            burn()

    def test_has_the_signature_of_the_dataclass(self) -> None:
        own = inspect.signature(Cake).parameters
        found = inspect.signature(Baker.bake).parameters
        assert list(found) == ["self", *own]
        assert all(found[name] == parameter for name, parameter in own.items())
        assert list(inspect.signature(Baker.fill).parameters) == [
            *("self", "amount", "width", "shape")
        ]
        assert list(inspect.signature(Baker().fill).parameters) == ["amount", "width", "shape"]

    def test_keeps_the_name_and_describes_each_setting_by_its_help(self) -> None:
        assert Baker.fill.__name__ == "fill"
        assert inspect.getdoc(Baker.fill) == (
            "Fill a tin.\n\nArgs:\n    amount: of dough.\n    width: In millimetres.\n"
            "    shape: Of the rim."
        )
        document = inspect.getdoc(Baker.bake) or ""
        assert "by name" not in document
        assert document.endswith("Raises:\n    SettingsError: it cannot be baked.")
        for name, each in settings_of(Cake).items():
            assert f"\n    {name}: {each.declared.help}\n" in document


values = {
    "heat": st.floats(0, 300, exclude_min=True),
    "minutes": st.integers(1),
    "mode": st.sampled_from(["top", "bottom", "both"]),
    "fan": st.booleans(),
}
ovens = st.fixed_dictionaries({}, optional=values)


class TestParts:
    @given(ovens, st.text())
    def test_are_what_a_dataclass_that_is_inherited_has(
        self, given: dict[str, Any], title: str
    ) -> None:
        assert part_of(Cake(title=title, **given), Oven) == Oven(**given)

    def test_of_all_is_the_same_but_for_what_is_no_setting(self) -> None:
        assert part_of(Cake("one", seed=3, layers=9), Cake) == Cake("one", seed=3)


def read_back(words: list[str], owner: type) -> Any:
    """What the command line makes of some words."""
    made: list[Any] = []

    def command(options: Any) -> None:
        made.append(options)

    command.__annotations__ = {"options": owner, "return": None}
    Command(command).main(words, standalone_mode=False)
    return made[0]


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
names = words.filter(lambda word: not word.startswith("-"))
floats = st.floats(0, 1)


class TestArguments:
    def test_are_what_is_not_usual_and_arguments_come_first(self) -> None:
        cake = Cake(
            ("a", Path("b c")),
            fan=True,
            heat=200.0,
            mode="both",
            seed=7,
            out=Path("there"),
            notes=("x", "y"),
            amounts={"flour": 2, "eggs": "3"},
        )
        assert arguments_of(cake) == [
            *("a", "b c", "--seed", "7", "--out", "there", "--note", "x", "--note", "y"),
            *("--set", "flour=2", "--set", "eggs=3", "--heat", "200", "--fan"),
        ]

    def test_of_what_is_all_usual_are_none(self) -> None:
        assert arguments_of(Cake()) == []
        assert arguments_of(Oven()) == []

    def test_have_what_is_required(self) -> None:
        assert arguments_of(Tin(20)) == ["20"]

    @given(
        ovens,
        st.fixed_dictionaries(
            {},
            optional={
                "names": st.lists(names).map(tuple),
                "title": words,
                "seed": st.none() | st.integers(0, (1 << 63) - 1),
                "out": st.none() | names.filter(bool).map(Path),
                "notes": st.lists(words).map(tuple),
                "sugar": floats.filter(lambda value: value < 1),
            },
        ),
    )
    def test_are_read_back_by_the_command_line_as_the_same(
        self, oven: dict[str, Any], own: dict[str, Any]
    ) -> None:
        cake = Cake(**oven, **own)
        read = read_back(arguments_of(cake), Cake)
        for each in fields(Cake):
            if each.name != "amounts":  # which the command line gives as an empty mapping
                assert getattr(read, each.name) == getattr(cake, each.name)

    @given(
        st.dictionaries(
            words.map(str.strip).filter(lambda word: word and "=" not in word),
            words.map(str.strip),
        )
    )
    def test_of_a_mapping_are_read_back_as_texts(self, amounts: dict[str, str]) -> None:
        assert read_back(arguments_of(Cake(amounts=amounts)), Cake).amounts == amounts

    @given(st.integers(10))
    def test_of_what_is_required_are_read_back(self, width: int) -> None:
        assert read_back(arguments_of(Tin(width)), Tin) == Tin(width)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("one", ("one",)),
        (Path("one"), ("one",)),
        ((), ()),
        (["one", Path("two")], ("one", "two")),
        (("one",), ("one",)),
    ],
    ids=str,
)
def test_one_or_several_are_given_as_a_tuple_of_texts(
    given: Any, expected: tuple[str, ...]
) -> None:
    assert several(given) == expected


@pytest.fixture(scope="module")
def every_owner() -> list[type]:
    """The dataclasses of this package that declare settings."""
    found: dict[str, type] = {}
    for module in pkgutil.walk_packages(sunspring.__path__, "sunspring."):
        if not module.name.endswith("__main__"):
            for each in vars(importlib.import_module(module.name)).values():
                if is_dataclass(each) and isinstance(each, type) and settings_of(each):
                    found[f"{each.__module__}.{each.__qualname__}"] = each
    assert "sunspring.writing.settings.WritingSettings" in found
    return list(found.values())


class TestEverySettingOfThePackage:
    def test_takes_its_own_default(self, every_owner: list[type]) -> None:
        for owner in every_owner:
            for each in settings_of(owner).values():
                if each.default is not MISSING:
                    each.check(each.default)

    def test_has_a_line_of_help_that_is_a_sentence(self, every_owner: list[type]) -> None:
        for owner in every_owner:
            for name, each in settings_of(owner).items():
                assert each.declared.help.endswith("."), (owner, name)
                assert "\n" not in each.declared.help, (owner, name)

    def test_is_told_apart_by_its_option(self, every_owner: list[type]) -> None:
        for owner in every_owner:
            options = [each.option for each in settings_of(owner).values()]
            assert len({*options}) == len(options), owner
