"""Learning how a network and n-grams are mixed, from the training text alone.

The n-grams are counted in what the network was trained on. How far to trust them is learned on the
validation part, which neither of them has seen: on the counted text itself every long context is
followed by what was counted, and the n-grams would be trusted blindly (deleted estimation, Jelinek
and Mercer 1980). Stands right after evaluation, whose way of reading it takes.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus, Split
from sunspring.errors import SourceError
from sunspring.evaluation.mixture import Mixture
from sunspring.evaluation.ngrams import NGramModel
from sunspring.evaluation.protocols import first_tokens, measure_stream
from sunspring.network.network import RecurrentModel
from sunspring.training.optimizers import adamw_step

_HIGHEST_ORDER = 10
_COUNTED_TOKENS = 4_000_000  # characters of English: 150 MB, and 530 MB while they are counted
_GATE_TOKENS = 100_000
_BATCH = 2048  # tokens of a step
_STEPS = 400
_RATE = 0.05  # of Adam, falling to zero
_PENALTY = 1.0  # half of it times the squared weights is added to the nats of all tokens
_DECAYS = (0.9, 0.99)  # β₁ and β₂ of Adam


def learn_mixture(network: RecurrentModel, corpus: Corpus) -> Mixture:
    """Mix a network with the n-grams of its training text.

    Args:
        network: trained on `corpus.train`.
        corpus: its text. The n-grams of the orders 1 to 10 are counted in the training part (of a
            long one, the last four million tokens); the shares are learned on at most the first
            hundred thousand tokens of the validation part. The held-out part is not looked at.

    Returns:
        The mixture; it holds the network itself, not a copy.

    Raises:
        SourceError: the text is too short to have a validation part.
    """
    if len(corpus.validation.tokens) == 0:
        raise SourceError(
            "the training text is too short to have a validation part, on which a mixture is "
            "learned: train on more text"
        )
    start_id = corpus.vocabulary.start_id
    ngrams = NGramModel(
        corpus.train.tokens,
        corpus.train.starts,
        corpus.vocabulary.size,
        start_id,
        highest_order=_HIGHEST_ORDER,
        maximum_tokens=_COUNTED_TOKENS,
    )
    validation = first_tokens(corpus.validation, _GATE_TOKENS)
    return Mixture(network, ngrams, _learn_gate(Mixture(network, ngrams), validation, start_id))


def _learn_gate(mixture: Mixture, validation: Split, start_id: int) -> NDArray[np.float64]:
    """Minimise the nats of the validation part over the gate's weights, (features, experts)."""
    known = np.concatenate(list(measure_stream(mixture, validation, start_id, mixture.examine)))
    features, scores = np.split(known, [len(mixture.gate)], axis=1)
    gate = torch.from_numpy(mixture.gate.copy())
    mean, square = torch.zeros_like(gate), torch.zeros_like(gate)
    random = np.random.default_rng(0)
    for step in range(_STEPS):
        batch = random.integers(len(features), size=_BATCH)
        gradient = _gradient(gate.numpy(), features[batch], scores[batch])
        gate.grad = torch.from_numpy(gradient) + _PENALTY / len(features) * gate
        rate = _RATE * (1 - step / _STEPS)
        adamw_step([gate], [mean], [square], step + 1, [rate], decay=0.0, decays=_DECAYS)
    return np.asarray(gate)


def _gradient(
    gate: NDArray[np.float64], features: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gradient of the mean of −ln Σ_i g_i p_i: the shares less those that the token speaks for."""
    logits = features @ gate
    prior = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    joint = logits + scores
    posterior = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    gradient: NDArray[np.float64] = features.T @ (prior - posterior) / len(features)
    return gradient
