"""Options that several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sunspring.errors import SettingsError
from sunspring.evaluation.settings import LearningSettings
from sunspring.machine import DeviceChoice
from sunspring.settings import optional, required, setting
from sunspring.writing.settings import EngineChoice


@dataclass(frozen=True, kw_only=True)
class Verbosity:
    """How much is said on standard error; an option of every command.

    Raises:
        SettingsError: both are asked for.
    """

    quiet: bool = setting(False, "Say nothing on the way; only errors go to standard error.")
    verbose: bool = setting(
        False,
        "Also say what is run, with which versions and for how long, and where an unexpected error "
        "came from.",
    )

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise SettingsError("--quiet does not go with --verbose: leave one of them out")


@dataclass(frozen=True, kw_only=True)
class ModelOption:
    """Which model is used."""

    model: Path = required(
        "A model folder, a run, or the name of a bundled model.", argument="MODEL"
    )


@dataclass(frozen=True, kw_only=True)
class DeviceOption:
    """Where PyTorch computes."""

    device: DeviceChoice = setting("auto", "Where to compute.")


@dataclass(frozen=True, kw_only=True)
class EngineOption(DeviceOption):
    """What runs a model."""

    engine: EngineChoice = setting(
        "auto",
        "What runs the model: native is fast, torch is the reference and runs on any device.",
    )


@dataclass(frozen=True, kw_only=True)
class RateOption:
    """How fast a model learns while it reads."""

    rate: float | None = optional(LearningSettings, "rate")

    def check_rate(self, learns: bool, option: str) -> None:
        """Check that something learns at the given rate."""
        if self.rate is not None and not learns:
            raise SettingsError(
                f"--rate says how fast {option} learns: add {option}, or leave --rate out"
            )

    @property
    def learning(self) -> LearningSettings:
        """How fast to learn."""
        return LearningSettings() if self.rate is None else LearningSettings(self.rate)


@dataclass(frozen=True, kw_only=True)
class JsonOption:
    """What is printed."""

    as_json: bool = setting(
        False, "Print one JSON object to stdout and nothing else.", option="--json"
    )
