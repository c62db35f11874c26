"""Whether a model gives secrets away: the exposure of canaries (Carlini et al. 2019).

Canaries are random lines. Some are inserted in the training text, once or several times each, a
copy of the run is trained on it, and each is ranked by its cost among random lines that stood
nowhere.
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
from sunspring.notices import notify_on
from sunspring.privacy.insertion import insert_lines
from sunspring.runs.corpus import open_run_corpus
from sunspring.runs.record import read_plan
from sunspring.runs.request import TrainingRequest
from sunspring.runs.train import train_copy
from sunspring.storage import read_json
from sunspring.training.budget import Budget

CHANCE = math.log2(math.e)
"""Mean exposure of lines that a model never saw, and its deviation: their ranks are uniform."""

_LETTERS, _FEWEST_LETTERS = 26, 8
_SPACE_BITS = 40  # of the lines that might have been drawn
_SEARCHED = 1_000_000  # tokens, for letters
_SURE = 3  # standard errors
_STREAM = 2019  # keeps what is drawn here apart from what else is drawn by a run's seed


@dataclass(frozen=True)
class CanarySettings:
    """How many canaries are hidden, and what they are compared with.

    Args:
        repetitions: how often a canary stands in the text, ascending.
        each: canaries of each number of repetitions.
        most_share: of the characters of the training text that they may add; where it is short,
            there are fewer of each, and the highest repetitions are left out.
        references: random lines among which a canary is ranked.
        controls: lines that are ranked alike and stood nowhere.
    """

    repetitions: tuple[int, ...] = (1, 4, 16, 64)
    each: int = 8
    most_share: float = 0.02
    references: int = 20_000
    controls: int = 1_000


@dataclass(frozen=True)
class Exposures:
    """How far canaries that stood equally often are exposed.

    Args:
        repetitions: how often each stood in the training text.
        bits: (canaries,) their exposures.
    """

    repetitions: int
    bits: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Of the canaries."""
        return float(self.bits.mean())

    @property
    def chance_error(self) -> float:
        """Standard error that the mean would have if the model had seen none of them."""
        return CHANCE / math.sqrt(len(self.bits))

    @property
    def stands_out(self) -> bool:
        """Whether the mean is higher than chance explains."""
        return self.mean > CHANCE + _SURE * self.chance_error

    def to_json(self, most: float) -> dict[str, Any]:
        """Give the figures; `most` is the highest exposure that can be seen."""
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
        """Give the share of the canaries that are exposed so far or further."""
        return float((self.bits >= bits).mean())


@dataclass(frozen=True)
class CanaryReport:
    """What became of canaries.

    Args:
        letters: that they consist of.
        length: of each, in letters.
        references: random lines among which they were ranked.
        training_characters: of the run's own text.
        hidden_characters: that were added to it.
        hidden: by repetitions, ascending.
        control: of lines that stood nowhere.
    """

    letters: str
    length: int
    references: int
    training_characters: int
    hidden_characters: int
    hidden: tuple[Exposures, ...]
    control: Exposures

    def to_json(self) -> dict[str, Any]:
        """Give what `evaluate --canaries --json` has of canaries."""
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
        """The highest exposure that so many references can show, in bits."""
        return math.log2(self.references + 1)

    @property
    def expected(self) -> float:
        """What the mean of the control should be, in bits."""
        return CHANCE

    @property
    def hidden_share(self) -> float:
        """Characters that were added, as a share of the run's own."""
        return self.hidden_characters / self.training_characters


