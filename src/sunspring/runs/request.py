"""A user's request for a training, shared by notebooks, the command line and run.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from sunspring.corpus.settings import TokenSettings
from sunspring.errors import ModelError, SettingsError
from sunspring.machine import DeviceChoice
from sunspring.settings import part_of, setting, several
from sunspring.text.options import ReadingOptions
from sunspring.training.budget import Budget, BudgetSettings

Names = str | Path | Sequence[str | Path]
"""One name or several."""


@dataclass(frozen=True)
class TrainingRequest(BudgetSettings, ReadingOptions, TokenSettings):
    """A user's request for a training.

    It is flat, so that each field is an option and a parameter; `reading`, `tokenization` and
    `budget` are its parts.

    Raises:
        SettingsError: a value is impossible, or two contradict each other.
    """

    sources: Names = setting(
        (),
        "Files, folders, archives, patterns, - for standard input, table.csv:column, "
        "table.jsonl:field, web addresses, gutenberg:ID. Without any, English prose that every "
        "Python carries.",
        argument="SOURCES",
    )
    _: KW_ONLY
    out: str | Path | None = setting(
        None, "Folder for the run.", shown_default="a new one under runs/"
    )
    preset: str = setting(
        "auto",
        "What to train: article, rnn, gru, deepmoji, tiny, small, large, or auto, which chooses by "
        "text, time and machine.",
    )
    init_from: str | Path | None = setting(
        None, "Start from the weights of this model: a folder, or the name of a bundled model."
    )
    heldout: Names = setting(
        (),
        "Hold out this source instead of a tenth of the text (two million characters at most); "
        "may be repeated.",
    )
    settings: Mapping[str, Any] | None = setting(
        None,
        "Change a setting of network, recipe or optimiser, as in hidden_size=384; may be repeated.",
        option="--set",
        metavar="KEY=VALUE",
    )
    device: DeviceChoice = setting("auto", "Where to compute.")
    seed: int = setting(
        0,
        "Seed of everything random: weights, order, dropout, held-out documents.",
        at_least=0,
        below=1 << 63,
    )
    tensorboard: bool = setting(False, "Also log for TensorBoard.")

    def __post_init__(self) -> None:
        BudgetSettings.__post_init__(self)
        ReadingOptions.__post_init__(self)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the training text's sources; empty for the embedded text."""
        return several(self.sources)

    @property
    def heldout_names(self) -> tuple[str, ...]:
        """Names of the held-out text's sources, if it is not cut from the others."""
        return several(self.heldout)

    @property
    def folder(self) -> Path:
        """The run folder to create.

        Raises:
            SettingsError: none was named.
        """
        if self.out is None:
            raise SettingsError("no folder was given for the run: name one with out")
        return Path(self.out)

    @property
    def base(self) -> Path | None:
        """The model to start from."""
        return None if self.init_from is None else Path(self.init_from)

    @property
    def reading(self) -> ReadingOptions:
        """How the sources are read."""
        return part_of(self, ReadingOptions)

    @property
    def tokenization(self) -> TokenSettings:
        """How text becomes token ids."""
        return part_of(self, TokenSettings)

    def with_budget(self, budget: Budget) -> Self:
        """Return the same request with another budget."""
        ends: dict[str, Any] = {"minutes": None, "epochs": None, "steps": None}
        return replace(self, **{**ends, budget.unit: budget.amount})

    def to_json(self) -> dict[str, Any]:
        """Describe the request for run.json; local sources by their absolute paths."""
        base = self.base
        if base is not None and base.exists():  # otherwise it is the name of a bundled model
            base = base.absolute()
        return {
            **{each.name: getattr(self, each.name) for each in fields(TrainingRequest)},
            self.budget.unit: self.budget.amount,  # the default may change some day
            "sources": list(map(_absolute, self.source_names)),
            "heldout": list(map(_absolute, self.heldout_names)),
            "settings": {name: str(value) for name, value in (self.settings or {}).items()},
            "out": str(self.folder.absolute()),
            "init_from": None if base is None else str(base),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingRequest:
        """Read a request from a run.json of this version or an earlier one.

        Raises:
            ModelError: the record is damaged.
        """
        with reading_record():
            values = record["request"]
            if "reading" in values:
                values = _flattened(values)
            return cls(**{**values, "sources": values["sources"]})


def _flattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a request from format 1 of run.json, which has it in parts, to today's form."""
    parts = ("budget", "reading", "encoding", "overrides")
    flat = {name: value for name, value in values.items() if name not in parts}
    flat |= {values["budget"]["unit"]: values["budget"]["amount"], "settings": values["overrides"]}
    for part in ("reading", "encoding"):
        flat |= {
            name: value
            for name, value in values[part].items()
            if name not in ("binary", "split_seed")  # which follow from the others
        }
    return flat


@contextmanager
def reading_record() -> Iterator[None]:
    """Explain what is missing or wrong in a run.json.

    Raises:
        ModelError: instead of the errors that Python raises.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, SettingsError) as error:
        raise ModelError(
            f"the model's run.json is damaged ({error!r}): restore it from a copy, or train again"
        ) from None


def _absolute(source: str) -> str:
    """Make a source's name independent of the current folder."""
    is_elsewhere = source == "-" or source.startswith(("http://", "https://", "gutenberg:"))
    return source if is_elsewhere else str(Path(source).absolute())
