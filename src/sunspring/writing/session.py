"""A session of the native engine: many texts in the making, by requests that come and go.

Each request has settings of its own, and its texts are those that it would give alone, whatever
else the session writes.
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
    """Another model that has a share in every prediction.

    Args:
        model: of the engine.
        share: of its probabilities.
        tokens: (vocabulary,) the tokens of the session's own model as this one knows them, or -1.
    """

    model: engine.Model
    share: float
    tokens: NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """Texts to be written alike, one for each seed.

    Args:
        task: what they have in common.
        seeds: of the texts.
        readers: which have read the prompt: one of the session's model, and one of each voice.
        recent: (time,) the latest tokens before the first that is written.
        known: the stretches that may not come, as the engine looks them up.
    """

    task: Task
    seeds: range
    readers: Sequence[engine.Reader]
    recent: Tokens
    known: engine.KnownStretches | None = None


class Session:
    """Texts in the making.

    Args:
        model: of the engine; it writes all of them.
        voices: other models in the blend.
        lanes: texts that are written at once; others wait.
        threads: that work at the same time.
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
        """Let the texts of a request join, from any thread; gives the request's number, from 0."""
        task, settings = request.task, request.task.settings
        return self._session.add(
            request.readers,
            recent=request.recent,
            seed=request.seeds.start,
            texts=len(request.seeds),
            length=settings.length,
            # what is written is text, and has none of the others
            stops=[stop for stop in settings.stops if not SURROGATES.search(stop)],
            temperature=settings.temperature,
            top_k=settings.top_k,
            top_p=settings.top_p,
            min_p=settings.min_p,
            repetition_penalty=settings.repetition_penalty,
            pattern=engine.Pattern(*task.pattern.tables()) if task.pattern else None,
            pattern_state=task.pattern_state,
            known=request.known,
            prompt=task.prompt.text,
        )

    def run(self, seconds: float) -> list[tuple[int, Piece]]:
        """Write on for so long, or until all texts are over; gives what grew of each request."""
        return [
            (request, Piece(seed, text, finish_reason, tokens))
            for request, seed, text, finish_reason, tokens in self._session.run(seconds)
        ]

    def cancel(self) -> None:
        """End all writing for good, from any thread, within a step."""
        self._session.cancel()
