"""The reference engine: a network in PyTorch writes all texts of a call together, by the token.

This is the tutorial's "rebuild with batch size 1 and load the weights": the trained weights in a
model of any batch size, its state carried from token to token.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.corpus.vocabulary import Vocabulary
from sunspring.errors import SettingsError
from sunspring.network.config import ModelConfig, check_labels
from sunspring.network.network import RecurrentModel, change_recurrent
from sunspring.network.predictor import Predictor, State
from sunspring.network.scoring import final_outputs, score_texts
from sunspring.notices import Progress, unnoticed
from sunspring.writing.drafts import Draft, Piece
from sunspring.writing.engine import CANNOT_BLEND, Blend, Counts, Engine, Floats, Ids
from sunspring.writing.sampling import REPETITION_WINDOW, draw, token_probabilities
from sunspring.writing.stretches import CopyGuard, NovelTokens
from sunspring.writing.writer import Task, Tokens, Writer

_MOST_ROWS = 256  # texts written at once
_PART = 1024  # tokens of a prompt read at once


class TorchReader:
    """A text being read by a network.

    Args:
        model: the network or mixture, in float64.
        label: see `Task`.
    """

    def __init__(self, model: Predictor, label: int | None) -> None:
        self._model = model
        self._labels = None if label is None else torch.full((1,), label, device=model.device)
        self.state = model.initial_state(1)

    @torch.inference_mode()
    def read(self, tokens: Tokens, on_progress: Progress = unnoticed) -> NDArray[np.floating]:
        """See `Reader.read`.

        It reads in parts, since attention takes memory quadratic in the length of a part.
        """
        logits = torch.empty(1, 1, 0)
        on_device = torch.from_numpy(tokens).to(self._model.device)
        read = 0
        for part in on_device.split(_PART):  # type: ignore[no-untyped-call]
            logits, state = self._model(part.unsqueeze(0), self.state, self._labels)
            self.state = _rounded(state)
            read += len(part)
            on_progress(read, len(tokens))
        return np.asarray(logits[0, -1].cpu().numpy())

    def copy(self) -> TorchReader:
        """Return another reader that has read the same."""
        return copy.copy(self)  # its tensors are never changed


class TorchWriter(Writer[TorchReader]):
    """Writes with a network, or a mixture, in PyTorch.

    It works on a copy in float64. Rounding depends on how many rows are computed together, and in
    float32 it would now and then change which token is drawn; in float64, with the state rounded
    to float32 after each step, a seed gives the same text alone and in a batch, on a CPU and on a
    GPU. (For one row of 256 units this is faster, too: float32 goes through oneDNN, whose calls
    are costly.)

    Args:
        model: on any device; it is not changed.
        config: architecture of the network in it.
        vocabulary: the model's.
        before: see `Writer`.
    """

    def __init__(
        self,
        model: Predictor,
        config: ModelConfig,
        vocabulary: Vocabulary,
        before: Tokens | None = None,
    ) -> None:
        super().__init__(config, vocabulary, before)
        self._model = copy.deepcopy(model).double().eval().requires_grad_(False)

    def fresh_reader(self, label: int | None) -> TorchReader:
        """Return a reader that has read nothing."""
        return TorchReader(self._model, label)

    def write_pieces(self, task: Task, seeds: range) -> Iterator[Piece]:
        """Write one text for each seed, all at once, each in pieces until its finish reason."""
        novel = NovelTokens(self.vocabulary, task.known) if task.known else None
        for first in range(0, len(seeds), _MOST_ROWS):
            drafts = [
                Draft(
                    self.vocabulary,
                    task.settings,
                    seed,
                    task.pattern,
                    CopyGuard(novel, task.prompt.text) if novel else None,
                )
                for seed in seeds[first : first + _MOST_ROWS]
            ]
            yield from self._write_rows(task, drafts)

    def _write_rows(self, task: Task, drafts: list[Draft]) -> Iterator[Piece]:
        """Write texts to their ends, one token of each at a time."""
        active = [draft for draft in drafts if not draft.finish()]
        if len(active) < len(drafts):  # they are alike, so all end before the first token
            yield from (draft.take() for draft in drafts)
            return
        rows, reader = len(active), self.reader(task.label)
        logits = np.tile(
            reader.read(self.after_start(task.prompt.tokens), task.on_progress), (rows, 1)
        )
        state = tuple(tuple(t.expand(rows, *t.shape[1:]) for t in layer) for layer in reader.state)
        recent = np.tile(self.recent(task), (rows, 1))
        while active:
            allowed = np.where([draft.allowed() for draft in active], logits, -np.inf)
            probabilities = token_probabilities(allowed, task.settings, recent)
            tokens = draw(probabilities, np.array([draft.uniform() for draft in active]))
            for draft, token in zip(active, tokens.tolist(), strict=True):
                draft.push(token)
            going = [index for index, draft in enumerate(active) if not draft.finish()]
            yield from (draft.take() for draft in active)
            if len(going) < len(active):
                active = [active[index] for index in going]
                tokens, recent = tokens[going], recent[going]
                state = tuple(tuple(tensor[going] for tensor in layer) for layer in state)
            if active:
                recent = np.concatenate((recent, tokens[:, None]), axis=1)[:, -REPETITION_WINDOW:]
                logits, state = self._step(tokens, state, task.label)

    @torch.inference_mode()
    def _step(
        self, tokens: Tokens, state: State, label: int | None
    ) -> tuple[NDArray[np.floating], State]:
        """Read one token per row (batch,); returns the logits (batch, vocabulary) of the next."""
        device = self._model.device
        labels = None if label is None else torch.full((len(tokens),), label, device=device)
        column = torch.from_numpy(tokens).unsqueeze(1).to(device)
        logits, state = self._model(column, state, labels)
        return np.asarray(logits[:, 0].cpu().numpy()), _rounded(state)


def _rounded(state: State) -> State:
    """Round a state to float32, so that differences in rounding do not grow from step to step."""
    return change_recurrent(state, lambda tensor: tensor.float().double())


class TorchEngine(Engine):
    """A network, or a mixture of one with n-grams, in PyTorch.

    Args:
        network: encodes texts.
        vocabulary: the network's.
        predictor: what predicts: the network, or a mixture that contains it.
    """

    name = "torch"

    def __init__(
        self, network: RecurrentModel, vocabulary: Vocabulary, predictor: Predictor
    ) -> None:
        super().__init__(network.config, vocabulary)
        self._network = network
        self._predictor = predictor

    def writer(self, before: Tokens | None = None, blend: Blend = ()) -> Writer[Any]:
        """See `Engine.writer`."""
        if blend:
            raise SettingsError(CANNOT_BLEND)
        return TorchWriter(self._predictor, self.config, self.vocabulary, before)

    def score(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> Floats:
        """See `Engine.score`."""
        start_id = self.vocabulary.start_id
        return score_texts(self._predictor, ids, counts, start_id, labels, on_progress)

    def encode(
        self,
        ids: Ids,
        counts: Counts,
        labels: Counts | None = None,
        on_progress: Progress = unnoticed,
    ) -> NDArray[np.float32]:
        """See `Engine.encode`."""
        parts = np.split(ids, np.cumsum(counts)[:-1]) if len(counts) else []
        start_id = self.vocabulary.start_id
        check_labels(self.config.labels, labels)
        own: list[int | None] = [None] * len(parts) if labels is None else labels.tolist()
        vectors, read = [], 0
        for part, label in zip(parts, own, strict=True):
            vectors.append(final_outputs(self._network, part, start_id, label))
            read += len(part)
            on_progress(read, len(ids))
        size = self.config.layers * self.config.hidden_size
        return np.array(vectors, np.float32).reshape(len(counts), size)

    def reader(self, label: int | None = None) -> Any:
        """See `Engine.reader`."""
        raise SettingsError("only the native engine can look inside a model: see sunspring doctor")
