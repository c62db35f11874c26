"""Whether a model reveals secrets: the exposure of canaries (Carlini et al. 2019).

Canaries are random lines. They are inserted in the training text, each once or several times, and a
copy of the run is trained on it. Then each is ranked by its surprisal among random lines that were
never in the text.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.errors import ModelError, SourceError
from sunspring.machine import DeviceChoice
from sunspring.model import Model
from sunspring.network.config import ModelConfig
from sunspring.network.model_folder import ModelFiles
from sunspring.notices import Notify, Work, counted, notify_on
from sunspring.privacy.insertion import insert_lines
from sunspring.runs.corpus import open_run_corpus
from sunspring.runs.record import read_plan
from sunspring.runs.request import TrainingRequest
from sunspring.runs.train import train_copy
from sunspring.storage import read_json
from sunspring.training.budget import Budget

CHANCE = math.log2(math.e)
"""Mean and standard deviation of the exposure of unseen lines, whose ranks are uniform."""

_LETTERS, _FEWEST_LETTERS = 26, 8
_SPACE_BITS = 40  # a canary is one of 2**40 possible lines, at least
_SEARCHED = 1_000_000  # tokens searched for letters
_SURE = 3  # standard errors above chance
_STREAM = 2019  # separates the random numbers here from others drawn with a run's seed


@dataclass(frozen=True)
class CanarySettings:
    """How many canaries are inserted, and what they are compared with.

    Args:
        repetitions: how often a canary is in the text, ascending.
        each: number of canaries for each number of repetitions.
        most_share: how much longer they may make the training text, as a share of its characters;
            in a short text there are fewer of each, and the highest repetitions are left out.
        references: number of random lines among which a canary is ranked.
        controls: number of lines that are ranked in the same way but were never in the text.
    """

    repetitions: tuple[int, ...] = (1, 4, 16, 64)
    each: int = 8
    most_share: float = 0.02
    references: int = 20_000
    controls: int = 1_000


@dataclass(frozen=True)
class Exposures:
    """The exposures of canaries that were in the text equally often.

    Args:
        repetitions: how often each was in the training text.
        bits: (canaries,) their exposures.
    """

    repetitions: int
    bits: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean exposure of the canaries."""
        return float(self.bits.mean())

    @property
    def chance_error(self) -> float:
        """Standard error of the mean if the model had seen none of them."""
        return CHANCE / math.sqrt(len(self.bits))

    @property
    def stands_out(self) -> bool:
        """Whether the mean is higher than chance can explain."""
        return self.mean > CHANCE + _SURE * self.chance_error

    def to_json(self, most: float) -> dict[str, Any]:
        """Return the figures; `most` is the highest exposure possible."""
        return {
            "repetitions": self.repetitions,
            "canaries": len(self.bits),
            "mean": self.mean,
            "chance_error": self.chance_error,
            "largest": float(self.bits.max()),
            "share_at_most": self.share_at(most),
            "stands_out": self.stands_out,
        }

    def share_at(self, bits: float) -> float:
        """Return the share of canaries with at least so many bits of exposure."""
        return float((self.bits >= bits).mean())


@dataclass(frozen=True)
class CanaryReport:
    """The result of inserting canaries.

    Args:
        letters: the letters that they consist of.
        length: letters of each canary.
        references: number of random lines among which they were ranked.
        training_characters: characters of the run's own training text.
        hidden_characters: characters that were added to it.
        hidden: exposures of the canaries, by ascending repetitions.
        control: exposures of lines that were never in the text.
    """

    letters: str
    length: int
    references: int
    training_characters: int
    hidden_characters: int
    hidden: tuple[Exposures, ...]
    control: Exposures

    def to_json(self) -> dict[str, Any]:
        """Return the object under `canaries` of `evaluate --canaries --json`."""
        return {
            "letters": self.letters,
            "length": self.length,
            "training_characters": self.training_characters,
            "hidden_characters": self.hidden_characters,
            "hidden_share": self.hidden_share,
            "references": self.references,
            "most": self.most,
            "hidden": [
                {**each.to_json(self.most), "exposures": each.bits.tolist()} for each in self.hidden
            ],
            "control": {**self.control.to_json(self.most), "expected": self.expected},
        }

    @property
    def most(self) -> float:
        """The highest exposure possible with so many references, in bits."""
        return math.log2(self.references + 1)

    @property
    def expected(self) -> float:
        """The expected mean exposure of the control, in bits."""
        return CHANCE

    @property
    def hidden_share(self) -> float:
        """Characters that were added, as a share of the run's own text."""
        return self.hidden_characters / self.training_characters


