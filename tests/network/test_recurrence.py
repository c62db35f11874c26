"""The fused loops against PyTorch's own layer and against themselves in other pieces."""

import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from processors import LOOPS, loops_of, require_bf16
from torch import Tensor, nn

from sunspring.network.config import ModelConfig
from sunspring.network.loops import find_loops
from sunspring.network.recurrence import Embedded, run_layer

each_loop = pytest.mark.parametrize("loop", LOOPS, ids="-".join)
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
NEAR: dict[str, dict[str, float]] = {
    "bf16": {"atol": 0.04, "rtol": 0.02},
    "fp32": {"atol": 1e-5, "rtol": 1e-4},
}
Loop = tuple[str, str]
INPUTS = 24


def make_layer(hidden: int, width: int = INPUTS) -> nn.LSTM:
    torch.manual_seed(0)
    return nn.LSTM(width, hidden, batch_first=True)


def draw(batch: int, time: int, hidden: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    hidden_state, cell = torch.randn(2, batch, hidden)
    return torch.randn(batch, time, INPUTS), (hidden_state, cell)


def run_fused(
    loop: Loop,
    layer: nn.LSTM,
    inputs: Tensor | None,
    state: tuple[Tensor, ...],
    embedded: Embedded | None = None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    with loops_of(*loop):
        outputs, last = run_layer(layer, inputs, embedded, state)
    assert outputs.grad_fn is not None and "Scan" in outputs.grad_fn.name()
    assert outputs.dtype == DTYPES[loop[1]]
    return outputs, last


def cosine(one: Tensor, other: Tensor) -> float:
    return float(torch.cosine_similarity(one.flatten().float(), other.flatten().float(), dim=0))


@each_loop
@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(1, 15),
    time=st.integers(1, 20),
    hidden=st.sampled_from([64, 128, 192]),
    reads=st.sampled_from(["layer below", "tokens", "both"]),
    vocabulary=st.sampled_from([1, 7, 600]),
    is_table=st.booleans(),
)
def test_outputs_state_and_every_gradient_are_those_of_pytorch(
    loop: Loop, batch: int, time: int, hidden: int, reads: str, vocabulary: int, is_table: bool
) -> None:
    layer = make_layer(hidden, 2 * INPUTS if reads == "both" else INPUTS)
    below, state = draw(batch, time, hidden)
    vectors, tokens = torch.randn(vocabulary, INPUTS), torch.randint(vocabulary, (batch, time))
    weighting = [torch.randn(batch, time, hidden), *torch.randn(2, batch, hidden)]
    results = []
    for is_fused in (False, True):
        leaves = [each.clone().requires_grad_() for each in (below, vectors, *state)]
        below_leaf = None if reads == "tokens" else leaves[0]
        values = F.embedding(tokens, leaves[1])
        embedded = Embedded(values, tokens, leaves[1] if is_table else None)
        seen = None if reads == "layer below" else embedded
        if is_fused:
            outputs, last = run_fused(loop, layer, below_leaf, tuple(leaves[2:]), seen)
        else:
            outputs, last = run_layer(layer, below_leaf, seen, tuple(leaves[2:]))
        values_out = [outputs, *last]
        loss = sum((v.float() * w).sum() for v, w in zip(values_out, weighting, strict=True))
        gradients = torch.autograd.grad(loss, [*leaves, *layer.parameters()], allow_unused=True)
        results.append((values_out, gradients))
    (expected, expected_gradients), (found, found_gradients) = results
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(other.float(), one, **NEAR[loop[1]])
    for one, other in zip(expected_gradients, found_gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert other.dtype == one.dtype
            if loop[1] == "fp32":
                torch.testing.assert_close(other, one, atol=1e-4, rtol=1e-3)
            else:
                assert cosine(one, other) > 0.999
                torch.testing.assert_close(other.norm(), one.norm(), rtol=0.02, atol=0.02)


@each_loop
def test_a_row_does_not_depend_on_its_neighbours(loop: Loop) -> None:
    layer = make_layer(64)
    inputs, (hidden, cell) = draw(13, 9, 64)
    together, _ = run_fused(loop, layer, inputs, (hidden, cell))
    for row in range(13):
        rows = slice(row, row + 1)
        alone, _ = run_fused(loop, layer, inputs[rows], (hidden[rows], cell[rows]))
        torch.testing.assert_close(alone, together[rows], atol=0, rtol=0)


@each_loop
def test_a_state_carried_on_equals_one_long_pass(loop: Loop) -> None:
    layer = make_layer(128)
    inputs, state = draw(5, 30, 128)
    whole, last = run_fused(loop, layer, inputs, state)
    first, between = run_fused(loop, layer, inputs[:, :11], state)
    second, end = run_fused(loop, layer, inputs[:, 11:], between)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, atol=0, rtol=0)
    torch.testing.assert_close(end, last, atol=0, rtol=0)


@each_loop
def test_the_number_of_threads_changes_nothing(loop: Loop) -> None:
    layer = make_layer(64)
    inputs, state = draw(7, 12, 64)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3, 8):
            torch.set_num_threads(count)
            outputs, _ = run_fused(loop, layer, inputs, state)
            loss = (outputs.float() ** 2).sum()
            results.append(torch.autograd.grad(loss, list(layer.parameters())))
    finally:
        torch.set_num_threads(threads)
    for gradients in results[1:]:
        for one, other in zip(results[0], gradients, strict=True):
            assert cosine(one, other) > 0.99999


