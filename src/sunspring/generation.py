"""Writing: a prompt goes in, a stream of text comes out, one token at a time.

`Writer` is the tutorial's "rebuild with batch size 1 and load the weights": the trained weights
in a model of any batch size, its state carried from token to token. Stands after sampling and
patterns; what people see of it is in api.py and cli.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sunspring.errors import SettingsError, SunspringError
from sunspring.model import RecurrentModel, State
from sunspring.patterns import Pattern
from sunspring.sampling import REPETITION_WINDOW, SamplingSettings, draw, token_probabilities
from sunspring.vocabulary import Vocabulary, adapt_text

FinishReason = Literal["length", "stop", "end", "pattern"]

_MOST_ROWS = 256  # written at once
_UNIFORMS = 64  # drawn from a row's generator at a time
_TRIES = 100  # texts written for each one wanted, before `write_distinct` gives up


@dataclass(frozen=True)
class WritingSettings:
    """What is to be written.

    Args:
        length: the most characters after the prompt.
        sampling: how each token is drawn.
        stop: texts that end the writing and are left out of it.
        regex: a pattern that the whole text, prompt included, matches in the end.
        label: the label to write under, for a model that was trained with labels.
        seed: of the first text; each further one has the next seed.

    Raises:
        SettingsError: the length or the seed is negative, or a stop is empty.
    """

    length: int = 500
    sampling: SamplingSettings = field(default_factory=SamplingSettings)
    stop: tuple[str, ...] = ()
    regex: str | None = None
    label: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length < 0:
            raise SettingsError(f"length is {self.length}: it must be at least 0")
        if not 0 <= self.seed < 1 << 63:
            raise SettingsError(f"seed is {self.seed}: it must be at least 0 and below 2**63")
        if "" in self.stop:
            raise SettingsError("a stop text is empty: leave it out")


@dataclass(frozen=True)
class Writing:
    """A text that was written.

    Args:
        text: the prompt as the model read it, and what follows.
        tokens: how many were written after the prompt.
        finish_reason: `length`, `stop` (a stop text came), `end` (the model ended the document) or
            `pattern` (nothing more can follow).
        seed: gives the same text again.
    """

    text: str
    tokens: int
    finish_reason: FinishReason
    seed: int


class Proposal(NamedTuple):
    """A piece that may come next, and its probability."""

    text: str
    probability: float


class Writer:
    """Writes with a trained model.

    It works on a copy in float64. Rounding depends on how many rows are computed together, and in
    float32 it would now and then change which token is drawn; in float64 a seed gives the same text
    alone and in a batch, on a CPU and on a GPU. (For one row of 256 units PyTorch is faster so:
    float32 goes through oneDNN, whose calls are costly.)

    Args:
        model: on any device; it is not changed.
        vocabulary: of the model.
    """

    def __init__(self, model: RecurrentModel, vocabulary: Vocabulary) -> None:
        self._model = copy.deepcopy(model).double().eval().requires_grad_(False)
        self._vocabulary = vocabulary

    def adapt(self, prompt: str) -> tuple[str, dict[str, str]]:
        """Give the prompt as the model will read it, and what became of characters it lacks."""
        return adapt_text(prompt, self._vocabulary)

    def stream(self, prompt: str, settings: WritingSettings) -> Iterator[str]:
        """Write one text; yields the prompt and then pieces of the text as they come."""
        rows = self._rows(prompt, settings, [settings.seed])
        yield rows[0].prompt
        for _ in self._run(rows, settings):
            if piece := rows[0].take():
                yield piece

    def write(self, prompt: str, settings: WritingSettings, count: int = 1) -> list[Writing]:
        """Write several texts, each with a seed of its own, in batches."""
        return [
            writing
            for begin in range(0, count, _MOST_ROWS)
            for writing in self._batch(
                prompt, settings, range(begin, min(count, begin + _MOST_ROWS))
            )
        ]

    def write_distinct(
        self,
        prompt: str,
        settings: WritingSettings,
        count: int,
        *,
        unique: bool,
        excluded: AbstractSet[str] = frozenset(),
    ) -> Iterator[Writing]:
        """Write texts that differ from those excluded, and if `unique` from one another.

        Seeds are tried one after another from `settings.seed`, so the texts are those of the same
        seeds in `write`. Blank texts count as excluded.

        Raises:
            SunspringError: a hundred tries for each text wanted did not give enough.
        """
        seen: set[str] = set()
        found = tried = 0
        while found < count:
            if tried >= _TRIES * count:
                raise SunspringError(
                    f"only {found} of {count} texts after {tried} tries: "
                    "raise --temperature, or ask for fewer"
                )
            offsets = range(tried, tried + min(_MOST_ROWS, _TRIES * count - tried))
            tried = offsets.stop
            for writing in self._batch(prompt, settings, offsets):
                text = writing.text.strip()
                if not text or text in excluded or text in seen or found == count:
                    continue
                if unique:
                    seen.add(text)
                found += 1
                yield writing

    def proposals(self, text: str, settings: WritingSettings, count: int) -> list[Proposal]:
        """Propose pieces that may follow a text, the most probable first.

        Each begins with one of the most probable tokens and goes on with the most probable ones to
        the end of the word; its probability is that of all its tokens together.
        """
        read, _ = self.adapt(text)
        logits, state = self._read(read, settings.label)
        probabilities = token_probabilities(logits, settings.sampling)[0]
        chances, tokens = probabilities.topk(min(count, len(probabilities)))
        found: dict[str, Proposal] = {}
        for chance, token in zip(chances.tolist(), tokens.tolist(), strict=True):
            if chance == 0 or token == self._vocabulary.end_id:
                continue
            proposal = self._finish_word(token, chance, state, settings)
            found.setdefault(proposal.text, proposal)
        return sorted(found.values(), key=lambda proposal: -proposal.probability)

    def _finish_word(
        self, token: int, probability: float, state: State, settings: WritingSettings
    ) -> Proposal:
        decoder = self._vocabulary.decoder()
        text = decoder.push(token)
        labels = self._labels(settings.label, 1)
        while len(text) < 20 and (not text or text[-1].isalnum()):
            logits, state = self._step(torch.tensor([token]), state, labels)
            best = token_probabilities(logits, settings.sampling)[0].max(dim=-1)
            token = int(best.indices)
            piece = "" if token == self._vocabulary.end_id else decoder.push(token)
            if token == self._vocabulary.end_id or not (piece == "" or piece[0].isalnum()):
                break
            text, probability = text + piece, probability * float(best.values)
        return Proposal(text, probability)

    def _batch(
        self, prompt: str, settings: WritingSettings, offsets: Sequence[int]
    ) -> Iterator[Writing]:
        """Write the texts of the seeds so far after the first, at once."""
        rows = self._rows(prompt, settings, [settings.seed + offset for offset in offsets])
        for _ in self._run(rows, settings):
            pass
        for row in rows:
            yield Writing(row.prompt + row.take(), row.tokens, row.finish_reason, row.seed)

    def _rows(self, prompt: str, settings: WritingSettings, seeds: Sequence[int]) -> list[_Row]:
        read, _ = self.adapt(prompt)
        pattern = None if settings.regex is None else Pattern(settings.regex, self._vocabulary)
        first = _Row(read, self._vocabulary, settings, pattern)
        if pattern is not None:
            self._start_pattern(first, pattern, settings)
        return [first.again(seed) for seed in seeds]

    def _start_pattern(self, row: _Row, pattern: Pattern, settings: WritingSettings) -> None:
        """Follow the pattern through the prompt, and see whether it can be matched in time."""
        state: int | None = pattern.initial
        for token in self._vocabulary.encode(row.prompt).tolist():
            state = None if state is None else pattern.follow(state, token)
        if state is None:
            raise SettingsError(
                f"no text that begins with {row.prompt!r} matches {settings.regex!r}: "
                "the pattern is for the whole text, prompt included"
            )
        if pattern.needed(state) > settings.length:
            raise SettingsError(
                f"a match of {settings.regex!r} needs {pattern.needed(state)} characters and "
                f"length is {settings.length}: raise --length"
            )
        row.pattern_state = state

    def _run(self, rows: list[_Row], settings: WritingSettings) -> Iterator[None]:
        """Write all rows to their ends, a token each at a time; yields after every token."""
        active = [row for row in rows if not row.finish()]
        if not active:
            return
        logits, state = self._read(rows[0].prompt, settings.label)
        logits = logits.expand(len(active), -1)
        state = tuple(tuple(t.expand(len(active), -1) for t in layer) for layer in state)
        prompt = torch.from_numpy(self._vocabulary.encode(rows[0].prompt).astype(np.int64))
        recent = prompt[-REPETITION_WINDOW:].expand(len(active), -1).to(logits.device)
        while active:
            allowed = np.stack([row.allowed() for row in active])
            logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)
            probabilities = token_probabilities(logits, settings.sampling, recent)
            uniforms = torch.tensor([row.uniform() for row in active], dtype=logits.dtype)
            tokens = draw(probabilities, uniforms.to(logits.device))
            for row, token in zip(active, tokens.tolist(), strict=True):
                row.push(token)
            yield
            going = [index for index, row in enumerate(active) if not row.finish()]
            if len(going) < len(active):
                active = [active[index] for index in going]
                tokens, recent = tokens[going], recent[going]
                state = tuple(tuple(tensor[going] for tensor in layer) for layer in state)
            if active:
                recent = torch.cat((recent, tokens.unsqueeze(1)), dim=1)[:, -REPETITION_WINDOW:]
                labels = self._labels(settings.label, len(active))
                logits, state = self._step(tokens, state, labels)

    @torch.inference_mode()
    def _read(self, prompt: str, label: str | None) -> tuple[Tensor, State]:
        """Read the prompt from a fresh state; returns the next token's logits (1, vocabulary)."""
        start = np.array([self._vocabulary.start_id])
        ids = np.concatenate((start, self._vocabulary.encode(prompt))).astype(np.int64)
        tokens = torch.from_numpy(ids).unsqueeze(0).to(self._model.device)
        state = self._model.initial_state(1)
        logits, state = self._model(tokens, state, self._labels(label, 1))
        return logits[:, -1], state

    @torch.inference_mode()
    def _step(self, tokens: Tensor, state: State, labels: Tensor | None) -> tuple[Tensor, State]:
        """Read one token a row (batch,); returns the logits (batch, vocabulary) of the next."""
        tokens = tokens.to(self._model.device).unsqueeze(1)
        logits, state = self._model(tokens, state, labels)
        return logits[:, 0], state

    def _labels(self, label: str | None, rows: int) -> Tensor | None:
        known = self._model.config.labels
        if label is None and not known:
            return None
        if label not in known:
            asked = "needs a label" if label is None else f"does not know the label {label!r}"
            listed = ", ".join(known) if known else "none: it was trained without labels"
            raise SettingsError(f"the model {asked}: its labels are {listed}")
        return torch.full((rows,), known.index(label), device=self._model.device)


