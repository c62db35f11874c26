"""The loops' products of matrices against PyTorch's."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processors import LOOPS, loops_of

from sunspring.network.loops import linear, multiply

each_loop = pytest.mark.parametrize(
    "name", [name for name, precision in LOOPS if precision == "fp32"]
)
size = st.one_of(st.integers(1, 20), st.integers(1, 600))


@each_loop
@settings(deadline=None, max_examples=60)
@given(rows=size, inner=size, columns=size, flipped=st.tuples(st.booleans(), st.booleans()))
@example(rows=97, inner=513, columns=65, flipped=(True, True))
@example(rows=1, inner=1, columns=1, flipped=(False, False))
def test_are_those_of_pytorch_for_any_sizes_and_strides(
    name: str, rows: int, inner: int, columns: int, flipped: tuple[bool, bool]
) -> None:
    torch.manual_seed(0)
    a = torch.randn(inner, rows).T if flipped[0] else torch.randn(rows, inner)
    b = torch.randn(columns, inner).T if flipped[1] else torch.randn(inner, columns)
    bias = torch.randn(columns) if rows % 2 else None
    with loops_of(name):
        found = multiply(a, b, bias)
    expected = a.double() @ b.double() + (0 if bias is None else bias)
    torch.testing.assert_close(found.double(), expected, atol=2e-5 * inner**0.5, rtol=1e-5)


@each_loop
def test_have_the_gradients_of_pytorchs_linear_layer(name: str) -> None:
    torch.manual_seed(0)
    values = torch.randn(3, 50, 70)
    weights = torch.randn(40, 100)[:, 30:]  # a part of a layer's weights
    bias = torch.randn(40)
    found = []
    for context in (nullcontext(), loops_of(name)):
        leaves = [each.clone().requires_grad_() for each in (values, weights, bias)]
        with context:
            result = linear(*leaves)
            (result * torch.linspace(-1, 1, result.numel()).view(result.shape)).sum().backward()
        found.append([result, *(each.grad for each in leaves)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@each_loop
def test_refuse_what_does_not_fit(name: str) -> None:
    a, b = torch.zeros(3, 4), torch.zeros(4, 5)
    wrong: list[tuple[Any, ...]] = [
        (a, b.T),
        (a, b, torch.zeros(4)),
        (a, b, torch.zeros(5, dtype=torch.float64)),
        (a, b.bfloat16()),
        (a, b, None, torch.bfloat16),
    ]
    with loops_of(name):
        for arguments in wrong:
            with pytest.raises(ValueError, match="do not fit"):
                multiply(*arguments)
