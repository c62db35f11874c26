"""Optimisers for a recurrent model and the schedule of their rates.

Muon orthogonalises the updates of the recurrent layers' matrices; AdamW does the rest (embedding,
head, biases), or everything. The rates of both follow one factor of the budget spent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Optimizer

from sunspring.errors import SettingsError
from sunspring.model import RecurrentModel


@dataclass(frozen=True)
class OptimizerSettings:
    """How the weights are learned.

    Args:
        optimizer: `adamw` for everything (Loshchilov & Hutter 2019), or `muon` (Jordan et al.
            2024) for the recurrent layers' matrices and AdamW for the rest.
        learning_rate: of AdamW.
        muon_learning_rate: of Muon.
        weight_decay: of both, decoupled.
        second_moment_decay: β₂ of AdamW.
        warmup_steps: steps over which the rates rise linearly from zero.
        clip_norm: the gradient's norm is scaled down to this; 0 leaves it as it is.
    """

    optimizer: Literal["adamw", "muon"] = "muon"
    learning_rate: float = 3e-3
    muon_learning_rate: float = 0.02
    weight_decay: float = 0.01
    second_moment_decay: float = 0.99
    warmup_steps: int = 50
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.optimizer not in ("adamw", "muon"):
            raise SettingsError(f"optimizer is {self.optimizer!r}: choose adamw or muon")
        for name in ("learning_rate", "muon_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"{name} is {getattr(self, name)}: it must be above 0")
        for name in ("weight_decay", "warmup_steps", "clip_norm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"{name} is {getattr(self, name)}: it must be at least 0")
        if not 0 < self.second_moment_decay < 1:
            raise SettingsError(
                f"second_moment_decay is {self.second_moment_decay}: it must lie between 0 and 1"
            )


class Optimizers:
    """The optimisers of one model, stepped together.

    Args:
        model: whose parameters are learned.
        settings: rates and kinds.
    """

    def __init__(self, model: RecurrentModel, settings: OptimizerSettings) -> None:
        matrices, rest = parameter_groups(model)
        if settings.optimizer == "adamw":
            matrices, rest = [], [*rest, *matrices]
        self._parameters = [*rest, *matrices]
        self._clip_norm = settings.clip_norm
        self._optimizers: list[Optimizer] = [
            torch.optim.AdamW(
                rest,
                lr=settings.learning_rate,
                betas=(0.9, settings.second_moment_decay),
                weight_decay=settings.weight_decay,
            )
        ]
        if matrices:
            self._optimizers.append(
                torch.optim.Muon(
                    matrices,
                    lr=settings.muon_learning_rate,
                    momentum=0.95,
                    weight_decay=settings.weight_decay,
                )
            )
        self._rates: list[float] = [each.param_groups[0]["lr"] for each in self._optimizers]

    def step(self, factor: float) -> None:
        """Clip the gradients, update at `factor` times the rates, clear the gradients."""
        if self._clip_norm:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        for optimizer, rate in zip(self._optimizers, self._rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, Tensor]:
        """Copy everything that the next step depends on, as named tensors for a checkpoint."""
        return {
            f"{number}.{index}.{name}": torch.as_tensor(value).clone()
            for number, optimizer in enumerate(self._optimizers)
            for index, values in optimizer.state_dict()["state"].items()
            for name, value in values.items()
        }

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take up a copy of what `state` gave."""
        for number, optimizer in enumerate(self._optimizers):
            described = optimizer.state_dict()
            state: dict[int, dict[str, Any]] = {}
            for key, tensor in tensors.items():
                owner, index, name = key.split(".", 2)
                if int(owner) == number:
                    state.setdefault(int(index), {})[name] = tensor.clone()
            optimizer.load_state_dict({**described, "state": state})


def parameter_groups(model: RecurrentModel) -> tuple[list[Tensor], list[Tensor]]:
    """Separate the recurrent layers' matrices, which Muon may learn, from everything else."""
    matrices: list[Tensor] = [each for each in model.layers.parameters() if each.ndim == 2]
    theirs = {id(parameter) for parameter in matrices}
    rest: list[Tensor] = [each for each in model.parameters() if id(each) not in theirs]
    return matrices, rest


def rate_factor(spent: float, step: int, warmup_steps: int) -> float:
    """Give the factor of the learning rates: a linear rise, and a linear fall to zero.

    Args:
        spent: share of the budget spent, 0 to 1.
        step: number of steps taken.
        warmup_steps: steps of the rise.
    """
    return min(1.0, (step + 1) / (warmup_steps + 1)) * max(0.0, 1.0 - spent)
