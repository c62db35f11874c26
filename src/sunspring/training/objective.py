"""What training minimises: the loss, and terms that curb overfitting."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import once_differentiable

from sunspring.corpus.batches import IGNORED, Batch
from sunspring.network.network import NetworkOutput, RecurrentModel
from sunspring.network.predictor import State
from sunspring.training.recipe import ObjectiveSettings


class Sequences(NamedTuple):
    """A batch on a model's device; see `Batch`."""

    inputs: Tensor
    targets: Tensor
    fresh: Tensor
    labels: Tensor | None


def to_device(batch: Batch, device: torch.device) -> Sequences:
    """Copy a batch to a model's device; a GPU keeps working meanwhile."""

    def bring(values: NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(values)
        if device.type == "cuda":
            tensor = tensor.pin_memory()  # copying from any other memory would block
        return tensor.to(device, non_blocking=True)

    labels = None if batch.labels is None else bring(batch.labels)
    return Sequences(bring(batch.inputs), bring(batch.targets), bring(batch.fresh), labels)


def objective_of(
    output: NetworkOutput, targets: Tensor, settings: ObjectiveSettings
) -> tuple[Tensor, Tensor]:
    """Return the loss in nats per token, and the objective to minimise: the loss plus terms.

    Args:
        output: the network's.
        targets: (batch, time) ids.
        settings: which terms to add.
    """
    losses, network_losses = output.losses(targets)
    counted = (targets != IGNORED).sum()
    loss = losses.sum() / counted
    objective = loss
    if settings.activation_penalty:
        penalty: Tensor = _Activation.apply(output.hidden)  # type: ignore[no-untyped-call]
        objective = objective + settings.activation_penalty * penalty
    if settings.network_loss and output.pointing is not None:
        objective = objective + settings.network_loss * network_losses.sum() / counted
    return loss, objective


def run_batch(
    model: RecurrentModel, sequences: Sequences, state: State, bf16: bool
) -> NetworkOutput:
    """Run a model over a batch from a state, or from a fresh one in rows that begin a stretch.

    Args:
        model: on any device.
        sequences: the batch, on the same device.
        state: with as many rows.
        bf16: whether to compute matrix products in bfloat16, under autocast.
    """
    state = _restart(model, state, sequences.fresh)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
        return model.outputs(sequences.inputs, state, sequences.labels)


def _restart(model: RecurrentModel, state: State, fresh: Tensor) -> State:
    """Reset the rows that begin a stretch to the fresh state."""
    if fresh.device.type == "cpu" and not fresh.any():  # on a GPU the check would have to wait
        return state
    return tuple(
        tuple(
            torch.where(fresh.view(-1, *[1] * (old.ndim - 1)), new.to(old.dtype), old)
            for new, old in zip(news, olds, strict=True)
        )
        for news, olds in zip(model.initial_state(1), state, strict=True)
    )


class _Activation(torch.autograd.Function):
    """Mean square of a layer's outputs (batch, time, hidden_size), plus that of their changes, in
    fewer passes than separate operations would make.
    """

    @staticmethod
    def forward(ctx: Any, outputs: Tensor) -> Tensor:
        values = outputs.float()
        changes = values.diff(dim=1)
        ctx.save_for_backward(values, changes)
        ctx.dtype = outputs.dtype
        squares: Tensor = values.norm().square() + changes.norm().square()
        return squares / outputs.numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        saved: tuple[Tensor, Tensor] = ctx.saved_tensors
        values, changes = saved
        factor = 2 * gradient / values.numel()
        of_outputs, of_changes = values * factor, changes * factor
        of_outputs[:, 1:] += of_changes
        of_outputs[:, :-1] -= of_changes
        return of_outputs.to(ctx.dtype)
