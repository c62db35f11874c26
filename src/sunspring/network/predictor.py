"""Predicting the next token: the interface that evaluation and writing use."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.corpus.batches import IGNORED

LayerState = tuple[Tensor, ...]
"""(h, c) of an LSTM layer, (h,) of the others; each (batch, hidden_size), in the weights' type.
Predictors may carry further entries of any kind."""

State = tuple[LayerState, ...]
"""All that is carried from token to token. The batch is the first axis of every tensor, so rows can
be picked, copied and joined without knowing what the tensors mean."""


class Predictor(nn.Module, ABC):
    """A model of the next token: a network, a mixture with n-grams, or another kind of model.

    Its state is a value passed in and out, so that a batch of any size can continue from any state.
    """

    @property
    @abstractmethod
    def vocabulary_size(self) -> int:
        """Number of token ids."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that it was trained with; none for most."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where it computes."""

    @abstractmethod
    def initial_state(self, batch_size: int) -> State:
        """The state before any text, for `batch_size` rows."""

    @abstractmethod
    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens, starting from a state.

        Args:
            tokens: (batch, time) ids, int64.
            state: from `initial_state` or an earlier call, for the same batch.
            labels: (batch,) indices into `labels`; only for a model that has labels.

        Returns:
            Logits (batch, time, vocabulary_size) of the token after each one, and the state after
            the last.
        """

    def losses(
        self, tokens: Tensor, targets: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens as `forward` does; returns the targets' losses (batch, time), in nats.

        Targets that are `IGNORED` have loss 0.
        """
        logits, state = self(tokens, state, labels)
        return token_losses(logits, targets), state


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the losses of targets (batch, time) in nats; logits (batch, time, vocabulary_size)."""
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(targets.shape)
