"""The settings of writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from sunspring.errors import SettingsError
from sunspring.settings import check_settings, setting, several

EngineChoice = Literal["auto", "native", "torch"]
"""Which engine runs a model; `auto` takes the native one if possible."""

_LONGEST_COPY = 100_000  # characters
_TOO_LARGE = 1 << 63  # for the engine's numbers


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How the next token is drawn.

    The cut-offs apply one after another, in the order of the fields, after the temperature. Top-p
    is the nucleus sampling of Holtzman et al. 2020, min-p is by Nguyen et al. 2024, the repetition
    penalty by Keskar et al. 2019, section 4.1 (negative logits are multiplied by it instead).

    Raises:
        SettingsError: a value is out of its range.
    """

    temperature: float = setting(
        0.8,
        "Below 1 plays safe, above 1 takes risks; 0 always takes the most probable token.",
        at_least=0,
        at_most=100,
    )
    top_k: int = setting(
        0,
        "Draw only from this many of the most probable tokens; 0 for all.",
        at_least=0,
        below=_TOO_LARGE,
    )
    top_p: float = setting(
        1.0,
        "Draw only from the most probable tokens, as few as have this probability together.",
        above=0,
        at_most=1,
    )
    min_p: float = setting(
        0.0,
        "Drop tokens that are less probable than this share of the most probable one.",
        at_least=0,
        at_most=1,
    )
    repetition_penalty: float = setting(
        1.0, "Above 1 makes the latest 64 tokens less probable.", at_least=0.01, at_most=100
    )
    label: str | None = setting(
        None, "The label to write under, if the model was trained with labels."
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, kw_only=True)
class ConstraintSettings(SamplingSettings):
    """What a text must have, and what it must not have.

    Raises:
        SettingsError: a value is out of its range, or a phrase is empty.
    """

    regex: str | None = setting(
        None, "A regular expression that the whole text matches, prompt included."
    )
    ban: str | Sequence[str] = setting(
        (), "Never write this phrase, not even where it would begin in the prompt; may be repeated."
    )
    contains: str | Sequence[str] = setting(
        (), "Write this phrase somewhere after the prompt; may be repeated."
    )
    ends_with: str | None = setting(None, "End what is written with this phrase.")
    no_copies_over: int | None = setting(
        None,
        "Never copy more than this many characters in a row from the training text.",
        at_least=1,
        at_most=_LONGEST_COPY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("ban", "contains", "ends_with"):
            if "" in self.phrases(name):
                raise SettingsError(f"{name} is empty: leave it out")

    def phrases(self, name: str) -> tuple[str, ...]:
        """Return the phrases of one of the settings; perhaps none."""
        value = getattr(self, name)
        return () if value is None else several(value)


@dataclass(frozen=True)
class WritingSettings(ConstraintSettings):
    """What to write, and how.

    Raises:
        SettingsError: a value is out of its range, a phrase is empty, or a stop text could end the
            text before it has what it must have.
    """

    prompt: str = setting("", "The text to continue (the seed text).")
    length: int = setting(
        500, "How many characters to write at most.", at_least=0, below=_TOO_LARGE
    )
    _: KW_ONLY
    stop: str | Sequence[str] = setting(
        (), "End the text right before these characters; may be repeated."
    )
    seed: int | None = setting(
        None,
        "The same seed writes the same text; further texts take the seeds after it.",
        at_least=0,
        below=_TOO_LARGE,
        shown_default="random",
    )
    unique: bool = setting(False, "Never write the same text twice.")
    novel: bool = setting(
        False, "Never write a line of the text that the model was trained or evaluated on."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if "" in self.stops:
            raise SettingsError("a stop text is empty: leave it out")
        for name in ("contains", "ends_with"):
            if self.stops and self.phrases(name):
                raise SettingsError(
                    f"a stop text could end the text before it has what {name} says: "
                    "leave one of them out"
                )

    @property
    def stops(self) -> tuple[str, ...]:
        """The texts that end the writing."""
        return self.phrases("stop")

    def first_seed(self) -> int:
        """Return the seed of the first text, a random one if none was given."""
        import secrets

        return secrets.randbits(32) if self.seed is None else self.seed


@dataclass(frozen=True, kw_only=True)
class ProposalSettings(ConstraintSettings):
    """How proposals are made."""

    count: int = setting(5, "How many proposals to make at most.", at_least=1, below=_TOO_LARGE)
