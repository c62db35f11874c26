"""How well a model predicts text: bits per character by two stated protocols, and baselines.

`stream` reads the held-out text once in order, `windows` draws short stretches as minGPT-style
scripts do; figures of the one are never compared with figures of the other. Everything here goes
through one scoring loop, in float32, which leaves the model as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.corpus.corpus import Split
from sunspring.errors import SettingsError, SourceError
from sunspring.evaluation.mixture import Predictor
from sunspring.evaluation.ngrams import NGramModel
from sunspring.network.network import RecurrentModel, State
from sunspring.text.files import Progress

HELDOUT_TOKENS = 1_000_000  # scored after training and quantizing; `evaluate` scores all

_BATCH = 64  # rows
_WINDOW = 256  # tokens of each row at a time
_SINGLE_WINDOW = 2048  # of a single row: oneDNN's LSTM is fastest in long calls
_LARGEST_EXPONENT = 709  # of math.exp
_LOGITS = 1 << 24  # values in memory at a time, whatever the vocabulary


@dataclass(frozen=True)
class Evaluation:
    """What a model makes of a text.

    Args:
        protocol: `stream` or `windows`.
        nats_per_token: mean cross-entropy, natural logarithm.
        nats_per_character: the same spread over the characters that the tokens stand for, so that
            vocabularies compare.
        bpc: bits per character.
        perplexity: exp of `nats_per_token`.
        characters: number of characters scored; of `windows` and of a part of a text, in proportion
            to the tokens.
        tokens: number of tokens scored.
        standard_error: of `nats_per_character`, from the draw of the windows alone; None for
            `stream`, which draws nothing.
        beyond: what was asked for beyond the network as it is, by the same protocol: `mixture`,
            `dynamic` and `dynamic_mixture`; see `Model.evaluate`.
    """

    protocol: Literal["stream", "windows"]
    nats_per_token: float
    nats_per_character: float
    bpc: float
    perplexity: float
    characters: int
    tokens: int
    standard_error: float | None = None
    beyond: dict[str, Evaluation] = field(default_factory=dict)


Measure = Callable[
    [NDArray[np.int64], State, NDArray[np.int64] | None], tuple[NDArray[np.float64], State]
]
"""Takes ids (batch, time + 1), the state before them and the rows' labels, if they have any; gives
what is wanted of each token after the first (batch, time, …), and the state."""


class _Rows(NamedTuple):
    """Stretches to score, each within one document and from a zero state; all (rows,).

    Args:
        first: place of the first token scored.
        end: place after the last.
        begins: whether the first token is its document's first, after the start token.
        labels: label index of each, or None.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    begins: NDArray[np.bool_]
    labels: NDArray[np.int64] | None


