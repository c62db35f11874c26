"""Learning how far to trust n-grams beside a network: the gate of a `Mixture`.

The n-grams are counted in the text that the network was trained on. How far to trust them is
learned on the validation part, which neither has seen: in the counted text itself every long
context is followed by what was counted, so the n-grams would be trusted blindly (deleted
estimation, Jelinek and Mercer 1980).
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray

from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.errors import SourceError
from sunspring.evaluation.protocols import first_tokens, measure_stream
from sunspring.network.counts import encode_counts, encode_level
from sunspring.network.loops import loops_at_work
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import NGramModel, count_ngrams, growing_ngrams
from sunspring.notices import Notify, Progress, Work, ignore
from sunspring.training.optimizers import adamw_step

_HIGHEST_ORDER = 10
_COUNTED_TOKENS = 4_000_000  # characters of English: 150 MB, and 530 MB while they are counted
_MOST_KEPT_ORDERS = 8  # in a model's own file
_GATE_TOKENS = 100_000
_KEPT_GATE_TOKENS = 50_000  # the same for that file
_LEAST_GATE_TOKENS = 1_000
_BATCH = 2048  # tokens of a step
_STEPS = 400
_RATE = 0.05  # of Adam, falling to zero
_PENALTY = 1.0  # half of it times the squared weights is added to the total loss
_DECAYS = (0.9, 0.99)  # β₁ and β₂ of Adam


def learn_mixture(network: RecurrentModel, corpus: Corpus, notify: Notify = ignore) -> Mixture:
    """Mix a network with the n-grams of its training text.

    Args:
        network: trained on `corpus.train`.
        corpus: its text. The n-grams of the orders 1 to 10 are counted in the training part (of a
            long one, the last four million tokens); the shares are learned on at most the first
            hundred thousand tokens of the validation part. The held-out part is not used.
        notify: shows the progress.

    Returns:
        The mixture; it holds the network itself, not a copy.

    Raises:
        SourceError: the text is too short to have a validation part.
    """
    if len(corpus.validation.tokens) == 0:
        raise SourceError(
            "the training text is too short for a validation part, on which a mixture is "
            "learned: train on more text"
        )
    start_id = corpus.vocabulary.start_id
    ngrams = count_ngrams(
        corpus.train.tokens,
        corpus.train.starts,
        corpus.vocabulary.size,
        start_id,
        highest_order=_HIGHEST_ORDER,
        maximum_tokens=_COUNTED_TOKENS,
        on_progress=Work(notify, "counting n-grams"),
    )
    validation = first_tokens(corpus.validation, _GATE_TOKENS)
    gate = _learn_gate(
        Mixture(network, ngrams), validation, start_id, Work(notify, "learning the mixture")
    )
    return Mixture(network, ngrams, gate)


def learn_counts(
    network: RecurrentModel,
    corpus: Corpus,
    most_bytes: float,
    notify: Notify = ignore,
    part: int = 1,
) -> bytes | None:
    """Count the training text, as far as a file of so many bytes can hold, and learn the gate.

    Args:
        network: trained on `corpus.train`.
        corpus: its text. The strings are counted in the training part (of a long one, the last four
            million tokens); the shares are learned on at most the first fifty thousand tokens of
            the validation part.
        most_bytes: the limit for the strings of all orders together: there are as many orders as
            fit, at most eight.
        notify: shows the progress.
        part: count and learn on only one token of so many, to see how long all will take.

    Returns:
        The content of a counts.safetensors; None if the text is too short for a validation part
        that can tell how far to trust counts, or the limit too low for pairs of tokens.
    """
    train, validation, vocabulary = corpus.train, corpus.validation, corpus.vocabulary
    if len(validation.tokens) < _LEAST_GATE_TOKENS:
        return None
    most_tokens = min(len(train.tokens), _COUNTED_TOKENS) // part
    growing = growing_ngrams(
        train.tokens, train.starts, vocabulary.size, vocabulary.start_id, most_tokens
    )
    on_progress = Work(notify, "counting n-grams")
    kept: dict[str, NDArray[np.generic]] = {}
    chosen: NGramModel | None = None
    for ngrams in itertools.islice(growing, _MOST_KEPT_ORDERS):
        level = encode_level(ngrams)
        if sum(each.nbytes for each in (*kept.values(), *level.values())) * part > most_bytes:
            break
        kept, chosen = kept | level, ngrams
        on_progress(ngrams.highest_order, _MOST_KEPT_ORDERS)
    if chosen is None or chosen.highest_order < 2:
        return None
    on_progress = Work(notify, "learning how far to trust the counts")
    seen = first_tokens(validation, min(len(validation.tokens), _KEPT_GATE_TOKENS) // part)
    mixture = Mixture(network, chosen)
    gate = _learn_gate(mixture, seen, vocabulary.start_id, on_progress, _STEPS // part)
    return encode_counts(kept, gate)


def _learn_gate(
    mixture: Mixture,
    validation: Split,
    start_id: int,
    on_progress: Progress,
    steps: int = _STEPS,
) -> NDArray[np.float64]:
    """Find the gate's weights (features, experts) that minimise the loss on the validation part."""
    with loops_at_work(mixture.network):
        examined = measure_stream(mixture, validation, start_id, mixture.examine, on_progress)
        known = np.concatenate(list(examined))
    features, scores = np.split(known, [len(mixture.gate)], axis=1)
    gate = torch.from_numpy(mixture.gate.copy())
    mean, square = torch.zeros_like(gate), torch.zeros_like(gate)
    random = np.random.default_rng(0)
    for step in range(steps):
        batch = random.integers(len(features), size=_BATCH)
        gradient = _gradient(gate.numpy(), features[batch], scores[batch])
        gate.grad = torch.from_numpy(gradient) + _PENALTY / len(features) * gate
        rate = _RATE * (1 - step / steps)
        adamw_step([gate], [mean], [square], step + 1, [rate], decay=0.0, decays=_DECAYS)
    return np.asarray(gate)


def _gradient(
    gate: NDArray[np.float64], features: NDArray[np.float64], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gradient of the mean of −ln Σ_i g_i p_i: the shares before minus those after the token."""
    logits = features @ gate
    prior = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    joint = logits + scores
    posterior = np.exp(joint - np.logaddexp.reduce(joint, axis=1, keepdims=True))
    gradient: NDArray[np.float64] = features.T @ (prior - posterior) / len(features)
    return gradient
