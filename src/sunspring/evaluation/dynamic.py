"""Dynamic evaluation: a network keeps learning as it reads; every token is scored first.

The rule is that of Krause et al. 2018, "Dynamic evaluation of neural sequence models", section 5
(RMS-scaled steps, and a decay back to the trained weights that is stronger where gradients are
large), but the mean square of the gradients is taken over what was read so far, not over the
training text, so that a model alone is enough. The given network is not changed: a copy learns,
and can also be used for writing.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from sunspring.corpus.batches import IGNORED
from sunspring.corpus.splits import Split
from sunspring.errors import SunspringError
from sunspring.evaluation.protocols import Evaluation, evaluation_of, first_tokens
from sunspring.evaluation.settings import LearningSettings
from sunspring.network.config import check_labels
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel, detach
from sunspring.network.predictor import State
from sunspring.notices import Progress, unnoticed

_ALONE: Mapping[str, Mixture | None] = {"dynamic": None}
_EPSILON = 1e-5  # added to a root mean square gradient


def evaluate_dynamic(
    network: RecurrentModel,
    split: Split,
    start_id: int,
    settings: LearningSettings | None = None,
    mixtures: Mapping[str, Mixture | None] = _ALONE,
    on_progress: Progress = unnoticed,
) -> dict[str, Evaluation]:
    """Read a text once in order, and learn from each segment after scoring it.

    Each document starts from a zero state. The weights are carried from document to document, as
    most are too short to learn from alone.

    Args:
        network: on any device; it is not changed.
        split: the text.
        start_id: the token read before a document's first.
        settings: how fast it learns.
        mixtures: by names of the figures, what the learning network's predictions are mixed as;
            None for these alone.
        on_progress: called with the tokens read so far and the total.

    Returns:
        The figures, by the names of `mixtures`.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
        SunspringError: the weights grew without bounds.
    """
    split = first_tokens(split, None)
    nats = dict.fromkeys(mixtures, 0.0)
    contexts: dict[str, Tensor] = {}
    learner = _Learner(network, settings or LearningSettings())
    for segment in _read(learner, split, start_id, on_progress):
        for name, mixture in mixtures.items():
            if mixture is None:
                nats[name] += segment.nats
                continue
            if segment.is_fresh:
                contexts[name] = mixture.initial_state(len(segment.inputs))[-1][0]
            mixed, contexts[name] = mixture.mix(segment.logits, segment.inputs, contexts[name])
            losses = F.nll_loss(
                mixed.flatten(0, 1),
                segment.targets.flatten(),
                ignore_index=IGNORED,
                reduction="sum",
            )
            nats[name] += float(losses)
    return {
        name: evaluation_of(
            "stream", total + split.unseen_nats, len(split.tokens), split.characters
        )
        for name, total in nats.items()
    }


def learn_from(
    network: RecurrentModel,
    split: Split,
    start_id: int,
    settings: LearningSettings | None = None,
    label: int | None = None,
    on_progress: Progress = unnoticed,
) -> RecurrentModel:
    """Learn from a text while reading it, as `evaluate_dynamic` does.

    Args:
        network: on any device; it is not changed.
        split: the text.
        start_id: the token read before a document's first.
        settings: how fast it learns.
        label: label index for all documents, instead of the split's own.
        on_progress: called with the tokens read so far and the total.

    Returns:
        A copy that has learned.

    Raises:
        SettingsError: the model needs labels and the text has none.
        SourceError: the text is empty.
        SunspringError: the weights grew without bounds.
    """
    split = first_tokens(split, None)
    if label is not None:
        split = replace(split, labels=np.full(split.document_count, label, np.uint16))
    learner = _Learner(network, settings or LearningSettings())
    for _ in _read(learner, split, start_id, on_progress):
        pass
    return learner.network.eval()


class _Segment(NamedTuple):
    """A segment that was read.

    Args:
        inputs: (rows, time) tokens.
        targets: (rows, time) the tokens after them; `IGNORED` beyond a row's end.
        logits: (rows, time, vocabulary_size).
        nats: sum of the targets' losses.
        is_fresh: whether all rows begin a document; otherwise a single row continues one.
    """

    inputs: Tensor
    targets: Tensor
    logits: Tensor
    nats: float
    is_fresh: bool


class _Learner:
    """A copy of a network, which learns.

    Args:
        network: to copy.
        settings: how fast it learns.

    Attributes:
        network: the copy.
        settings: as above.
    """

    def __init__(self, network: RecurrentModel, settings: LearningSettings) -> None:
        self.settings = settings
        # cuDNN differentiates its recurrent layers only in training mode; dropout stays off
        self.network = copy.deepcopy(network).train().requires_grad_(True)
        for module in self.network.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
        self._parameters = list(self.network.parameters())
        self._trained = [each.detach().clone() for each in self._parameters]
        self._squares = [torch.zeros_like(each) for each in self._parameters]
        self._steps = 0

    def learn(self, loss: Tensor) -> None:
        """Take a step to lower a loss: Krause et al. 2018, section 5, "RMS + RMS global prior".

        θ ← θ + λ RMS / mean(RMS) (θ₀ − θ) − η ∇L / (RMS + ε), where RMS is the root mean square of
        all gradients so far, and no weight goes back beyond θ₀.
        """
        torch.autograd.backward(loss)
        self._steps += 1
        with torch.no_grad():
            self._update()

    def _update(self) -> None:
        for square, parameter in zip(self._squares, self._parameters, strict=True):
            gradient = cast(Tensor, parameter.grad)
            square.addcmul_(gradient, gradient)
        roots = [(square / self._steps).sqrt_() for square in self._squares]
        mean = sum(float(root.sum()) for root in roots) / sum(root.numel() for root in roots)
        pull = self.settings.decay / mean if mean > 0 else 0.0
        for parameter, trained, root in zip(self._parameters, self._trained, roots, strict=True):
            parameter.lerp_(trained, (pull * root).clamp_(max=1))
            gradient = cast(Tensor, parameter.grad)
            parameter.addcdiv_(gradient, root.add_(_EPSILON), value=-self.settings.rate)
            parameter.grad = None


def _read(
    learner: _Learner, split: Split, start_id: int, on_progress: Progress
) -> Iterator[_Segment]:
    """Read a text segment by segment, and learn from each after yielding it.

    Yields:
        Each segment, as predicted before learning from it.
    """
    network, size = learner.network, learner.settings.segment
    check_labels(network.labels, split.labels)
    state: State = ()
    read = 0
    for documents, offset in _segments(np.asarray(split.starts), size):
        begins = split.starts[documents] + offset
        ends = np.minimum(begins + size, split.starts[documents + 1])
        inputs, targets = _batch(split.tokens, begins, ends, start_id if offset == 0 else None)
        inputs, targets = inputs.to(network.device), targets.to(network.device)
        labels = None
        if split.labels is not None:
            labels = torch.from_numpy(split.labels[documents].astype(np.int64)).to(network.device)
        if offset == 0:
            state = network.initial_state(len(documents))
        with torch.enable_grad():
            logits, state = network(inputs, state, labels)
            nats = F.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
            )
        if not nats.isfinite():
            raise SunspringError(
                "the loss is no longer a number while learning from the text: "
                "choose a smaller learning rate"
            )
        state = detach(state)
        yield _Segment(inputs, targets, logits.detach(), float(nats.detach()), offset == 0)
        learner.learn(nats / size)  # every token weighs the same, even in a short segment
        read += int((ends - begins).sum())
        on_progress(read, len(split.tokens))


def _segments(starts: NDArray[np.int64], size: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Cut documents into segments, which are read between two steps.

    Yields:
        Indices of documents: a long one once for each of its segments, or several short ones that
        fit into a segment together; and how many of their tokens were read before.
    """
    group: list[int] = []
    tokens = 0
    lengths = np.diff(starts).tolist()
    for document, length in enumerate(lengths):
        if group and tokens + length > size:
            yield np.array(group), 0
            group, tokens = [], 0
        if length > size:
            for offset in range(0, length, size):
                yield np.array([document]), offset
        elif length:
            group.append(document)
            tokens += length
    if group:
        yield np.array(group), 0


def _batch(
    tokens: NDArray[np.unsignedinteger[Any]],
    begins: NDArray[np.int64],
    ends: NDArray[np.int64],
    start_id: int | None,
) -> tuple[Tensor, Tensor]:
    """Put stretches of a text into rows (rows, time): the inputs, and the targets after them.

    The first input of each row is the start token, if one is given.
    """
    places = begins[:, None] + np.arange(-1, (ends - begins).max())
    ids = tokens[places.clip(0, len(tokens) - 1)].astype(np.int64)
    if start_id is not None:
        ids[:, 0] = start_id
    targets = np.where(places[:, 1:] < ends[:, None], ids[:, 1:], IGNORED)
    return torch.from_numpy(ids[:, :-1]), torch.from_numpy(targets)
