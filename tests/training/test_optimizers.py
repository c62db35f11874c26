import copy
import math
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

from sunspring.errors import SettingsError
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.training.optimizers import (
    Optimizers,
    OptimizerSettings,
    orthogonalise,
    parameter_groups,
    rate_factor,
)

CONFIG = ModelConfig(
    13, layers=2, hidden_size=16, embedding_size=8, skip=True, attention=True, labels=("a", "b")
)
both_optimizers = pytest.mark.parametrize("optimizer", ["adamw", "muon"])


def make_model() -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(CONFIG)


def give_gradients(model: RecurrentModel, seed: int, scale: float = 1.0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def weights_of(model: RecurrentModel) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters()}


def is_recurrent_matrix(name: str) -> bool:
    return name.startswith("layers.") and "weight" in name


def make_settings(**changes: Any) -> OptimizerSettings:
    plain = {"weight_decay": 0.0, "clip_norm": 0.0, "muon_every": 1, "head_rate_factor": 1.0}
    return OptimizerSettings(**{**plain, **changes})


def test_groups_separate_the_recurrent_matrices_from_everything_else() -> None:
    model = make_model()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices, rest = parameter_groups(model)
    assert sorted(names[id(each)] for each in (*matrices, *rest)) == sorted(names.values())
    assert {names[id(each)] for each in matrices} == {*filter(is_recurrent_matrix, names.values())}


def test_tied_weights_are_learned_once() -> None:
    model = RecurrentModel(ModelConfig(5, hidden_size=8, embedding_size=8, tied=True))
    matrices, rest = parameter_groups(model)
    everything = [id(parameter) for parameter in (*matrices, *rest)]
    assert len(everything) == len(set(everything)) == len(list(model.parameters()))


@both_optimizers
def test_every_weight_is_learned_and_every_gradient_cleared(optimizer: str) -> None:
    model = make_model()
    before = weights_of(model)
    optimizers = Optimizers(model, make_settings(optimizer=optimizer))
    give_gradients(model, 0)
    optimizers.step(1.0)
    assert all((tensor != before[name]).all() for name, tensor in weights_of(model).items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_update_of_muon_is_near_orthogonal() -> None:
    model = make_model()
    before = weights_of(model)
    optimizers = Optimizers(model, make_settings(optimizer="muon"))
    give_gradients(model, 0)
    optimizers.step(1.0)
    for name, tensor in weights_of(model).items():
        if is_recurrent_matrix(name):
            singular = torch.linalg.svdvals(tensor - before[name])
            assert singular.max() < 2 * singular.min()


def test_update_of_adamw_is_not_orthogonal() -> None:
    """Without this, the test above would hold for any optimiser."""
    model = make_model()
    before = weights_of(model)
    optimizers = Optimizers(model, make_settings(optimizer="adamw"))
    give_gradients(model, 0)
    optimizers.step(1.0)
    for name, tensor in weights_of(model).items():
        if name.endswith("weight_hh_l0"):
            singular = torch.linalg.svdvals(tensor - before[name])
            assert singular.max() > 2 * singular.min()


@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0])
def test_first_update_of_adamw_is_the_rate_times_the_factor(factor: float) -> None:
    model = make_model()
    before = weights_of(model)
    optimizers = Optimizers(model, make_settings(optimizer="adamw", learning_rate=0.01))
    give_gradients(model, 0)
    signs = {name: each.grad.sign() for name, each in model.named_parameters()}  # type: ignore[union-attr]
    optimizers.step(factor)
    for name, tensor in weights_of(model).items():
        torch.testing.assert_close(
            before[name] - tensor, 0.01 * factor * signs[name], atol=1e-5, rtol=1e-3
        )


@pytest.mark.parametrize("tied", [False, True])
def test_head_learns_at_a_rate_of_its_own_unless_it_is_the_embedding(tied: bool) -> None:
    model = RecurrentModel(ModelConfig(5, hidden_size=8, embedding_size=8, tied=tied))
    before = weights_of(model)
    optimizers = Optimizers(model, make_settings(learning_rate=0.01, head_rate_factor=3.0))
    give_gradients(model, 0)
    optimizers.step(1.0)
    moved = {name: (each - before[name]).abs() for name, each in weights_of(model).items()}
    expected = {"embedding.weight": 0.01, "head.bias": 0.03}
    if not tied:
        expected["head.weight"] = 0.03
    for name, distance in expected.items():
        wanted = torch.full_like(moved[name], distance)
        torch.testing.assert_close(moved[name], wanted, atol=1e-5, rtol=1e-3)


