"""The gradients of a training step: forward, loss, backward.

On a GPU a step is a thousand small operations, each of which takes longer to launch than to run.
So they are recorded once (in a CUDA graph) and launched together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from sunspring.network.network import RecurrentModel, detach
from sunspring.network.predictor import State
from sunspring.training.objective import Sequences, objective_of, run_batch
from sunspring.training.recipe import ObjectiveSettings

_SETTLED = 3  # batches of a shape until algorithms and number formats are settled
_MOST_RECORDINGS = 8  # each holds the memory of a step

Gradients = Callable[[Sequences, State], tuple[Tensor, State]]
"""Runs a batch from a state and sets the parameters' gradients; returns the loss in nats per
token, which the next call may overwrite, and the next state."""


def gradients_of(model: RecurrentModel, objective: ObjectiveSettings, bf16: bool) -> Gradients:
    """Return a function that computes a model's gradients as fast as its device can.

    Args:
        model: already on its device.
        objective: what to add to the loss.
        bf16: whether to compute matrix products in bfloat16.
    """

    def compute(sequences: Sequences, state: State) -> tuple[Tensor, State]:
        output = run_batch(model, sequences, state, bf16)
        loss, total = objective_of(output, sequences.targets, objective)
        torch.autograd.backward(total)
        return loss.detach(), detach(output.state)

    if model.device.type == "cuda":
        return _RecordedGradients(compute, list(model.parameters()))
    return compute


class _RecordedGradients:
    """Records the computation once for each shape of batch, and replays it.

    Args:
        compute: what to record.
        parameters: their gradients are set.
    """

    def __init__(self, compute: Gradients, parameters: Sequence[Tensor]) -> None:
        self._compute = compute
        self._parameters = parameters
        self._seen: Counter[torch.Size] = Counter()
        self._recordings: dict[torch.Size, _Recording] = {}

    def __call__(self, sequences: Sequences, state: State) -> tuple[Tensor, State]:
        shape = sequences.inputs.shape
        if shape not in self._recordings:
            self._seen[shape] += 1
            if self._seen[shape] <= _SETTLED or len(self._recordings) == _MOST_RECORDINGS:
                return self._compute(sequences, state)
            self._recordings[shape] = _Recording(self._compute, self._parameters, sequences, state)
        return self._recordings[shape].replay(sequences, state)


class _Recording:
    """A CUDA graph of the gradients of a batch, with inputs and outputs at fixed addresses."""

    def __init__(
        self,
        compute: Gradients,
        parameters: Sequence[Tensor],
        sequences: Sequences,
        state: State,
    ) -> None:
        self._parameters = parameters
        inputs, targets, fresh, labels = sequences
        labels = None if labels is None else labels.clone()
        self._sequences = Sequences(inputs.clone(), targets.clone(), fresh.clone(), labels)
        self._state: State = tuple(tuple(each.clone() for each in layer) for layer in state)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._loss, new_state = compute(self._sequences, self._state)
            for old, new in zip(_flat(self._state), _flat(new_state), strict=True):
                old.copy_(new)
        self._gradients = [parameter.grad for parameter in parameters]

    def replay(self, sequences: Sequences, state: State) -> tuple[Tensor, State]:
        """Compute again, for another batch of the same shape."""
        for old, new in zip(self._sequences, sequences, strict=True):
            if old is not None and new is not None:
                old.copy_(new)
        for old, new in zip(_flat(self._state), _flat(state), strict=True):
            if old is not new:
                old.copy_(new)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._loss, self._state


def _flat(state: State) -> Iterator[Tensor]:
    return (each for layer in state for each in layer)
