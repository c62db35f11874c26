import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunspring.errors import SettingsError
from sunspring.network.config import DROPOUTS, ModelConfig, least_parameters
from sunspring.network.network import RecurrentModel
from sunspring.training.budget import Budget
from sunspring.training.plan import (
    PRESETS,
    Overrides,
    Plan,
    Throughput,
    check_preset,
    make_plan,
    read_overrides,
)
from sunspring.training.recipe import OptimizerSettings, Recipe

NOTHING: Mapping[str, Any] = {}


def usual_speed(config: ModelConfig, batch_size: int) -> float:
    return 4e10 / least_parameters(config)


def plan_for(preset: str = "auto", overrides: Mapping[str, Any] = NOTHING, **changes: Any) -> Plan:
    settings: dict[str, Any] = {
        "vocabulary_size": 65,
        "labels": (),
        "training_characters": 1_000_000,
        "documents": 1,
        "budget": Budget("minutes", 3),
        "throughput": Throughput(usual_speed),
        "overrides": read_overrides(overrides),
    }
    return make_plan(preset=preset, **{**settings, **changes})


def dropouts(config: ModelConfig) -> tuple[float, ...]:
    return tuple(getattr(config, name) for name in DROPOUTS)


def test_article_is_the_tutorial_s_model_and_training() -> None:
    plan = plan_for("article")
    model, recipe = plan.model, plan.recipe
    assert (model.cell, model.layers) == ("lstm", 2)
    assert model.layer_dropout > 0
    assert model.output_dropout > 0
    assert not (model.skip or model.attention or model.tied)
    assert (recipe.batching, recipe.window) == ("windows", 100)
    assert recipe.optimization.optimizer == "adamw"
    assert recipe.optimization.learning_rate == 1e-3
    assert recipe.optimization.weight_decay == 0


@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_rnn_and_gru_differ_from_the_article_in_the_cell_alone(cell: str) -> None:
    plan, article = plan_for(cell), plan_for("article")
    assert plan.model.cell == cell
    assert replace(plan.model, cell="lstm") == article.model
    assert plan.recipe == article.recipe


def test_deepmoji_is_the_paper_s_shape() -> None:
    """Felbo et al. 2017, section 3.3 and figure 2, but read from left to right only."""
    model = plan_for("deepmoji").model
    assert (model.embedding_size, model.embedding_activation) == (256, "tanh")
    assert (model.cell, model.layers, model.hidden_size) == ("lstm", 2, 512)
    assert model.skip
    assert model.attention
    assert model.features_size == 2 * (256 + 512 + 512)


def test_presets_grow_from_tiny_to_large() -> None:
    def size(name: str) -> int:
        return sum(each.numel() for each in RecurrentModel(plan_for(name).model).parameters())

    assert size("tiny") < size("small") < size("large")


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_fits_any_vocabulary_and_labels(preset: str) -> None:
    for vocabulary_size, labels in ((1, ()), (50_000, ("a", "b"))):
        model = plan_for(preset, vocabulary_size=vocabulary_size, labels=labels).model
        assert (model.vocabulary_size, model.labels) == (vocabulary_size, labels)


def test_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(SettingsError) as caught:
        plan_for("huge")
    assert str(caught.value) == (
        "there is no preset 'huge': choose auto, article, rnn, gru, deepmoji, tiny, small, large"
    )


def test_known_presets_are_those_and_auto() -> None:
    for name in ("auto", *PRESETS):
        check_preset(name)
    for name in ("", "AUTO", "huge"):
        with pytest.raises(SettingsError, match=f"there is no preset '{name}': choose auto, "):
            check_preset(name)


def test_auto_says_what_it_chose_and_why_in_two_lines() -> None:
    plan = plan_for(training_characters=1_000_000, budget=Budget("minutes", 3))
    why, what = plan.reason.splitlines()
    assert "1,000,000 characters" in why
    assert "3 minutes at" in why
    assert f"two layers of {plan.model.hidden_size}" in what


def slow_machine(factor: float) -> Throughput:
    return Throughput(lambda config, batch_size: usual_speed(config, batch_size) / factor)


def size_for(minutes: float, characters: int, factor: float = 1) -> int:
    plan = plan_for(
        training_characters=characters,
        budget=Budget("minutes", minutes),
        throughput=slow_machine(factor),
    )
    return plan.model.hidden_size


