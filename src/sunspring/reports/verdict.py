"""What to think of a training, and what to try next: from its figures to sentences and commands."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from sunspring.runs.request import TrainingRequest
from sunspring.settings import arguments_of
from sunspring.training.budget import Budget

_LITTLE = 100_000  # characters to learn from
_BY_HEART = 0.2  # of the bits of new text: how much less the training text costs
_WORSE = 0.01  # of the bits of the validation part, since its best
_LATE = 0.9  # of the training
_LONGER = 3  # times as many minutes, epochs or steps


@dataclass(frozen=True)
class Facts:
    """What a verdict rests on; figures in bits per character.

    Args:
        heldout: of the held-out text, by `stream`.
        ngram: the same of the best n-gram model.
        training: of a piece of the training text, read as `validation` was.
        validation: of as much of the validation part; NaN of a text too short to have one.
        characters: that there were to learn from.
        epochs: times that they were read.
        best_at: share of the training at which the weights were kept.
        lost: how much the validation part cost more in the end than at its best.
        enough: epochs after which training ends by itself; 0 for none.
    """

    heldout: float
    ngram: float
    training: float
    validation: float
    characters: int
    epochs: float
    best_at: float
    lost: float
    enough: float


class Step(NamedTuple):
    """What to try next, and the command that does it."""

    what: str
    command: str


@dataclass(frozen=True)
class Verdict:
    """What to think of a training.

    Args:
        summary: in a few words.
        sentences: with the figures behind it.
        steps: what to try next, the best first.
    """

    summary: str
    sentences: Sequence[str]
    steps: Sequence[Step]


def judge(facts: Facts, request: TrainingRequest) -> Verdict:
    """Say whether a training was still improving, learned by heart, or had too little text."""
    sentences = [_quality(facts)]
    gap = facts.validation - facts.training
    by_heart = gap > _BY_HEART * facts.validation
    worse = facts.best_at < _LATE and facts.lost > _WORSE * facts.validation
    enough = 0 < facts.enough <= facts.epochs
    little = facts.characters < _LITTLE
    known = (
        f"A piece of its training text costs it {facts.training:.2f} bits a character, as much of "
        f"the text that was kept apart {facts.validation:.2f}."
    )
    if worse:
        summary = "Overfitted in the end; the best weights were kept"
        sentences.append(
            f"It was best after {facts.best_at:.0%} of the training; by the end it had grown worse "
            f"by {facts.lost:.2f} bits on text that was kept apart, while it learned by heart."
        )
    elif by_heart:
        summary = "It begins to learn by heart: more text would help more than more time"
    elif enough:
        summary = "It has read the text often enough"
        sentences.append(
            f"After {facts.enough:g} epochs a training of so many minutes ends: more would be "
            "learning by heart."
        )
    else:
        summary = "Still improving: more time would help"
        sentences.append(
            f"It was at its best at the end, after {_times(facts.epochs)} through the text, and "
            "does not yet know the training text much better than other text."
        )
    if not math.isnan(gap):
        sentences.append(known)
    if little:
        sentences.append(
            f"{facts.characters:,} characters are little to learn from: a hundred thousand are a "
            "beginning, a million are good."
        )
    return Verdict(summary, sentences, _steps(request, by_heart or worse or enough, little))


def _quality(facts: Facts) -> str:
    text = f"Text that it has never seen costs it {facts.heldout:.2f} bits a character"
    if facts.heldout < facts.ngram:
        return (
            f"{text}; the best n-gram model, which only counts what followed the last few "
            f"characters, needs {facts.ngram:.2f}."
        )
    return (
        f"{text}; an n-gram model, which only counts what followed the last few characters, does "
        f"better with {facts.ngram:.2f}: it has not learned enough yet."
    )


def _times(epochs: float) -> str:
    return "once" if 0.95 <= epochs < 1.05 else f"{epochs:.1f} times"


def _steps(request: TrainingRequest, enough_time: bool, little: bool) -> list[Step]:
    budget = request.budget
    longer = replace(budget, amount=_LONGER * budget.amount)
    on = f"sunspring train --out {shlex.quote(str(request.folder))} --resume {_budget(longer)}"
    steps = [Step(f"Go on to {longer} in all.", on)]
    if not (enough_time or little):
        return steps
    another = replace(request, out=request.folder.with_name(f"{request.folder.name}-more"))
    other = []
    if names := request.source_names:
        more = train_command(replace(another, sources=(*names, "MORE.txt")))
        other.append(Step("Give it more text of the same kind beside this one.", more))
    if request.init_from is None:
        bundled = replace(another, preset="auto", settings=None, init_from="shakespeare")
        what = "If the text is English: begin from the model that comes along."
        other.append(Step(what, train_command(bundled)))
    return other if enough_time and other else [*other, *steps]


def _budget(budget: Budget) -> str:
    return f"--{budget.unit} {budget.amount:.10g}"


def train_command(request: TrainingRequest) -> str:
    """Write a request as the command that makes it."""
    return shlex.join(["sunspring", "train", *arguments_of(request)])
