"""An LSTM layer over time: PyTorch's own, or a fused loop where the processor gains from it.

PyTorch starts a small matrix product and a dozen passes over its result at every step. Under bf16
autocast on processors with bfloat16 products, `src/kernels/scan.cpp` does all of a step at once.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

try:
    from sunspring import _kernels
except ImportError:  # installed without a compiler, or for another kind of processor
    _is_fusible = False
else:
    _is_fusible = _kernels.is_supported()


def has_fused_scan() -> bool:
    """Say whether this machine has the fused loop, for bf16 on the processor."""
    return _is_fusible


def run_lstm(
    layer: nn.LSTM, inputs: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Run one batch-first LSTM layer from a state.

    Args:
        layer: of one layer and one direction.
        inputs: (batch, time, input_size).
        state: h and c, each (batch, hidden_size).

    Returns:
        The outputs (batch, time, hidden_size), and h and c after the last step.
    """
    hidden, cell = state
    if _can_fuse(layer, inputs):
        weights: dict[str, Tensor] = dict(layer.named_parameters())
        bias = weights["bias_ih_l0"] + weights["bias_hh_l0"]
        gates = F.linear(inputs, weights["weight_ih_l0"], bias)
        scanned: tuple[Tensor, Tensor] = _Scan.apply(gates, weights["weight_hh_l0"], hidden, cell)  # type: ignore[no-untyped-call]
        outputs, last_cell = scanned
        return outputs, (outputs[:, -1], last_cell)
    outputs, (hidden, cell) = layer(inputs, (hidden.unsqueeze(0), cell.unsqueeze(0)))
    return outputs, (hidden.squeeze(0), cell.squeeze(0))


def _can_fuse(layer: nn.LSTM, inputs: Tensor) -> bool:
    return (
        _is_fusible
        and inputs.device.type == "cpu"
        and torch.is_autocast_enabled("cpu")
        and torch.get_autocast_dtype("cpu") == torch.bfloat16
        and next(layer.parameters()).dtype == torch.float32
        and layer.hidden_size % _kernels.UNITS_PER_BLOCK == 0
    )


class _Scan(torch.autograd.Function):
    """The loop over time as one operation; see `src/kernels/scan.h`."""

    @staticmethod
    def forward(
        ctx: Any, gates: Tensor, weights: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, Tensor]:
        batch, time, _ = gates.shape
        hidden, cell = hidden.bfloat16().contiguous(), cell.float().contiguous()
        outputs = gates.new_empty(batch, time, weights.shape[1])
        activations = torch.empty_like(gates, memory_format=torch.contiguous_format)
        cells = torch.empty(outputs.shape)
        _kernels.scan_forward(
            gates.contiguous(), weights, hidden, cell, _packed(weights), outputs, activations, cells
        )
        ctx.save_for_backward(weights, hidden, cell, outputs, activations, cells)
        return outputs, cells[:, -1].clone()

    @staticmethod
    def backward(ctx: Any, output_gradients: Tensor, cell_gradients: Tensor) -> tuple[Any, ...]:
        weights, hidden, cell, outputs, activations, cells = ctx.saved_tensors
        gradients = torch.empty_like(activations)
        cell_gradients = cell_gradients.clone(memory_format=torch.contiguous_format)
        _kernels.scan_backward(
            output_gradients.bfloat16().contiguous(),
            weights,
            cell,
            outputs,
            activations,
            cells,
            _packed(weights),
            gradients,
            cell_gradients,
        )
        before = torch.cat((hidden.unsqueeze(1), outputs[:, :-1]), dim=1)
        weight_gradient = gradients.flatten(0, 1).T @ before.flatten(0, 1)
        hidden_gradient = gradients[:, 0].float() @ weights if ctx.needs_input_grad[2] else None
        return gradients, weight_gradient.float(), hidden_gradient, cell_gradients


def _packed(weights: Tensor) -> Tensor:
    """Make room for the kernels' own copy of the weights."""
    return torch.empty(_kernels.packed_size(weights.shape[1]), dtype=torch.bfloat16)
