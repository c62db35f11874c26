"""Optimisers for a recurrent model and the schedule of their learning rates.

Muon orthogonalises the updates of the recurrent layers' matrices; AdamW does the rest (embedding,
head, biases), or everything. One factor, which depends on the budget spent, scales the rates of
both. Both are written out here for learners to read, and because PyTorch's import its compiler,
which takes longer than everything else before the first step (bench/cli/startup.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from sunspring.network.loops import find_loops, multiply
from sunspring.network.network import RecurrentModel
from sunspring.training.recipe import OptimizerSettings

_MEAN_DECAY = 0.9  # β₁ of AdamW
_EPSILON = 1e-8  # of AdamW
_MOMENTUM = 0.95  # of Muon
_SAFETY = 1.02
_POLAR_EXPRESS = (  # a x + b x³ + c x⁵, each optimal on the interval left by the one before
    (7.711, -22.114, 16.249),
    (3.2153, -2.4112, 0.5013),
    (2.2183, -1.594, 0.41075),
)


class Optimizers:
    """The optimisers of one model, stepped together.

    Args:
        model: its parameters are updated.
        settings: kinds and learning rates.
    """

    def __init__(self, model: RecurrentModel, settings: OptimizerSettings) -> None:
        matrices, rest = parameter_groups(model)
        if settings.optimizer == "adamw":
            matrices, rest = [], [*rest, *matrices]
        heads = set(map(id, model.head.parameters())) - {id(model.embedding.weight)}
        self._settings = settings
        self._matrices, self._rest = matrices, rest
        self._factors = [settings.head_rate_factor if id(each) in heads else 1.0 for each in rest]
        self._steps = 0
        self._momenta = [torch.zeros_like(each) for each in matrices]
        self._means = [torch.zeros_like(each) for each in rest]
        self._squares = [torch.zeros_like(each) for each in rest]

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Clip the gradients, update at `factor` times the rates, clear the gradients."""
        settings = self._settings
        if settings.clip_norm:
            torch.nn.utils.clip_grad_norm_([*self._rest, *self._matrices], settings.clip_norm)
        self._steps += 1
        rate, decay = factor * settings.learning_rate, settings.weight_decay
        decays = (_MEAN_DECAY, settings.second_moment_decay)
        rates = [times * rate for times in self._factors]
        adamw_step(self._rest, self._means, self._squares, self._steps, rates, decay, decays)
        rate = factor * settings.muon_learning_rate * settings.muon_every
        for index, (parameter, momentum) in enumerate(
            zip(self._matrices, self._momenta, strict=True)
        ):
            if parameter.grad is not None:
                momentum.lerp_(parameter.grad, 1 - _MOMENTUM)
                if (self._steps + index) % settings.muon_every == 0:  # spread over the steps
                    _muon_step(parameter, momentum, rate, decay)
        for parameter in (*self._rest, *self._matrices):
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Copy everything that the next step depends on, as named tensors for a checkpoint."""
        copies = {name: tensor.clone() for name, tensor in self._tensors().items()}
        return {"steps": torch.tensor(self._steps), **copies}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore a copy of what `state` returned."""
        self._steps = int(tensors["steps"])
        for name, tensor in self._tensors().items():
            tensor.copy_(tensors[name])

    def _tensors(self) -> dict[str, Tensor]:
        kinds = {"mean": self._means, "square": self._squares, "momentum": self._momenta}
        return {
            f"{kind}.{index}": tensor
            for kind, tensors in kinds.items()
            for index, tensor in enumerate(tensors)
        }


def adamw_step(
    parameters: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    steps: int,
    rates: Sequence[float],
    decay: float,
    decays: tuple[float, float],
) -> None:
    """Update parameters by AdamW (Loshchilov & Hutter 2019, algorithm 2).

    Args:
        parameters: of any shapes; those without a `grad` are not changed.
        means: running means of the gradients, of the same shapes; updated too.
        squares: running means of their squares, likewise.
        steps: number of steps taken, including this one.
        rates: learning rates of this step, one for each parameter.
        decay: weight decay, multiplied by the rates.
        decays: β₁ and β₂, for the two means.
    """
    learned = [index for index, each in enumerate(parameters) if each.grad is not None]
    if not learned:
        return
    # each operation on all at once: on a GPU launching one takes longer than running it
    values = [parameters[index] for index in learned]
    gradients = [cast(Tensor, each.grad) for each in values]
    first = [means[index] for index in learned]
    second = [squares[index] for index in learned]
    torch._foreach_lerp_(first, gradients, 1 - decays[0])
    torch._foreach_mul_(second, decays[1])
    torch._foreach_addcmul_(second, gradients, gradients, 1 - decays[1])
    scales = torch._foreach_div(second, 1 - decays[1] ** steps)
    torch._foreach_sqrt_(scales)
    torch._foreach_add_(scales, _EPSILON)
    torch._foreach_mul_(values, [1 - rates[index] * decay for index in learned])
    corrected = [-rates[index] / (1 - decays[0] ** steps) for index in learned]
    torch._foreach_addcdiv_(values, first, scales, corrected)