def canary_exposure(
    run: Path,
    device: DeviceChoice = "auto",
    stream: TextIO | None = None,
    settings: CanarySettings | None = None,
) -> CanaryReport | None:
    """Hide canaries in the text of a run, train a copy of it, and see how far they are exposed.

    The run stays as it is. The copy has its plan and seed, is trained for as many epochs, and is
    deleted in the end.

    Args:
        run: the run folder.
        device: `cpu` or `cuda`; `auto` is what the run was begun with.
        stream: where progress and notices go; None for silence.
        settings: how many canaries; the usual ones by default.

    Returns:
        The exposures; None if the training was interrupted.

    Raises:
        ModelError: there is no run, or its text has changed.
        SourceError: the text is not at hand, too short, or has too few different letters.
    """
    notify = notify_on(stream)
    if not (run / "run.json").exists():
        raise ModelError(
            f"{run} has no run.json: canaries are hidden in the text of a run, of which a copy is "
            "trained, so name the folder that train made"
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
            f"hiding {len(drawn.hidden)} canaries in the text ({added:,} characters, "
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
            _costs(model, lines, label)
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
    """Say how long to train the copy of a run, and what is known of the time that it takes.

    Minutes become the epochs that they were: another load of the machine must not count.
    """
    card = read_json(run / "card.json") if (run / "card.json").exists() else {}
    if not {"epochs", "seconds"} <= card.keys():
        return budget, ""
    if budget.unit == "minutes":
        budget = Budget("epochs", card["epochs"])
    return budget, f", which took the run {card['seconds']:,.0f} seconds"


@dataclass(frozen=True)
class _Drawn:
    """Lines that were drawn for a text.

    Args:
        letters: that they consist of.
        repetitions: how often canaries are to stand in the text, ascending.
        hidden: as many canaries for each, in this order.
        controls: that will stand nowhere.
        references: likewise.
        label: index of the label of all of them, or None.
    """

    letters: str
    repetitions: tuple[int, ...]
    hidden: list[str]
    controls: list[str]
    references: list[str]
    label: int | None

    def occurrences(self) -> list[str]:
        """Give each canary as often as it shall stand in the text."""
        times = np.repeat(self.repetitions, len(self.hidden) // len(self.repetitions))
        return [line for line, count in zip(self.hidden, times, strict=True) for _ in range(count)]


def _draw(corpus: Corpus, settings: CanarySettings, random: np.random.Generator) -> _Drawn:
    """Draw canaries that a text has room for, and what they are compared with."""
    letters, labels = choose_letters(corpus), corpus.train.labels
    length = math.ceil(_SPACE_BITS / math.log2(len(letters)))
    repetitions, each = _fit(settings, length, corpus.train.characters)
    counts = (each * len(repetitions), settings.controls, settings.references)
    lines = iter(draw_lines(letters, length, sum(counts), random))
    hidden, controls, references = ([*itertools.islice(lines, count)] for count in counts)
    label = None if labels is None else int(random.choice(labels))
    return _Drawn(letters, repetitions, hidden, controls, references, label)


def exposures(costs: NDArray[np.float64], references: NDArray[np.float64]) -> NDArray[np.float64]:
    """Say how far canaries are exposed, (canaries,) in bits.

    The rank of a canary is the number of lines that cost no more, itself included (definition 2 of
    the paper); its exposure is the logarithm of the number of lines less that of its rank
    (definition 4), among those that were sampled here (section 4.3).

    Args:
        costs: (canaries,) of each.
        references: (references,) of lines that stood nowhere.
    """
    ranks = 1 + np.searchsorted(np.sort(references), costs, side="right")
    return math.log2(len(references) + 1) - np.log2(ranks)


def choose_letters(corpus: Corpus) -> str:
    """Choose the letters of canaries: the most frequent ones at the beginning of a training text.

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
            f"the training text has {len(chosen)} different characters and canaries need "
            f"{_FEWEST_LETTERS}: they cannot be told from such a text"
        )
    return "".join(chosen[:_LETTERS])


def draw_lines(letters: str, length: int, count: int, random: np.random.Generator) -> list[str]:
    """Draw so many different lines of letters, each as probable as any other."""
    drawn: dict[str, None] = {}
    while missing := count - len(drawn):
        rows = np.array([*letters])[random.integers(len(letters), size=(missing, length))]
        drawn |= dict.fromkeys(map("".join, rows.tolist()))
    return list(drawn)


def _fit(settings: CanarySettings, length: int, characters: int) -> tuple[tuple[int, ...], int]:
    """Say which repetitions a text has room for, and of how many canaries each."""
    room = settings.most_share * characters
    line = length + 2  # a newline on either side
    for kept in range(len(settings.repetitions), 0, -1):
        repetitions = settings.repetitions[:kept]
        for each in (settings.each, settings.each // 2):
            if 0 < each * sum(repetitions) * line <= room:
                return repetitions, each
    raise SourceError(
        f"the training part of the text has {characters:,} characters, too few to hide canaries "
        "in: train on more text"
    )


def _costs(model: Model, lines: Sequence[str], label: str | None) -> NDArray[np.float64]:
    """Bits that each line costs where a line or a document begins, (lines,); not its end."""
    return np.array([bits.sum() for bits in model.score_many(lines, label)])
