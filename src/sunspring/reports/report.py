"""What the report of a run shows: how it learned, what it predicts, writes and copies."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.errors import ModelError
from sunspring.evaluation.protocols import baselines
from sunspring.explanation.copies import Copies, find_copies, repeated_lines
from sunspring.explanation.traces import trace_tokens
from sunspring.model import Model
from sunspring.network.model_folder import ModelFiles
from sunspring.notices import Notify, Work, command
from sunspring.reports.calibration import Calibration, calibrate
from sunspring.reports.excerpts import Excerpt, bits_per_token, first_documents, spread_excerpts
from sunspring.reports.memory_curve import memory_curve
from sunspring.reports.verdict import Facts, Verdict, judge, train_command
from sunspring.runs.log import RunLog
from sunspring.runs.request import TrainingRequest
from sunspring.storage import read_json
from sunspring.writing.writer import choose_visible

TEMPERATURES = (0.3, 0.6, 0.8, 1.0, 1.2)
"""Temperatures at which the finished model writes a sample."""

WRITTEN_AT = 0.8
"""Temperature of the text that is searched for copies."""

_READ = 20_000  # tokens of a split that are examined
_SHOWN = 2000  # tokens of the passage
_COMPARED = 100_000  # held-out tokens that n-gram models are scored on, at most
_SAMPLE_LENGTH, _SAMPLE_LINES = 400, 12
_TRIES = 4  # texts written for each one shown, so that none is blank
_SEED = 0
_SHOWN_OF_CARD = {
    *("characters_per_second", "corpus", "device", "epochs", "heldout", "precision", "preset"),
    *("recipe", "seconds", "seed"),
}


class Sample(NamedTuple):
    """A text written at a temperature."""

    temperature: float
    text: str


class Copying(NamedTuple):
    """What a text written at `WRITTEN_AT` copied from the training text.

    Args:
        copies: stretches copied in the written text.
        control: the same for as much held-out text.
        lines: whole lines of the training text that it repeats.
    """

    copies: Copies
    control: Copies
    lines: Sequence[str]


class Speed(NamedTuple):
    """Characters per second that a model writes on this machine: one text, or many at once."""

    alone: float
    together: float


@dataclass(frozen=True)
class Report:
    """All figures of the report of a run.

    Args:
        folder: folder of the run.
        model: the model in a few words.
        bytes: size of the weights file.
        card: the model's card, with the figures of its training.
        settings: settings of the model and of its training.
        command: the command that repeats the run.
        log: log of the training.
        plan: what was chosen to train, and why, line by line.
        verdict: an assessment of the training.
        ngrams: bits per character of n-gram models of orders 1 to 6, by `stream`.
        passage: beginning of the held-out text as the model reads it, see `Trace.passage`.
        names: what each token stands for.
        calibration: calibration on held-out text.
        memory: bits per token, by the number of tokens read before it.
        samples: one sample for each of `TEMPERATURES`.
        copying: what a longer text copied; None if the training text was not searched.
        speed: speed of writing.
    """

    folder: Path
    model: str
    bytes: int
    card: Mapping[str, Any]
    settings: Mapping[str, Any]
    command: str
    log: RunLog
    plan: Sequence[str]
    verdict: Verdict
    ngrams: Mapping[str, float]
    passage: Mapping[str, Any]
    names: Sequence[str]
    calibration: Calibration
    memory: Mapping[int, float]
    samples: Sequence[Sample]
    copying: Copying | None
    speed: Speed


def make_report(folder: Path, notify: Notify, most_searched: int | None = None) -> Report:
    """Examine a run.

    Args:
        folder: folder of the run; its text must be available.
        notify: called with a line about what was repaired or read again.
        most_searched: maximum length of a training text that is searched for copies, in characters;
            no limit by default.

    Raises:
        ModelError: the folder is not a run, is damaged, or its training is not finished.
        SunspringError: its text is not available, or there is no native engine.
    """
    log = RunLog.read(folder)
    record, files = read_json(folder / "run.json"), ModelFiles.read(folder)
    _check_card(folder, files.card)
    model, request = Model(files, record), TrainingRequest.from_record(record)
    corpus = model.open_text(notify)
    heldout = first_documents(corpus.heldout, corpus.labels, _READ)
    ngrams = _ngrams(corpus, files.card["heldout"]["characters"], notify)
    written, speed = write_much(model)
    copying = None
    if most_searched is None or corpus.train.characters <= most_searched:
        control = "\n".join(corpus.vocabulary.decode(each.tokens) for each in heldout)
        texts = [written, control[: len(written)]]
        training = corpus.training_bytes(Work(notify, "looking for copies"))
        copies, of_heldout = find_copies(texts, training)
        copying = Copying(copies, of_heldout, repeated_lines(written, corpus, notify))
    return Report(
        folder=folder.resolve(),
        model=model.summary,
        bytes=len(files.weights),
        card=files.card,
        settings={"model": asdict(files.config), "training": files.card["recipe"]},
        command=train_command(request),
        log=log,
        plan=str(record["plan"]["reason"]).splitlines(),
        verdict=judge(_facts(model, corpus, files.card, log, ngrams), request),
        ngrams=ngrams,
        passage=_passage(model, first_documents(corpus.heldout, corpus.labels, _SHOWN)),
        names=list(map(corpus.vocabulary.token_text, range(corpus.vocabulary.size))),
        calibration=calibrate(model, heldout),
        memory=memory_curve(model, heldout),
        samples=[_sample(model, temperature) for temperature in TEMPERATURES],
        copying=copying,
        speed=speed,
    )


def _check_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Check that the training is finished and the card has all that the page shows."""
    if not card.get("heldout"):
        raise ModelError(
            f"the training in {folder} is not finished: continue it with "
            f"{command('train', '--out', folder, '--resume')}"
        )
    if missing := _SHOWN_OF_CARD - card.keys():
        raise ModelError(
            f"{folder}/card.json is damaged (it lacks {', '.join(sorted(missing))}): "
            "restore it from a copy, or train again"
        )


