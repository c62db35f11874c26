"""The loops of training in C++ (`src/native/training`) that this machine has, and its products.

There is one kind for each number format: float32, and bfloat16 under autocast. They run on the
processor, where they are faster than PyTorch's own operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sunspring.machine import forced_instruction_set

try:
    from sunspring.network import fused
except ImportError:  # installed without a compiler
    _HAS_LOOPS = False
else:
    _HAS_LOOPS = True


_FORMATS = (torch.float32, torch.bfloat16)
_are_at_work = False  # see `loops_at_work`


class Loops:
    """The loops of one instruction set and one number format.

    Args:
        native: the functions in C++.
        dtype: of the activations.
    """

    def __init__(self, native: fused.Float32Loops, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.name = native.name
        self.queries_per_block = fused.QUERIES_PER_BLOCK
        self.scan_forward, self.scan_backward = native.scan_forward, native.scan_backward
        self.pointer_forward = native.pointer_forward
        self.pointer_backward = native.pointer_backward
        self.product_size, self.multiply = native.product_size, native.multiply
        self.sum_by_token = native.sum_by_token


def find_loops(dtype: torch.dtype) -> Loops | None:
    """Return the fastest loops of a number format, those of the forced instruction set if one is
    forced; None if this machine or this installation has none.
    """
    return _find(dtype, forced_instruction_set()) if _HAS_LOOPS else None


@cache
def _find(dtype: torch.dtype, name: str) -> Loops | None:
    find = fused.find_bfloat16_loops if dtype == torch.bfloat16 else fused.find_float32_loops
    native = find(name)
    return None if native is None else Loops(native, dtype)


def loop_names() -> dict[str, str | None]:
    """Return the instruction sets of the loops, by number format; None for PyTorch's own."""
    found = {"fp32": find_loops(torch.float32), "bf16": find_loops(torch.bfloat16)}
    return {name: None if loops is None else loops.name for name, loops in found.items()}


def loops_for(weight: Tensor, size: int = 0) -> Loops | None:
    """Return the loops that compute with a weight in this context; None if PyTorch has to.

    They do so within `loops_at_work`, in float32, or in bfloat16 under autocast.

    Args:
        weight: of the layer.
        size: of the layer's outputs, of which the loops take blocks.
    """
    is_on_processor = weight.device.type == "cpu" and weight.dtype == torch.float32
    if not (_are_at_work and is_on_processor and size % fused.UNITS_PER_BLOCK == 0):
        return None
    if not torch.is_autocast_enabled("cpu"):
        return find_loops(torch.float32)
    is_bfloat16 = torch.get_autocast_dtype("cpu") == torch.bfloat16
    return find_loops(torch.bfloat16) if is_bfloat16 else None


@contextmanager
def one_thread() -> Iterator[None]:
    """Leave one thread to PyTorch: several spin while they wait, which beside another program may
    make them a hundred times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def loops_at_work(model: nn.Module | None = None) -> Iterator[None]:
    """Let the loops compute, in as many threads as PyTorch has, and leave one thread to PyTorch.

    What PyTorch has to do beside them is little, and its threads would be in their way: they spin
    while they wait.

    Args:
        model: what is computed; nothing changes if its layers are none that the loops can take.
    """
    global _are_at_work
    if not _HAS_LOOPS or not (model is None or _can_take(model)):
        yield
        return
    before = _are_at_work
    _are_at_work = True
    if not before:
        fused.set_threads(torch.get_num_threads())
    try:
        with one_thread():
            yield
    finally:
        _are_at_work = before


def _can_take(model: nn.Module) -> bool:
    layers = [each for each in model.modules() if isinstance(each, nn.RNNBase)]
    return all(
        isinstance(each, nn.LSTM)
        and each.hidden_size % fused.UNITS_PER_BLOCK == 0
        and each.weight_hh_l0.device.type == "cpu"
        for each in layers
    )


def multiply(
    a: Tensor, b: Tensor, bias: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Multiply two matrices, without a gradient; by the loops' product, if there is one for them.

    Args:
        a: (rows, inner), of any strides.
        b: (inner, columns), of any strides, in the same format.
        bias: (columns,), added to each row, in float32.
        dtype: of the result: that of the factors or float32; None for that of the factors.

    Returns:
        (rows, columns).
    """
    dtype = a.dtype if dtype is None else dtype
    is_theirs = _are_at_work and a.device.type == "cpu" and a.dtype in _FORMATS
    loops = find_loops(a.dtype) if is_theirs else None
    if loops is None:
        product = a @ b if bias is None else torch.addmm(bias.to(a.dtype), a, b)
        return product.to(dtype)
    (rows, inner), columns = a.shape, b.shape[1]
    fits = b.shape[0] == inner and b.dtype == a.dtype and dtype in (a.dtype, torch.float32)
    if not fits or not (bias is None or (bias.dtype == torch.float32 and len(bias) == columns)):
        raise ValueError("the factors, the bias or the format of the result do not fit")
    bias = None if bias is None else bias.contiguous()
    packed = a.new_empty(loops.product_size(rows, inner, columns))
    result = a.new_empty(rows, columns, dtype=dtype)
    loops.multiply(
        rows,
        inner,
        columns,
        (a.data_ptr(), a.stride(0), a.stride(1)),
        (b.data_ptr(), b.stride(0), b.stride(1)),
        0 if bias is None else bias.data_ptr(),
        packed.data_ptr(),
        result.data_ptr(),
        dtype == a.dtype,
    )
    return result


def linear(values: Tensor, weights: Tensor, bias: Tensor | None = None) -> Tensor:
    """Multiply values (…, inputs) with weights (outputs, inputs) and add a bias (outputs,)."""
    loops = loops_for(weights)
    if loops is None:
        return F.linear(values, weights, bias)
    result: Tensor = _Linear.apply(  # type: ignore[no-untyped-call]
        values.to(loops.dtype), weights, bias
    )
    return result


class _Linear(torch.autograd.Function):
    """`F.linear` by `multiply`, in the format of the values."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
        weights = weights.to(values.dtype)
        ctx.save_for_backward(values, weights)
        flat = values.reshape(-1, values.shape[-1])
        return multiply(flat, weights.T, bias).view(*values.shape[:-1], len(weights))

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor | None, ...]:
        values, weights = ctx.saved_tensors
        of_values, of_weights, of_bias = ctx.needs_input_grad
        flat, inputs = gradients.reshape(-1, len(weights)), values.reshape(-1, values.shape[-1])
        return (
            multiply(flat, weights).view(values.shape) if of_values else None,
            multiply(flat.T, inputs, dtype=torch.float32) if of_weights else None,
            flat.sum(0, dtype=torch.float32) if of_bias else None,
        )