@given(minutes=st.floats(0.1, 600), characters=st.integers(10_000, 10**9))
def test_more_time_and_a_faster_machine_never_make_the_model_smaller(
    minutes: float, characters: int
) -> None:
    usual = size_for(minutes, characters)
    assert usual <= size_for(3 * minutes, characters)
    assert size_for(minutes, characters, factor=10) <= usual


@given(characters=st.integers(1, 10**9))
def test_with_time_enough_more_text_never_makes_the_model_smaller(characters: int) -> None:
    assert size_for(1e6, characters) <= size_for(1e6, 10 * characters)


def test_auto_reads_a_text_no_oftener_than_is_good_for_it() -> None:
    def most_epochs(minutes: float, characters: int) -> float:
        budget = Budget("minutes", minutes)
        return plan_for(training_characters=characters, budget=budget).recipe.most_epochs

    assert most_epochs(10, 1_000_000) == most_epochs(1000, 1_000_000) > 100
    assert 40 < most_epochs(10, 20_000) < most_epochs(10, 1_000_000)
    enough = plan_for(training_characters=20_000)
    assert f"of which {enough.recipe.most_epochs:.2g} are enough" in enough.reason
    assert plan_for(budget=Budget("epochs", 1000)).recipe.most_epochs == 0


def test_auto_looks_back_further_if_much_is_read_of_long_documents() -> None:
    def reach(minutes: float, documents: int) -> int:
        budget = Budget("minutes", minutes)
        plan = plan_for(training_characters=1_000_000, budget=budget, documents=documents)
        return plan.model.pointer

    assert [reach(0.5, 1), reach(30, 1)] == [1024, 2048]
    assert [reach(30, 600), reach(30, 10_000)] == [1024, 0]


def test_auto_takes_fewer_lanes_where_little_is_read_but_not_of_what_is_read_again() -> None:
    def lanes(characters: int, epochs: float) -> int:
        budget = Budget("epochs", epochs)
        return plan_for(training_characters=characters, budget=budget).recipe.batch_size

    assert lanes(10**6, 0.1) < lanes(10**6, 0.3) < lanes(10**7, 1) < lanes(10**8, 1)
    assert lanes(10**4, 10) == lanes(10**5, 10) == lanes(10**7, 1)


def lanes_on_gpu(minutes: float, steps_per_second: Callable[[int], float]) -> int:
    def speed(config: ModelConfig, batch_size: int) -> float:
        return 64 * batch_size * steps_per_second(batch_size)

    budget = Budget("minutes", minutes)
    return plan_for(budget=budget, throughput=Throughput(speed, is_gpu=True)).recipe.batch_size


def test_auto_takes_more_lanes_on_a_gpu_only_where_they_cost_little_and_the_text_is_long() -> None:
    assert lanes_on_gpu(0.2, lambda lanes: 500) > 32  # a step takes as long with more
    assert lanes_on_gpu(0.2, lambda lanes: 500 * 16 / lanes) == 16  # twice as long with twice
    assert lanes_on_gpu(10, lambda lanes: 500) == 16  # the text is read often enough


amounts = st.floats(0.01, 1e6)  # of minutes a longer one may take a larger model, and read less


@given(
    characters=st.integers(0, 10**10),
    unit=st.sampled_from(["minutes", "epochs", "steps"]),
    amount=amounts,
    factor=st.sampled_from([1e-4, 1, 100]),
)
def test_auto_has_a_plan_for_any_text_and_budget(
    characters: int, unit: Any, amount: float, factor: float
) -> None:
    plan = plan_for(
        training_characters=characters,
        budget=Budget(unit, amount),
        throughput=slow_machine(factor),
    )
    assert all(0 <= value <= 0.5 for value in dropouts(plan.model))


@given(unit=st.sampled_from(["epochs", "steps"]), one=amounts, other=amounts)
def test_auto_drops_more_of_a_text_that_is_read_more_often(
    unit: Any, one: float, other: float
) -> None:
    less, more = (plan_for(budget=Budget(unit, amount)).model for amount in sorted((one, other)))
    assert dropouts(less) <= dropouts(more)


@given(unit=st.sampled_from(["epochs", "steps"]), one=amounts, other=amounts)
def test_auto_learns_slower_what_is_read_more_often(unit: Any, one: float, other: float) -> None:
    less, more = (
        plan_for(budget=Budget(unit, amount)).recipe.optimization for amount in sorted((one, other))
    )
    assert less.learning_rate >= more.learning_rate > 0
    heads = [each.learning_rate * each.head_rate_factor for each in (less, more)]
    assert heads[0] >= heads[1] * 0.999 >= more.learning_rate * 0.998


