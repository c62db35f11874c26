"""A text as a model reads it: what each token cost, what else might have stood there, and what the
layers put out.

Read by the native engine, without PyTorch. Right behind loaded.py in the street.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sunspring.loaded import LoadedModel
from sunspring.machine import usable_cores
from sunspring.pages.notebook import token_names

_PART = 1 << 12  # tokens whose distributions are in memory

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """What a model made of a text.

    Args:
        tokens: (tokens,) ids.
        names: what each id of the vocabulary stands for.
        bits: (tokens,) what each cost.
        alternatives: (tokens, top) the ids that were most probable, the first one most.
        chances: (tokens, top) their probabilities.
        outputs: (tokens, layers * hidden_size) of the layers, after each token.
    """

    tokens: NDArray[np.int64]
    names: Sequence[str]
    bits: Floats
    alternatives: NDArray[np.int64]
    chances: Floats
    outputs: Floats

    @property
    def texts(self) -> list[str]:
        """(tokens,) what the tokens stand for."""
        return [self.names[token] for token in self.tokens]


def read_parts(
    model: LoadedModel,
    tokens: NDArray[np.int64],
    label: str | None = None,
    threads: int | None = None,
) -> Iterator[tuple[Floats, Floats]]:
    """Read a text from a fresh state, part by part.

    Args:
        model: reads.
        tokens: (tokens,) of the text.
        label: of the text, for a model that has labels.
        threads: that read; None for one on each core.

    Yields:
        For some tokens, log-probabilities (time, vocabulary) before each of them was read, and the
        layers' outputs (time, layers * hidden_size) after it.

    Raises:
        SettingsError: there is no native engine, or the label is unknown or missing.
    """
    reader, vocabulary = model.reader(label), model.vocabulary
    before = reader.read(np.array([vocabulary.start_id]))
    for first in range(0, len(tokens), _PART):
        part = tokens[first : first + _PART]
        flat_logits, flat_outputs = reader.trace(
            part, usable_cores() if threads is None else threads
        )
        logits = flat_logits.reshape(len(part), vocabulary.size)
        yield (
            _log_probabilities(np.concatenate((before[None], logits[:-1]))),
            flat_outputs.reshape(len(part), -1),
        )
        before = logits[-1]


def _log_probabilities(logits: Floats) -> Floats:
    above = logits - logits.max(-1, keepdims=True)
    return np.asarray(above - np.log(np.exp(above).sum(-1, keepdims=True)))


def trace_text(model: LoadedModel, text: str, label: str | None = None, top: int = 5) -> Trace:
    """Read a text, and keep what is needed to show it; see `trace_tokens`.

    Args:
        model: reads.
        text: characters that the model does not know are mapped or left out.
        label: see `read_parts`.
        top: alternatives to keep of each token.
    """
    tokens = model.vocabulary.encode(model.adapt(text)[0]).astype(np.int64)
    return trace_tokens(model, tokens, label, top)


def trace_tokens(
    model: LoadedModel, tokens: NDArray[np.int64], label: str | None = None, top: int = 5
) -> Trace:
    """Read tokens (tokens,), and keep what is needed to show them."""
    vocabulary = model.vocabulary
    top = min(top, vocabulary.size)
    bits, alternatives, chances, outputs = [], [], [], []
    for first, (logs, part_outputs) in enumerate(read_parts(model, tokens, label)):
        part = tokens[first * _PART :][: len(logs)]
        bits.append(-np.take_along_axis(logs, part[:, None], 1)[:, 0] / np.log(2, dtype=np.float32))
        best = np.argsort(-logs, axis=1, kind="stable")[:, :top]
        alternatives.append(best)
        chances.append(np.exp(np.take_along_axis(logs, best, 1)))
        outputs.append(part_outputs)
    width = model.config.layers * model.config.hidden_size
    return Trace(
        tokens,
        token_names(vocabulary, range(vocabulary.size)),
        np.concatenate([np.zeros(0, np.float32), *bits]),
        np.concatenate([np.zeros((0, top), np.int64), *alternatives]),
        np.concatenate([np.zeros((0, top), np.float32), *chances]),
        np.concatenate([np.zeros((0, width), np.float32), *outputs]),
    )
