"""How much memory and disk a training takes, foreseen before anything is made."""

from __future__ import annotations

from sunspring.network.config import GATES, ModelConfig, least_parameters
from sunspring.training.recipe import Recipe

_FLOAT = 4  # bytes
_TRAINED = 4  # floats for each weight: itself, its gradient and the optimiser's two moments
_KEPT_OF_LOGITS = 2  # they and their gradient
_TIMES = {"fp32": 1.9, "auto": 1.9, "bf16": 0.95}  # what is counted, a step takes; auto tries fp32
_SAVED = 4  # floats of a checkpoint for each weight: itself, the best and the two moments


def step_bytes(config: ModelConfig, recipe: Recipe) -> float:
    """A lower bound on the memory that a training step takes: the presets take up to half more.

    Args:
        config: the model's architecture.
        recipe: says how many rows and tokens a batch has.
    """
    layers = config.layers * (GATES[config.cell] + 2) * config.hidden_size
    a_token = config.embedding_size + layers + _KEPT_OF_LOGITS * config.vocabulary_size
    activations = recipe.window * a_token + _state_size(config)
    weights = _TRAINED * least_parameters(config)
    times = _TIMES[recipe.precision]
    return float(_FLOAT) * (weights + times * recipe.batch_size * activations)


def checkpoint_bytes(config: ModelConfig, recipe: Recipe) -> float:
    """A lower bound on the size of a checkpoint; see `step_bytes`."""
    weights = _SAVED * least_parameters(config)
    return float(_FLOAT) * (weights + recipe.batch_size * _state_size(config))


def _state_size(config: ModelConfig) -> int:
    """Floats that are carried from batch to batch for each row."""
    recurrent = config.layers * config.hidden_size * (2 if config.cell == "lstm" else 1)
    return recurrent + config.pointer * config.pointer_size
