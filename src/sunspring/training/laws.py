"""The laws for planning a training: how large a model, for how many epochs, at which rates.

Pure functions of numbers. docs/planner.md explains where they come from;
`python bench/training/laws.py fit` prints the constants again.
"""

from __future__ import annotations

import math

SIZES = range(64, 1025, 64)  # hidden sizes to choose from: the fused loop supports no others
USUAL_LANES, MOST_LANES = 16, 256
WORTHWHILE_GAIN = 1.6  # of speed, for twice the lanes,
MANY_EPOCHS = 12.0  # if fewer are read
LONG_REACH, MUCH_READ = 2048, 10_000_000  # of the pointer, worth its time if so much is read

_OF_WEIGHTS, _POWER_OF_WEIGHTS = 6.34e6, 1.434
_OF_READING, _POWER_OF_READING = 7.76e5, 1.089
_EPOCHS_AT_TEXT, _PATIENCE_WITH_TEXT = 50.0, 0.25
_FADING_EPOCHS = 15.0  # after so many epochs, another is worth 1/e of the first
_SIZE_AT_TEXT, _TEXT, _GROWTH_WITH_TEXT = 112, 20_000, 0.39
_FREE_EPOCHS, _RECURRENT_DROPOUT_A_DOUBLING, _MOST_RECURRENT_DROPOUT = 1.5, 0.06, 0.5
_SOME_EPOCHS, _OUTPUT_DROPOUT_A_DOUBLING, _MOST_OUTPUT_DROPOUT = 6.0, 0.15, 0.4
_USUAL_PENALTY, _MOST_PENALTY = 0.2, 1.0
_USUAL_DECAY, _MOST_DECAY = 0.01, 0.04
_RESTRAINT_FROM, _RESTRAINT_TO = 3.0, 5.0  # epochs
_RATE_OF_ONE_EPOCH, _LEAST_RATE, _HIGHEST_RATE = 0.008, 0.002, 0.008
_HEAD_RATE, _FEW_EPOCHS = 0.012, 5.0
_LANES_FOR_TOKENS = ((4, 120_000), (8, 400_000), (16, 20_000_000))  # (lanes, up to these tokens)
_STARTING_SECONDS, _TRAINING_SHARE = 2.5, 0.9


def training_seconds(seconds: float) -> float:
    """Return how much of a command's time goes into steps, not start-up, looks and scoring."""
    return max(0.5 * seconds, _TRAINING_SHARE * seconds - _STARTING_SECONDS)


def recurrent_weights(hidden_size: int) -> int:
    """Count the weights of two layers' matrices, both recurrent and from the layer below."""
    return 16 * hidden_size**2


def avoidable_nats(hidden_size: int, read: float) -> float:
    """Return how much loss is due to the model's limited size and limited reading.

    A sum of powers of both (Hoffmann et al. 2022, "Training compute-optimal large language models",
    equation 2), without the part that only another text could change.

    Args:
        hidden_size: units in each layer.
        read: tokens read in training, repeated ones included.
    """
    of_size = _OF_WEIGHTS * math.pow(recurrent_weights(hidden_size), -_POWER_OF_WEIGHTS)
    return of_size + _OF_READING * math.pow(max(1.0, read), -_POWER_OF_READING)


def largest_size(characters: int) -> int:
    """Choose the hidden size beyond which a model overfits a text.

    Args:
        characters: length of the training text.
    """
    size = _SIZE_AT_TEXT * math.pow(max(1, characters) / _TEXT, _GROWTH_WITH_TEXT)
    return min(SIZES, key=lambda each: abs(each - size))


def most_epochs(characters: int) -> float:
    """Choose after how many epochs of a text to stop: from there on a model of it would predict
    other texts worse, whatever the dropout.
    """
    return _EPOCHS_AT_TEXT * math.pow(max(1, characters) / _TEXT, _PATIENCE_WITH_TEXT)


def worth_of_reading(read: float, characters: int) -> float:
    """Return how much fresh text would teach as much as reading a text again and again.

    Each further epoch teaches less (Muennighoff et al. 2023, "Scaling data-constrained language
    models", equation 5, whose constant is 15.4).

    Args:
        read: tokens read, repeated ones included.
        characters: length of the text.
    """
    repeated = max(0.0, read / characters - 1)
    worth = 1 + _FADING_EPOCHS * (1 - math.exp(-repeated / _FADING_EPOCHS))
    return min(read, worth * characters)


def recurrent_dropout(epochs: float) -> float:
    """Choose the share of recurrent weights to drop: the more often a text is read, the more."""
    doublings = math.log2(max(1.0, epochs / _FREE_EPOCHS))
    return round(min(_MOST_RECURRENT_DROPOUT, _RECURRENT_DROPOUT_A_DOUBLING * doublings), 2)


def output_dropout(epochs: float) -> float:
    """Choose the share of the layers' outputs to drop if a text is read very often."""
    doublings = math.log2(max(1.0, epochs / _SOME_EPOCHS))
    return round(min(_MOST_OUTPUT_DROPOUT, _OUTPUT_DROPOUT_A_DOUBLING * doublings), 2)


def activation_penalty(epochs: float) -> float:
    """Choose the penalty on activations, which hurts if a text is read once, and helps if often."""
    return _rise(_USUAL_PENALTY, _MOST_PENALTY, epochs)


def weight_decay(epochs: float) -> float:
    """Choose the weight decay, which hurts and helps in the same way."""
    return _rise(_USUAL_DECAY, _MOST_DECAY, epochs)


def _rise(low: float, high: float, epochs: float) -> float:
    risen = (epochs - _RESTRAINT_FROM) / (_RESTRAINT_TO - _RESTRAINT_FROM)
    return round(low + (high - low) * min(1.0, max(0.0, risen)), 3)


def learning_rate(epochs: float) -> float:
    """Choose AdamW's rate: fast learning overfits a text that is read often."""
    rate = _RATE_OF_ONE_EPOCH / max(epochs, 1e-9)
    return round(min(_HIGHEST_RATE, max(_LEAST_RATE, rate)), 4)


def head_learning_rate(epochs: float) -> float:
    """Choose the head's rate: right before the loss, it may learn faster than the rest, as long as
    a text is not read often.
    """
    rate = _HEAD_RATE * min(1.0, _FEW_EPOCHS / max(epochs, 1e-9)) ** 2
    return round(max(_LEAST_RATE, rate), 4)


def batch_size(tokens: float, epochs: float) -> int:
    """Choose the number of lanes: fewer if little is read, so that there are more steps.

    Args:
        tokens: number that training will read.
        epochs: how often it reads the text; over repeated text, more steps overfit more.
    """
    lanes = next((few for few, below in _LANES_FOR_TOKENS if tokens < below), 2 * USUAL_LANES)
    return lanes if epochs <= _FREE_EPOCHS else max(USUAL_LANES, lanes)
