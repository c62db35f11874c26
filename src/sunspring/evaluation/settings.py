"""How a network learns while it reads."""

from __future__ import annotations

from dataclasses import dataclass

from sunspring.settings import check_settings, setting


@dataclass(frozen=True)
class LearningSettings:
    """How fast a network learns from what it reads.

    The defaults were chosen on validation parts (`bench/evaluation/dynamic.py`). The letters are
    those of Krause et al. 2018, section 5.

    Raises:
        SettingsError: a value is out of its range.
    """

    rate: float = setting(
        3e-4,
        "How fast to learn while reading: roughly how far a weight moves in one step (η).",
        at_least=0,
    )
    decay: float = setting(
        3e-3,
        "How far a weight with average gradients moves back to its trained value in one step (λ).",
        at_least=0,
        at_most=1,
    )
    segment: int = setting(64, "Tokens to read between two steps.", at_least=1)

    def __post_init__(self) -> None:
        check_settings(self)
