"""Writing: a prompt goes in, a stream of text comes out, one token at a time.

`Writer` is the tutorial's "rebuild with batch size 1 and load the weights": the trained weights
in a model of any batch size, its state carried from token to token. Stands after sampling and
patterns; what people see of it is in api.py and cli.py.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sunspring.drafts import Draft, FinishReason, WritingSettings
from sunspring.errors import SettingsError, SunspringError
from sunspring.model import RecurrentModel, State
from sunspring.patterns import Pattern
from sunspring.sampling import REPETITION_WINDOW, draw, token_probabilities
from sunspring.vocabulary import Vocabulary, adapt_text

_MOST_ROWS = 256  # written at once
_TRIES = 100  # texts written for each one wanted, before `write_distinct` gives up


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
        the end of the word (of the next one after a space); its probability is that of all its
        tokens together.
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
        while len(text) < 20 and (text in ("", " ") or text[-1].isalnum()):
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

    def _rows(self, prompt: str, settings: WritingSettings, seeds: Sequence[int]) -> list[Draft]:
        read, _ = self.adapt(prompt)
        pattern = None if settings.regex is None else Pattern(settings.regex, self._vocabulary)
        first = Draft(read, self._vocabulary, settings, pattern)
        if pattern is not None:
            self._start_pattern(first, pattern, settings)
        return [first.again(seed) for seed in seeds]

    def _start_pattern(self, row: Draft, pattern: Pattern, settings: WritingSettings) -> None:
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

    def _run(self, rows: list[Draft], settings: WritingSettings) -> Iterator[None]:
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
