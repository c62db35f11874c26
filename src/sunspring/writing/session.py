"""A session of the native engine: many texts written at once, for requests that come and go.

Each request has settings of its own, and gets the same texts as it would alone, whatever else the
session writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import SURROGATES
from sunspring.network import engine
from sunspring.writing.drafts import Piece
from sunspring.writing.writer import Task, Tokens


class Voice(NamedTuple):
    """Another model that has a share of every prediction.

    Args:
        model: as the engine holds it.
        share: weight of its probabilities.
        tokens: (vocabulary,) its ids for the tokens of the session's main model, or -1.
    """

    model: engine.Model
    share: float
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """Texts to write with the same settings, one for each seed.

    Args:
        task: what they have in common.
        seeds: one for each text.
        readers: have read the prompt, one with the session's model and one with each voice.
        recent: (time,) the latest tokens before the first one written.
        known: stretches that must not be written, as the engine looks them up.
    """

    task: Task
    seeds: range
    readers: Sequence[engine.Reader]
    recent: Tokens
    known: engine.KnownStretches | None = None


class Session:
    """Texts being written.

    Args:
        model: as the engine holds it; it writes all of them.
        voices: other models in the blend.
        lanes: how many texts to write at once; others wait.
        threads: number of threads to use.
    """

    def __init__(
        self, model: engine.Model, voices: Sequence[Voice] = (), *, lanes: int, threads: int
    ) -> None:
        self._session = engine.Session(model, blend=voices, lanes=lanes, threads=threads)

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to write."""
        return self._session.is_over

    def add(self, request: Request) -> int:
        """Add the texts of a request, from any thread; returns the request's number, from 0."""
        task, settings = request.task, request.task.settings
        return self._session.add(
            request.readers,
            recent=request.recent,
            seed=request.seeds.start,
            texts=len(request.seeds),
            length=settings.length,
            # written text contains no surrogates, so the others cannot occur
            stops=[stop for stop in settings.stops if not SURROGATES.search(stop)],
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            pattern=engine.Pattern(*task.pattern.tables) if task.pattern else None,
            known=request.known,
            prompt=task.prompt.text,
        )

    def run(self, seconds: float) -> list[tuple[int, Piece]]:
        """Write for so many seconds, or until all texts are finished; returns the new pieces."""
        return [
            (request, Piece(seed, text, finish_reason, tokens))
            for request, seed, text, finish_reason, tokens in self._session.run(seconds)
        ]

    def cancel(self, request: int | None = None) -> None:
        """Stop writing for good, within a step; may be called from any thread.

        Args:
            request: the number of the request to stop; None stops all. The texts of the others stay
                what they would have been.
        """
        self._session.cancel(request)
