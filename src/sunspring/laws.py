"""How large a model should be, and how much of it to leave out, for a text and a time.

Pure functions of numbers; `plan.py` asks them. docs/planner.md says where they come from.
"""

from __future__ import annotations

import math

_STEP = 64  # hidden sizes are its multiples: the fused loop takes nothing else
_LARGEST = 1024
_WORK, _SIZE_AT_WORK, _GROWTH_WITH_WORK = 6e12, 256, 0.3
_TEXT, _SIZE_AT_TEXT, _GROWTH_WITH_TEXT = 20_000, 128, 0.3
_FREE_EPOCHS = 1.5
_DROPOUT_A_DOUBLING = 0.07
_LARGEST_DROPOUT = 0.5
_FEW_TOKENS = 1_000_000


def hidden_size(work: float, characters: int) -> int:
    """Choose the size of both layers: larger with the time, up to what the text can teach.

    Args:
        work: parameters × tokens that the machine can train in the time.
        characters: of the training text.
    """
    by_work = _SIZE_AT_WORK * math.pow(work / _WORK, _GROWTH_WITH_WORK)
    by_text = _SIZE_AT_TEXT * math.pow(max(1, characters) / _TEXT, _GROWTH_WITH_TEXT)
    size = min(by_work, by_text, _LARGEST)
    return max(_STEP, round(size / _STEP) * _STEP)


def recurrent_dropout(epochs: float) -> float:
    """Choose the share of the recurrent weights to leave out: more the oftener a text is read."""
    doublings = math.log2(max(epochs, _FREE_EPOCHS) / _FREE_EPOCHS)
    return round(min(_LARGEST_DROPOUT, _DROPOUT_A_DOUBLING * doublings), 2)


def batch_size(tokens: float) -> int:
    """Choose the lanes of a batch: few where little is read, for more steps."""
    return 16 if tokens < _FEW_TOKENS else 32
