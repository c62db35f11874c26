"""How well a model predicts text: bits per character by two stated protocols, and baselines.

`stream` reads the held-out text once in order, `windows` draws short stretches as minGPT-style
scripts do; figures of one must not be compared with figures of the other. Both use the same
reading loop. A character that the model does not know costs as much as in `Model.score`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.splits import Split
from sunspring.errors import SourceError
from sunspring.network.ngrams import count_ngrams
from sunspring.network.predictor import Predictor
from sunspring.network.scoring import BATCH, Measure, Rows, measure_rows
from sunspring.notices import Notify, Progress, Work, ignore, unnoticed, within
from sunspring.writing.engine import Engine

_LARGEST_EXPONENT = 709  # of math.exp
_BLOCK = 1 << 22  # tokens of documents that an engine is given at once


Protocol = Literal["stream", "windows"]


@dataclass(frozen=True)
class Evaluation:
    """How well a model predicts a text.

    Args:
        protocol: `stream` or `windows`.
        nats_per_token: mean cross-entropy, natural logarithm.
        nats_per_character: the same per character that the tokens stand for, comparable between
            vocabularies.
        bpc: bits per character.
        perplexity: exp of `nats_per_token`.
        characters: number of characters scored; for `windows` and for a part of a text, in
            proportion to the tokens.
        tokens: number of tokens scored.
        standard_error: of `nats_per_character`, due to the choice of windows alone; None for
            `stream`, which makes no random choice.
        overlap: share of the text that is in lines which the training text has too; None if that
            is not known.
        beyond: results of further methods, if asked for, by the same protocol: `mixture`,
            `dynamic` and `dynamic_mixture`; see `Model.evaluate`.
    """

    protocol: Protocol
    nats_per_token: float
    nats_per_character: float
    bpc: float
    perplexity: float
    characters: int
    tokens: int
    standard_error: float | None = None
    overlap: float | None = None
    beyond: dict[str, Evaluation] = field(default_factory=dict)

    def with_overlap(self, overlap: float | None) -> Evaluation:
        """Return the same with the overlap of the text, in the results of further methods too."""
        beyond = {name: each.with_overlap(overlap) for name, each in self.beyond.items()}
        return replace(self, overlap=overlap, beyond=beyond)

    def to_json(self) -> dict[str, Any]:
        """Return its figures, and under their names those in `beyond`."""
        return {
            "protocol": self.protocol,
            "nats_per_token": self.nats_per_token,
            "nats_per_character": self.nats_per_character,
            "bpc": self.bpc,
            "perplexity": self.perplexity,
            "characters": self.characters,
            "standard_error": self.standard_error,
            "overlap": self.overlap,
            **{name: each.to_json() for name, each in self.beyond.items()},
        }


def evaluate_stream(
    model: Predictor,
    split: Split,
    start_id: int,
    on_progress: Progress = unnoticed,
) -> Evaluation:
    """Read a text once in order and score every token once.

    Each document starts from a zero state, with the start token as its first input; the state is
    carried to its end.

    Args:
        model: on any device.
        split: the text.
        start_id: the token read before a document's first.
        on_progress: called with the tokens scored so far and the total.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    _check_not_empty(split)
    total = 0.0
    for losses in measure_stream(model, split, start_id, on_progress=on_progress):
        total += float(losses.sum())
    nats = total + split.unseen_nats
    return evaluation_of("stream", nats, len(split.tokens), split.characters)


def evaluate_engine(engine: Engine, split: Split, on_progress: Progress = unnoticed) -> Evaluation:
    """Read a text as `evaluate_stream` does, on an engine: `Model.score` gives the same figures.

    Args:
        engine: runs the model.
        split: the text.
        on_progress: called with the tokens scored so far and the total.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    _check_not_empty(split)
    total, starts = 0.0, np.asarray(split.starts)
    first = 0
    while first < split.document_count:
        last = int(np.searchsorted(starts, starts[first] + _BLOCK, side="right")) - 1
        documents = slice(first, max(first + 1, last))
        begin, end = int(starts[documents.start]), int(starts[documents.stop])
        labels = None if split.labels is None else split.labels[documents].astype(np.int64)

        counts = np.diff(starts[documents.start : documents.stop + 1])
        report = within(on_progress, begin, len(split.tokens))
        nats = engine.score(split.tokens[begin:end], counts, labels, report)
        total += float(nats.sum(dtype=np.float64))
        first = documents.stop
    total += split.unseen_nats
    return evaluation_of("stream", total, len(split.tokens), split.characters)


def measure_stream(
    model: Predictor,
    split: Split,
    start_id: int,
    measure: Measure | None = None,
    on_progress: Progress = unnoticed,
) -> Iterator[NDArray[np.float64]]:
    """Read a text by `stream`, several documents at a time, and measure every token once.

    Args:
        model: reads the text.
        split: the text.
        start_id: the token read before a document's first.
        measure: what to measure; by default each token's loss, in nats.
        on_progress: called with the tokens read so far and the total.

    Yields:
        (tokens, …) measurements, not in the order of the text.

    Raises:
        SettingsError: the model needs labels and the text has none.
    """
    rows = _document_rows(split)
    for _, values, is_inside in measure_rows(
        model, split.tokens, rows, start_id, measure, on_progress=on_progress
    ):
        yield values[is_inside]


def evaluate_windows(
    model: Predictor,
    split: Split,
    start_id: int,
    window: int = 256,
    count: int = 1000,
    seed: int = 0,
    batch: int = BATCH,
    on_progress: Progress = unnoticed,
) -> Evaluation:
    """Score random windows of a text, each from a zero state, as minGPT-style scripts do.

    In a single text a window is any `window` tokens, read after the token before them. With several
    documents a window stays within one, chosen in proportion to its length, and is shorter if the
    document is; it is read after the start token if it begins the document.

    Args:
        model: on any device.
        split: the text.
        start_id: the token read before a document's first.
        window: tokens scored in each window.
        count: number of windows.
        seed: determines their choice.
        batch: windows scored together.
        on_progress: called with the tokens scored so far and the total.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    _check_not_empty(split)
    rows = _draw_windows(split, window, count, np.random.default_rng(seed))
    totals = np.zeros(count)
    for indices, losses, is_inside in measure_rows(
        model, split.tokens, rows, start_id, batch=batch, on_progress=on_progress
    ):
        totals[indices] += np.where(is_inside, losses, 0.0).sum(axis=1)
    lengths = rows.end - rows.first
    tokens = int(lengths.sum())
    characters = tokens * split.characters / len(split.tokens)
    # The standard error of a ratio of sums; with equal lengths that of the mean of the windows.
    residuals = totals - totals.sum() / tokens * lengths
    error = math.sqrt(count / max(1, count - 1) * float(residuals @ residuals)) / characters
    nats = float(totals.sum()) + split.unseen_nats * tokens / len(split.tokens)
    evaluation = evaluation_of("windows", nats, tokens, characters)
    return replace(evaluation, standard_error=error)