def _muon_step(parameter: Tensor, momentum: Tensor, rate: float, decay: float) -> None:
    """Update a matrix by its orthogonalised Nesterov momentum."""
    gradient = cast(Tensor, parameter.grad)
    update = orthogonalise(gradient.lerp(momentum, _MOMENTUM))
    height, width = parameter.shape
    parameter.mul_(1 - rate * decay)
    parameter.add_(update, alpha=-rate * max(1.0, height / width) ** 0.5)


def orthogonalise(matrix: Tensor) -> Tensor:
    """Bring the singular values of a matrix near one.

    Three polynomials in the matrix bring singular values between 0.02 and 1 times its norm to
    within 10 % of one, and multiply smaller ones by 53: the best that three successive quintic
    polynomials can do (Amsel et al. 2025, "The Polar Express", algorithm 1).

    Computed in bfloat16 where products in it are fast.

    Args:
        matrix: (height, width).

    Returns:
        (height, width), with the same singular vectors.
    """
    # keep singular values below one even after rounding: above it the polynomials diverge
    norm = torch.linalg.vector_norm(matrix).clamp(min=1e-12)
    scaled: Tensor = matrix / (_SAFETY * norm)
    is_tall = matrix.shape[0] > matrix.shape[1]
    if matrix.device.type == "cpu" and find_loops(torch.bfloat16) is None:
        factor = _polar_factor(
            multiply(scaled.T, scaled) if is_tall else multiply(scaled, scaled.T)
        )
        return multiply(scaled, factor) if is_tall else multiply(factor, scaled)
    flat = scaled.bfloat16()
    for a, b, c in _POLAR_EXPRESS:
        gram = multiply(flat.T, flat) if is_tall else multiply(flat, flat.T)
        even = multiply(gram, gram, dtype=torch.float32).mul_(c).add_(gram, alpha=b).bfloat16()
        factors = (flat, even) if is_tall else (even, flat)
        flat = multiply(*factors, dtype=torch.float32).add_(flat, alpha=a).bfloat16()
    return flat


def _polar_factor(gram: Tensor) -> Tensor:
    """Return the matrix that brings singular values near one, from the squares of these.

    All is done on the smaller side of the original matrix, which takes float32: in bfloat16 the
    squares of small singular values would be lost.

    Args:
        gram: (size, size) the original times its transpose.
    """
    factor: Tensor | None = None
    for index, (a, b, c) in enumerate(_POLAR_EXPRESS):
        step = multiply(gram, gram).mul_(c).add_(gram, alpha=b)
        step.diagonal().add_(a)
        factor = step if factor is None else multiply(factor, step)
        if index + 1 < len(_POLAR_EXPRESS):
            gram = multiply(multiply(step, gram), step)
    assert factor is not None
    return factor


def parameter_groups(model: RecurrentModel) -> tuple[list[Tensor], list[Tensor]]:
    """Separate the recurrent layers' matrices, which Muon may update, from everything else."""
    matrices: list[Tensor] = [each for each in model.layers.parameters() if each.ndim == 2]
    theirs = {id(parameter) for parameter in matrices}
    rest: list[Tensor] = [each for each in model.parameters() if id(each) not in theirs]
    return matrices, rest


def rate_factor(spent: float, step: int, warmup_steps: int) -> float:
    """Return the factor on the learning rates: a linear rise, and a linear fall to zero.

    Args:
        spent: share of the budget spent, 0 to 1.
        step: number of steps taken.
        warmup_steps: number of steps over which it rises.
    """
    return min(1.0, (step + 1) / (warmup_steps + 1)) * max(0.0, 1.0 - spent)
