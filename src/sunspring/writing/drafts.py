"""A text being written: which tokens may come next, what may be shown, and when it is finished.

Knows nothing of networks: a writer asks it which tokens are allowed, and tells it which one was
drawn. The native engine does the same in C++ (src/native/engine/draft.cpp).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.writing.patterns import Pattern
from sunspring.writing.settings import WritingSettings
from sunspring.writing.stretches import CopyGuard

FinishReason = Literal["length", "stop", "end", "pattern", "novel"]

_UNIFORMS = 64  # drawn from a draft's generator at a time


def _writable_tokens(vocabulary: Vocabulary) -> NDArray[np.bool_]:
    """Return which tokens may be written at all, (vocabulary,): all but the unknown one."""
    writable = np.ones(vocabulary.size, dtype=np.bool_)
    if vocabulary.unknown_id is not None:
        writable[vocabulary.unknown_id] = False
    return writable


class Piece(NamedTuple):
    """The part of a text written since the last piece.

    Args:
        seed: the text's seed.
        text: new characters, which are final.
        finish_reason: why the text ended; None if it continues.
        tokens: number of tokens in the text so far.
    """

    seed: int
    text: str
    finish_reason: FinishReason | None
    tokens: int


class Draft:
    """One text being written: its random numbers, its pattern, and what of it may be shown.

    Args:
        vocabulary: the model's.
        settings: what to write.
        seed: seed of the random numbers.
        pattern: what it must match; None if that is anything.
        guard: keeps this text from copying; None if it may copy.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        settings: WritingSettings,
        seed: int,
        pattern: Pattern | None,
        guard: CopyGuard | None = None,
    ) -> None:
        self._seed = seed
        self._vocabulary = vocabulary
        self._settings = settings
        self._pattern = pattern
        self._pattern_state = Pattern.initial
        self._guard = guard
        self._copying = None if guard is None else guard.forbidden()
        self._writable = _writable_tokens(vocabulary)
        # Counter-based: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
        self._random = np.random.Generator(np.random.Philox(key=seed))
        self._uniforms: list[float] = []
        self._decoder = vocabulary.decoder()
        self._tokens = 0
        self._written = 0  # characters, held-back ones included
        self._begun = 0  # characters, an unfinished one included; counted for the pattern
        self._ready = ""
        self._held_back = ""
        self._finish_reason: FinishReason | None = None

    def uniform(self) -> float:
        """Draw this draft's next random number, in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._random.random(_UNIFORMS)[::-1].tolist()
        return self._uniforms.pop()

    def allowed(self) -> NDArray[np.bool_]:
        """Return which tokens may come next, (vocabulary,)."""
        mask = self._writable
        if self._pattern is not None:
            mask = self._continuations(self._pattern)
            if self._vocabulary.end_id is not None:
                mask[self._vocabulary.end_id] = self._pattern.is_final(self._pattern_state)
        return mask if self._copying is None else mask & ~self._copying

    def push(self, token: int) -> None:
        """Take the next token."""
        self._tokens += 1
        if token == self._vocabulary.end_id:
            self._end("end", self._decoder.finish())
            return
        if self._pattern is not None:
            self._pattern_state = self._pattern.follow(self._pattern_state, token) or 0
            self._begun += self._pattern.characters(token)
        if self._guard is not None:
            self._guard.push(token)
            self._copying = self._guard.forbidden()
        piece = self._decoder.push(token)[: self._settings.length - self._written]
        self._written += len(piece)
        self._held_back += piece
        self._release()

    def finish(self) -> bool:
        """End the text if nothing more may follow; returns whether it has ended."""
        if self._finish_reason is not None:
            return True
        if self._pattern is not None:
            if not self._continuations(self._pattern).any():
                is_complete = self._pattern.is_complete(self._pattern_state)
                self._end("pattern" if is_complete else "length")
        elif self._written >= self._settings.length:
            self._end("length")
        if self._finish_reason is None and self._copying is not None and not self.allowed().any():
            self._end("novel")
        return self._finish_reason is not None

    def take(self) -> Piece:
        """Return what was written since the last call and is final."""
        ready, self._ready = self._ready, ""
        return Piece(self._seed, ready, self._finish_reason, self._tokens)

    def _continuations(self, pattern: Pattern) -> NDArray[np.bool_]:
        """Return which tokens can lead to a match in time; without any, the text is finished."""
        return pattern.allowed(self._pattern_state, self._settings.length - self._begun)

    def _end(self, reason: FinishReason, rest: str = "") -> None:
        self._finish_reason = reason
        self._ready += self._held_back + rest
        self._held_back = ""

    def _release(self) -> None:
        """Make text ready, except what may turn out to be the beginning of a stop text."""
        places = [self._held_back.find(stop) for stop in self._settings.stops]
        if found := [place for place in places if place >= 0]:
            self._held_back = self._held_back[: min(found)]
            self._end("stop")
            return
        held = max(
            (
                size
                for stop in self._settings.stops
                for size in range(1, len(stop))
                if self._held_back.endswith(stop[:size])
            ),
            default=0,
        )
        split = len(self._held_back) - held
        self._ready += self._held_back[:split]
        self._held_back = self._held_back[split:]
