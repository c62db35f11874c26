"""Writing: a prompt goes in, a stream of text comes out, one token at a time.

`Writer` is what the writers of both engines have in common: reading prompts, collecting texts,
keeping them distinct, and proposing continuations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import SURROGATES, Vocabulary, replace_unknown
from sunspring.errors import SunspringError
from sunspring.network.config import ModelConfig
from sunspring.notices import Progress, unnoticed
from sunspring.writing.drafts import FinishReason, Piece, writable_tokens
from sunspring.writing.patterns import Pattern, follow_prompt
from sunspring.writing.sampling import REPETITION_WINDOW, token_probabilities
from sunspring.writing.settings import ProposalSettings, SamplingSettings, WritingSettings
from sunspring.writing.stretches import KnownStretches

_TRIES = 100  # texts written for each one wanted, before `write_distinct` gives up
_MOST_AT_ONCE = 4096  # of these tries
_LONGEST_WORD = 20  # characters of a proposal

Tokens = NDArray[np.int64]


@dataclass(frozen=True)
class Prompt:
    """A prompt as a model reads it.

    Args:
        text: as shown to the user.
        tokens: (time,) its ids.
        replaced: replacements of characters that the model lacks; empty if they were left out.
    """

    text: str
    tokens: Tokens
    replaced: Mapping[str, str]

    @classmethod
    def read(cls, text: str, vocabulary: Vocabulary) -> Prompt:
        """Read a prompt with a vocabulary."""
        known, replaced = replace_unknown(text, vocabulary)
        tokens = vocabulary.encode(known).astype(np.int64)
        return cls(SURROGATES.sub("\ufffd", known), tokens, replaced)


@dataclass(frozen=True)
class Writing:
    """A text that was written.

    Args:
        prompt: as the model read it.
        continuation: what follows it.
        tokens: how many were written after the prompt.
        finish_reason: `length`, `stop` (a stop text came), `end` (the model ended the document),
            `pattern` (nothing more can follow) or `novel` (any next token would copy too much).
        seed: the one that gives the same text again.
    """

    prompt: str
    continuation: str
    tokens: int
    finish_reason: FinishReason
    seed: int

    @property
    def text(self) -> str:
        """Prompt and continuation."""
        return self.prompt + self.continuation

    def to_json(self) -> dict[str, Any]:
        """Return what `write --json` prints of a text."""
        return {
            "text": self.text,
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
            "seed": self.seed,
        }


def choose_visible(writings: Sequence[Writing], count: int) -> list[Writing]:
    """Choose the first texts that are not blank, and blank ones only if there are too few."""
    blank_last = sorted(writings, key=lambda each: not each.text.strip())
    return blank_last[:count]


@dataclass(frozen=True)
class Task:
    """What the texts of one call have in common.

    Args:
        prompt: the text that they continue.
        settings: as the user gave them.
        seed: seed of the first text; each further text has the next one.
        label: index of the label among the model's; None for a model without labels.
        pattern: made from `settings.regex`.
        pattern_state: its state after the prompt.
        known: stretches that must not be written, for `settings.no_copies_over`.
        on_progress: called now and then with the tokens of the prompt that were read, and all.
    """

    prompt: Prompt
    settings: WritingSettings
    seed: int
    label: int | None
    pattern: Pattern | None = None
    pattern_state: int = 0
    known: KnownStretches | None = None
    on_progress: Progress = unnoticed


class Proposal(NamedTuple):
    """A piece that may come next, and its probability."""

    text: str
    probability: float


class Reader(Protocol):
    """A text being read."""

    def read(self, tokens: Tokens, on_progress: Progress = unnoticed) -> NDArray[np.floating]:
        """Read tokens (time,), at least one; returns the logits (vocabulary,) of the next.

        `on_progress` is called now and then with the tokens read so far, and their number.
        """

    def copy(self) -> Self:
        """Return another reader that has read the same."""


AnyReader = TypeVar("AnyReader", bound=Reader)


class Writer(ABC, Generic[AnyReader]):
    """Writes with a trained model.

    Args:
        config: the model's architecture.
        vocabulary: the model's.
        before: (time,) ids of a text that every prompt continues; None for none.
    """

    def __init__(
        self, config: ModelConfig, vocabulary: Vocabulary, before: Tokens | None = None
    ) -> None:
        self.config = config
        self.vocabulary = vocabulary
        self._before = np.zeros(0, np.int64) if before is None else before
        self._readers: dict[int | None, AnyReader] = {}

    @abstractmethod
    def fresh_reader(self, label: int | None) -> AnyReader:
        """Return a reader that has read nothing."""

    @abstractmethod
    def write_pieces(self, task: Task, seeds: range) -> Iterator[Piece]:
        """Write one text for each seed, all at once, each in pieces until its finish reason."""

    def begin(
        self,
        settings: WritingSettings,
        known: KnownStretches | None = None,
        on_progress: Progress = unnoticed,
    ) -> Task:
        """Check the settings, and read the prompt.

        Args:
            settings: what to write.
            known: the training text's stretches of one character more than
                `settings.no_copies_over`, if that is set.
            on_progress: see `Task`.

        Raises:
            SettingsError: a setting is impossible for this model.
        """
        label = self.config.label_index(settings.label)
        prompt = Prompt.read(settings.prompt, self.vocabulary)
        seed = settings.first_seed()
        if settings.regex is None:
            return Task(prompt, settings, seed, label, known=known, on_progress=on_progress)
        pattern = Pattern(settings.regex, self.vocabulary)
        state = follow_prompt(pattern, prompt.tokens, prompt.text, settings)
        return Task(prompt, settings, seed, label, pattern, state, known, on_progress)

    def stream(self, task: Task) -> Iterator[str]:
        """Write one text; yields the prompt and then pieces of the text as they come."""
        yield task.prompt.text
        for piece in self.write_pieces(task, range(task.seed, task.seed + 1)):
            if piece.text:
                yield piece.text

    def write(self, task: Task, count: int = 1) -> list[Writing]:
        """Write several texts at once, each with a seed of its own."""
        return self._writings(task, range(task.seed, task.seed + count))

    def write_distinct(
        self, task: Task, count: int, *, unique: bool, excluded: AbstractSet[str] = frozenset()
    ) -> Iterator[Writing]:
        """Write texts that differ from those excluded, and if `unique` from one another.

        Seeds are tried in order, and each gives the same text as in `write`. Blank texts count as
        excluded.

        Raises:
            SunspringError: a hundred tries for each text wanted did not give enough.
        """
        seen: set[str] = set()
        found = tried = 0
        while found < count:
            if tried >= _TRIES * count:
                raise SunspringError(
                    f"found only {found} of {count} texts in {tried} tries: "
                    "raise --temperature, or ask for fewer"
                )
            # At most as many as were tried before, so that at most half of the work is wasted.
            more = min(_MOST_AT_ONCE, max(count - found, tried), _TRIES * count - tried)
            seeds = range(task.seed + tried, task.seed + tried + more)
            tried += more
            for writing in self._writings(task, seeds):
                text = writing.text.strip()
                if not text or text in excluded or text in seen or found == count:
                    continue
                if unique:
                    seen.add(text)
                found += 1
                yield writing

    def _writings(self, task: Task, seeds: range) -> list[Writing]:
        texts: dict[int, list[str]] = {seed: [] for seed in seeds}
        over: dict[int, Writing] = {}
        for piece in self.write_pieces(task, seeds):
            texts[piece.seed].append(piece.text)
            if piece.finish_reason is not None:
                continuation = "".join(texts.pop(piece.seed))
                over[piece.seed] = Writing(
                    task.prompt.text, continuation, piece.tokens, piece.finish_reason, piece.seed
                )
        return [over[seed] for seed in seeds]

    def proposals(self, text: str, settings: ProposalSettings) -> list[Proposal]:
        """Propose pieces that may follow a text, the most probable first.

        Each begins with one of the most probable tokens and continues with the most probable ones
        to the end of the word (after a space, of the next word); its probability is that of all its
        tokens together.
        """
        tokens = Prompt.read(text, self.vocabulary).tokens
        reader = self.reader(self.config.label_index(settings.label))
        logits = reader.read(self.after_start(tokens))
        tokens = np.concatenate((self._before, tokens))
        probabilities = self._probabilities(logits, tokens, settings)
        if self.vocabulary.end_id is not None:
            probabilities[self.vocabulary.end_id] = 0
        best = np.argsort(-probabilities, kind="stable")[: settings.count]
        proposals = [
            self._finish_word(reader.copy(), tokens, int(token), settings, probabilities[token])
            for token in best
            if probabilities[token] > 0
        ]
        found: dict[str, Proposal] = {}
        for proposal in sorted(proposals, key=lambda proposal: -proposal.probability):
            found.setdefault(proposal.text, proposal)
        return [proposal for proposal in found.values() if proposal.text]

    def _finish_word(
        self,
        reader: AnyReader,
        before: Tokens,
        token: int,
        settings: SamplingSettings,
        chance: float,
    ) -> Proposal:
        """Continue with the most probable tokens to the end of the word."""
        decoder = self.vocabulary.decoder()
        text, probability = decoder.push(token), chance
        while len(text) < _LONGEST_WORD and (text in ("", " ") or text[-1].isalnum()):
            before = np.append(before, token)
            probabilities = self._probabilities(reader.read(before[-1:]), before, settings)
            token = int(probabilities.argmax())
            chance *= probabilities[token]
            if token == self.vocabulary.end_id:
                break
            piece = decoder.push(token)
            if piece and text and not piece[0].isalnum():
                break
            if piece:  # otherwise a character is incomplete, and may turn out not to be a letter
                text, probability = text + piece, chance
        return Proposal(text, float(probability))

    def _probabilities(
        self, logits: NDArray[np.floating], before: Tokens, settings: SamplingSettings
    ) -> NDArray[np.float64]:
        """Return the next token's probabilities (vocabulary,) after the tokens before it."""
        allowed = np.where(writable_tokens(self.vocabulary), logits, -np.inf)
        recent = before[None, -REPETITION_WINDOW:]
        return np.asarray(token_probabilities(allowed[None], settings, recent)[0])

    def after_start(self, tokens: Tokens) -> Tokens:
        """Put the one token before a prompt that a reader from `reader` has not read yet."""
        begun = self._before[-1:] if len(self._before) else [self.vocabulary.start_id]
        return np.concatenate((np.asarray(begun, np.int64), tokens))

    def reader(self, label: int | None) -> AnyReader:
        """Return a reader that has read all but the last token before every prompt."""
        if label not in self._readers:
            reader = self.fresh_reader(label)
            if len(self._before):
                reader.read(np.concatenate(([self.vocabulary.start_id], self._before[:-1])))
            self._readers[label] = reader
        return self._readers[label].copy()

    def recent(self, task: Task) -> Tokens:
        """Return the latest tokens before the first one written."""
        return np.concatenate((self._before, task.prompt.tokens))[-REPETITION_WINDOW:]
