"""Presets, and the choice among them: from a corpus and a budget to a model and a recipe.

A preset is a model and a recipe under a name. `make_plan` picks one, applies the user's own
settings, and says in a line what was chosen and why. It uses no clock and no files.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sunspring.errors import SettingsError
from sunspring.network.config import DROPOUTS, ModelConfig
from sunspring.settings import Setting, settings_of
from sunspring.training import laws
from sunspring.training.budget import Budget
from sunspring.training.recipe import OptimizerSettings, Recipe


@dataclass(frozen=True)
class Throughput:
    """How fast a machine trains.

    Args:
        tokens_per_second: of a model, in batches of a number of rows.
        is_gpu: whether twice the rows may take no more time, so that timing them is worthwhile.
    """

    tokens_per_second: Callable[[ModelConfig, int], float]
    is_gpu: bool = False


@dataclass(frozen=True)
class Preset:
    """A model and a recipe under a name; `model` holds fields of `ModelConfig`."""

    summary: str
    model: Mapping[str, Any]
    recipe: Recipe


@dataclass(frozen=True)
class Plan:
    """What to train, how, and why."""

    preset: str
    model: ModelConfig
    recipe: Recipe
    reason: str


def _article(cell: str) -> Preset:
    """Return the tutorial's model and recipe, with another kind of cell if wanted."""
    dropouts = {"embedding_dropout": 0.0, "layer_dropout": 0.2, "output_dropout": 0.2}
    return Preset(
        f"the tutorial's embedding, two {cell.upper()} layers and dropout on shuffled windows",
        {"cell": cell, "layers": 2, "hidden_size": 256, "embedding_size": 256, **dropouts},
        Recipe(
            batching="windows",
            batch_size=128,
            window=100,
            optimization=OptimizerSettings(
                optimizer="adamw",
                learning_rate=1e-3,
                head_rate_factor=1.0,
                weight_decay=0.0,
                second_moment_decay=0.999,
                warmup_steps=0,
            ),
        ),
    )


PRESETS: Mapping[str, Preset] = {
    "article": _article("lstm"),
    "rnn": _article("rnn"),
    "gru": _article("gru"),
    "deepmoji": Preset(
        "DeepMoji's architecture: tanh embedding, two wide LSTM layers, concatenation, attention",
        {
            "hidden_size": 512,
            "embedding_size": 256,
            "embedding_activation": "tanh",
            "skip": True,
            "attention": True,
            "embedding_dropout": 0.1,
            "output_dropout": 0.1,
        },
        Recipe(),
    ),
    "tiny": Preset(
        "one LSTM layer of 128 units, for short texts and slow machines",
        {"layers": 1, "hidden_size": 128, "embedding_size": 32, "skip": True},
        Recipe(batch_size=16, activation_penalty=0.2, counts=0.5),
    ),
    "small": Preset(
        "two LSTM layers of 256 units, skip connections, a pointer: for minutes on a laptop",
        {"hidden_size": 256, "embedding_size": 32, "skip": True, "pointer": 1024},
        Recipe(activation_penalty=0.2, network_loss=0.5, counts=0.5),
    ),
    "large": Preset(
        "two LSTM layers of 512 units, skip connections, a pointer: for a GPU or a long evening",
        {"hidden_size": 512, "embedding_size": 64, "skip": True, "pointer": 1024},
        Recipe(batch_size=64, window=128, activation_penalty=0.2, network_loss=0.5, counts=0.5),
    ),
}

_FINE_TUNING = 1 / 3  # of the learning rates
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Overrides:
    """The user's own settings, which replace those of a preset.

    Args:
        model: fields of `ModelConfig`.
        recipe: fields of `Recipe`.
        optimization: fields of `OptimizerSettings`.
    """

    model: Mapping[str, Any]
    recipe: Mapping[str, Any]
    optimization: Mapping[str, Any]