def evaluate_stream(
    model: Predictor,
    split: Split,
    start_id: int,
    on_progress: Progress | None = None,
    maximum_tokens: int | None = None,
) -> Evaluation:
    """Read a text once in order and score every token once.

    Each document starts from a zero state, with the start token as its first input; the state is
    carried to its end.

    Args:
        model: on any device.
        split: the text.
        start_id: the token that stands before a document's first.
        on_progress: called with the tokens scored so far and their number.
        maximum_tokens: score only the first so many.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    split = first_tokens(split, maximum_tokens)
    total, scored = 0.0, 0
    for losses in measure_stream(model, split, start_id, partial(_losses, model)):
        total += float(losses.sum())
        scored += len(losses)
        if on_progress is not None:
            on_progress(scored, len(split.tokens))
    return evaluation_of("stream", total, len(split.tokens), split.characters)


def measure_stream(
    model: Predictor, split: Split, start_id: int, measure: Measure
) -> Iterator[NDArray[np.float64]]:
    """Read a text by `stream`, several documents at a time, and measure every token once.

    Args:
        model: gives the states.
        split: the text.
        start_id: the token that stands before a document's first.
        measure: of `model`.

    Yields:
        (tokens, …) what was measured; not in the order of the text.

    Raises:
        SettingsError: the model needs labels and the text has none.
    """
    with _evaluating(model):
        for _, values, inside in _read(
            model, split.tokens, _document_rows(split), start_id, measure
        ):
            yield values[inside]


def evaluate_windows(
    model: Predictor,
    split: Split,
    start_id: int,
    window: int = 256,
    count: int = 1000,
    seed: int = 0,
    batch: int = _BATCH,
) -> Evaluation:
    """Score random windows of a text, each from a zero state, as minGPT-style scripts do.

    A window of a single text is any `window` tokens, read after the token before them. With several
    documents a window stays within one, drawn by its length, and is shorter where that is; the
    start token comes first where the window begins the document.

    Args:
        model: on any device.
        split: the text.
        start_id: the token that stands before a document's first.
        window: tokens scored in each window.
        count: number of windows.
        seed: draws them.
        batch: windows scored together.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
    """
    _check_not_empty(split)
    rows = _draw_windows(split, window, count, np.random.default_rng(seed))
    totals = np.zeros(count)
    with _evaluating(model):
        measure = partial(_losses, model)
        for indices, losses, inside in _read(model, split.tokens, rows, start_id, measure, batch):
            totals[indices] += np.where(inside, losses, 0.0).sum(axis=1)
    lengths = rows.end - rows.first
    tokens = int(lengths.sum())
    characters = tokens * split.characters / len(split.tokens)
    # The standard error of a ratio of sums; with equal lengths that of the mean of the windows.
    residuals = totals - totals.sum() / tokens * lengths
    error = math.sqrt(count / max(1, count - 1) * float(residuals @ residuals)) / characters
    evaluation = evaluation_of("windows", float(totals.sum()), tokens, characters)
    return replace(evaluation, standard_error=error)


def surprisals(
    model: Predictor,
    ids: NDArray[np.integer[Any]],
    start_id: int,
    label: int | None = None,
) -> NDArray[np.float64]:
    """Bits that each token of one text costs, read from a zero state after the start token.

    Args:
        model: on any device.
        ids: (tokens,) the text; it may be empty.
        start_id: the token that stands before a document's first.
        label: index of the text's label, for a model that has labels.

    Returns:
        (tokens,) surprisals in bits.

    Raises:
        SettingsError: the model needs a label.
    """
    labels = None if label is None else np.array([label])
    rows = _Rows(np.zeros(1, np.int64), np.array([len(ids)]), np.ones(1, np.bool_), labels)
    with _evaluating(model):
        read = _read(model, ids, rows, start_id, partial(_losses, model))
        losses = [losses[0] for _, losses, _ in read]
    return np.concatenate([np.zeros(0), *losses]) / math.log(2)


@torch.inference_mode()
def final_outputs(
    network: RecurrentModel,
    ids: NDArray[np.integer[Any]],
    start_id: int,
    label: int | None = None,
) -> NDArray[np.float32]:
    """Outputs of all layers after a text, (layers * hidden_size,); see `surprisals`."""
    tokens = torch.from_numpy(np.concatenate(([start_id], ids)).astype(np.int64))
    labels = None if label is None else torch.full((1,), label, device=network.device)
    state = network.initial_state(1)
    with _evaluating(network):
        for part in tokens.to(network.device).split(_SINGLE_WINDOW):  # type: ignore[no-untyped-call]
            state = network(part.unsqueeze(0), state, labels)[1]
    layers = state[: network.config.layers]
    return np.asarray(torch.cat([layer[0][0] for layer in layers]).float().cpu().numpy())


def baselines(
    train: Split,
    heldout: Split,
    vocabulary_size: int,
    start_id: int,
    maximum_tokens: int | None = None,
) -> dict[str, float]:
    """Score n-gram models of the orders 1 to 6, fitted to the training text, by `stream`.

    Args:
        train: what they learn from; see `NGramModel` for how much of it.
        heldout: the text to score.
        vocabulary_size: number of ids.
        start_id: the token that stands before a document's first.
        maximum_tokens: score only the first so many, as `evaluate_stream` does.

    Returns:
        Nats per character, by the names `order-1` to `order-6`.

    Raises:
        SourceError: the held-out text is empty.
    """
    heldout = first_tokens(heldout, maximum_tokens)
    model = NGramModel(train.tokens, train.starts, vocabulary_size, start_id)
    totals = model.total_log_probabilities(heldout.tokens, heldout.starts)
    return {
        f"order-{order}": -float(total) / heldout.characters
        for order, total in enumerate(totals, start=1)
    }


def _read(
    model: Predictor,
    tokens: NDArray[np.integer[Any]],
    rows: _Rows,
    start_id: int,
    measure: Measure,
    batch: int = _BATCH,
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]]:
    """Read rows in batches of similar length, window by window, the state carried.

    Yields:
        The indices of a batch's rows that still go on, what was measured of each of their next
        tokens (rows, time, …), and which of those are not beyond the row's end (rows, time).
    """
    check_labels(model, rows.labels)
    lengths = rows.end - rows.first
    order = np.argsort(-lengths, kind="stable")
    for chunk in range(0, len(order), batch):
        indices = order[chunk : chunk + batch]
        window = _SINGLE_WINDOW if len(indices) == 1 else _WINDOW
        window = max(1, min(window, _LOGITS // (len(indices) * model.config.vocabulary_size)))
        state = model.initial_state(len(indices))
        for offset in range(0, int(lengths[indices[0]]), window):
            indices = indices[lengths[indices] > offset]  # the longest come first
            state = tuple(tuple(tensor[: len(indices)] for tensor in layer) for layer in state)
            time = min(window, int(lengths[indices[0]]) - offset)
            places = (rows.first[indices] + offset)[:, None] + np.arange(-1, time)
            ids = tokens[places.clip(0, len(tokens) - 1)].astype(np.int64)
            if offset == 0:
                ids[rows.begins[indices], 0] = start_id
            labels = None if rows.labels is None else rows.labels[indices]
            values, state = measure(ids, state, labels)
            yield indices, values, places[:, 1:] < rows.end[indices, None]


def check_labels(model: Predictor, labels: NDArray[Any] | None) -> None:
    """Make sure that a text has labels if the model needs them.

    Raises:
        SettingsError: it has none.
    """
    if model.config.labels and labels is None:
        raise SettingsError(
            f"the model was trained with labels and the text has none: "
            f"give one of {', '.join(model.config.labels)}"
        )


@torch.inference_mode()
def _losses(
    model: Predictor,
    ids: NDArray[np.int64],
    state: State,
    labels: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], State]:
    """Nats of each token after the first, (batch, time) of ids (batch, time + 1), and the state."""
    sequences = torch.from_numpy(ids).to(model.device)
    label_tensor = None if labels is None else torch.from_numpy(labels).to(model.device)
    losses, state = model.losses(sequences[:, :-1], sequences[:, 1:], state, label_tensor)
    return losses.double().cpu().numpy(), state


@contextmanager
def _evaluating(model: Predictor) -> Iterator[None]:
    """Switch dropout off, and put the mode back however the block ends."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def evaluation_of(
    protocol: Literal["stream", "windows"], nats: float, tokens: int, characters: float
) -> Evaluation:
    """Put the nats that all tokens cost into the usual units."""
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
    )


def _document_rows(split: Split) -> _Rows:
    starts = np.asarray(split.starts)
    begins = np.ones(split.documents, dtype=np.bool_)
    labels = None if split.labels is None else split.labels.astype(np.int64)
    return _Rows(starts[:-1], starts[1:], begins, labels)


def _draw_windows(split: Split, window: int, count: int, random: np.random.Generator) -> _Rows:
    starts = np.asarray(split.starts)
    token = random.integers(len(split.tokens), size=count)
    document = np.searchsorted(starts, token, side="right") - 1  # drawn by its length
    begin, end = starts[document], starts[document + 1]
    # minGPT-style scripts read the first token of the text, and never score it.
    earliest = begin + (1 if split.documents == 1 and len(split.tokens) > window else 0)
    first = random.integers(earliest, np.maximum(earliest, end - window), endpoint=True)
    labels = None if split.labels is None else split.labels[document].astype(np.int64)
    return _Rows(first, np.minimum(first + window, end), first == begin, labels)
