"""A text as a model reads it: surprisal of each token, alternatives to it, outputs of the layers.

The native engine reads the text, without PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.spelling import Spelling
from sunspring.machine import usable_cores
from sunspring.model import Model

_PART = 1 << 12  # tokens whose distributions are in memory at once
_DIGITS = 4  # decimals of numbers in JSON

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Trace:
    """How a model read a text.

    Args:
        spelling: the text, token by token.
        names: what each id of the vocabulary is called.
        bits: (tokens,) surprisal of each token, and of the characters in its part of the text that
            the model does not know.
        alternatives: (tokens, top) the most probable ids at each place, the best first.
        chances: (tokens, top) their probabilities.
        outputs: (tokens, layers * hidden_size) outputs of the layers after each token.
    """

    spelling: Spelling
    names: Sequence[str]
    bits: Floats
    alternatives: NDArray[np.int64]
    chances: Floats
    outputs: Floats

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Ids of the text, (tokens,)."""
        return self.spelling.tokens

    @property
    def texts(self) -> Sequence[str]:
        """The part of the text that each token completes, (tokens,)."""
        return self.spelling.texts

    @property
    def text(self) -> str:
        """The text."""
        return "".join(self.texts)

    def to_json(self, most: int | None = None) -> dict[str, list[Any]]:
        """Return each token's text, its bits, and the alternatives with their probabilities.

        Args:
            most: how many tokens to include, from the first on; all by default.
        """
        return {
            "tokens": list(self.texts[:most]),
            "bits": rounded(self.bits[:most]),
            "alternatives": self._alternatives(np.arange(len(self.tokens))[:most]),
        }

    def passage(self, most: int | None = None) -> dict[str, list[Any]]:
        """Return the same of whole characters, for display.

        Where tokens complete a character together, their bits are added, and the alternatives are
        those to the first of them.

        Args:
            most: how many characters or longer tokens to include.
        """
        texts, bits = self.spelling.pieces(self.bits)
        return {
            "tokens": texts[:most],
            "bits": rounded(bits[:most]),
            "alternatives": self._alternatives(self.spelling.begins[:most]),
        }

    def _alternatives(self, places: NDArray[np.int64]) -> list[list[tuple[str, float]]]:
        chances = np.round(self.chances[places].astype(np.float64), _DIGITS).tolist()
        texts = np.array(self.names, object)[self.alternatives[places]].tolist()
        return [list(zip(*each, strict=True)) for each in zip(texts, chances, strict=True)]


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
        text: the text.
        label: see `read_parts`.
        top: number of alternatives to keep for each token.
    """
    return _trace(model, model.spell(text), label, top)


def trace_tokens(
    model: Model, tokens: NDArray[np.int64], label: str | None = None, top: int = 5
) -> Trace:
    """Read tokens (tokens,), and keep what is needed to show them; see `trace_text`."""
    return _trace(model, model.vocabulary.spelling(tokens), label, top)


def _trace(model: Model, spelling: Spelling, label: str | None, top: int) -> Trace:
    vocabulary, tokens = model.vocabulary, spelling.tokens
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
        spelling,
        [vocabulary.token_text(token) for token in range(vocabulary.size)],
        spelling.costs(np.concatenate([np.zeros(0, np.float32), *bits])).astype(np.float32),
        np.concatenate([np.zeros((0, top), np.int64), *alternatives]),
        np.concatenate([np.zeros((0, top), np.float32), *chances]),
        np.concatenate([np.zeros((0, width), np.float32), *outputs]),
    )


def rounded(values: NDArray[np.floating]) -> list[float]:
    """Round numbers for JSON; NaN, which JSON lacks, is left out."""
    known = values[~np.isnan(values)]
    return np.round(known.astype(np.float64), _DIGITS).tolist()  # type: ignore[no-any-return]
