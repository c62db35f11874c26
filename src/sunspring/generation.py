"""Writing: a prompt goes in, a stream of text comes out, one token at a time.

`Writer` is the tutorial's "rebuild with batch size 1 and load the weights": the trained weights
in a model of any batch size, its state carried from token to token. Stands after sampling and
patterns; what people see of it is in api.py and cli.py.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sunspring.drafts import Draft, FinishReason, WritingSettings, writable_tokens
from sunspring.errors import SettingsError, SunspringError
from sunspring.mixture import Predictor
from sunspring.model import State, change_recurrent
from sunspring.patterns import Pattern
from sunspring.sampling import REPETITION_WINDOW, draw, token_probabilities
from sunspring.vocabulary import Vocabulary, adapt_text

_MOST_ROWS = 256  # written at once
_TRIES = 100  # texts written for each one wanted, before `write_distinct` gives up
_PART = 1024  # tokens of a prompt read at once
_LONGEST_WORD = 20  # characters of a proposal
_SURROGATES = re.compile("[\ud800-\udfff]")  # bytes of a prompt that are no text


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


class _Task(NamedTuple):
    """What the texts of one call have in common.

    Args:
        draft: the first of them, before any token.
        tokens: (time,) the prompt.
        settings: as they were asked for.
    """

    draft: Draft
    tokens: Tensor
    settings: WritingSettings


class Proposal(NamedTuple):
    """A piece that may come next, and its probability."""

    text: str
    probability: float


class Writer:
    """Writes with a trained model.

    It works on a copy in float64. Rounding depends on how many rows are computed together, and in
    float32 it would now and then change which token is drawn; in float64, with the state rounded
    to float32 after each step, a seed gives the same text alone and in a batch, on a CPU and on a
    GPU. (For one row of 256 units PyTorch is faster so:
    float32 goes through oneDNN, whose calls are costly.)

    Args:
        model: on any device; it is not changed.
        vocabulary: of the model.
        before: (time,) ids of a text that every prompt goes on from.
    """

    def __init__(
        self,
        model: Predictor,
        vocabulary: Vocabulary,
        before: NDArray[np.int64] | None = None,
    ) -> None:
        self._model = copy.deepcopy(model).double().eval().requires_grad_(False)
        self._vocabulary = vocabulary
        self._before = torch.from_numpy(np.zeros(0, np.int64) if before is None else before)
        self._read_before: dict[str | None, State] = {}

    def adapt(self, prompt: str) -> tuple[str, dict[str, str]]:
        """Give the prompt as the model will read it, and what became of characters it lacks."""
        return adapt_text(prompt, self._vocabulary)

    def stream(self, prompt: str, settings: WritingSettings) -> Iterator[str]:
        """Write one text; yields the prompt and then pieces of the text as they come."""
        task = self._begin(prompt, settings)
        draft = task.draft
        yield draft.prompt
        for _ in self._run(task, [draft]):
            if piece := draft.take():
                yield piece

    def write(self, prompt: str, settings: WritingSettings, count: int = 1) -> list[Writing]:
        """Write several texts, each with a seed of its own, in batches."""
        task = self._begin(prompt, settings)
        return [
            writing
            for begin in range(0, count, _MOST_ROWS)
            for writing in self._batch(task, range(begin, min(count, begin + _MOST_ROWS)))
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
        task = self._begin(prompt, settings)
        seen: set[str] = set()
        found = tried = 0
        while found < count:
            if tried >= _TRIES * count:
                raise SunspringError(
                    f"only {found} of {count} texts after {tried} tries: "
                    "raise --temperature, or ask for fewer"
                )
            # Never more than as many again, so that at most half of the work is in vain.
            rows = min(_MOST_ROWS, max(count - found, tried), _TRIES * count - tried)
            offsets = range(tried, tried + rows)
            tried = offsets.stop
            for writing in self._batch(task, offsets):
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
        tokens = self._encode(read)
        logits, state = self._read(tokens, settings.label)
        tokens = torch.cat((self._before, tokens))
        probabilities = self._probabilities(logits, tokens, settings)
        if self._vocabulary.end_id is not None:
            probabilities[self._vocabulary.end_id] = 0
        best = probabilities.topk(min(count, len(probabilities)))
        proposals = [
            self._finish_word(tokens, token, chance, state, settings)
            for chance, token in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if chance > 0
        ]
        found: dict[str, Proposal] = {}
        for proposal in sorted(proposals, key=lambda proposal: -proposal.probability):
            found.setdefault(proposal.text, proposal)
        return [proposal for proposal in found.values() if proposal.text]

    def _finish_word(
        self, before: Tensor, token: int, chance: float, state: State, settings: WritingSettings
    ) -> Proposal:
        """Go on with the most probable tokens as long as the word does."""
        decoder = self._vocabulary.decoder()
        text, probability = decoder.push(token), chance
        labels = self._labels(settings.label, 1)
        while len(text) < _LONGEST_WORD and (text in ("", " ") or text[-1].isalnum()):
            before = torch.cat((before, torch.tensor([token])))
            logits, state = self._step(before[-1:], state, labels)
            best = self._probabilities(logits, before, settings).max(dim=-1)
            token, chance = int(best.indices), chance * float(best.values)
            if token == self._vocabulary.end_id:
                break
            piece = decoder.push(token)
            if piece and text and not piece[0].isalnum():
                break
            if piece:  # else a character has only begun, which may turn out to be no letter
                text, probability = text + piece, chance
        return Proposal(text, probability)

    def _probabilities(self, logits: Tensor, before: Tensor, settings: WritingSettings) -> Tensor:
        """Give the next token's probabilities (vocabulary,) after the tokens before it."""
        unwritable = torch.from_numpy(~writable_tokens(self._vocabulary)).to(logits.device)
        recent = before[-REPETITION_WINDOW:].unsqueeze(0).to(logits.device)
        logits = logits.masked_fill(unwritable, -torch.inf)
        return token_probabilities(logits, settings.sampling, recent)[0]

    def _begin(self, prompt: str, settings: WritingSettings) -> _Task:
        """Check what is asked for, and read the prompt as the model can."""
        self._labels(settings.label, 1)
        read, _ = self.adapt(prompt)
        tokens = self._encode(read)
        pattern = None if settings.regex is None else Pattern(settings.regex, self._vocabulary)
        draft = Draft(_SURROGATES.sub("\ufffd", read), self._vocabulary, settings, pattern)
        if pattern is not None:
            draft.pattern_state = _follow_prompt(pattern, tokens, draft.prompt, settings)
        return _Task(draft, tokens, settings)

    def _batch(self, task: _Task, offsets: Sequence[int]) -> Iterator[Writing]:
        """Write the texts of the seeds so far after the first, at once."""
        drafts = [task.draft.again(task.settings.seed + offset) for offset in offsets]
        for _ in self._run(task, drafts):
            pass
        for draft in drafts:
            text = draft.prompt + draft.take()
            yield Writing(text, draft.tokens, draft.finish_reason, draft.seed)

    def _run(self, task: _Task, drafts: Sequence[Draft]) -> Iterator[None]:
        """Write all drafts to their ends, a token each at a time; yields after every token."""
        active = [draft for draft in drafts if not draft.finish()]
        if not active:
            return
        settings = task.settings
        logits, state = self._read(task.tokens, settings.label)
        logits = logits.expand(len(active), -1)
        state = tuple(tuple(t.expand(len(active), *t.shape[1:]) for t in layer) for layer in state)
        recent = (
            torch.cat((self._before, task.tokens))[-REPETITION_WINDOW:]
            .expand(len(active), -1)
            .to(logits.device)
        )
        while active:
            allowed = np.stack([draft.allowed() for draft in active])
            logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)
            probabilities = token_probabilities(logits, settings.sampling, recent)
            uniforms = torch.tensor([draft.uniform() for draft in active], dtype=logits.dtype)
            tokens = draw(probabilities, uniforms.to(logits.device))
            for draft, token in zip(active, tokens.tolist(), strict=True):
                draft.push(token)
            going = [index for index, draft in enumerate(active) if not draft.finish()]
            yield
            if len(going) < len(active):
                active = [active[index] for index in going]
                tokens, recent = tokens[going], recent[going]
                state = tuple(tuple(tensor[going] for tensor in layer) for layer in state)
            if active:
                recent = torch.cat((recent, tokens.unsqueeze(1)), dim=1)[:, -REPETITION_WINDOW:]
                labels = self._labels(settings.label, len(active))
                logits, state = self._step(tokens, state, labels)

    def _encode(self, text: str) -> Tensor:
        return torch.from_numpy(self._vocabulary.encode(text).astype(np.int64))

    def _read(self, tokens: Tensor, label: str | None) -> tuple[Tensor, State]:
        """Read a prompt (time,) after the text before; returns the logits (1, vocabulary) next."""
        begun = torch.cat((torch.tensor([self._vocabulary.start_id]), self._before))
        if label not in self._read_before:
            fresh = self._model.initial_state(1)
            self._read_before[label] = self._advance(begun[:-1], fresh, label)[1]
        tokens = torch.cat((begun[-1:], tokens))
        return self._advance(tokens, self._read_before[label], label)

    @torch.inference_mode()
    def _advance(self, tokens: Tensor, state: State, label: str | None) -> tuple[Tensor, State]:
        """Read tokens (time,) on from a state; returns the logits (1, vocabulary) of the next.

        Many are read part by part: attention takes memory for the square of a part.
        """
        labels, logits = self._labels(label, 1), torch.empty(1, 0, 0)
        for part in tokens.to(self._model.device).split(_PART):  # type: ignore[no-untyped-call]
            if len(part):
                logits, state = self._model(part.unsqueeze(0), state, labels)
        return logits[:, -1:].flatten(1), _rounded(state)

    @torch.inference_mode()
    def _step(self, tokens: Tensor, state: State, labels: Tensor | None) -> tuple[Tensor, State]:
        """Read one token a row (batch,); returns the logits (batch, vocabulary) of the next."""
        tokens = tokens.to(self._model.device).unsqueeze(1)
        logits, state = self._model(tokens, state, labels)
        return logits[:, 0], _rounded(state)

    def _labels(self, label: str | None, rows: int) -> Tensor | None:
        index = self._model.config.label_index(label)
        return None if index is None else torch.full((rows,), index, device=self._model.device)


def _follow_prompt(pattern: Pattern, tokens: Tensor, prompt: str, settings: WritingSettings) -> int:
    """Follow a pattern through a prompt, and see whether it can be matched in time."""
    state: int | None = pattern.initial
    for token in tokens.tolist():
        state = None if state is None else pattern.follow(state, token)
    if state is None:
        raise SettingsError(
            f"no text that begins with {prompt!r} matches {settings.regex!r}: "
            "the pattern is for the whole text, prompt included"
        )
    if pattern.needed(state) > settings.length:
        raise SettingsError(
            f"a match of {settings.regex!r} needs {pattern.needed(state)} characters and "
            f"length is {settings.length}: raise --length"
        )
    return state


def _rounded(state: State) -> State:
    """Round a state to float32, so that differences in rounding do not grow from step to step."""
    return change_recurrent(state, lambda tensor: tensor.float().double())
