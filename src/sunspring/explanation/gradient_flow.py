"""How the gradient of the loss flows back through time, in networks trained in the same way.

A plain RNN, a GRU and an LSTM, trained as in the article, and a plain RNN whose recurrent weights
started twice as large, learn from the same batches, with and without clipping. Then the gradient of
a loss is followed back from state to state (Bengio et al. 1994, "Learning long-term dependencies
with gradient descent is difficult"; Pascanu et al. 2013, "On the difficulty of training recurrent
neural networks").
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sunspring.corpus.batches import Batch
from sunspring.corpus.corpus import Corpus
from sunspring.corpus.splits import Split
from sunspring.errors import SettingsError, SourceError
from sunspring.explanation.gradient_curves import REACH, Curve, GradientFlow, Trained
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.network.predictor import State
from sunspring.notices import Notify, counted
from sunspring.training.gradients import gradients_of
from sunspring.training.objective import to_device
from sunspring.training.optimizers import Optimizers, rate_factor
from sunspring.training.plan import PRESETS
from sunspring.training.recipe import Recipe
from sunspring.training.trainer import make_batches

STEPS = 400
"""Default number of steps of each training: all trainings together take a core two minutes."""

_NETWORKS = {
    "rnn": ("rnn", 1),
    "gru": ("gru", 1),
    "lstm": ("article", 1),
    "rnn-doubled": ("rnn", 2),
}
"""The preset of each network, and the factor of its initial recurrent weights."""

_SMALLER: dict[str, Any] = {"hidden_size": 128, "embedding_size": 64}  # than the article's
_BATCH_SIZE = 16  # the article has 128
_SEED = 0  # of the weights, the batches and the dropout
_SEQUENCES = 32
_WARM_UP = 100  # tokens read before the first state that is measured


def gradient_flow(corpus: Corpus, notify: Notify, steps: int = STEPS) -> GradientFlow:
    """Train the networks on a corpus, and follow the gradient of a held-out loss back in them.

    Args:
        corpus: the networks learn from its training part and are measured on its held-out part.
        notify: called with a line about each training.
        steps: number of steps of each training.

    Raises:
        SettingsError: the number of steps is below 1.
        SourceError: one of the parts is too short.
    """
    if steps < 1:
        raise SettingsError(f"--steps is {steps}: it must be 1 or more")
    tokens = _draw_sequences(corpus.heldout)
    recipe = dataclasses.replace(PRESETS["article"].recipe, batch_size=_BATCH_SIZE)
    stream = make_batches(corpus.train, corpus.vocabulary.start_id, recipe, _SEED)
    batches = [stream.next() for _ in range(steps)]
    untrained: dict[str, Curve] = {}
    trained = []
    for network in _NETWORKS:
        for clipped in (True, False):
            model = _new_model(network, corpus.vocabulary.size)
            if clipped:
                untrained[network] = _curve(model, tokens)
            nats, norms = _train(model, batches, recipe, clipped)
            trained.append(Trained(network, clipped, nats, norms, _curve(model, tokens)))
            last = trained[-1]
            notify(f"{last.name}: {counted(steps, 'step')}, {last.last_nats:.3f} nats per token")
    characters = corpus.train.characters
    return GradientFlow(model.config, recipe, characters, len(tokens), untrained, trained)


def _new_model(network: str, vocabulary_size: int) -> RecurrentModel:
    """Make a network with its initial weights."""
    preset, factor = _NETWORKS[network]
    torch.manual_seed(_SEED)
    model = RecurrentModel(ModelConfig(vocabulary_size, **{**PRESETS[preset].model, **_SMALLER}))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "weight_hh" in name:
                weights.mul_(factor)
    return model


def _draw_sequences(heldout: Split) -> Tensor:
    """Return sequences spread over the held-out text, (sequences, time)."""
    time = _WARM_UP + REACH + 1
    if len(heldout.tokens) < time:
        raise SourceError(
            f"the held-out text has {counted(len(heldout.tokens), 'token')}, and following "
            f"gradients back needs {time}: train the model on more text"
        )
    begins = np.linspace(0, len(heldout.tokens) - time, _SEQUENCES).astype(np.int64)
    places = begins[:, None] + np.arange(time)
    return torch.from_numpy(heldout.tokens[places].astype(np.int64))


def _train(
    model: RecurrentModel, batches: Sequence[Batch], recipe: Recipe, clipped: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Learn from each batch once; return the loss and the norm of the gradient at each step."""
    settings = recipe.optimization
    settings = settings if clipped else dataclasses.replace(settings, clip_norm=0.0)
    optimizers = Optimizers(model, settings)
    compute = gradients_of(model, recipe.objective, bf16=False)
    state = model.initial_state(len(batches[0].inputs))
    nats, norms = np.empty((2, len(batches)))
    model.train()
    for step, batch in enumerate(batches):
        loss, state = compute(to_device(batch, model.device), state)
        gradients = [each.grad for each in model.parameters() if each.grad is not None]
        nats[step], norms[step] = float(loss), float(torch.nn.utils.get_total_norm(gradients))
        optimizers.step(rate_factor(step / len(batches), step, settings.warmup_steps))
    return nats, norms


def _curve(model: RecurrentModel, tokens: Tensor) -> Curve:
    with np.errstate(divide="ignore"):  # the logarithm of a gradient of 0
        logarithms = np.log(state_gradients(model, tokens, REACH))
    curve: Curve = np.exp(logarithms.mean(0))
    return curve


def state_gradients(model: RecurrentModel, tokens: Tensor, reach: int) -> NDArray[np.float64]:
    """Follow the gradient of the loss of each row's last token back from state to state.

    The state at time t, s(t), is what the network carries on after it has read t tokens: h of all
    layers and, in an LSTM, c. The last token is predicted from the s(t) before it, and s(t) is a
    function of s(t - k) and the k tokens between; so the loss has a gradient with respect to each
    of them (∂E_t/∂x_k in Pascanu et al. 2013, equation 5). It is computed without dropout and in
    float64, as it may become very small.

    Args:
        model: a network without skip connections, attention and pointer.
        tokens: (rows, time) ids, int64, with time > `reach`.
        reach: the largest k.

    Returns:
        (rows, reach + 1) Euclidean norms of these gradients, for k = 0, 1, …
    """
    model = copy.deepcopy(model).double().eval()
    read = tokens[:, :-1]
    first = read.shape[1] - reach
    state = model.initial_state(len(tokens))
    with torch.no_grad():
        if first:
            _, state = model(read[:, :first], state)
    states = [_with_gradient(state)]
    for place in range(first, read.shape[1]):
        _, state = model(read[:, place : place + 1], states[-1])
        states.append(_with_gradient(state))
    (outputs, *_) = states[-1][-1]
    loss = F.cross_entropy(model.head(outputs), tokens[:, -1], reduction="sum")
    flat = [tensor for state in states for layer in state for tensor in layer]
    gradients = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
    squares = torch.stack([each.square().sum(dim=1) for each in gradients], dim=1)
    by_state = squares.view(len(tokens), len(states), -1).sum(dim=2)
    norms: NDArray[np.float64] = by_state.sqrt().flip(1).numpy()
    return norms


def _with_gradient(state: State) -> State:
    """Turn on gradients for the first state; later states have them already."""
    return tuple(tuple(tensor.requires_grad_() for tensor in layer) for layer in state)
