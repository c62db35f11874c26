"""The fused loop against PyTorch's own layer and against itself in other pieces."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sunspring.recurrence import has_fused_scan, run_lstm

fused = pytest.mark.skipif(
    not has_fused_scan(), reason="no bfloat16 products, or installed without a compiler"
)
INPUTS = 24


def make_layer(hidden: int, seed: int = 0) -> nn.LSTM:
    torch.manual_seed(seed)
    return nn.LSTM(INPUTS, hidden, batch_first=True)


def draw(batch: int, time: int, hidden: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    return torch.randn(batch, time, INPUTS), (
        torch.randn(batch, hidden),
        torch.randn(batch, hidden),
    )


def run_fused(
    layer: nn.LSTM, inputs: Tensor, state: tuple[Tensor, ...]
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    with torch.autocast("cpu", torch.bfloat16):
        outputs, last = run_lstm(layer, inputs, state)
    assert outputs.grad_fn is not None and "Scan" in outputs.grad_fn.name()
    return outputs, last


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one.flatten().float(), other.flatten().float(), dim=0))


@fused
@settings(deadline=None, max_examples=25)
@given(
    batch=st.integers(1, 15),
    time=st.integers(1, 20),
    hidden=st.sampled_from([64, 128, 192]),
)
def test_outputs_state_and_every_gradient_are_those_of_pytorch(
    batch: int, time: int, hidden: int
) -> None:
    layer = make_layer(hidden)
    inputs, state = draw(batch, time, hidden)
    weighting = [torch.randn(batch, time, hidden), *torch.randn(2, batch, hidden)]
    results = []
    for is_fused in (False, True):
        leaves = [each.clone().requires_grad_() for each in (inputs, *state)]
        run = run_fused if is_fused else run_lstm
        outputs, last = run(layer, leaves[0], tuple(leaves[1:]))
        values = [outputs, *last]
        loss = sum((v.float() * w).sum() for v, w in zip(values, weighting, strict=True))
        gradients = torch.autograd.grad(loss, [*leaves, *layer.parameters()])
        results.append((values, gradients))
    (expected, expected_gradients), (found, found_gradients) = results
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other.float(), one, atol=0.03, rtol=0.02)
    for one, other in zip(expected_gradients, found_gradients, strict=True):
        assert other.dtype == one.dtype
        assert cosine(one, other) > 0.999
        torch.testing.assert_close(other.norm(), one.norm(), rtol=0.02, atol=0.02)


@fused
def test_a_row_does_not_depend_on_its_neighbours() -> None:
    layer = make_layer(64)
    inputs, (hidden, cell) = draw(13, 9, 64)
    together, _ = run_fused(layer, inputs, (hidden, cell))
    for row in range(13):
        rows = slice(row, row + 1)
        alone, _ = run_fused(layer, inputs[rows], (hidden[rows], cell[rows]))
        torch.testing.assert_close(alone, together[rows], atol=0, rtol=0)


@fused
def test_a_state_carried_on_equals_one_long_pass() -> None:
    layer = make_layer(128)
    inputs, state = draw(5, 30, 128)
    whole, last = run_fused(layer, inputs, state)
    first, between = run_fused(layer, inputs[:, :11], state)
    second, end = run_fused(layer, inputs[:, 11:], between)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, atol=0, rtol=0)
    torch.testing.assert_close(end, last, atol=0, rtol=0)


@fused
def test_the_number_of_threads_changes_nothing() -> None:
    layer = make_layer(64)
    inputs, state = draw(7, 12, 64)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3, 8):
            torch.set_num_threads(count)
            outputs, _ = run_fused(layer, inputs, state)
            loss = (outputs.float() ** 2).sum()
            results.append(torch.autograd.grad(loss, list(layer.parameters())))
    finally:
        torch.set_num_threads(threads)
    for gradients in results[1:]:
        for one, other in zip(results[0], gradients, strict=True):
            assert cosine(one, other) > 0.99999


@fused
def test_saturated_gates_stay_finite() -> None:
    layer = make_layer(64)
    inputs, state = draw(3, 10, 64)
    leaf = (inputs * 1e4).requires_grad_()
    outputs, _ = run_fused(layer, leaf, state)
    (gradient,) = torch.autograd.grad(outputs.float().sum(), [leaf])
    assert outputs.isfinite().all() and gradient.isfinite().all()
    assert outputs.abs().max() <= 1


@pytest.mark.parametrize("hidden", [1, 20, 100])
def test_other_sizes_take_pytorchs_layer(hidden: int) -> None:
    layer = make_layer(hidden)
    inputs, state = draw(2, 5, hidden)
    expected, _ = layer(inputs, tuple(each.unsqueeze(0) for each in state))
    with torch.autocast("cpu", torch.bfloat16):
        found, (last, _) = run_lstm(layer, inputs, state)
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.02)
    torch.testing.assert_close(last.float(), expected[:, -1], atol=0.03, rtol=0.02)
