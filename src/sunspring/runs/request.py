"""What a user asks of a training, as the notebook, the command line and run.json share it.

Stands right before runs.py in the street, which carries it out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sunspring.corpus.corpus import CorpusSettings
from sunspring.errors import ModelError, SettingsError
from sunspring.text.decoding import ReadingOptions
from sunspring.training.budget import Budget


@dataclass(frozen=True)
class TrainingRequest:
    """What a user asks for.

    Args:
        sources: names of the training text; none at all is the embedded text.
        out: the run folder to make.
        budget: when training ends.
        preset: a preset's name, or `auto`.
        device: `auto`, `cpu` or `cuda`.
        seed: of everything that is drawn: weights, order, dropout, held-out documents.
        reading: how the sources are read.
        encoding: how text becomes ids.
        heldout: names of the held-out text, if it is not to be cut from the sources.
        overrides: single settings by name, see `apply_settings`.
        init_from: a model folder whose weights are the beginning.
        tensorboard: log for TensorBoard too.

    Raises:
        SettingsError: the seed is negative or too large.
    """

    sources: tuple[str, ...]
    out: Path
    budget: Budget = field(default_factory=lambda: Budget("minutes", 3))
    preset: str = "auto"
    device: str = "auto"
    seed: int = 0
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    encoding: CorpusSettings = field(default_factory=CorpusSettings)
    heldout: tuple[str, ...] = ()
    overrides: Mapping[str, str] = field(default_factory=dict)
    init_from: Path | None = None
    tensorboard: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 1 << 63:
            raise SettingsError(f"seed is {self.seed}: it must be at least 0 and below 2**63")

    def to_json(self) -> dict[str, Any]:
        """Describe the request for run.json; local sources by their absolute paths."""
        values = asdict(self)
        for name in ("sources", "heldout"):
            values[name] = [_absolute(source) for source in values[name]]
        values["out"] = str(self.out.absolute())
        base = self.init_from
        if base is not None:  # what is no folder is the name of a model that comes along
            values["init_from"] = str(base.absolute() if base.exists() else base)
        return values

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingRequest:
        """Read from a run.json what `to_json` wrote.

        Raises:
            ModelError: the record is damaged.
        """
        with reading_record():
            values = record["request"]
            init_from = values["init_from"]
            read = {
                "sources": tuple(values["sources"]),
                "heldout": tuple(values["heldout"]),
                "out": Path(values["out"]),
                "budget": Budget(**values["budget"]),
                "reading": ReadingOptions(**values["reading"]),
                "encoding": CorpusSettings(**values["encoding"]),
                "init_from": None if init_from is None else Path(init_from),
            }
            return cls(**{**values, **read})


@contextmanager
def reading_record() -> Iterator[None]:
    """Explain what is missing or odd in a run.json.

    Raises:
        ModelError: in place of what Python raises.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, SettingsError) as error:
        raise ModelError(
            f"the model's run.json is damaged ({error!r}): restore it from a copy, or train again"
        ) from None


def _absolute(source: str) -> str:
    """Make a source's name independent of the folder that the user stood in."""
    is_elsewhere = source == "-" or source.startswith(("http://", "https://", "gutenberg:"))
    return source if is_elsewhere else str(Path(source).absolute())
