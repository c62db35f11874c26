"""A network and n-gram models of its training text as one model, a mixture of their predictions.

p(w | past) = g_0 p_network(w | past) + Σ_k g_k P_k(w | last k − 1 tokens), where P_k are the orders
of an `NGramModel` and the shares g, which sum to one, depend on the past alone: on how sure the
network is and how often the n-grams saw it. So the mixture sums to one as well. The shares are a
softmax of linear functions, the gate of a mixture of experts (Jacobs et al. 1991, "Adaptive
mixtures of local experts").
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sunspring.network.counts import decode_counts
from sunspring.network.model_folder import ModelFiles
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import NGramModel
from sunspring.network.predictor import Predictor, State

_VALUES = 1 << 20  # of a distribution in memory at a time
_COUNT_SCALE = 5.0  # ln 150: brings logarithms of counts near one, like the other features


class Mixture(Predictor):
    """A model that mixes a network with n-grams.

    Its state is the network's, and the contexts of the n-grams as one more entry (batch, orders).

    Args:
        network: on any device.
        ngrams: with the same vocabulary.
        gate: (2 · orders, 1 + orders) weights that turn the features, see `examine`, into logits of
            the experts' shares: the network's and each order's. None for equal shares.
    """

    def __init__(
        self,
        network: RecurrentModel,
        ngrams: NGramModel,
        gate: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.ngrams = ngrams
        orders = ngrams.highest_order
        self.gate = np.zeros((2 * orders, 1 + orders)) if gate is None else gate

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids."""
        return self.network.vocabulary_size

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels that the network was trained with."""
        return self.network.labels

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.network.device

    def initial_state(self, batch_size: int) -> State:
        """The state before any text, for `batch_size` rows."""
        return self._join(
            self.network.initial_state(batch_size), self.ngrams.initial_contexts(batch_size)
        )

    def forward(
        self, tokens: Tensor, state: State, labels: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Read tokens from a state; see `Predictor.forward`.

        The logits are log-probabilities, float64.
        """
        logits, network_state = self.network(tokens, state[:-1], labels)
        mixed, contexts = self.mix(logits, tokens, state[-1][0])
        return mixed, (*network_state, (contexts,))

    def mix(self, logits: Tensor, tokens: Tensor, contexts: Tensor) -> tuple[Tensor, Tensor]:
        """Mix a network's predictions with those of the n-grams.

        Args:
            logits: (batch, time, vocabulary_size) of the network, after each token.
            tokens: (batch, time) read by the network.
            contexts: (batch, orders) of the n-grams, before the first token.

        Returns:
            The log-probabilities that `forward` returns, and the contexts after the last token.
        """
        after = self.ngrams.contexts(tokens.cpu().numpy(), contexts.cpu().numpy())
        expected = logits.detach().double().log_softmax(-1).cpu().numpy()
        flat, positions = expected.reshape(-1, expected.shape[-1]), after.reshape(len(after), -1)
        mixed = np.empty_like(flat)
        step = max(1, _VALUES // flat.shape[1])
        for begin in range(0, len(flat), step):
            part = slice(begin, begin + step)
            mixed[part] = self._mixed(flat[part], positions[:, part])
        logarithms = torch.from_numpy(np.log(mixed).reshape(expected.shape))
        return logarithms.to(logits.device), torch.from_numpy(after[:, :, -1].T.copy())

    def _mixed(
        self, expected: NDArray[np.float64], contexts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        shares = _softmax(self._features(expected, contexts) @ self.gate)
        mixed: NDArray[np.float64] = shares[:, :1] * np.exp(expected)
        for order, distribution in enumerate(self.ngrams.distributions(contexts), start=1):
            mixed += shares[:, order, None] * distribution
        return mixed

    @torch.inference_mode()
    def examine(
        self, ids: NDArray[np.int64], state: State, labels: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], State]:
        """Collect what the gate learns from, for each token after the first.

        Args:
            ids: (batch, time + 1).
            state: before the first.
            labels: (batch,) or None.

        Returns:
            (batch, time, features + experts): the features of the past, and the natural logarithm
            of the token's probability by each expert; and the state.
        """
        tokens = torch.from_numpy(ids[:, :-1]).to(self.device)
        indices = None if labels is None else torch.from_numpy(labels).to(self.device)
        logits, network_state = self.network(tokens, state[:-1], indices)
        after = self.ngrams.contexts(ids[:, :-1], state[-1][0].numpy())
        expected = logits.double().log_softmax(-1).cpu().numpy().reshape(-1, logits.shape[-1])
        contexts, targets = after.reshape(len(after), -1), ids[:, 1:].ravel()
        known = np.concatenate(
            (
                self._features(expected, contexts),
                np.take_along_axis(expected, targets[:, None], axis=1),
                np.log(self.ngrams.probabilities(contexts, targets)).T,
            ),
            axis=1,
        )
        return known.reshape(*tokens.shape, -1), self._join(network_state, after[:, :, -1].T)

    def _features(
        self, expected: NDArray[np.float64], contexts: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return what the shares depend on, (positions, 2 · orders).

        The number one; the entropy of the network's prediction, in nats; for each order above 1 the
        share it leaves to lower orders, T(c) / (count(c) + T(c)), and ln(1 + count(c)), scaled.
        """
        entropy = -(np.exp(expected) * expected.clip(min=-1e4)).sum(axis=1)
        totals, types = (each[1:].T for each in self.ngrams.totals_and_types(contexts))
        one = np.ones(len(expected))
        counts = np.log1p(totals) / _COUNT_SCALE
        return np.column_stack((one, entropy, types / (totals + types), counts))

    def _join(self, state: State, contexts: NDArray[np.int64]) -> State:
        return (*state, (torch.from_numpy(np.ascontiguousarray(contexts)),))


def with_counts(network: RecurrentModel, files: ModelFiles) -> Predictor:
    """Return what a model predicts with: the network, mixed with its counts if it has any.

    Args:
        network: the model's.
        files: the model's, of which only vocabulary and counts are read.

    Raises:
        ModelError: the counts are damaged.
    """
    if files.counts is None:
        return network
    vocabulary = files.vocabulary
    return Mixture(network, *decode_counts(files.counts, vocabulary.size, vocabulary.start_id))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return shares