def baselines(
    train: Split,
    heldout: Split,
    vocabulary_size: int,
    start_id: int,
    maximum_tokens: int | None = None,
    notify: Notify = ignore,
) -> dict[str, float]:
    """Score n-gram models of the orders 1 to 6, fitted to the training text, by `stream`.

    Args:
        train: what they learn from; see `count_ngrams` for how much of it.
        heldout: the text to score.
        vocabulary_size: number of ids.
        start_id: the token read before a document's first.
        maximum_tokens: score only this many of the held-out text, from the beginning.
        notify: shows the progress.

    Returns:
        Nats per character, under the names `order-1` to `order-6`.

    Raises:
        SourceError: the held-out text is empty.
    """
    heldout = first_tokens(heldout, maximum_tokens)
    model = count_ngrams(
        train.tokens,
        train.starts,
        vocabulary_size,
        start_id,
        on_progress=Work(notify, "counting n-grams"),
    )
    totals = model.total_log_probabilities(
        heldout.tokens, heldout.starts, Work(notify, "scoring by n-grams")
    )
    return {
        f"order-{order}": (heldout.unseen_nats - float(total)) / heldout.characters
        for order, total in enumerate(totals, start=1)
    }


def evaluation_of(protocol: Protocol, nats: float, tokens: int, characters: float) -> Evaluation:
    """Convert the total loss, in nats, into the usual units."""
    return Evaluation(
        protocol=protocol,
        nats_per_token=nats / tokens,
        nats_per_character=nats / characters,
        bpc=nats / characters / math.log(2),
        perplexity=math.exp(nats / tokens) if nats / tokens < _LARGEST_EXPONENT else math.inf,
        characters=round(characters),
        tokens=tokens,
    )


def _check_not_empty(split: Split) -> None:
    if len(split.tokens) == 0:
        raise SourceError("the held-out text is empty: give more text, or name one to evaluate on")


def first_tokens(split: Split, maximum: int | None) -> Split:
    """Keep the first tokens of a text; its characters are counted in proportion."""
    _check_not_empty(split)
    if maximum is None or maximum >= len(split.tokens):
        return split
    inside = split.starts[:-1][split.starts[:-1] < maximum]
    return replace(
        split,
        tokens=split.tokens[:maximum],
        starts=np.append(inside, maximum),
        labels=None if split.labels is None else split.labels[: len(inside)],
        characters=max(1, round(split.characters * maximum / len(split.tokens))),
        left_out=round(split.left_out * maximum / len(split.tokens)),
    )


def _document_rows(split: Split) -> Rows:
    starts = np.asarray(split.starts)
    begins = np.ones(split.document_count, dtype=np.bool_)
    labels = None if split.labels is None else split.labels.astype(np.int64)
    return Rows(starts[:-1], starts[1:], begins, labels)


def _draw_windows(split: Split, window: int, count: int, random: np.random.Generator) -> Rows:
    starts = np.asarray(split.starts)
    token = random.integers(len(split.tokens), size=count)
    document = np.searchsorted(starts, token, side="right") - 1  # in proportion to its length
    begin, end = starts[document], starts[document + 1]
    # minGPT-style scripts read the first token of the text, and never score it.
    earliest = begin + (1 if split.document_count == 1 and len(split.tokens) > window else 0)
    first = random.integers(earliest, np.maximum(earliest, end - window), endpoint=True)
    labels = None if split.labels is None else split.labels[document].astype(np.int64)
    return Rows(first, np.minimum(first + window, end), first == begin, labels)
