"""What each token of some texts costs, against reading one token at a time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from naive_scores import (
    CONFIG,
    CONFIGS,
    START,
    every_config,
    make_model,
    make_split,
    naive_nats,
    naive_stream,
)

from sunspring.errors import SettingsError
from sunspring.network.config import ModelConfig
from sunspring.network.scoring import final_outputs, score_texts

NOTHING = np.zeros(0, np.uint8)
NO_TEXTS = np.zeros(0, np.int64)
LABELLED = replace(CONFIG, labels=("a", "b"))


@every_config
def test_scores_are_the_nats_of_each_token(config: ModelConfig) -> None:
    model, split = make_model(config), make_split([300])
    nats = score_texts(model, split.tokens, np.array([300]), START)
    np.testing.assert_allclose(nats, naive_stream(model, split), rtol=1e-4, atol=1e-5)


def test_scores_of_several_texts_are_in_their_order_whatever_their_lengths() -> None:
    lengths = [7, 0, 40, 1, *[5] * 100, 600, 0]
    model, split = make_model(), make_split(lengths)
    nats = score_texts(model, split.tokens, np.array(lengths), START)
    np.testing.assert_allclose(nats, naive_stream(model, split), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("counts", [NO_TEXTS, np.zeros(1, np.int64), np.zeros(3, np.int64)])
def test_scores_of_nothing_are_none(counts: np.ndarray) -> None:
    assert score_texts(make_model(), NOTHING, counts, START).shape == (0,)


def test_scores_are_those_of_the_label_of_each_text() -> None:
    model, split = make_model(LABELLED), make_split([20, 20, 3], labels=[0, 1, 0])
    nats = score_texts(model, split.tokens, np.array([20, 20, 3]), START, np.array([0, 1, 0]))
    np.testing.assert_allclose(nats, naive_stream(model, split), rtol=1e-4, atol=1e-5)
    other = naive_nats(model, START, split.tokens[:20].tolist(), 1)
    assert not np.allclose(nats[:20], other, rtol=1e-2)


@pytest.mark.parametrize("training", [True, False])
def test_mode_of_the_model_is_put_back(training: bool) -> None:
    model, split = make_model(CONFIGS["dropout"]).train(training), make_split([300])
    score_texts(model, split.tokens, np.array([300]), START)
    final_outputs(model, split.tokens, START)
    assert model.training is training


def test_labels_that_are_missing_are_an_error_that_leaves_the_mode_as_it_was() -> None:
    model = make_model(LABELLED).train()
    with pytest.raises(SettingsError, match="give one of a, b"):
        score_texts(model, np.zeros(3, np.uint8), np.array([3]), START)
    assert model.training


@every_config
@pytest.mark.parametrize("size", [0, 1, 300])
def test_final_outputs_are_those_of_all_layers_after_the_last_token(
    config: ModelConfig, size: int
) -> None:
    model, ids = make_model(config).eval(), make_split([size]).tokens
    state = model.initial_state(1)
    for token in [START, *ids.tolist()]:
        with torch.no_grad():
            _, state = model(torch.tensor([[token]]), state)
    expected = torch.cat([layer[0][0] for layer in state[: config.layers]])
    np.testing.assert_allclose(final_outputs(model, ids, START), expected, atol=1e-5)