def test_factor_scales_the_update_of_muon() -> None:
    moved = {}
    for factor in (0.5, 1.0):
        model = make_model()
        before = model.layers[0].weight_hh_l0.detach().clone()
        optimizers = Optimizers(model, make_settings(optimizer="muon"))
        give_gradients(model, 0)
        optimizers.step(factor)
        moved[factor] = model.layers[0].weight_hh_l0.detach() - before
    torch.testing.assert_close(moved[0.5] * 2, moved[1.0], atol=1e-6, rtol=1e-3)


def test_factor_does_not_pile_up_from_step_to_step() -> None:
    model = make_model()
    optimizers = Optimizers(model, make_settings(optimizer="adamw", learning_rate=0.01))
    for factor in (0.1, 0.1, 1.0):
        before = model.head.bias.detach().clone()
        give_gradients(model, 0)
        optimizers.step(factor)
        moved = (model.head.bias.detach() - before).abs()
        torch.testing.assert_close(moved, torch.full_like(moved, 0.01 * factor), atol=1e-5, rtol=0)


def test_weight_decay_is_decoupled_from_the_gradient() -> None:
    model = make_model()
    before = weights_of(model)
    settings = make_settings(optimizer="adamw", learning_rate=0.01, weight_decay=0.5)
    optimizers = Optimizers(model, settings)
    give_gradients(model, 0, scale=0.0)
    optimizers.step(1.0)
    for name, tensor in weights_of(model).items():
        torch.testing.assert_close(tensor, before[name] * (1 - 0.01 * 0.5))


@pytest.mark.parametrize(("clip_norm", "expected"), [(0.5, 0.5), (0.0, None), (1e6, None)])
def test_gradient_is_clipped_to_its_norm_over_all_weights(
    clip_norm: float, expected: float | None
) -> None:
    model = make_model()
    optimizers = Optimizers(model, make_settings(optimizer="adamw", clip_norm=clip_norm))
    give_gradients(model, 0)
    gradients = [each.grad.flatten() for each in model.parameters()]  # type: ignore[union-attr]
    norm = float(torch.cat(gradients).norm())
    optimizers.step(1.0)
    averages = [t.flatten() for name, t in optimizers.state().items() if name.startswith("mean")]
    seen = float(torch.cat(averages).norm()) / (1 - 0.9)  # AdamW's average after one step
    assert math.isclose(seen, expected or norm, rel_tol=1e-4)


@both_optimizers
def test_optimizer_goes_on_from_its_saved_state_to_the_same_bytes(optimizer: str) -> None:
    model = make_model()
    optimizers = Optimizers(model, OptimizerSettings(optimizer=optimizer))  # type: ignore[arg-type]
    for seed in range(3):
        give_gradients(model, seed)
        optimizers.step(0.5)
    resumed = copy.deepcopy(model)
    again = Optimizers(resumed, OptimizerSettings(optimizer=optimizer))  # type: ignore[arg-type]
    again.load(load(save(optimizers.state())))
    for seed in range(3, 6):
        for each, its in ((model, optimizers), (resumed, again)):
            give_gradients(each, seed)
            its.step(0.25)
    for name, tensor in weights_of(model).items():
        assert torch.equal(tensor, weights_of(resumed)[name])
    assert optimizers.state().keys() == again.state().keys()
    for name, tensor in optimizers.state().items():
        assert torch.equal(tensor, again.state()[name])


@both_optimizers
def test_state_before_the_first_step_can_be_saved_and_loaded(optimizer: str) -> None:
    model = make_model()
    optimizers = Optimizers(model, make_settings(optimizer=optimizer))
    optimizers.load(load(save(optimizers.state())))
    give_gradients(model, 0)
    optimizers.step(1.0)


@both_optimizers
def test_saved_state_is_not_touched_by_later_steps(optimizer: str) -> None:
    model = make_model()
    optimizers = Optimizers(model, make_settings(optimizer=optimizer))
    give_gradients(model, 0)
    optimizers.step(1.0)
    saved = optimizers.state()
    copied = copy.deepcopy(saved)
    optimizers.load(saved)
    give_gradients(model, 1)
    optimizers.step(1.0)
    assert all(torch.equal(tensor, copied[name]) for name, tensor in saved.items())


shares = st.floats(0, 1)
steps = st.integers(0, 10_000)


@given(spent=st.floats(0, 3), step=steps, warmup=steps)
def test_rate_factor_lies_between_zero_and_one(spent: float, step: int, warmup: int) -> None:
    assert 0 <= rate_factor(spent, step, warmup) <= 1


@given(spent=shares, step=steps)
def test_rate_falls_linearly_to_zero_with_the_budget(spent: float, step: int) -> None:
    assert math.isclose(rate_factor(spent, step, 0), 1 - spent, abs_tol=1e-12)
    assert rate_factor(1.0, step, 0) == rate_factor(1.5, step, 0) == 0


