"""Scores of lines, each read from a fresh state as a document of its own, for `sunspring score`.

A line that is unlike the training text costs many bits per character, and so stands out.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.spelling import UNSEEN_BITS
from sunspring.corpus.vocabulary import Vocabulary, compose
from sunspring.errors import SettingsError
from sunspring.model import Model
from sunspring.notices import Progress, counting, unnoticed

_AT_ONCE = 4096  # lines scored together


@dataclass(frozen=True)
class LineScore:
    """The surprisal of a line.

    Args:
        line: the line without its newline.
        bits: of the whole line; with its end, if the model predicts ends.
        characters: number of characters that were scored; an end counts as one.
        token_bits: (tokens,) bits of each token that the model knows.
        tokens: (tokens,) their ids.
    """

    line: str
    bits: float
    characters: int
    token_bits: NDArray[np.float64]
    tokens: NDArray[np.int32]

    @property
    def bits_per_character(self) -> float:
        """The mean; 0 for an empty line if the model does not predict ends."""
        return self.bits / max(1, self.characters)

    def surprises(self, vocabulary: Vocabulary, top: int) -> list[dict[str, Any]]:
        """Return the most expensive characters or longer tokens, also those that are not known.

        Args:
            vocabulary: vocabulary of the model.
            top: how many to return.
        """
        texts, bits = vocabulary.spelling(self.tokens).pieces(self.token_bits)
        costs = list(zip(texts, bits.tolist(), strict=True))
        unseen = vocabulary.unknown_characters(self.line)
        costs += [(character, UNSEEN_BITS) for character in self.line if character in unseen]
        costs.sort(key=lambda cost: -cost[1])
        return [{"text": text, "bits": bits} for text, bits in costs[:top]]

    def to_json(self) -> dict[str, Any]:
        """Return the part of `score --json` about this line, without its number."""
        return {
            "text": self.line,
            "bits": self.bits,
            "bits_per_character": self.bits_per_character,
            "characters": self.characters,
        }


def score_lines(
    model: Model,
    lines: Sequence[str],
    label: str | None = None,
    on_progress: Progress = unnoticed,
) -> list[LineScore]:
    """Score lines, all at once.

    Args:
        model: the model; if it was trained on lines or other documents, ends are scored too.
        lines: the lines without their newlines.
        label: label of all lines, for a model with labels.
        on_progress: called now and then with the tokens read so far, and their number.

    Raises:
        SettingsError: the label is unknown, or missing.
    """
    vocabulary = model.vocabulary
    read = compose(lines, vocabulary)
    ids, counts = vocabulary.encode_batch(read)
    unseen = vocabulary.unseen_counts(read)
    characters = np.fromiter(map(len, read), np.int64, len(read))
    if vocabulary.end_id is not None:
        ids = np.insert(ids, np.cumsum(counts), vocabulary.end_id)
        counts, characters = counts + 1, characters + 1
    scored = model.score_tokens(ids, counts, label, on_progress)
    texts = np.split(ids, np.cumsum(counts)[:-1])
    return [
        LineScore(line, float(bits.sum()) + UNSEEN_BITS * int(strange), int(count), bits, tokens)
        for line, tokens, bits, count, strange in zip(
            lines, texts, scored, characters, unseen, strict=False
        )
    ]


def heldout_threshold(
    model: Model,
    corpus: Corpus,
    percentile: float,
    label: str | None = None,
    on_progress: Progress = unnoticed,
) -> float:
    """Find a percentile of the bits per character of the held-out lines.

    Args:
        model: scores the lines.
        corpus: the corpus that the model was trained on.
        percentile: which percentile, from 0 to 100.
        label: see `score_lines`.
        on_progress: called with the characters read so far, and their number.

    Raises:
        SettingsError: the percentile is impossible, or there is no held-out line.
    """
    if not 0 <= percentile <= 100:
        raise SettingsError(f"the threshold is {percentile:g}: it must be a percentile, 0 to 100")
    scores: list[float] = []
    lines = counting(corpus.heldout_lines(), corpus.heldout.characters, on_progress)
    while batch := list(itertools.islice(lines, _AT_ONCE)):
        scores += [score.bits_per_character for score in score_lines(model, batch, label)]
    if not scores:
        raise SettingsError("the model's text has no held-out lines: leave out --threshold")
    return float(np.percentile(scores, percentile))
