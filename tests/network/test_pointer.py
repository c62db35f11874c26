"""The pointer's fused loops against what PyTorch makes of the same operations in float32."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processors import LOOPS, loops_of
from torch import Tensor

from sunspring.corpus.batches import IGNORED
from sunspring.network.attention import Pointer
from sunspring.network.config import ModelConfig
from sunspring.network.loops import Loops, find_loops
from sunspring.network.network import RecurrentModel, detach
from sunspring.network.predictor import State

each_loop = pytest.mark.parametrize("loop", LOOPS, ids="-".join)
Loop = tuple[str, str]


def computing(loop: Loop | None) -> AbstractContextManager[None]:
    """With some loops, or with PyTorch's own operations."""
    return nullcontext() if loop is None else loops_of(*loop)


FEATURES = 24


def make_pointer(reach: int, size: int = 64, sharpness: float = 1.0) -> Pointer:
    """A pointer whose queries are not its keys, and that is used."""
    torch.manual_seed(0)
    pointer = Pointer(FEATURES, reach, size)
    with torch.no_grad():
        pointer.query.weight.normal_(std=FEATURES**-0.5)
        pointer.share.weight.normal_(std=FEATURES**-0.5)
        pointer.share.bias.zero_()
        pointer.sharpness.fill_(sharpness)
    return pointer


class Case(NamedTuple):
    """What a pointer is given: a state that has read `filled` tokens, and what comes after it;
    bfloat16 holds all."""

    features: Tensor
    tokens: Tensor
    targets: Tensor
    state: tuple[Tensor, Tensor]
    logits: Tensor


def draw(pointer: Pointer, vocabulary: int, batch: int, time: int, filled: int) -> Case:
    keys, read = pointer.initial(batch)
    if filled:
        keys[:, -filled:].normal_()
        read[:, -filled:] = torch.randint(vocabulary, (batch, filled))
    features = torch.randn(batch, time, FEATURES).bfloat16().float()
    tokens = torch.randint(vocabulary, (batch, time))
    targets = torch.randint(vocabulary, (batch, time))
    targets[torch.rand(batch, time) < 0.1] = IGNORED
    logits = torch.randn(batch, time, vocabulary).bfloat16().float()
    return Case(features, tokens, targets, (keys.bfloat16(), read), logits)