@given(warmup=st.integers(1, 1000), data=st.data())
def test_rate_rises_linearly_in_the_first_steps(warmup: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, warmup))
    first, second = rate_factor(0.0, 0, warmup), rate_factor(0.0, step, warmup)
    assert first > 0
    assert math.isclose(second, (step + 1) * first)
    assert rate_factor(0.0, warmup, warmup) == rate_factor(0.0, warmup + 7, warmup) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "sgd"}, "optimizer is 'sgd': choose adamw or muon"),
        *(
            ({name: value}, f"{name} is {value}: it must be")
            for name in ("learning_rate", "muon_learning_rate")
            for value in (0.0, -1.0, math.nan, math.inf)
        ),
        *(
            ({name: value}, f"{name} is {value}: it must be")
            for name in ("weight_decay", "clip_norm")
            for value in (-1.0, math.nan, math.inf)
        ),
        ({"muon_every": 0}, "muon_every is 0: it must be"),
        ({"warmup_steps": -1}, "warmup_steps is -1: it must be"),
        *(
            ({"second_moment_decay": value}, f"second_moment_decay is {value}: it must")
            for value in (0.0, 1.0, math.nan)
        ),
    ],
)
def test_impossible_setting_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        OptimizerSettings(**change)


@given(
    height=st.integers(1, 80),
    width=st.integers(1, 80),
    smallest=st.floats(0.1, 1),
    scale=st.sampled_from([1e-6, 1.0, 1e3]),
    seed=st.integers(0, 1000),
)
def test_orthogonalised_matrix_keeps_its_singular_vectors_with_values_near_one(
    height: int, width: int, smallest: float, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rank = min(height, width)
    left = torch.linalg.qr(torch.randn(height, rank, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(width, rank, generator=generator)).Q
    values = smallest + (1 - smallest) * torch.rand(rank, generator=generator)
    assume(values.min() / values.norm() > 0.02)
    result = orthogonalise(scale * left @ torch.diag(values) @ right.T).float()
    assert result.shape == (height, width)
    torch.testing.assert_close(left.T @ result @ right, torch.eye(rank), atol=0.25, rtol=0)
    torch.testing.assert_close(left @ left.T @ result @ right @ right.T, result, atol=0.2, rtol=0)


def test_orthogonalised_nothing_is_nothing() -> None:
    assert torch.equal(orthogonalise(torch.zeros(3, 5)).float(), torch.zeros(3, 5))


def test_matrices_take_turns_and_move_as_far_as_if_they_moved_at_every_step() -> None:
    moved: dict[int, dict[str, Tensor]] = {}
    for every in (1, 2):
        model = make_model()
        optimizers = Optimizers(model, make_settings(muon_every=every))
        before = weights_of(model)
        for step in range(4):
            earlier = weights_of(model)
            give_gradients(model, 0)  # the same every time: momentum and gradient are one
            optimizers.step(1.0)
            changed = [
                not torch.equal(tensor, earlier[name])
                for name, tensor in weights_of(model).items()
                if is_recurrent_matrix(name)
            ]
            assert all(changed) or (every == 2 and sum(changed) == len(changed) / 2), step
        moved[every] = {name: tensor - before[name] for name, tensor in weights_of(model).items()}
    for name, tensor in moved[1].items():
        torch.testing.assert_close(moved[2][name], tensor, atol=1e-4, rtol=1e-2)


@pytest.mark.parametrize("embedding_size", [8, 100])  # matrices taller and wider
def test_updates_are_those_of_pytorch_s_own_optimizers(embedding_size: int) -> None:
    config = ModelConfig(vocabulary_size=9, hidden_size=16, embedding_size=embedding_size)
    torch.manual_seed(0)
    model, reference = RecurrentModel(config), RecurrentModel(config)
    reference.load_state_dict(model.state_dict())
    before = weights_of(model)
    settings = make_settings(learning_rate=3e-3, head_rate_factor=4.0, weight_decay=0.01)
    optimizers = Optimizers(model, settings)
    matrices, rest = parameter_groups(reference)
    head = list(reference.head.parameters())
    rest = [each for each in rest if not any(each is other for other in head)]
    groups = [{"params": rest}, {"params": head, "lr": 4 * 3e-3}]
    theirs = [
        torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.99), weight_decay=0.01),
        torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01),
    ]
    for step in range(5):
        give_gradients(model, step)
        give_gradients(reference, step)
        optimizers.step(1.0)
        for each in theirs:
            each.step()
    for name, expected in weights_of(reference).items():
        ours = weights_of(model)[name]
        if not is_recurrent_matrix(name):
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-4)
            continue
        # PyTorch's Muon leaves singular values between 0.7 and 1.2
        moved, theirs_moved = (each - before[name] for each in (ours, expected))
        assert torch.cosine_similarity(moved.flatten(), theirs_moved.flatten(), dim=0) > 0.97
        torch.testing.assert_close(moved.norm(), theirs_moved.norm(), rtol=0.2, atol=0)
