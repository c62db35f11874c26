"""An assessment of a training, and what to try next: turns figures into sentences and commands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from sunspring.corpus.overlap import LARGE_OVERLAP
from sunspring.notices import command
from sunspring.runs.request import TrainingRequest
from sunspring.settings import arguments_of
from sunspring.training.budget import Budget

_LITTLE = 100_000  # characters to learn from
_BY_HEART = 0.2  # how much less the training text costs, as a share of the bits of new text
_WORSE = 0.01  # how much more validation text costs than at its best, as a share of its bits
_LATE = 0.9  # share of the training
_WRONG = 1.1  # times chance, which an untrained network nearly reaches
_LOW_RATES = {"learning_rate": 0.001, "muon_learning_rate": 0.005}
_LONGER = 3  # factor for minutes, epochs or steps


@dataclass(frozen=True)
class Facts:
    """The figures behind a verdict; all losses are in bits per character.

    Args:
        heldout: loss on the held-out text, by `stream`.
        ngram: the same for the best n-gram model.
        unigram: the same for one that knows only how often each character occurs.
        chance: the same for one that knows only which there are.
        training: loss on a piece of the training text, read in the same way as `validation`.
        validation: loss on as much validation text; NaN if the text is too short to have any.
        characters: length of the training text.
        epochs: how many times it was read.
        best_at: share of the training after which the weights were kept.
        lost: how much higher the validation loss was at the end than at its best.
        enough: epochs after which training ends by itself; 0 for never.
        overlap: share of the held-out text that is in lines which the training text has too.
    """

    heldout: float
    ngram: float
    unigram: float
    chance: float
    training: float
    validation: float
    characters: int
    epochs: float
    best_at: float
    lost: float
    enough: float
    overlap: float = 0.0


class Step(NamedTuple):
    """What to try next, and the command that does it."""

    what: str
    command: str


@dataclass(frozen=True)
class Verdict:
    """An assessment of a training.

    Args:
        summary: the assessment in a few words.
        sentences: the figures behind it.
        steps: what to try next, the best first.
    """

    summary: str
    sentences: Sequence[str]
    steps: Sequence[Step]


def judge(facts: Facts, request: TrainingRequest) -> Verdict:
    """Judge whether a training has learned, improved to the end, overfitted, or lacked text."""
    sentences = [_quality(facts)]
    gap = facts.validation - facts.training
    by_heart = gap > _BY_HEART * facts.validation
    worse = facts.best_at < _LATE and facts.lost > _WORSE * facts.validation
    enough = 0 < facts.enough <= facts.epochs
    little = facts.characters < _LITTLE
    known = (
        f"A piece of its training text costs {facts.training:.2f} bits per character, validation "
        f"text of the same length {facts.validation:.2f}."
    )
    if not facts.heldout < facts.unigram:  # nor a number
        return _nothing_learned(facts, request)
    if worse:
        summary = "It overfitted in the end; the best weights were kept"
        sentences.append(
            f"It was at its best after {facts.best_at:.0%} of the training; after that it learned "
            f"the text by heart, and became {facts.lost:.2f} bits worse on validation text."
        )
    elif by_heart:
        summary = "It begins to overfit: more text would help more than more time"
    elif enough:
        summary = "It has read the text often enough"
        sentences.append(
            f"A training given in minutes ends after {facts.enough:g} epochs: with more it would "
            "only learn the text by heart."
        )
    else:
        summary = "Still improving: more time would help"
        sentences.append(
            f"It was at its best at the end, after reading the text {_times(facts.epochs)}, and "
            "does not yet predict the training text much better than other text."
        )
    if not math.isnan(gap):
        sentences.append(known)
    if little:
        sentences.append(
            f"{facts.characters:,} characters are little to learn from: a hundred thousand are a "
            "start, a million are good."
        )
    return Verdict(summary, sentences, _steps(request, by_heart or worse or enough, little))


def _nothing_learned(facts: Facts, request: TrainingRequest) -> Verdict:
    """Judge a training whose model is worse than no network at all."""
    simplest = (
        f"{_cost(facts)}; a model that knows only how often each character occurs does better with "
        f"{facts.unigram:.2f}"
    )
    if facts.heldout < _WRONG * facts.chance:
        return Verdict("It has learned next to nothing yet", [f"{simplest}."], [_longer(request)])
    summary = "It is worse than chance: the training went wrong"
    sentences = [
        f"{simplest}, and drawing each character at random with {facts.chance:.2f}.",
        "The learning rates were too high for this network.",
    ]
    another = replace(
        request,
        out=request.folder.with_name(f"{request.folder.name}-more"),
        settings={**(request.settings or {}), **_LOW_RATES},
    )
    step = Step("Train again at low learning rates.", train_command(another))
    return Verdict(summary, sentences, [step])


def _cost(facts: Facts) -> str:
    """Say what the held-out text costs, and call it new only if it is."""
    known = "Text that it has never seen"
    if facts.overlap >= LARGE_OVERLAP:
        known = (
            "The held-out text is hardly new "
            f"({facts.overlap:.0%} of it is in the training text too, line for line). It"
        )
    return f"{known} costs {facts.heldout:.2f} bits per character"


def _quality(facts: Facts) -> str:
    text = _cost(facts)
    if facts.heldout < facts.ngram:
        return (
            f"{text}; for the best n-gram model, which only counts what followed the last few "
            f"characters, it is {facts.ngram:.2f}."
        )
    return (
        f"{text}; an n-gram model, which only counts what followed the last few characters, does "
        f"better with {facts.ngram:.2f}: the network has not learned enough yet."
    )


def _times(epochs: float) -> str:
    return "once" if 0.95 <= epochs < 1.05 else f"{epochs:.1f} times"


def _steps(request: TrainingRequest, enough_time: bool, little: bool) -> list[Step]:
    steps = [_longer(request)]
    if not (enough_time or little):
        return steps
    another = replace(request, out=request.folder.with_name(f"{request.folder.name}-more"))
    other = []
    if names := request.source_names:
        more = train_command(replace(another, sources=(*names, _more(request))))
        other.append(Step("Add more text of the same kind.", more))
    if request.init_from is None and request.tokens == "chars":
        bundled = replace(
            another, preset="auto", settings=None, minimum_count=1, init_from="shakespeare"
        )
        what = "If the text is English, start from the bundled model."
        other.append(Step(what, train_command(bundled)))
    return other if enough_time and other else [*other, *steps]


def _more(request: TrainingRequest) -> str:
    """Name more text of the same kind: a folder, a table with the same column, or a text."""
    if request.label_folders:
        return "MORE"
    table, _, column = request.source_names[0].rpartition(":")
    suffix = "".join(Path(table).suffixes)
    return f"MORE{suffix}:{column}" if suffix else "MORE.txt"


def _longer(request: TrainingRequest) -> Step:
    longer = replace(request.budget, amount=_LONGER * request.budget.amount)
    on = command("train", "--out", request.folder, "--resume", *_budget(longer))
    return Step(f"Train longer, to {longer} in total.", on)


def _budget(budget: Budget) -> tuple[str, str]:
    return f"--{budget.unit}", f"{budget.amount:.10g}"


def train_command(request: TrainingRequest) -> str:
    """Write a request as the command that carries it out."""
    return command("train", *arguments_of(request))
