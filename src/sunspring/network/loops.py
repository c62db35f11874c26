"""The loops of training in C++ (`src/native/training`) that this machine has, and its products.

There is one kind for each number format: float32, and bfloat16 under autocast. They run on the
processor, where they are faster than PyTorch's own operations.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sunspring.machine import forced_instruction_set

try:
    from sunspring.network import fused
except ImportError:  # installed without a compiler
    _HAS_LOOPS = False
else:
    _HAS_LOOPS = True


class Loops:
    """The loops of one instruction set and one number format.

    Args:
        native: the functions in C++.
        dtype: of the activations.
    """

    def __init__(self, native: fused.Float32Loops, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.name = native.name
        self.scan_forward, self.scan_backward = native.scan_forward, native.scan_backward
        self.pointer_forward = native.pointer_forward
        self.pointer_backward = native.pointer_backward
        self.product_size, self.multiply = native.product_size, native.multiply


def find_loops(dtype: torch.dtype) -> Loops | None:
    """Return the fastest loops of a number format, those of the forced instruction set if one is
    forced; None if this machine or this installation has none.
    """
    return _find(dtype, forced_instruction_set()) if _HAS_LOOPS else None


@cache
def _find(dtype: torch.dtype, name: str) -> Loops | None:
    fused.set_threads(torch.get_num_threads())
    find = fused.find_bfloat16_loops if dtype == torch.bfloat16 else fused.find_float32_loops
    native = find(name)
    return None if native is None else Loops(native, dtype)


def loop_names() -> dict[str, str | None]:
    """Return the instruction sets whose loops are used, by number format; None for PyTorch's own."""
    found = {"fp32": find_loops(torch.float32), "bf16": find_loops(torch.bfloat16)}
    return {name: None if loops is None else loops.name for name, loops in found.items()}


def loops_for(weight: Tensor, size: int = 0) -> Loops | None:
    """Return the loops that compute with a weight in this context; None if PyTorch has to.

    Args:
        weight: of the layer.
        size: of the layer's outputs, of which the loops take blocks.
    """
    is_on_processor = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not (_HAS_LOOPS and is_on_processor and size % fused.UNITS_PER_BLOCK == 0):
        return None
    if not torch.is_autocast_enabled("cpu"):
        return find_loops(torch.float32)
    is_bfloat16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
    return find_loops(torch.bfloat16) if is_bfloat16 else None


def multiply(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply two matrices, without a gradient; in float32 by the loops' product.

    Args:
        a: (rows, inner), of any strides.
        b: (inner, columns), of any strides.
        bias: (columns,), added to each row.

    Returns:
        (rows, columns).
    """
    loops = loops_for(a)
    if loops is None or loops.dtype != a.dtype:
        return a @ b if bias is None else torch.addmm(bias, a, b)
    shape = (a.shape[0], a.shape[1], b.shape[1])
    packed, result = a.new_empty(loops.product_size(*shape)), a.new_empty(shape[0], shape[2])
    loops.multiply(a, b, bias, packed, result)
    return result


def linear(values: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply values (…, inputs) with weights (outputs, inputs) and add a bias (outputs,)."""
    loops = loops_for(weights)
    if loops is None or loops.dtype != torch.float32:
        return F.linear(values, weights, bias)
    result: Tensor = _Linear.apply(values, weights, bias)  # type: ignore[no-untyped-call]
    return result


class _Linear(torch.autograd.Function):
    """`F.linear` by `multiply`."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(values, weights)
        flat = values.reshape(-1, values.shape[-1])
        return multiply(flat, weights.T, bias).view(*values.shape[:-1], len(weights))

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weights = ctx.saved_tensors
        of_values, of_weights, of_bias = ctx.needs_input_grad
        flat = gradients.reshape(-1, len(weights))
        return (
            multiply(flat, weights).view(values.shape) if of_values else None,
            multiply(flat.T, values.reshape(-1, values.shape[-1])) if of_weights else None,
            flat.sum(0) if of_bias else None,
        )
