"""A comparison of several models: on the same text, by the same protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sunspring.corpus.overlap import describe_overlap
from sunspring.errors import SettingsError, SunspringError
from sunspring.evaluation.protocols import Evaluation
from sunspring.model import Model
from sunspring.notices import Notify
from sunspring.reports.report import WRITTEN_AT, Speed, write_much
from sunspring.runs.log import RunLog
from sunspring.text.options import FileOptions

_SAMPLE_LENGTH = 400
_SEED = 0


@dataclass(frozen=True)
class Compared:
    """One of the compared models.

    Args:
        name: its folder, as given by the user.
        model: the model in a few words.
        evaluation: its evaluation on the common text.
        parameters: number of weights.
        bytes: size of its weights file.
        card: its card; empty if it has none.
        speed: speed of writing on this machine.
        sample: text written at `WRITTEN_AT` from the common prompt and seed.
        course: seconds of training, and bits per character of the validation text then.
    """

    name: str
    model: str
    evaluation: Evaluation
    parameters: int
    bytes: int
    card: Mapping[str, Any]
    speed: Speed
    sample: str
    course: Sequence[tuple[float, float]]

    @property
    def overlap(self) -> str | None:
        """How much of the text is not new to the model, in words, if that is worth any."""
        return describe_overlap(self.evaluation.overlap)

    def to_json(self) -> dict[str, Any]:
        """Return the part of `compare --json` about this model."""
        return {
            "name": self.name,
            "model": self.model,
            "nats_per_character": self.evaluation.nats_per_character,
            "bpc": self.evaluation.bpc,
            "overlap": self.evaluation.overlap,
            "parameters": self.parameters,
            "bytes": self.bytes,
            "seconds": self.card.get("seconds"),
            "epochs": self.card.get("epochs"),
            "characters_per_second": self.speed._asdict(),
            "sample": self.sample,
        }


@dataclass(frozen=True)
class Comparison:
    """Several models on one text.

    Args:
        models: the best first; at least one.
    """

    models: Sequence[Compared]

    @property
    def protocol(self) -> str:
        """The protocol by which the text was read."""
        return self.models[0].evaluation.protocol

    @property
    def characters(self) -> int:
        """Number of characters of the text."""
        return self.models[0].evaluation.characters

    def to_json(self) -> dict[str, Any]:
        """Return the object that `compare --json` prints."""
        return {
            "protocol": self.protocol,
            "characters": self.characters,
            "models": [each.to_json() for each in self.models],
        }


def compare(
    folders: Sequence[Path],
    sources: Sequence[str],
    prompt: str,
    notify: Notify,
    files: FileOptions | None = None,
) -> Comparison:
    """Measure models on one text by `stream`, the best first.

    Args:
        folders: folders of models or runs.
        sources: the text; if none is named, the held-out text that all runs share.
        prompt: the prompt of their samples.
        notify: called with a line about what was left out or is not available.
        files: how files become text.

    Raises:
        SettingsError: the runs have different held-out texts, and no source is named.
        SunspringError: a model is damaged, or the text is not available.
    """
    models = [Model.load(folder) for folder in folders]
    if not sources:
        _check_same_text(folders, models, notify)
    found = [
        _measure(folder, model, sources, prompt, notify, files)
        for folder, model in zip(folders, models, strict=True)
    ]
    return Comparison(sorted(found, key=lambda each: each.evaluation.nats_per_character))


def _check_same_text(folders: Sequence[Path], models: Sequence[Model], notify: Notify) -> None:
    """Check that all models have the same held-out text, so that none has learned from it."""
    texts = []
    for model in models:
        corpus = model.open_text(notify)
        texts.append(corpus.vocabulary.decode(corpus.heldout.tokens))
    for folder, text in zip(folders, texts, strict=True):
        if text != texts[0]:
            raise SettingsError(
                f"{folders[0]} and {folder} hold out different texts, so one may have learned from "
                "the other's held-out text: name a text that none has seen with --text"
            )


def _measure(
    folder: Path,
    model: Model,
    sources: Sequence[str],
    prompt: str,
    notify: Notify,
    files: FileOptions | None,
) -> Compared:
    evaluation, _ = model.evaluate(sources, reading=model.reading(files), notify=notify)
    _, speed = write_much(model)
    label = model.config.first_label
    sample = model.write(prompt, _SAMPLE_LENGTH, temperature=WRITTEN_AT, seed=_SEED, label=label)
    course: Sequence[tuple[float, float]] = ()
    try:
        course = RunLog.read(folder).curve("evaluation", "validation_bpc")
    except SunspringError:  # a model without its training log
        notify(f"{folder} has no log of its training")
    return Compared(
        str(folder),
        model.summary,
        evaluation,
        model.config.parameters,
        len(model.files.weights),
        model.card,
        speed,
        sample,
        course,
    )