@each_loop
def test_recurrent_dropout_leaves_out_the_weights_that_pytorchs_layer_would(loop: Loop) -> None:
    layer = make_layer(64)
    inputs, state = draw(3, 10, 64)
    found = []
    for context in (nullcontext(), loops_of(*loop)):
        torch.manual_seed(1)
        with context:
            outputs, _ = run_layer(layer, inputs, None, state, recurrent_dropout=0.5)
        gradient = torch.autograd.grad(outputs.float().pow(2).sum(), layer.weight_hh_l0)[0]
        found.append((outputs.float(), gradient))
    torch.testing.assert_close(found[1][0], found[0][0], atol=0.03, rtol=0.02)
    assert torch.equal(found[1][1] == 0, found[0][1] == 0)
    assert 0.4 < float((found[0][1] == 0).float().mean()) < 0.6


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_layer_is_whole_again_after_a_step_with_recurrent_dropout(kind: type[nn.RNNBase]) -> None:
    torch.manual_seed(0)
    layer = kind(8, 12, batch_first=True)
    inputs, state = torch.randn(2, 5, 8), tuple(torch.randn(2, 2, 12))
    state = state if kind is nn.LSTM else state[:1]
    before, _ = run_layer(layer, inputs, None, state)
    dropped, _ = run_layer(layer, inputs, None, state, recurrent_dropout=0.5)
    after, last = run_layer(layer, inputs, None, state)
    assert not torch.equal(dropped, before)
    assert torch.equal(after, before)
    assert torch.equal(last[0], after[:, -1]) and len(last) == len(state)


@each_loop
def test_saturated_gates_stay_finite(loop: Loop) -> None:
    layer = make_layer(64)
    inputs, state = draw(3, 10, 64)
    leaf = (inputs * 1e4).requires_grad_()
    outputs, _ = run_fused(loop, layer, leaf, state)
    (gradient,) = torch.autograd.grad(outputs.float().sum(), [leaf])
    assert outputs.isfinite().all() and gradient.isfinite().all()
    assert outputs.abs().max() <= 1


@pytest.mark.parametrize("hidden", [1, 20, 100])
def test_other_sizes_take_pytorchs_layer(hidden: int) -> None:
    require_bf16(ModelConfig(2, layers=1, hidden_size=hidden, embedding_size=4))
    layer = make_layer(hidden)
    inputs, state = draw(2, 5, hidden)
    expected, _ = layer(inputs, tuple(each.unsqueeze(0) for each in state))
    with torch.autocast("cpu", torch.bfloat16):
        found, (last, _) = run_layer(layer, inputs, None, state)
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.02)
    torch.testing.assert_close(last.float(), expected[:, -1], atol=0.03, rtol=0.02)


def test_fused_loops_are_there_where_they_can_be() -> None:
    """Else loops that do not compile would only skip the tests above."""
    info = Path("/proc/cpuinfo")
    if shutil.which("c++") is None or not info.exists():
        pytest.skip("no compiler, or a system other than Linux")
    flags = info.read_text()
    with loops_of("scalar"):
        pass
    if "fma" in flags.split() and "avx2" in flags.split():
        with loops_of("avx2"):
            pass
    if "avx512_bf16" in flags:
        with loops_of("avx512", "bf16"):
            pass


def arguments_of_forward(dtype: torch.dtype) -> dict[str, Any]:
    """Right arguments of the fused loop for two rows of three tokens and 64 units, in its order."""
    empty = torch.empty
    return {
        "dense": None,
        "table": torch.zeros(5, 256, dtype=dtype),
        "tokens": torch.tensor([[0, 1, 2], [3, 4, 0]]),
        "weights": torch.zeros(256, 64),
        "hidden": torch.zeros(2, 64, dtype=dtype),
        "cell": torch.zeros(2, 64),
        "packed": empty(4 * 64 * 64, dtype=dtype),
        "outputs": empty(2, 3, 64, dtype=dtype),
        "gates": empty(2, 3, 256, dtype=dtype),
        "cells": empty(2, 3, 64),
    }


def scan_forward(loop: Loop, values: dict[str, Any]) -> None:
    with loops_of(*loop):
        loops = find_loops(DTYPES[loop[1]])
    assert loops is not None
    loops.scan_forward(*values.values())


@each_loop
def test_fused_loop_takes_right_arguments(loop: Loop) -> None:
    values = arguments_of_forward(DTYPES[loop[1]])
    scan_forward(loop, values)
    assert torch.equal(values["outputs"], torch.zeros(2, 3, 64, dtype=DTYPES[loop[1]]))


@pytest.mark.parametrize(
    "changes",
    [
        {"table": None},
        {"tokens": None},
        {"tokens": torch.tensor([[0, 1, 2], [3, 5, 0]])},
        {"tokens": torch.tensor([[0, 1, 2], [3, -1, 0]])},
        {"tokens": torch.zeros(2, 4, dtype=torch.int64)},
        {"tokens": torch.zeros(2, 3)},
        {"table": torch.zeros(5, 255)},
        {"dense": torch.zeros(2, 4, 256)},
        {"weights": torch.zeros(256, 63)},
        {"weights": torch.zeros(64, 256).T},
        {"hidden": torch.zeros(2, 64, dtype=torch.bfloat16)},
        {"cell": torch.zeros(3, 64)},
        {"packed": torch.zeros(64)},
        {"packed": torch.zeros(4 * 64 * 64 + 1)[1:]},
        {"gates": torch.zeros(2, 3, 64)},
        {"cells": torch.zeros(1, 3, 64)},
    ],
    ids=lambda changes: ", ".join(changes),
)
def test_fused_loop_refuses_what_would_lead_it_astray(changes: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        scan_forward(("scalar", "fp32"), {**arguments_of_forward(torch.float32), **changes})