def names(tensor: Tensor) -> set[str]:
    """Every operation behind a tensor."""
    found, left = set(), [tensor.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in found:
            found.add(node)
            left += [each for each, _ in node.next_functions]
    return {node.name() for node in found}


def network_losses(case: Case) -> Tensor:
    """What the targets cost without a pointer, with what does not count at zero."""
    losses = F.cross_entropy(case.logits.transpose(1, 2), case.targets, reduction="none")
    return losses.requires_grad_()


def run(
    pointer: Pointer, case: Case, loop: Loop | None
) -> tuple[Tensor, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Probabilities of the targets, the state, and the gradients of everything that has one."""
    leaves = [
        network_losses(case).detach().requires_grad_(),
        case.features.clone().requires_grad_(),
    ]
    with computing(loop):
        pointing, last = pointer(leaves[1], case.tokens, case.state)
        losses = pointing.losses(leaves[0], case.targets)
    assert ("_PointBackward" in names(losses)) == (loop is not None)
    weighting = torch.randn(losses.shape, generator=torch.Generator().manual_seed(2))
    loss = ((-losses).exp() * weighting).sum()
    gradients = torch.autograd.grad(loss, [*leaves, *pointer.parameters()])
    return (-losses).exp(), last, gradients


def total_probability(pointer: Pointer, case: Case, loop: Loop) -> Tensor:
    """Sum by the fused loops over all tokens, (batch, time); of those that are nowhere, at once."""
    with computing(loop), torch.no_grad():
        pointing, _ = pointer(case.features, case.tokens, case.state)
        expected = case.logits.log_softmax(dim=-1)
        total = torch.zeros(case.targets.shape)
        present = set(pointing.followers.unique().tolist()) - {-1}
        for token in sorted(present):
            targets = torch.full_like(case.targets, token)
            total += (-pointing.losses(-expected[..., token], targets)).exp()
        absent = [token for token in range(case.logits.shape[-1]) if token not in present]
        if absent:
            rest = expected[..., absent].logsumexp(dim=-1)
            nowhere = torch.full_like(case.targets, absent[0])
            total += (-pointing.losses(-rest, nowhere)).exp()
    return total


def assert_near(found: Tensor, expected: Tensor, share: float, atol: float = 1e-6) -> None:
    """In the mean over the values, whose own sizes differ widely."""
    assert found.dtype == expected.dtype
    distance, norm = float((found - expected).detach().norm()), float(expected.detach().norm())
    assert distance <= share * norm + atol * expected.numel() ** 0.5


def point(
    pointer: Pointer, case: Case, loop: Loop, is_fused: bool
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, ...]]:
    """What is pointed at, and the gradients of queries, this window's keys and the sentinel."""
    with computing(loop):
        pointing, _ = pointer(case.features, case.tokens, case.state)
    queries, new_keys = (
        each.detach().requires_grad_() for each in (pointing.queries, pointing.new_keys)
    )
    keys = torch.cat((case.state[0].to(new_keys.dtype), new_keys), dim=1)
    pointing = replace(pointing, queries=queries, new_keys=new_keys, keys=keys)
    if not is_fused:
        pointing = replace(pointing, queries=queries.float(), keys=keys.float(), loops=None)
    pointed = pointing.point(case.targets)
    generator = torch.Generator().manual_seed(2)
    loss = sum((each * torch.randn(each.shape, generator=generator)).sum() for each in pointed)
    return pointed, torch.autograd.grad(loss, [queries, new_keys, pointer.sentinel])


various_sizes = given(
    batch=st.integers(1, 5),
    time=st.integers(1, 140),
    reach=st.sampled_from([1, 2, 5, 63, 64, 65, 200]),
    size=st.sampled_from([64, 128, 192]),
    vocabulary=st.sampled_from([1, 7, 65, 3000]),
    filled=st.sampled_from([0.0, 0.4, 1.0]),
)


@each_loop
@settings(deadline=None, max_examples=60)
@various_sizes
@example(batch=1, time=1, reach=1, size=64, vocabulary=65, filled=0.0)
@example(batch=1, time=1, reach=1, size=64, vocabulary=65, filled=1.0)
@example(batch=1, time=1, reach=1024, size=64, vocabulary=65, filled=0.5)
@example(batch=3, time=64, reach=1024, size=64, vocabulary=65, filled=1.0)
@example(batch=2, time=64, reach=5, size=64, vocabulary=20000, filled=1.0)
def test_fused_loops_make_of_queries_and_keys_what_pytorch_does(
    loop: Loop, batch: int, time: int, reach: int, size: int, vocabulary: int, filled: float
) -> None:
    pointer = make_pointer(reach, size)
    case = draw(pointer, vocabulary, batch, time, round(filled * reach))
    expected, expected_gradients = point(pointer, case, loop, is_fused=False)
    found, gradients = point(pointer, case, loop, is_fused=True)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    share = 0.01 if loop[1] == "bf16" else 1e-4
    for one, other in zip(gradients, expected_gradients, strict=True):
        assert_near(one, other, share, atol=share / 100)


@each_loop
@settings(deadline=None, max_examples=20)
@various_sizes
def test_probabilities_state_and_every_gradient_are_those_of_pytorch(
    loop: Loop, batch: int, time: int, reach: int, size: int, vocabulary: int, filled: float
) -> None:
    pointer = make_pointer(reach, size)
    case = draw(pointer, vocabulary, batch, time, round(filled * reach))
    expected, expected_state, expected_gradients = run(pointer, case, None)
    found, state, gradients = run(pointer, case, loop)
    bf16 = loop[1] == "bf16"
    torch.testing.assert_close(found, expected, atol=0.02 if bf16 else 1e-4, rtol=0)
    assert_near(found, expected, share=0.01 if bf16 else 1e-4)
    torch.testing.assert_close(total_probability(pointer, case, loop), torch.ones(batch, time))
    torch.testing.assert_close(state[0].float(), expected_state[0], atol=0.02, rtol=0.01)
    assert torch.equal(state[1], expected_state[1])
    for one, other in zip(gradients, expected_gradients, strict=True):
        # a scalar's is a sum of what cancels
        near = (0.04, 1e-2) if bf16 else (1e-3, 1e-4)
        assert_near(one, other, near[0], near[1] * (batch * time) ** 0.5 / one.numel() ** 0.5)


@settings(deadline=None, max_examples=30)
@various_sizes
def test_losses_are_those_of_the_mixed_distribution_which_sums_to_one(
    batch: int, time: int, reach: int, size: int, vocabulary: int, filled: float
) -> None:
    pointer = make_pointer(reach, size)
    case = draw(pointer, vocabulary, batch, time, round(filled * reach))
    pointing, _ = pointer(case.features, case.tokens, (case.state[0].float(), case.state[1]))
    logarithms = pointing.mix(case.logits)
    torch.testing.assert_close(logarithms.exp().sum(dim=2), torch.ones(batch, time))
    expected = F.cross_entropy(logarithms.transpose(1, 2), case.targets, reduction="none")
    found = pointing.losses(network_losses(case), case.targets)
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@each_loop
def test_the_sentinel_learns_where_all_else_is_frozen(loop: Loop) -> None:
    pointer = make_pointer(30).requires_grad_(False)
    pointer.sentinel.requires_grad_()
    case = draw(pointer, 7, 2, 70, 30)
    gradients = []
    for each in (None, loop):
        with computing(each):
            pointing, _ = pointer(case.features, case.tokens, case.state)
            losses = pointing.losses(network_losses(case).detach(), case.targets)
        gradients += torch.autograd.grad((-losses).exp().sum(), pointer.sentinel)
    torch.testing.assert_close(*gradients, rtol=0.1, atol=0)


@each_loop
def test_large_scores_overflow_nothing(loop: Loop) -> None:
    pointer = make_pointer(30, sharpness=8.0)
    case = draw(pointer, 7, 2, 70, 30)
    probabilities, _, gradients = run(pointer, case, loop)
    assert ((probabilities >= 0) & (probabilities < 1.001)).all()
    torch.testing.assert_close(total_probability(pointer, case, loop), torch.ones(2, 70))
    assert all(each.isfinite().all() for each in gradients)


@each_loop
def test_a_window_in_parts_equals_the_whole(loop: Loop) -> None:
    pointer = make_pointer(30)
    case = draw(pointer, 7, 3, 150, 20)
    with computing(loop), torch.no_grad():
        pointing, last = pointer(case.features, case.tokens, case.state)
        whole = pointing.point(case.targets)
        parts, between = [], case.state
        for steps in torch.tensor_split(torch.arange(150), (1, 9, 80), dim=0):
            pointing, between = pointer(case.features[:, steps], case.tokens[:, steps], between)
            parts.append(pointing.point(case.targets[:, steps]))
    for one, several in zip(whole, zip(*parts, strict=True), strict=True):
        torch.testing.assert_close(torch.cat(several, dim=1), one)
    torch.testing.assert_close(between, last)


@each_loop
def test_the_number_of_threads_changes_nothing(loop: Loop) -> None:
    pointer = make_pointer(50)
    case = draw(pointer, 65, 7, 70, 50)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3, 8):
            torch.set_num_threads(count)
            pointed, gradients = point(pointer, case, loop, is_fused=True)
            results.append((*pointed, *gradients))
    finally:
        torch.set_num_threads(threads)
    for result in results[1:]:
        for one, other in zip(results[0], result, strict=True):
            assert torch.equal(one, other)


@each_loop
def test_a_state_on_the_graph_hands_its_gradient_on(loop: Loop) -> None:
    """The fused loops take a state's keys for constants: PyTorch's operations have to step in."""
    pointer = make_pointer(30)
    case = draw(pointer, 7, 2, 10, 0)
    gradients = []
    for each in (None, loop):
        leaf = case.features.clone().requires_grad_()
        with computing(each):
            _, between = pointer(leaf, case.tokens, case.state)
            pointing, _ = pointer(case.features, case.tokens, between)
            losses = pointing.losses(network_losses(case).detach(), case.targets)
        gradients.append(torch.autograd.grad((-losses).exp().sum(), leaf)[0])
    assert gradients[0].abs().max() > 0
    assert torch.cosine_similarity(*(each.flatten() for each in gradients), dim=0) > 0.99


@each_loop
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_model_with_a_pointer_learns_the_same_from_windows(loop: Loop, cell: Any) -> None:
    config = ModelConfig(11, cell=cell, hidden_size=64, pointer=20)
    torch.manual_seed(0)
    model = RecurrentModel(config)
    with torch.no_grad():
        assert model.pointer is not None
        model.pointer.share.bias.fill_(0.0)
    tokens = torch.randint(11, (3, 48))
    results = []
    for each in (None, loop):
        state: State = model.initial_state(3)
        losses = []
        for window in tokens.split(16, dim=1):
            with computing(each):
                output = model.outputs(window[:, :-1], detach(state))
                state = output.state
                losses.append(output.losses(window[:, 1:])[0].mean())
        loss = torch.stack(losses).mean()
        results.append((loss, torch.autograd.grad(loss, list(model.parameters()))))
    torch.testing.assert_close(results[1][0], results[0][0], atol=0.01, rtol=0)
    for one, other in zip(results[1][1], results[0][1], strict=True):
        distance = float((one - other).norm())
        assert distance <= 0.1 * float(other.norm()) + 1e-3


def arguments_of_forward(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Right arguments of the fused loops for two rows of three tokens that reach four back."""
    return {
        "queries": torch.zeros(2, 3, 64, dtype=dtype),
        "keys": torch.zeros(2, 7, 64, dtype=dtype),
        "followers": torch.tensor([[0, 1, 2, 3, 0, -1], [-1, -1, -1, -1, -1, -1]]),
        "targets": torch.tensor([[0, 0, 7], [0, -1, 1]]),
        "sentinel": torch.zeros(1),
        "at_targets": torch.empty(2, 3),
        "own": torch.empty(2, 3),
        "sentinels": torch.empty(2, 3),
        "scales": torch.empty(2, 3),
        "weights": torch.empty(2, 1, 67, 64, dtype=dtype),
    }


def arguments_of_backward(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    forward = arguments_of_forward(dtype)
    del forward["sentinel"]
    return {
        "target_gradients": torch.zeros(2, 3),
        "own_gradients": torch.zeros(2, 3),
        **forward,
        "query_gradients": torch.empty(2, 3, 64, dtype=dtype),
        "key_gradients": torch.empty(2, 3, 64, dtype=dtype),
        "sentinel_gradients": torch.empty(2, 3),
    }


def loops(loop: Loop) -> Loops:
    with computing(loop):
        found = find_loops(torch.bfloat16 if loop[1] == "bf16" else torch.float32)
    assert found is not None
    return found


@each_loop
def test_fused_loops_take_right_arguments(loop: Loop) -> None:
    native = loops(loop)
    values = arguments_of_forward(native.dtype)
    native.pointer_forward(*values.values())
    torch.testing.assert_close(
        values["at_targets"], torch.tensor([[0.2, 0.2, 0.0], [0.0, 0.0, 0.0]])
    )
    torch.testing.assert_close(values["own"], torch.tensor([[0.2, 0.2, 0.4], [1.0, 1.0, 1.0]]))
    backward = arguments_of_backward(native.dtype)
    backward |= {name: values[name] for name in values.keys() & backward.keys()}
    native.pointer_backward(*backward.values())
    assert not backward["query_gradients"].any() and not backward["key_gradients"].any()


WRONG: list[dict[str, Tensor]] = [
    {"queries": torch.zeros(2, 3, 63)},
    {"queries": torch.zeros(2, 7, 64)},
    {"queries": torch.zeros(2, 3, 64, dtype=torch.bfloat16)},
    {"keys": torch.zeros(2, 7, 128)},
    {"keys": torch.zeros(1, 7, 64)},
    {"keys": torch.zeros(2, 64, 7).transpose(1, 2)},
    {"followers": torch.zeros(2, 7, dtype=torch.int64)},
    {"followers": torch.zeros(2, 6, dtype=torch.int32)},
    {"followers": torch.full((2, 6), 2**31)},
    {"followers": torch.full((2, 6), -2)},
    {"targets": torch.zeros(2, 4, dtype=torch.int64)},
    {"targets": torch.zeros(2, 3)},
    {"targets": torch.full((2, 3), 2**40)},
    {"targets": torch.full((2, 3), -2)},
    {"sentinel": torch.zeros(2)},
    {"at_targets": torch.empty(2, 4)},
    {"own": torch.empty(2, 2)},
    {"sentinels": torch.empty(2, 3, 1)},
    {"scales": torch.empty(3, 3)},
    {"weights": torch.empty(2, 1, 66, 64)},
    {"weights": torch.empty(2, 2, 67, 64)},
    {"target_gradients": torch.zeros(2, 6)},
    {"own_gradients": torch.zeros(2, 3, dtype=torch.float64)},
    {"query_gradients": torch.empty(2, 7, 64)},
    {"key_gradients": torch.empty(2, 7, 64)},
    {"sentinel_gradients": torch.empty(1)},
]


@pytest.mark.parametrize("changes", WRONG, ids=lambda changes: ", ".join(changes))
def test_fused_loops_refuse_what_would_lead_them_astray(changes: dict[str, Tensor]) -> None:
    native = loops(("scalar", "fp32"))
    forward, backward = arguments_of_forward(), arguments_of_backward()
    if changes.keys() <= forward.keys():
        with pytest.raises((ValueError, TypeError)):
            native.pointer_forward(*(forward | changes).values())
    if changes.keys() <= backward.keys():
        with pytest.raises((ValueError, TypeError)):
            native.pointer_backward(*(backward | changes).values())
