"""A step's gradients on a GPU: recorded and replayed, they are those of the plain computation."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor
from trainers import DROPOUT

from sunspring.corpus.batches import IGNORED, Batch
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel, detach
from sunspring.network.predictor import State
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import objective_of, run_batch, to_device
from sunspring.training.recipe import ObjectiveSettings

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU")
VOCABULARY_SIZE = 7
CONFIG = ModelConfig(
    VOCABULARY_SIZE, layers=2, hidden_size=16, embedding_size=8, skip=True, pointer=32
)
OBJECTIVE = ObjectiveSettings(activation_penalty=0.2, network_loss=0.5)


def make_model(device: str, **more: float) -> RecurrentModel:
    torch.manual_seed(0)
    return RecurrentModel(ModelConfig(**{**vars(CONFIG), **more})).to(device).train()


def batches(*times: int) -> Iterator[Batch]:
    """Random batches of four rows, some of which begin afresh or end early."""
    random = np.random.default_rng(0)
    for time in times:
        tokens = random.integers(VOCABULARY_SIZE, size=(4, time + 1))
        targets = tokens[:, 1:].copy()
        targets[random.integers(4), random.integers(1, time) :] = IGNORED
        yield Batch(tokens[:, :-1], targets, random.random(4) < 0.3, None)


def by_definition(
    model: RecurrentModel, batch: Batch, state: State
) -> tuple[Tensor, list[Tensor], State]:
    """Loss, gradients and state of the parts of a step, one after the other."""
    sequences = to_device(batch, model.device)
    output = run_batch(model, sequences, state, bf16=False)
    loss, objective = objective_of(output, sequences.targets, OBJECTIVE)
    gradients = list(torch.autograd.grad(objective, list(model.parameters())))
    return loss.detach(), gradients, detach(output.state)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_gpu)])
def test_gradients_are_those_of_the_objective_whatever_the_order_of_shapes(device: str) -> None:
    model = make_model(device)
    gradients = gradients_of(model, OBJECTIVE, bf16=False)
    state = expected_state = model.initial_state(4)
    for batch in batches(*[16] * 6, 9, 16, 9, 16, *[9] * 5, 16):
        expected_loss, expected, expected_state = by_definition(model, batch, expected_state)
        found, state = gradients(to_device(batch, model.device), state)
        torch.testing.assert_close(found, expected_loss)
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
            parameter.grad = None
        torch.testing.assert_close(state, expected_state, rtol=1e-4, atol=1e-5)


@needs_gpu
def test_replayed_steps_leave_out_other_values_each_time() -> None:
    model = make_model("cuda", **DROPOUT)
    gradients = gradients_of(model, OBJECTIVE, bf16=False)
    (batch,) = batches(16)
    losses = []
    for _ in range(10):
        loss, _ = gradients(to_device(batch, model.device), model.initial_state(4))
        losses.append(float(loss))
        for parameter in model.parameters():
            parameter.grad = None
    assert len(set(losses)) == len(losses)


@needs_gpu
def test_replayed_steps_draw_what_plain_ones_draw() -> None:
    """So that a run resumed in the middle, which takes its first steps plainly, repeats itself."""
    model = make_model("cuda", **DROPOUT)
    (batch,) = batches(16)
    losses: dict[str, list[float]] = {"plain": [], "replayed": []}
    for name, several in losses.items():
        twin = copy.deepcopy(model)
        gradients = gradients_of(twin, OBJECTIVE, bf16=False)
        torch.cuda.manual_seed(0)
        for _ in range(8):
            if name == "plain":  # a new one each time never gets to record
                gradients = gradients_of(twin, OBJECTIVE, bf16=False)
            loss, _ = gradients(to_device(batch, twin.device), twin.initial_state(4))
            several.append(float(loss))
            for parameter in twin.parameters():
                parameter.grad = None
    np.testing.assert_allclose(losses["replayed"], losses["plain"], rtol=1e-5)