def make_plan(
    *,
    preset: str,
    vocabulary_size: int,
    labels: tuple[str, ...],
    training_characters: int,
    documents: int,
    budget: Budget,
    throughput: Throughput,
    overrides: Overrides,
    base: ModelConfig | None = None,
) -> Plan:
    """Choose what to train.

    Args:
        preset: a name of `PRESETS`, or `auto` to choose by text, time and machine.
        vocabulary_size: number of token ids.
        labels: names of the documents' labels.
        training_characters: characters in the training part.
        documents: number of documents in it.
        budget: when training will end.
        throughput: of this machine.
        overrides: the user's own settings.
        base: architecture of a model to fine-tune, which is kept; the rates become a third.

    Raises:
        SettingsError: the preset is unknown, or settings do not fit together.
    """
    check_preset(preset)
    if preset == "auto":
        architecture, recipe, reason = _choose(
            vocabulary_size, training_characters, documents, budget, throughput
        )
    else:
        chosen = PRESETS[preset]
        architecture, recipe, reason = dict(chosen.model), chosen.recipe, chosen.summary
    if base is not None:
        dropouts = {name: value for name, value in architecture.items() if name in DROPOUTS}
        architecture = {**dataclasses.asdict(base), **dropouts}
        recipe = _gentler(recipe)
    architecture |= {"vocabulary_size": vocabulary_size, "labels": labels, **overrides.model}
    optimization = dataclasses.replace(recipe.optimization, **overrides.optimization)
    recipe = dataclasses.replace(recipe, optimization=optimization, **overrides.recipe)
    config = ModelConfig(**architecture)
    if preset == "auto":
        reason += f"\n{_described(config, recipe, is_kept=base is not None)}"
    return Plan(preset, config, recipe, reason)


def check_preset(name: str) -> None:
    """Make sure that there is such a preset.

    Raises:
        SettingsError: there is none.
    """
    if name != "auto" and name not in PRESETS:
        raise SettingsError(f"there is no preset {name!r}: choose auto, {', '.join(PRESETS)}")


def read_overrides(given: Mapping[str, Any]) -> Overrides:
    """Read the user's own settings of model, recipe and optimiser, each checked by itself.

    Args:
        given: values by name, which may be strings; `dropout` sets all dropouts.

    Raises:
        SettingsError: a name is unknown, or a value does not fit it.
    """
    expanded: dict[str, Any] = {}
    for name, value in given.items():
        expanded |= dict.fromkeys(DROPOUTS, value) if name == "dropout" else {name: value}
    owners = {"model": ModelConfig, "recipe": Recipe, "optimization": OptimizerSettings}
    found: dict[str, dict[str, Any]] = {owner: {} for owner in owners}
    known = {
        name: (owner, each)
        for owner, settings in owners.items()
        for name, each in settings_of(settings).items()
    }
    for name, value in expanded.items():
        if name not in known:
            names = ", ".join(sorted({*known, "dropout"}))
            raise SettingsError(f"there is no setting {name!r}: choose from {names}")
        owner, each = known[name]
        found[owner][name] = _parse(each, value) if isinstance(value, str) else value
        each.check(found[owner][name])
    return Overrides(**found)


def _parse(setting: Setting, text: str) -> Any:
    """Convert a setting's value to its type; ranges are checked elsewhere."""
    try:
        if setting.kind is bool:
            return _TRUTHS[text.lower()]
        return setting.kind(text) if setting.kind in (int, float) else text
    except (KeyError, ValueError):
        wanted = {bool: "true or false", int: "a whole number", float: "a number"}[setting.kind]
        raise SettingsError(f"{setting.name} is {text!r}: it must be {wanted}") from None


def _gentler(recipe: Recipe) -> Recipe:
    """Lower the learning rates, for weights that are trained already."""
    rates = recipe.optimization
    return dataclasses.replace(
        recipe,
        optimization=dataclasses.replace(
            rates,
            learning_rate=rates.learning_rate * _FINE_TUNING,
            muon_learning_rate=rates.muon_learning_rate * _FINE_TUNING,
        ),
    )


def _choose(
    vocabulary_size: int,
    training_characters: int,
    documents: int,
    budget: Budget,
    throughput: Throughput,
) -> tuple[dict[str, Any], Recipe, str]:
    """Choose architecture and recipe by the laws, and say why."""
    usual = PRESETS["small"]
    architecture = dict(usual.model)
    if training_characters < documents * architecture["pointer"]:
        architecture["pointer"] = 0  # a document is too short to look back in
    characters = max(1, training_characters)
    in_minutes = budget.unit == "minutes"
    enough = laws.most_epochs(characters) if in_minutes else math.inf

    def plan_lanes(size: int) -> tuple[int, float]:
        config = ModelConfig(vocabulary_size, **{**architecture, "hidden_size": size})
        if in_minutes:
            return _lanes(60 * budget.amount, characters, config, throughput)
        tokens = _tokens_of(budget, characters)
        return laws.batch_size(tokens, tokens / characters), tokens

    def avoidable_nats(size: int) -> float:
        # without a time, assume the one that a model of the usual size would take
        share = 1.0 if in_minutes else (usual.model["hidden_size"] / size) ** 2
        read = min(share * plan_lanes(size)[1], enough * characters)
        read = laws.worth_of_reading(read, characters)
        return laws.avoidable_nats(size, read)

    largest = laws.largest_size(characters)
    size = min((each for each in laws.SIZES if each <= largest), key=avoidable_nats)
    lanes, tokens = plan_lanes(size)
    is_long = tokens > laws.MUCH_READ and characters >= documents * laws.LONG_REACH
    if architecture["pointer"] and is_long and not throughput.is_gpu:
        architecture["pointer"] = laws.LONG_REACH
        lanes, tokens = plan_lanes(size)
    epochs = min(tokens / characters, enough)
    recipe = dataclasses.replace(
        usual.recipe,
        batch_size=lanes,
        most_epochs=0.0 if math.isinf(enough) else round(enough, 1),
    )
    dropouts, recipe = _restrained(recipe, epochs)
    reason = f"{training_characters:,} characters to train on in {budget}"
    if in_minutes:
        reason += f" at {tokens / laws.training_seconds(60 * budget.amount):,.0f} a second"
    reason += f", about {tokens / characters:.2g} epochs"
    if epochs < tokens / characters:
        reason += f", of which {epochs:.2g} are enough"
    return {**architecture, "hidden_size": size, **dropouts}, recipe, reason