def canary_exposure(
    run: Path,
    device: DeviceChoice = "auto",
    stream: TextIO | None = None,
    settings: CanarySettings | None = None,
) -> CanaryReport | None:
    """Insert canaries in the text of a run, train a copy of the run, and measure their exposure.

    The run itself is not changed. The copy has the same plan and seed, is trained for as many
    epochs, and is deleted at the end.

    Args:
        run: the run folder.
        device: `cpu` or `cuda`; `auto` for the device that the run asked for.
        stream: where progress and notices go; None for silence.
        settings: how many canaries; the defaults of `CanarySettings` if None.

    Returns:
        The exposures; None if the training was interrupted.

    Raises:
        ModelError: the folder is not a run, or its text has changed.
        SourceError: the text is not available, is too short, or has too few different letters.
    """
    notify = notify_on(stream)
    if not (run / "run.json").exists():
        raise ModelError(
            f"{run} has no run.json: canaries need a run, to train a copy of it with them, so name "
            "a folder made by train"
        )
    record = read_json(run / "run.json")
    request = TrainingRequest.from_record(record)
    plan, precision = read_plan(record, ModelConfig.read(run / "config.json"))
    corpus = open_run_corpus(record, notify)
    random = np.random.default_rng([_STREAM, request.seed])
    drawn = _draw(corpus, settings or CanarySettings(), random)
    budget, took = _training(run, request.budget)
    with tempfile.TemporaryDirectory(prefix="sunspring-") as folder:
        text = insert_lines(corpus, drawn.occurrences(), Path(folder), random, drawn.label)
        added = text.train.characters - corpus.train.characters
        notify(
            f"inserting {len(drawn.hidden)} canaries in the text ({counted(added, 'character')}, "
            f"{added / corpus.train.characters:.1%} of it), and training a copy of {run} for "
            f"{budget}{took}"
        )
        copy = replace(
            request.with_budget(budget),
            out=Path(folder) / "run",
            device=request.device if device == "auto" else device,
            tensorboard=False,
        )
        if train_copy(copy, plan, precision, text, stream).interrupted:
            return None
        model = Model(ModelFiles.read(copy.folder))
        label = None if drawn.label is None else corpus.labels[drawn.label]
        hidden, controls, references = (
            _costs(model, lines, label, notify)
            for lines in (drawn.hidden, drawn.controls, drawn.references)
        )
    groups = np.split(exposures(hidden, references), len(drawn.repetitions))
    return CanaryReport(
        letters=drawn.letters,
        length=len(drawn.hidden[0]),
        references=len(references),
        training_characters=corpus.train.characters,
        hidden_characters=added,
        hidden=tuple(map(Exposures, drawn.repetitions, groups)),
        control=Exposures(0, exposures(controls, references)),
    )


def _training(run: Path, budget: Budget) -> tuple[Budget, str]:
    """Return how long to train the copy of a run, and a remark on how long the run took.

    Minutes become the epochs that the run read in them, so that the load of the machine does not
    matter.
    """
    card = read_json(run / "card.json") if (run / "card.json").exists() else {}
    if not {"epochs", "seconds"} <= card.keys():
        return budget, ""
    if budget.unit == "minutes":
        budget = Budget("epochs", card["epochs"])
    return budget, f", which took the run {counted(round(card['seconds']), 'second')}"