@pytest.mark.parametrize(
    "restraint",
    [
        lambda recipe: recipe.activation_penalty,
        lambda recipe: recipe.optimization.weight_decay,
    ],
    ids=["activation penalty", "weight decay"],
)
def test_auto_holds_a_model_back_more_where_a_text_is_read_often(
    restraint: Callable[[Recipe], float],
) -> None:
    once, twice, often, oftener, always = (
        restraint(plan_for(budget=Budget("epochs", amount)).recipe) for amount in (1, 2, 4, 6, 60)
    )
    assert 0 < once == twice < often < oftener == always


def test_auto_drops_nothing_of_a_text_that_is_read_once() -> None:
    assert dropouts(plan_for(budget=Budget("epochs", 1)).model) == (0, 0, 0, 0)
    assert plan_for(budget=Budget("epochs", 100)).model.recurrent_dropout > 0.2


def test_settings_reach_model_recipe_and_optimizer() -> None:
    plan = plan_for(
        "small",
        overrides={
            "hidden_size": "77",
            "cell": "gru",
            "skip": "no",
            "layer_dropout": "0.25",
            "batching": "windows",
            "batch_size": "9",
            "optimizer": "adamw",
            "learning_rate": "1e-4",
            "warmup_steps": "0",
        },
    )
    before = plan_for("small")
    assert plan.model == replace(
        before.model, hidden_size=77, cell="gru", skip=False, layer_dropout=0.25
    )
    rates = replace(
        before.recipe.optimization, optimizer="adamw", learning_rate=1e-4, warmup_steps=0
    )
    assert plan.recipe == replace(
        before.recipe, batching="windows", batch_size=9, optimization=rates
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "yes", "1")),
        *((text, False) for text in ("false", "FALSE", "no", "0")),
    ],
)
def test_switches_are_read_as_people_write_them(text: str, value: bool) -> None:
    assert plan_for("small", overrides={"attention": text}).model.attention is value


def test_dropout_stands_for_all_of_them() -> None:
    assert dropouts(plan_for("article", overrides={"dropout": "0.3"}).model) == (0.3,) * 4
    overrides = {"dropout": "0.3", "layer_dropout": "0"}
    assert dropouts(plan_for("article", overrides=overrides).model) == (0.3, 0, 0.3, 0.3)


def test_one_setting_may_need_another_in_any_order() -> None:
    for keys in (["tied", "skip", "embedding_size"], ["embedding_size", "skip", "tied"]):
        values = {"tied": "true", "skip": "false", "embedding_size": "256"}
        plan = plan_for("small", overrides={key: values[key] for key in keys})
        assert plan.model.tied


@pytest.mark.parametrize("key", ["hiden_size", "vocabulary_size", "labels", "optimization", ""])
def test_unknown_setting_names_the_known_ones(key: str) -> None:
    with pytest.raises(SettingsError) as caught:
        plan_for("small", overrides={key: "3"})
    message = str(caught.value)
    assert f"there is no setting {key!r}: choose from " in message
    known = message.split("choose from ")[1].split(", ")
    assert {"hidden_size", "window", "learning_rate", "dropout", "precision"} < {*known}
    assert not {"vocabulary_size", "labels", "optimization"} & {*known}


def test_every_setting_that_is_named_can_be_set() -> None:
    with pytest.raises(SettingsError) as caught:
        plan_for("small", overrides={"": ""})
    plan = plan_for("small")
    values = {
        **vars(plan.model),
        **vars(plan.recipe),
        **vars(plan.recipe.optimization),
        "dropout": 0,
    }
    for key in str(caught.value).split("choose from ")[1].split(", "):
        plan_for("small", overrides={key: str(values[key])})


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("hidden_size", "many", "hidden_size is 'many': it must be a whole number"),
        ("hidden_size", "2.5", "hidden_size is '2.5': it must be a whole number"),
        ("hidden_size", "", "hidden_size is '': it must be a whole number"),
        ("hidden_size", "0", "hidden_size is 0: it must be at least 1"),
        ("learning_rate", "fast", "learning_rate is 'fast': it must be a number"),
        ("learning_rate", "nan", "learning_rate is nan: it must be a number, above 0"),
        ("skip", "maybe", "skip is 'maybe': it must be true or false"),
        ("cell", "transformer", "cell is 'transformer': choose rnn, gru or lstm"),
        ("batching", "rows", "choose windows or lanes"),
        ("precision", "fp8", "choose auto, fp32 or bf16"),
        ("optimizer", "sgd", "choose adamw or muon"),
        ("window", "0", "window is 0: it must be at least 1"),
        ("activation_penalty", "-1", "activation_penalty is -1.0: it must be at least 0"),
        ("dropout", "1", "embedding_dropout is 1.0: it must be at least 0 and below 1"),
    ],
)
def test_value_that_does_not_fit_is_refused(key: str, value: str, wanted: str) -> None:
    with pytest.raises(SettingsError, match=wanted):
        plan_for("small", overrides={key: value})