def _restrained(recipe: Recipe, epochs: float) -> tuple[dict[str, float], Recipe]:
    """Choose dropouts, penalties and rates by how often a text will be read."""
    of_outputs, rate = laws.output_dropout(epochs), laws.learning_rate(epochs)
    dropouts = {
        "recurrent_dropout": laws.recurrent_dropout(epochs),
        "output_dropout": of_outputs,
        "layer_dropout": of_outputs / 2,
    }
    optimization = dataclasses.replace(
        recipe.optimization,
        learning_rate=rate,
        head_rate_factor=round(laws.head_learning_rate(epochs) / rate, 4),
        weight_decay=laws.weight_decay(epochs),
    )
    penalty = laws.activation_penalty(epochs)
    return dropouts, dataclasses.replace(
        recipe, activation_penalty=penalty, optimization=optimization
    )


def prolonged(plan: Plan, epochs: float, overrides: Overrides) -> Plan:
    """Change what a plan by the laws does against overfitting, for a text that is read more often.

    Args:
        plan: what was chosen for a smaller budget; its architecture stays.
        epochs: how often the text will be read in all.
        overrides: the user's own settings, which stay too.
    """
    if plan.preset != "auto":
        return plan
    dropouts, recipe = _restrained(plan.recipe, epochs)
    optimization = dataclasses.replace(recipe.optimization, **overrides.optimization)
    recipe = dataclasses.replace(recipe, optimization=optimization, **overrides.recipe)
    model = dataclasses.replace(plan.model, **{**dropouts, **overrides.model})
    return dataclasses.replace(plan, model=model, recipe=recipe)


def _described(config: ModelConfig, recipe: Recipe, is_kept: bool) -> str:
    """Say what the laws, the user's settings and the model to start from have led to."""
    numbers = ("no", "one", "two", "three", "four", "five")
    layers = numbers[config.layers] if config.layers < len(numbers) else config.layers
    of_layers = "layer" if config.layers == 1 else "layers"
    return (
        f"{'keeping' if is_kept else 'so'} {layers} {of_layers} of {config.hidden_size}, "
        f"{recipe.batch_size} lanes, {config.recurrent_dropout:.0%} of the recurrent weights "
        "dropped at each step"
    )


def _tokens_of(budget: Budget, characters: int) -> float:
    """Estimate how many tokens a budget of epochs or steps reads from a text of this length."""
    usual = PRESETS["small"].recipe
    an_epoch_or_step = characters if budget.unit == "epochs" else usual.batch_size * usual.window
    return budget.amount * an_epoch_or_step


def _lanes(
    seconds: float, characters: int, config: ModelConfig, throughput: Throughput
) -> tuple[int, float]:
    """Choose the number of lanes for a time, and estimate how many tokens will be read in it.

    Few lanes are best, as they make for more steps; but if twice as many read nearly twice as much
    in the same time, and the text is not read so often yet that more is of little use, these are
    better.
    """
    seconds = laws.training_seconds(seconds)

    def readable(lanes: int) -> float:
        return seconds * throughput.tokens_per_second(config, lanes)

    lanes = laws.USUAL_LANES
    tokens = readable(lanes)
    if not throughput.is_gpu:  # other numbers of lanes read about as much: not worth timing
        return laws.batch_size(tokens, tokens / characters), tokens
    while tokens < laws.MANY_EPOCHS * characters and lanes < laws.MOST_LANES:
        in_twice = readable(2 * lanes)
        if in_twice < laws.WORTHWHILE_GAIN * tokens:
            break
        lanes, tokens = 2 * lanes, in_twice
    return lanes, tokens
