"""What training makes small: the loss, and what keeps a model from learning by heart."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sunspring.batches import IGNORED, Batch
from sunspring.model import Reading


@dataclass(frozen=True)
class Objective:
    """The loss, and what is added to it.

    Args:
        activation_penalty: times the mean square of the last layer's outputs plus that of their
            change from token to token (Merity et al. 2017, "Revisiting activation regularization
            for language RNNs"); a penalty on reading a short text by heart.
        network_loss: times the loss of what the network expects without its pointer, if it has
            one. The network would else leave to the pointer what it could know itself.
    """

    activation_penalty: float = 0.0
    network_loss: float = 0.0

    def __call__(self, reading: Reading, batch: Batch) -> tuple[Tensor, Tensor]:
        """Give the loss in nats per token, and what is to be made small."""
        loss = cross_entropy(reading.logits, batch)
        objective = loss
        if self.activation_penalty:
            objective = objective + self.activation_penalty * _activation(reading.outputs)
        if self.network_loss and reading.network_logits is not reading.logits:
            own = cross_entropy(reading.network_logits, batch)
            objective = objective + self.network_loss * own
        return loss, objective


def cross_entropy(logits: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy of a batch's targets, in nats per token."""
    targets = torch.from_numpy(batch.targets).to(logits.device, non_blocking=True)
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORED)


def _activation(outputs: Tensor) -> Tensor:
    """Mean square of a layer's outputs (batch, time, hidden_size), plus that of their changes."""
    outputs = outputs.float()
    return outputs.square().mean() + outputs.diff(dim=1).square().sum() / outputs.numel()