def _ngrams(corpus: Corpus, scored: int, notify: Notify) -> dict[str, float]:
    """Score n-gram models on as many held-out characters as the network was scored on."""
    size, start_id = corpus.vocabulary.size, corpus.vocabulary.start_id
    tokens = round(scored * len(corpus.heldout.tokens) / corpus.heldout.characters)
    most = min(tokens, _COMPARED)
    nats = baselines(corpus.train, corpus.heldout, size, start_id, most, notify)
    return {name: each / math.log(2) for name, each in nats.items()}


def _facts(
    model: Model,
    corpus: Corpus,
    card: Mapping[str, Any],
    log: RunLog,
    ngrams: Mapping[str, float],
) -> Facts:
    def bits(split: Split) -> float:
        excerpts = spread_excerpts(split, corpus.labels, _READ)
        return bits_per_token(model, excerpts) * len(split.tokens) / max(1, split.characters)

    heldout = corpus.heldout
    evaluations = [each for each in log.of("evaluation") if each["validation_bpc"] is not None]
    best_at, lost = 1.0, 0.0
    if evaluations and log.best is not None:
        last = evaluations[-1]
        best_at = log.best["step"] / max(1, last["step"])
        lost = last["validation_bpc"] - log.best["validation_bpc"]
    return Facts(
        heldout=card["heldout"]["bpc"],
        ngram=min(ngrams.values()),
        unigram=ngrams["order-1"],
        chance=math.log2(corpus.vocabulary.size) * len(heldout.tokens) / heldout.characters,
        training=bits(corpus.train),
        validation=bits(corpus.validation),
        characters=corpus.train.characters,
        epochs=card["epochs"],
        best_at=best_at,
        lost=lost,
        enough=card["recipe"]["most_epochs"],
        overlap=card["heldout"].get("overlap") or 0.0,
    )


def _passage(model: Model, excerpts: Sequence[Excerpt]) -> dict[str, Any]:
    """Read excerpts, each from a fresh state, and join them to one passage."""
    joined: dict[str, Any] = {"tokens": [], "bits": [], "alternatives": []}
    for tokens, label in excerpts:
        for name, values in trace_tokens(model, tokens, label).passage().items():
            joined[name] += values
    return joined


def write_much(model: Model) -> tuple[str, Speed]:
    """Write about 20,000 characters at `WRITTEN_AT`, joined by newlines, and time it."""
    length, count = (200, 400) if model.documents == "lines" else (1000, _READ // 1000)
    label = model.config.first_label
    began = time.perf_counter()
    writings = model.write_many(
        count, length=length, temperature=WRITTEN_AT, label=label, seed=_SEED
    )
    together = sum(len(each.text) for each in writings) / (time.perf_counter() - began)
    began = time.perf_counter()
    alone = model.write(length=length, temperature=WRITTEN_AT, label=label, seed=_SEED)
    speed = Speed(len(alone) / (time.perf_counter() - began), together)
    return "\n".join(each.text for each in writings), speed


def _sample(model: Model, temperature: float) -> Sample:
    count = _SAMPLE_LINES if model.documents == "lines" else 1
    label = model.config.first_label
    writings = model.write_many(
        _TRIES * count, length=_SAMPLE_LENGTH, temperature=temperature, label=label, seed=_SEED
    )
    return Sample(temperature, "\n".join(each.text for each in choose_visible(writings, count)))
