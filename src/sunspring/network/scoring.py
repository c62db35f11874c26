"""Read many stretches of text at once with a predictor, each from a fresh state.

In float32, in batches of similar length, and leaving the predictor unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.network.config import check_labels
from sunspring.network.network import RecurrentModel
from sunspring.network.predictor import Predictor, State
from sunspring.notices import Progress, unnoticed

BATCH = 64
"""Rows read together."""

_WINDOW = 256  # tokens of each row at a time
_SINGLE_WINDOW = 2048  # of a single row: oneDNN's LSTM is fastest in long calls
_LOGITS = 1 << 24  # values in memory at a time, whatever the vocabulary

Measure = Callable[
    [NDArray[np.int64], State, NDArray[np.int64] | None], tuple[NDArray[np.float64], State]
]
"""Takes ids (batch, time + 1), the state before them and the rows' labels, if they have any;
returns a measurement of each token after the first (batch, time, …), and the next state."""


class Rows(NamedTuple):
    """Stretches to read, each within one document and from a zero state; all (rows,).

    Args:
        first: position of the first token to measure.
        end: position after the last.
        begins: whether the first token is its document's first, to be read after the start token.
        labels: label index of each, or None.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    begins: NDArray[np.bool_]
    labels: NDArray[np.int64] | None


class Measured(NamedTuple):
    """Measurements of one window of the rows.

    Args:
        rows: indices of those that have not ended.
        values: (rows, time, …), one for each of their next tokens.
        is_inside: (rows, time) whether a token is before the row's end.
    """

    rows: NDArray[np.int64]
    values: NDArray[np.float64]
    is_inside: NDArray[np.bool_]


def measure_rows(
    model: Predictor,
    tokens: NDArray[np.integer[Any]],
    rows: Rows,
    start_id: int,
    measure: Measure | None = None,
    batch: int = BATCH,
    on_progress: Progress = unnoticed,
) -> Iterator[Measured]:
    """Read rows window by window, carrying the state, and measure their tokens.

    Args:
        model: reads the rows, with dropout off.
        tokens: (tokens,) ids of the text that the rows are stretches of.
        rows: what to read.
        start_id: the token read before a document's first.
        measure: what to measure; by default each token's loss, in nats.
        batch: rows read together.
        on_progress: called now and then with the tokens read so far, and their number.

    Raises:
        SettingsError: the model needs labels, and the rows have none.
    """
    check_labels(model.labels, rows.labels)
    measure = measure or partial(_losses, model)
    lengths = rows.end - rows.first
    order = np.argsort(-lengths, kind="stable")
    read, total = 0, int(lengths.sum())
    with _evaluating(model):
        for chunk in range(0, len(order), batch):
            indices = order[chunk : chunk + batch]
            window = _SINGLE_WINDOW if len(indices) == 1 else _WINDOW
            window = max(1, min(window, _LOGITS // (len(indices) * model.vocabulary_size)))
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
                is_inside = places[:, 1:] < rows.end[indices, None]
                read += int(np.count_nonzero(is_inside))
                on_progress(read, total)
                yield Measured(indices, values, is_inside)


@torch.inference_mode()
def _losses(
    model: Predictor,
    ids: NDArray[np.int64],
    state: State,
    labels: NDArray[np.int64] | None,
) -> tuple[NDArray[np.float64], State]:
    """Losses in nats (batch, time) of all but the first of ids (batch, time + 1), and the state."""
    sequences = torch.from_numpy(ids).to(model.device)
    label_tensor = None if labels is None else torch.from_numpy(labels).to(model.device)
    losses, state = model.losses(sequences[:, :-1], sequences[:, 1:], state, label_tensor)
    return losses.double().cpu().numpy(), state


@contextmanager
def _evaluating(model: Predictor) -> Iterator[None]:
    """Switch dropout off, and restore the mode however the block ends."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def score_texts(
    model: Predictor,
    ids: NDArray[np.integer[Any]],
    counts: NDArray[np.int64],
    start_id: int,
    labels: NDArray[np.int64] | None = None,
    on_progress: Progress = unnoticed,
) -> NDArray[np.float64]:
    """Return the surprisal of each token, (tokens,) in nats; each text starts from a zero state.

    Args:
        model: reads the texts.
        ids: (tokens,) of all texts, one after another.
        counts: (texts,) number of tokens in each.
        start_id: the token read before a text's first.
        labels: (texts,) label index of each; for a model that has labels.
        on_progress: called now and then with the tokens read so far, and their number.

    Raises:
        SettingsError: the model needs labels, and there are none.
    """
    ends = np.cumsum(counts)
    rows = Rows(ends - counts, ends, np.ones(len(counts), np.bool_), labels)
    nats = np.zeros(len(ids))
    read = np.zeros(len(counts), np.int64)
    for indices, values, is_inside in measure_rows(
        model, ids, rows, start_id, on_progress=on_progress
    ):
        places = (rows.first[indices] + read[indices])[:, None] + np.arange(values.shape[1])
        nats[places[is_inside]] = values[is_inside]
        read[indices] += values.shape[1]
    return nats


@torch.inference_mode()
def final_outputs(
    network: RecurrentModel,
    ids: NDArray[np.integer[Any]],
    start_id: int,
    label: int | None = None,
) -> NDArray[np.float32]:
    """Outputs of all layers after a text, (layers * hidden_size,); see `score_texts`."""
    tokens = torch.from_numpy(np.concatenate(([start_id], ids)).astype(np.int64))
    labels = None if label is None else torch.full((1,), label, device=network.device)
    state = network.initial_state(1)
    with _evaluating(network):
        for part in tokens.to(network.device).split(_SINGLE_WINDOW):  # type: ignore[no-untyped-call]
            state = network(part.unsqueeze(0), state, labels)[1]
    layers = state[: network.config.layers]
    return np.asarray(torch.cat([layer[0][0] for layer in layers]).float().cpu().numpy())
