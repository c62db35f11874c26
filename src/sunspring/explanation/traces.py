"""A text as a model reads it: surprisal of each token, alternatives to it, outputs of the layers.

The native engine reads the text, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.machine import usable_cores
from sunspring.model import Model

_PART = 1 << 12  # tokens whose distributions are in memory at once
_DIGITS = 4  # decimals of numbers in JSON

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """How a model read a text.

    Args:
        tokens: (tokens,) ids of the text.
        names: what each id of the vocabulary stands for.
        bits: (tokens,) surprisal of each token.
        alternatives: (tokens, top) the most probable ids at each place, the best first.
        chances: (tokens, top) their probabilities.
        outputs: (tokens, layers * hidden_size) outputs of the layers after each token.
    """

    tokens: NDArray[np.int64]
    names: Sequence[str]
    bits: Floats
    alternatives: NDArray[np.int64]
    chances: Floats
    outputs: Floats

    @property
    def texts(self) -> list[str]:
        """What the tokens stand for, (tokens,)."""
        return [self.names[token] for token in self.tokens]

    def to_json(self, most: int | None = None) -> dict[str, list[Any]]:
        """Return each token's text, its bits, and the alternatives with their probabilities.

        Args:
            most: how many tokens to include, from the first on; all by default.
        """
        chances = np.round(self.chances[:most].astype(np.float64), _DIGITS).tolist()
        texts = np.array(self.names, object)[self.alternatives[:most]].tolist()
        return {
            "tokens": self.texts[:most],
            "bits": rounded(self.bits[:most]),
            "alternatives": [
                list(zip(*each, strict=True)) for each in zip(texts, chances, strict=True)
            ],
        }


def read_parts(
    model: Model,
    tokens: NDArray[np.int64],
    label: str | None = None,
    threads: int | None = None,
) -> Iterator[tuple[Floats, Floats]]:
    """Read a text from a fresh state, part by part.

    Args:
        model: a model on the native engine.
        tokens: (tokens,) ids of the text.
        label: the text's label, for a model with labels.
        threads: number of threads; None for one per core.

    Yields:
        For each part, the log-probabilities (time, vocabulary) before each of its tokens was read,
        and the outputs of the layers (time, layers * hidden_size) after it.

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


def trace_text(model: Model, text: str, label: str | None = None, top: int = 5) -> Trace:
    """Read a text, and keep what is needed to show it.

    Args:
        model: a model on the native engine.
        text: the text; characters that the model does not know are replaced or left out.
        label: see `read_parts`.
        top: number of alternatives to keep for each token.
    """
    tokens = model.read_prompt(text).tokens
    return trace_tokens(model, tokens, label, top)


def trace_tokens(
    model: Model, tokens: NDArray[np.int64], label: str | None = None, top: int = 5
) -> Trace:
    """Read tokens (tokens,), and keep what is needed to show them; see `trace_text`."""
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
        [vocabulary.token_text(token) for token in range(vocabulary.size)],
        np.concatenate([np.zeros(0, np.float32), *bits]),
        np.concatenate([np.zeros((0, top), np.int64), *alternatives]),
        np.concatenate([np.zeros((0, top), np.float32), *chances]),
        np.concatenate([np.zeros((0, width), np.float32), *outputs]),
    )


def rounded(values: NDArray[np.floating]) -> list[float]:
    """Round numbers for JSON; NaN, which JSON lacks, is left out."""
    known = values[~np.isnan(values)]
    return np.round(known.astype(np.float64), _DIGITS).tolist()  # type: ignore[no-any-return]