class _Row:
    """One text in the making: its randomness, its pattern, and what of it may be shown."""

    def __init__(
        self,
        prompt: str,
        vocabulary: Vocabulary,
        settings: WritingSettings,
        pattern: Pattern | None,
    ) -> None:
        self.prompt = prompt
        self.seed = settings.seed
        self.tokens = 0
        self.finish_reason: FinishReason = "length"
        self.pattern_state = 0
        self._vocabulary = vocabulary
        self._settings = settings
        self._pattern = pattern
        self._writable = np.ones(vocabulary.size, dtype=np.bool_)
        if vocabulary.unknown_id is not None:
            self._writable[vocabulary.unknown_id] = False
        self._start()

    def _start(self) -> None:
        # Counter-based: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
        self._random = np.random.Generator(np.random.Philox(key=self.seed))
        self._uniforms: list[float] = []
        self._decoder = self._vocabulary.decoder()
        self._written = 0  # characters, held-back ones included
        self._ready = ""
        self._held_back = ""
        self._finished = False

    def again(self, seed: int) -> _Row:
        """Make the same row for another seed."""
        row = copy.copy(self)
        row.seed = seed
        row._start()
        return row

    def uniform(self) -> float:
        """Draw this row's next random number, in [0, 1)."""
        if not self._uniforms:
            self._uniforms = self._random.random(_UNIFORMS)[::-1].tolist()
        return self._uniforms.pop()

    def allowed(self) -> NDArray[np.bool_]:
        """Tell which tokens may come next; (vocabulary,)."""
        if self._pattern is None:
            return self._writable
        mask = self._continuations(self._pattern)
        if self._vocabulary.end_id is not None:
            mask[self._vocabulary.end_id] = self._pattern.is_final(self.pattern_state)
        return mask

    def push(self, token: int) -> None:
        """Take the next token."""
        self.tokens += 1
        if token == self._vocabulary.end_id:
            self._end("end", self._decoder.finish())
            return
        if self._pattern is not None:
            self.pattern_state = self._pattern.follow(self.pattern_state, token) or 0
        piece = self._decoder.push(token)[: self._settings.length - self._written]
        self._written += len(piece)
        self._held_back += piece
        self._release()

    def finish(self) -> bool:
        """Tell whether the text is over, and end it if nothing more may follow."""
        if not self._finished and self._pattern and not self._continuations(self._pattern).any():
            self._end("pattern")
        if not self._finished and self._written >= self._settings.length:
            self._end("length")
        return self._finished

    def take(self) -> str:
        """Give what was written since the last call and cannot be taken back any more."""
        ready, self._ready = self._ready, ""
        return ready

    def _continuations(self, pattern: Pattern) -> NDArray[np.bool_]:
        """Tell which tokens lead to a match in time; where there are none, the text matches."""
        return pattern.allowed(self.pattern_state, self._settings.length - self._written)

    def _end(self, reason: FinishReason, rest: str = "") -> None:
        self._finished = True
        self.finish_reason = reason
        self._ready += self._held_back + rest
        self._held_back = ""

    def _release(self) -> None:
        """Make text ready, but for what may turn out to be the beginning of a stop text."""
        places = [self._held_back.find(stop) for stop in self._settings.stop]
        if found := [place for place in places if place >= 0]:
            self._held_back = self._held_back[: min(found)]
            self._end("stop")
            return
        held = max(
            (
                size
                for stop in self._settings.stop
                for size in range(1, len(stop))
                if self._held_back.endswith(stop[:size])
            ),
            default=0,
        )
        split = len(self._held_back) - held
        self._ready += self._held_back[:split]
        self._held_back = self._held_back[split:]