@pytest.mark.parametrize(
    ("key", "value", "wanted"),
    [
        ("hidden_size", 2.5, "hidden_size is 2.5: it must be a whole number, at least 1"),
        ("hidden_size", True, "hidden_size is True: it must be a whole number, at least 1"),
        ("hidden_size", None, "hidden_size is None: it must be a whole number, at least 1"),
        ("learning_rate", math.inf, "learning_rate is inf: it must be a number, above 0"),
        ("skip", 1, "skip is 1: it must be true or false"),
        ("cell", 3, "cell is 3: choose rnn, gru or lstm"),
        ("dropout", 1, "embedding_dropout is 1: it must be at least 0 and below 1"),
    ],
)
def test_value_of_python_that_does_not_fit_is_refused(key: str, value: Any, wanted: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_overrides({key: value})
    assert str(caught.value) == wanted


def test_overrides_are_sorted_by_what_they_are_of_and_read_as_what_they_are() -> None:
    given = {"hidden_size": "7", "window": 9, "learning_rate": "0.5", "skip": "yes", "cell": "gru"}
    assert read_overrides(given) == Overrides(
        model={"hidden_size": 7, "skip": True, "cell": "gru"},
        recipe={"window": 9},
        optimization={"learning_rate": 0.5},
    )
    assert read_overrides({}) == Overrides({}, {}, {})


@given(
    values=st.fixed_dictionaries(
        {},
        optional={
            "hidden_size": st.integers(1, 10**9),
            "tied": st.booleans(),
            "layer_dropout": st.floats(0, 1, exclude_max=True),
            "batching": st.sampled_from(["windows", "lanes"]),
            "most_epochs": st.floats(0, 1e300),
            "optimizer": st.sampled_from(["adamw", "muon"]),
            "clip_norm": st.floats(0, 1e300),
        },
    )
)
def test_overrides_written_as_texts_are_the_same(values: dict[str, Any]) -> None:
    assert read_overrides({name: str(value) for name, value in values.items()}) == read_overrides(
        values
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_plan_without_settings_is_the_preset_s(preset: str) -> None:
    plan, chosen = plan_for(preset), PRESETS[preset]
    assert plan.model == ModelConfig(65, **chosen.model)
    assert (plan.preset, plan.recipe, plan.reason) == (preset, chosen.recipe, chosen.summary)


@pytest.mark.parametrize("preset", ["auto", *PRESETS])
def test_fine_tuning_keeps_the_architecture_at_a_third_of_the_rates(preset: str) -> None:
    base = ModelConfig(30, cell="gru", layers=1, hidden_size=24, embedding_size=24, tied=True)
    plan = plan_for(preset, base=base, labels=("a",))
    usual = plan_for(preset).recipe.optimization
    architecture = dict.fromkeys(DROPOUTS, 0.0)
    assert replace(plan.model, **architecture) == replace(base, vocabulary_size=65, labels=("a",))
    rates = plan.recipe.optimization
    assert math.isclose(rates.learning_rate, usual.learning_rate / 3)
    assert math.isclose(rates.muon_learning_rate, usual.muon_learning_rate / 3)


def test_recipe_refuses_an_impossible_batch() -> None:
    with pytest.raises(SettingsError, match="batch_size is 0: it must be at least 1"):
        Recipe(batch_size=0, optimization=OptimizerSettings())


def test_optimizer_refuses_an_impossible_rate() -> None:
    with pytest.raises(SettingsError, match="learning_rate is 0: it must be above 0"):
        OptimizerSettings(learning_rate=0)
