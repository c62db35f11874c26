"""What predicts the next token: the interface that evaluation and writing ask."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.corpus.batches import IGNORED

LayerState = tuple[Tensor, ...]
"""(h, c) of an LSTM layer, (h,) of the others; each (batch, hidden_size), in the weights' type.
What else a predictor carries is its own affair."""

State = tuple[LayerState, ...]
"""All that is carried from token to token. The batch is the first axis of every tensor, so rows can
be picked, copied and joined without knowing what they are."""


class Predictor(nn.Module, ABC):
    """A model of the next token: a network, a mixture with n-grams, or a peer of another make.

    Its state is a value passed in and out, so that a batch of any size goes on from any state.
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
        """Read tokens on from a state.

        Args:
            tokens: (batch, time) ids, int64.
            state: what `initial_state` or an earlier call gave, for the same batch.
            labels: (batch,) indices into `labels`; only where there are any.

        Returns:
            Logits (batch, time, vocabulary_size) of the token after each one, and the state after
            the last.
        """

    def losses(
        self, tokens: Tensor, targets: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens as `forward` does, and give what the targets (batch, time) cost, in nats.

        Targets that are `IGNORED` cost nothing.
        """
        logits, state = self(tokens, state, labels)
        return token_losses(logits, targets), state


def token_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Give what targets (batch, time) cost by logits (batch, time, vocabulary_size), in nats."""
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="none"
    ).view(targets.shape)
