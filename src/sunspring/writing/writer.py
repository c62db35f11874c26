"""Writing: a prompt goes in, a stream of text comes out, one token at a time.

`Writer` is what the writers of both engines have in common: reading prompts, collecting texts,
keeping them distinct, and proposing continuations.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import SURROGATES, Vocabulary, replace_unknown
from sunspring.errors import SunspringError
from sunspring.network.config import ModelConfig
from sunspring.notices import Progress, counted, unnoticed
from sunspring.settings import part_of
from sunspring.writing.drafts import Draft, FinishReason, Piece
from sunspring.writing.patterns import UNREACHABLE, Pattern, constraints_of
from sunspring.writing.sampling import REPETITION_WINDOW, token_probabilities
from sunspring.writing.settings import (
    ConstraintSettings,
    ProposalSettings,
    SamplingSettings,
    WritingSettings,
)
from sunspring.writing.stretches import CopyGuard, KnownStretches, NovelTokens

_TRIES = 100  # texts written for each one wanted, before `write_distinct` gives up
_MOST_AT_ONCE = 4096  # of these tries
_MOST_FRUITLESS = 10_000  # of these tries, one after another
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
        unmet: what a text that ended as `novel` does not do and should, such as `contains 'sea'`.
    """

    prompt: str
    continuation: str
    tokens: int
    finish_reason: FinishReason
    seed: int
    unmet: str = ""

    @property
    def text(self) -> str:
        """Prompt and continuation."""
        return self.prompt + self.continuation

    def to_json(self) -> dict[str, Any]:
        """Return what `write --json` prints of a text."""
        values = {
            "text": self.text,
            "tokens": self.tokens,
            "finish_reason": self.finish_reason,
            "seed": self.seed,
        }
        return {**values, "unmet": self.unmet} if self.unmet else values


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
        pattern: what a text must match; None if that is anything.
        known: stretches that must not be written, for `settings.no_copies_over`.
        on_progress: called now and then with the tokens of the prompt that were read, and all.
    """

    prompt: Prompt
    settings: WritingSettings
    seed: int
    label: int | None
    pattern: Pattern | None = None
    known: KnownStretches | None = None
    on_progress: Progress = unnoticed

    def finish(self, continuation: str, last: Piece) -> Writing:
        """Make a text of all that was written, and of its last piece."""
        assert last.finish_reason is not None
        is_early = last.finish_reason == "novel"
        unmet = self.pattern.unmet(continuation) if self.pattern and is_early else ""
        return Writing(
            self.prompt.text, continuation, last.tokens, last.finish_reason, last.seed, unmet
        )


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
        constraints, pattern = constraints_of(settings, self.vocabulary), None
        if constraints:
            pattern = Pattern(constraints, self.vocabulary, prompt.text)
            pattern.check(settings.length)
        return Task(prompt, settings, seed, label, pattern, known, on_progress)

    def stream(self, task: Task) -> Generator[str, None, Writing]:
        """Write one text; yields the prompt and then pieces as they come, and returns it whole."""
        yield task.prompt.text
        texts: list[str] = []
        for piece in self.write_pieces(task, range(task.seed, task.seed + 1)):
            texts.append(piece.text)
            if piece.text:
                yield piece.text
        return task.finish("".join(texts), piece)

    def write(self, task: Task, count: int = 1) -> list[Writing]:
        """Write several texts at once, each with a seed of its own."""
        return [*self.write_each(task, range(task.seed, task.seed + count))]

    def write_each(
        self, task: Task, seeds: range, on_progress: Progress = unnoticed
    ) -> Iterator[Writing]:
        """Write a text for each seed; they come in this order, as soon as they are finished.

        `on_progress` is called with the characters written so far and the most there can be; what
        a text that ended early lacks counts as written.
        """
        length, done = task.settings.length, 0
        begun: dict[int, list[str]] = {}
        finished: dict[int, Writing] = {}
        following = seeds.start
        for piece in self.write_pieces(task, seeds):
            begun.setdefault(piece.seed, []).append(piece.text)
            done += len(piece.text)
            if piece.finish_reason is None:
                on_progress(done, length * len(seeds))
                continue
            continuation = "".join(begun.pop(piece.seed))
            done += length - len(continuation)
            on_progress(done, length * len(seeds))
            finished[piece.seed] = task.finish(continuation, piece)
            while following in finished:
                yield finished.pop(following)
                following += 1

    def write_distinct(
        self,
        task: Task,
        count: int,
        *,
        unique: bool,
        excluded: AbstractSet[str] = frozenset(),
        on_progress: Progress = unnoticed,
    ) -> Iterator[Writing]:
        """Write texts that differ from those excluded, and if `unique` from one another.

        Seeds are tried in order, and each gives the same text as in `write`. Blank texts count as
        excluded. `on_progress` is called with the texts found so far, and how many are wanted.

        Raises:
            SunspringError: a hundred tries for each text wanted did not give enough, or the last
                ten thousand gave none; those found have been given.
        """
        seen: set[str] = set()
        found = tried = fruitless = 0
        while found < count:
            if tried >= _TRIES * count or fruitless >= _MOST_FRUITLESS:
                raise SunspringError(
                    f"found only {found:,} of {counted(count, 'text')} in {tried:,} tries: "
                    "raise --temperature, or ask for fewer"
                )
            # At most as many as were tried before, so that at most half of the work is wasted.
            more = min(_MOST_AT_ONCE, max(count - found, tried), _TRIES * count - tried)
            seeds = range(task.seed + tried, task.seed + tried + more)
            tried += more
            for writing in self.write_each(task, seeds):
                text = writing.text.strip()
                fruitless += 1
                on_progress(found, count)
                if not text or text in excluded or text in seen:
                    continue
                if unique:
                    seen.add(text)
                found, fruitless = found + 1, 0
                on_progress(found, count)
                yield writing
                if found == count:
                    return

    def proposals(
        self, text: str, settings: ProposalSettings, known: KnownStretches | None = None
    ) -> list[Proposal]:
        """Propose pieces that may follow a text, the most probable first.

        Each begins with one of the most probable tokens and continues with the most probable ones
        to the end of the word (after a space, of the next word); its probability is that of all its
        tokens together.

        Args:
            text: what they may follow.
            settings: how they are made, and what they must match together with the text.
            known: see `begin`.

        Raises:
            SettingsError: nothing that follows can match.
        """
        prompt = Prompt.read(text, self.vocabulary)
        constraints, pattern = constraints_of(settings, self.vocabulary), None
        if constraints or self.vocabulary.kind != "chars":  # whole characters, though of bytes
            pattern = Pattern(constraints, self.vocabulary, prompt.text)
        endless = WritingSettings(length=UNREACHABLE, **vars(part_of(settings, ConstraintSettings)))
        novel = NovelTokens(self.vocabulary, known) if known else None

        def begin() -> Draft:
            guard = CopyGuard(novel, prompt.text) if novel else None
            return Draft(self.vocabulary, endless, 0, pattern, guard)

        reader, logits = self.listen(prompt.tokens, settings.label)
        tokens = np.concatenate((self._before, prompt.tokens))
        probabilities = _probabilities(logits, begin(), tokens, settings)
        if self.vocabulary.end_id is not None:
            probabilities[self.vocabulary.end_id] = 0
        best = np.argsort(-probabilities, kind="stable")[: settings.count]
        proposals = [
            self._finish_word(
                reader.copy(), begin(), tokens, int(token), settings, probabilities[token]
            )
            for token in best
            if probabilities[token] > 0
        ]
        found: dict[str, Proposal] = {}
        for proposal in sorted(proposals, key=lambda proposal: -proposal.probability):
            found.setdefault(proposal.text, proposal)
        return [proposal for proposal in found.values() if proposal.text]

    def _finish_word(
        self,
        reader: Reader,
        draft: Draft,
        before: Tokens,
        token: int,
        settings: ProposalSettings,
        chance: float,
    ) -> Proposal:
        """Continue with the most probable tokens to the end of the word."""
        draft.push(token)
        text, probability = draft.take().text, chance
        while len(text) < _LONGEST_WORD and (text in ("", " ") or text[-1].isalnum()):
            before = np.append(before, token)
            probabilities = _probabilities(reader.read(before[-1:]), draft, before, settings)
            token = int(probabilities.argmax())
            chance *= probabilities[token]
            if chance == 0 or token == self.vocabulary.end_id:
                break
            draft.push(token)
            piece = draft.take().text
            if piece and text and not piece[0].isalnum():
                break
            if piece:  # otherwise a character is incomplete, and may turn out not to be a letter
                text, probability = text + piece, chance
        return Proposal(text, float(probability))

    def listen(self, tokens: Tokens, label: str | None) -> tuple[Reader, NDArray[np.floating]]:
        """Read a prompt's tokens; returns the reader, and the logits of the next token."""
        reader = self.reader(self.config.label_index(label))
        return reader, reader.read(self.after_start(tokens))

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


def _probabilities(
    logits: NDArray[np.floating], draft: Draft, before: Tokens, settings: SamplingSettings
) -> NDArray[np.float64]:
    """Return the probabilities of a draft's next token, (vocabulary,); 0 where none may come."""
    allowed = draft.allowed()
    if not allowed.any():
        return np.zeros(len(allowed))
    recent = before[None, -REPETITION_WINDOW:]
    masked = np.where(allowed, logits, -np.inf)
    return np.asarray(token_probabilities(masked[None], settings, recent)[0])
