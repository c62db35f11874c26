"""Several models beside one another: on the same text, by the same protocol.

Right behind api.py in the street, which loads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sunspring.api import Model, load
from sunspring.errors import SettingsError, SunspringError
from sunspring.evaluation.protocols import Evaluation
from sunspring.pages.charts import Chart, Line, Point
from sunspring.pages.html import render
from sunspring.reports.report import WRITTEN_AT, Speed, write_much
from sunspring.runs.log import RunLog
from sunspring.text.files import Notice

_SAMPLE_LENGTH = 400
_SEED = 0
_COLOURS = 4


@dataclass(frozen=True)
class Compared:
    """One of the models.

    Args:
        name: its folder, as it was named.
        model: in a few words.
        evaluation: on the common text.
        parameters: number of weights.
        bytes: of its weights' file.
        card: of the model; empty if it has none.
        speed: of writing, on this machine.
        sample: written at `WRITTEN_AT` from the common prompt and seed.
        course: seconds of training and bits per character of the text kept apart.
    """

    name: str
    model: str
    evaluation: Evaluation
    parameters: int
    bytes: int
    card: Mapping[str, Any]
    speed: Speed
    sample: str
    course: Sequence[Point]


def compare(
    folders: Sequence[Path], sources: Sequence[str], prompt: str, say: Notice
) -> list[Compared]:
    """Measure models on one text by `stream`, the best first.

    Args:
        folders: of models or runs.
        sources: the text; none is the runs' own held-out text, if it is the same of all.
        prompt: what their samples go on from.
        say: is told what was left out of the text, or cannot be had.

    Raises:
        SettingsError: the runs have different held-out texts and no source is named.
        SunspringError: a model is damaged, or the text is not at hand.
    """
    models = [load(folder) for folder in folders]
    if not sources:
        _check_same_text(folders, models, say)
    found = [
        _measure(folder, model, sources, prompt, say)
        for folder, model in zip(folders, models, strict=True)
    ]
    return sorted(found, key=lambda each: each.evaluation.nats_per_character)


def _check_same_text(folders: Sequence[Path], models: Sequence[Model], say: Notice) -> None:
    """See that what one is judged on is what the others were judged on, and never learned."""
    texts = []
    for model in models:
        corpus = model.open_text(say)
        texts.append(corpus.vocabulary.decode(corpus.heldout.tokens))
    for folder, text in zip(folders, texts, strict=True):
        if text != texts[0]:
            raise SettingsError(
                f"{folders[0]} and {folder} hold out different texts, so that the one may have "
                "learned what the other is judged on: name a text that none has seen, with --text"
            )


def _measure(
    folder: Path, model: Model, sources: Sequence[str], prompt: str, say: Notice
) -> Compared:
    evaluation, _ = model.evaluate(sources, on_notice=say)
    _, speed = write_much(model)
    label = model.config.first_label
    sample = model.write(prompt, _SAMPLE_LENGTH, temperature=WRITTEN_AT, seed=_SEED, label=label)
    course: Sequence[Point] = ()
    try:
        course = RunLog.read(folder).curve("evaluation", "validation_bpc")
    except SunspringError:  # a model without its training
        say(f"{folder} has no log of its training")
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


def comparison_json(compared: Sequence[Compared]) -> dict[str, Any]:
    """Give the object that `compare --json` prints."""
    return {
        "protocol": compared[0].evaluation.protocol,
        "characters": compared[0].evaluation.characters,
        "models": [
            {
                "name": each.name,
                "model": each.model,
                "nats_per_character": each.evaluation.nats_per_character,
                "bpc": each.evaluation.bpc,
                "parameters": each.parameters,
                "bytes": each.bytes,
                "seconds": each.card.get("seconds"),
                "epochs": each.card.get("epochs"),
                "characters_per_second": each.speed._asdict(),
                "sample": each.sample,
            }
            for each in compared
        ],
    }


def describe_comparison(compared: Sequence[Compared]) -> str:
    """Show models as a table, the best first."""
    width = max(len(each.name) for each in compared)
    first = compared[0].evaluation
    lines = [f"{first.characters:,} characters by {first.protocol}"]
    lines += [
        f"{each.name:<{width}}  {each.evaluation.nats_per_character:.4f} nats  "
        f"{each.evaluation.bpc:.4f} bpc  {each.parameters:>11,} parameters  "
        f"{each.bytes / 1e6:>6.2f} MB  writes {each.speed.together:>9,.0f} characters/s"
        for each in compared
    ]
    return "\n".join(lines)


def comparison_page(compared: Sequence[Compared]) -> str:
    """Give the page of a comparison."""
    lines = [
        Line(Path(each.name).name, each.course, index % _COLOURS, dashed=index >= _COLOURS)
        for index, each in enumerate(compared)
    ]
    chart = Chart(
        "Bits per character of the text kept apart, in the course of each training",
        "seconds of training",
        "bits per character",
        lines,
        log_x=True,
    )
    has_course = any(each.course for each in compared)
    return render(
        "compare.html",
        compared=compared,
        chart=chart if has_course else None,
        written_at=WRITTEN_AT,
    )