@dataclass(frozen=True)
class _Drawn:
    """Random lines drawn for a text.

    Args:
        letters: the letters that they consist of.
        repetitions: how often canaries are inserted, ascending.
        hidden: the canaries, equally many for each number of repetitions, in this order.
        controls: lines to rank that are not inserted.
        references: lines among which the others are ranked.
        label: index of the label of all of them, or None.
    """

    letters: str
    repetitions: tuple[int, ...]
    hidden: list[str]
    controls: list[str]
    references: list[str]
    label: int | None

    def occurrences(self) -> list[str]:
        """Return each canary as often as it is inserted."""
        times = np.repeat(self.repetitions, len(self.hidden) // len(self.repetitions))
        return [line for line, count in zip(self.hidden, times, strict=True) for _ in range(count)]


def _draw(corpus: Corpus, settings: CanarySettings, random: np.random.Generator) -> _Drawn:
    """Draw as many canaries as a text has room for, and the lines to compare them with."""
    letters, labels = choose_letters(corpus), corpus.train.labels
    length = math.ceil(_SPACE_BITS / math.log2(len(letters)))
    repetitions, each = _fit(settings, length, corpus.train.characters)
    counts = (each * len(repetitions), settings.controls, settings.references)
    lines = iter(draw_lines(letters, length, sum(counts), random))
    hidden, controls, references = ([*itertools.islice(lines, count)] for count in counts)
    label = None if labels is None else int(random.choice(labels))
    return _Drawn(letters, repetitions, hidden, controls, references, label)


def exposures(costs: NDArray[np.float64], references: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the exposure of canaries, (canaries,) in bits.

    The rank of a canary is the number of lines that cost no more, itself included (definition 2 of
    the paper). Its exposure is the logarithm of the number of lines minus that of its rank
    (definition 4); the lines are a random sample (section 4.3).

    Args:
        costs: (canaries,) cost of each canary.
        references: (references,) costs of lines that were never in the text.
    """
    ranks = 1 + np.searchsorted(np.sort(references), costs, side="right")
    return math.log2(len(references) + 1) - np.log2(ranks)


def choose_letters(corpus: Corpus) -> str:
    """Choose the letters of canaries: the most frequent ones at the start of the training text.

    Raises:
        SourceError: the text has too few different characters.
    """
    text = corpus.vocabulary.decode(corpus.train.tokens[:_SEARCHED])
    frequent = [character for character, _ in Counter(text).most_common()]
    visible = [each for each in frequent if each.isprintable() and each not in " \ufffd"]
    letters = [each for each in visible if each.isalpha()]
    chosen = letters if len(letters) >= _FEWEST_LETTERS else visible
    if len(chosen) < _FEWEST_LETTERS:
        raise SourceError(
            f"the training text has {counted(len(chosen), 'different character')} and canaries "
            f"need {_FEWEST_LETTERS}: use a text with more different characters"
        )
    return "".join(chosen[:_LETTERS])


def draw_lines(letters: str, length: int, count: int, random: np.random.Generator) -> list[str]:
    """Draw different lines of random letters, all equally probable."""
    drawn: dict[str, None] = {}
    while missing := count - len(drawn):
        rows = np.array([*letters])[random.integers(len(letters), size=(missing, length))]
        drawn |= dict.fromkeys(map("".join, rows.tolist()))
    return list(drawn)


def _fit(settings: CanarySettings, length: int, characters: int) -> tuple[tuple[int, ...], int]:
    """Return the repetitions that a text has room for, and how many canaries of each."""
    room = settings.most_share * characters
    line = length + 2  # a newline on either side
    for kept in range(len(settings.repetitions), 0, -1):
        repetitions = settings.repetitions[:kept]
        for each in (settings.each, settings.each // 2):
            if 0 < each * sum(repetitions) * line <= room:
                return repetitions, each
    raise SourceError(
        f"the training text has {counted(characters, 'character')}, too few to insert canaries in: "
        "train on more text"
    )


def _costs(
    model: Model, lines: Sequence[str], label: str | None, notify: Notify
) -> NDArray[np.float64]:
    """Return the bits of each line, (lines,), read from a fresh state and without its end."""
    scored = model.score_many(lines, label, Work(notify, "scoring random lines"))
    return np.array([bits.sum() for bits in scored])
