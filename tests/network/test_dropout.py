"""Dropout: what is left out, and that the rest makes up for it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.network.dropout import Dropout, drop_out


@settings(deadline=None)
@given(
    share=st.floats(0, 0.999),
    shape=st.lists(st.integers(0, 7), max_size=3),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.bfloat16]),
)
def test_values_are_dropped_or_scaled_up(
    share: float, shape: list[int], dtype: torch.dtype
) -> None:
    values = torch.ones(shape, dtype=dtype)
    left = drop_out(values, share)
    assert (left.shape, left.dtype) == (values.shape, dtype)
    scale = torch.tensor(1 / (1 - share), dtype=dtype)
    is_dropped = left == 0
    torch.testing.assert_close(
        left[~is_dropped], scale.expand(int((~is_dropped).sum())), rtol=0.02, atol=0
    )
    assert share > 0 or not is_dropped.any()


@pytest.mark.parametrize("share", [0.01, 0.07, 0.3, 0.9])
def test_as_many_are_dropped_as_are_asked_for(share: float) -> None:
    torch.manual_seed(0)
    left = drop_out(torch.ones(1000, 1001), share)
    deviation = (share * (1 - share) / left.numel()) ** 0.5
    assert abs(float((left == 0).double().mean()) - share) < 4 * deviation
    assert float(left.double().mean()) == pytest.approx(1, abs=5 * deviation / (1 - share))
    # neighbours, which share a word of random bits, fall independently
    dropped = (left.flatten() == 0).double()
    for distance in (1, 2, 3, 4):
        both = float((dropped[distance:] * dropped[:-distance]).mean())
        assert both == pytest.approx(share**2, abs=5 * deviation)


def test_gradient_is_that_of_what_is_left() -> None:
    values = torch.full((50, 50), 3.0, requires_grad=True)
    left = drop_out(values, 0.4)
    torch.autograd.backward(left.sum())
    torch.testing.assert_close(values.grad, left.detach() / 3)


def test_seed_decides() -> None:
    def draw(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return drop_out(torch.ones(100), 0.5)

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_nothing_is_left_out_but_in_training() -> None:
    values, layer = torch.ones(1000), Dropout(0.5)
    assert bool((layer(values) == 0).any())
    assert torch.equal(layer.eval()(values), values)
