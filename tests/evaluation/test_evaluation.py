import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_scores import (
    CONFIG,
    CONFIGS,
    START,
    VOCABULARY,
    every_config,
    make_model,
    make_split,
    naive_nats,
    naive_stream,
)

from sunspring.corpus.splits import Split
from sunspring.errors import SettingsError, SourceError
from sunspring.evaluation.protocols import baselines, evaluate_stream, evaluate_windows
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel


@every_config
def test_stream_equals_reading_token_by_token(config: ModelConfig) -> None:
    split = make_split([700])
    evaluation = evaluate_stream(make_model(config), split, START)
    expected = naive_stream(make_model(config), split)
    assert math.isclose(evaluation.nats_per_token, sum(expected) / 700, rel_tol=1e-5)
    assert evaluation.tokens == 700


def test_stream_carries_the_state_over_the_longest_window() -> None:
    split = make_split([2100])
    evaluation = evaluate_stream(make_model(), split, START)
    expected = naive_stream(make_model(), split)
    assert math.isclose(evaluation.nats_per_token, sum(expected) / 2100, rel_tol=1e-5)


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any))
def test_stream_reads_each_document_from_a_fresh_state(lengths: list[int]) -> None:
    model, split = make_model(), make_split(lengths)
    evaluation = evaluate_stream(model, split, START)
    expected = naive_stream(model, split)
    assert evaluation.tokens == len(expected) == sum(lengths)
    assert math.isclose(evaluation.nats_per_token, sum(expected) / len(expected), rel_tol=1e-5)


def test_stream_of_more_documents_than_a_batch_of_very_different_lengths() -> None:
    lengths = [1 + index * 13 % 30 for index in range(100)] + [600, 300]
    model, split = make_model(), make_split(lengths)
    expected = naive_stream(model, split)
    evaluation = evaluate_stream(model, split, START)
    assert math.isclose(evaluation.nats_per_token, sum(expected) / len(expected), rel_tol=1e-5)


def test_figures_are_one_loss_in_other_units() -> None:
    evaluation = evaluate_stream(make_model(), make_split([300], characters=450), START)
    nats = evaluation.nats_per_token
    assert evaluation.characters == 450
    assert math.isclose(evaluation.nats_per_character, nats * 300 / 450)
    assert math.isclose(evaluation.bpc, nats * 300 / 450 / math.log(2))
    assert math.isclose(evaluation.perplexity, math.exp(nats))


def test_stream_tells_how_far_it_is() -> None:
    told: list[tuple[int, int | None]] = []
    evaluate_stream(
        make_model(), make_split([50] * 70), START, lambda done, total: told.append((done, total))
    )
    assert len(told) > 1
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (3500, 3500)
    assert {total for _, total in told} == {3500}


def all_windows(model: RecurrentModel, split: Split, window: int) -> list[float]:
    """The loss of every window that may be drawn of a single text."""
    ids = split.tokens.tolist()
    return [
        sum(naive_nats(model, ids[first - 1], ids[first : first + window], None)) / window
        for first in range(1, len(ids) - window + 1)
    ]


def test_windows_are_the_mean_over_stretches_of_the_text() -> None:
    model, split = make_model(), make_split([30])
    expected = np.array(all_windows(model, split, 8))
    evaluation = evaluate_windows(model, split, START, window=8, count=4000)
    assert evaluation.tokens == 8 * 4000
    spread = float(expected.std()) / math.sqrt(4000)
    assert abs(evaluation.nats_per_token - float(expected.mean())) < 4 * spread
    assert evaluation.standard_error is not None
    assert math.isclose(evaluation.standard_error, spread, rel_tol=0.1)


def test_window_as_long_as_the_text_allows_is_scored_naively() -> None:
    model, split = make_model(), make_split([9])
    expected = all_windows(model, split, 8)
    assert len(expected) == 1
    evaluation = evaluate_windows(model, split, START, window=8, count=3)
    assert math.isclose(evaluation.nats_per_token, expected[0], rel_tol=1e-5)


def test_text_shorter_than_a_window_is_scored_whole() -> None:
    model, split = make_model(), make_split([8])
    evaluation = evaluate_windows(model, split, START, window=8, count=3)
    expected = naive_stream(model, split)
    assert math.isclose(evaluation.nats_per_token, sum(expected) / 8, rel_tol=1e-5)


def test_windows_stay_within_their_document_and_under_its_label() -> None:
    model = make_model(replace(CONFIG, labels=("a", "b")))
    split = make_split([5, 5], labels=[0, 1])
    evaluation = evaluate_windows(model, split, START, window=10, count=2000)
    halves = np.array(naive_stream(model, split)).reshape(2, 5).mean(axis=1)
    share = (evaluation.nats_per_token - halves[1]) / (halves[0] - halves[1])
    assert abs(share - 0.5) < 0.06  # both are drawn, as often as they are long
    assert evaluation.tokens == 5 * 2000


@every_config
@pytest.mark.parametrize("lengths", [[400], [40, 3, 90, 1, 12]])
def test_windows_batched_equal_windows_one_by_one(config: ModelConfig, lengths: list[int]) -> None:
    model, split = make_model(config), make_split(lengths)
    together, alone = (
        evaluate_windows(model, split, START, window=20, count=50, batch=batch) for batch in (64, 1)
    )
    assert together.tokens == alone.tokens
    assert math.isclose(together.nats_per_token, alone.nats_per_token, rel_tol=1e-5)
    assert together.standard_error is not None
    assert alone.standard_error is not None
    assert math.isclose(together.standard_error, alone.standard_error, rel_tol=1e-3)


def test_windows_are_drawn_by_their_seed() -> None:
    model, split = make_model(), make_split([400])
    one, again, other = (
        evaluate_windows(model, split, START, window=10, count=20, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again
    assert one.nats_per_token != other.nats_per_token


def test_stream_has_no_standard_error() -> None:
    assert evaluate_stream(make_model(), make_split([10]), START).standard_error is None


@pytest.mark.parametrize("training", [True, False])
def test_mode_of_the_model_is_put_back(training: bool) -> None:
    model, split = make_model(CONFIGS["dropout"]).train(training), make_split([300])
    evaluate_stream(model, split, START)
    evaluate_windows(model, split, START, window=10, count=5)
    assert model.training is training


def test_mode_of_the_model_is_put_back_after_an_error() -> None:
    model = make_model(replace(CONFIG, labels=("a", "b"))).train()
    for evaluate in (
        lambda: evaluate_stream(model, make_split([9]), START),
        lambda: evaluate_windows(model, make_split([9]), START),
    ):
        with pytest.raises(SettingsError, match="give one of a, b"):
            evaluate()
        assert model.training


def test_evaluation_draws_no_random_numbers() -> None:
    model, split = make_model(CONFIGS["dropout"]).train(), make_split([300])
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    evaluate_stream(model, split, START)
    evaluate_windows(model, split, START, count=3)
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_empty_text_is_a_clear_error(lengths: list[int]) -> None:
    empty = make_split(lengths)
    for evaluate in (
        lambda: evaluate_stream(make_model(), empty, START),
        lambda: evaluate_windows(make_model(), empty, START),
        lambda: baselines(make_split([9]), empty, VOCABULARY, START),
    ):
        with pytest.raises(SourceError, match="held-out text is empty"):
            evaluate()


def test_hopeless_model_has_an_infinite_perplexity_and_no_traceback() -> None:
    model = make_model()
    with torch.no_grad():
        model.head.weight.mul_(1e5)
    evaluation = evaluate_stream(model, make_split([100]), START)
    assert evaluation.nats_per_token > 1000
    assert evaluation.perplexity == math.inf


def markov_split(tokens: int, seed: int) -> tuple[Split, float]:
    """A source of order 1 whose next token is `token + 1` three times in four, and its entropy."""
    random = np.random.default_rng(seed)
    jumps = random.choice(VOCABULARY, tokens, p=[0.25 / 6, 0.75, *[0.25 / 6] * 5])
    ids = (np.cumsum(jumps) % VOCABULARY).astype(np.uint8)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25 / 6))
    return Split(ids, np.array([0, tokens]), None, tokens), entropy


def test_baselines_reach_the_entropy_of_a_markov_source_from_order_two_on() -> None:
    train, entropy = markov_split(40_000, 0)
    heldout, _ = markov_split(20_000, 1)
    scores = baselines(train, heldout, VOCABULARY, START)
    assert list(scores) == [f"order-{order}" for order in range(1, 7)]
    assert math.isclose(scores["order-1"], math.log(VOCABULARY), abs_tol=0.01)
    assert math.isclose(scores["order-2"], entropy, abs_tol=0.02)
    assert all(scores[f"order-{order}"] > entropy - 0.02 for order in range(2, 7))


def test_baselines_are_per_character_and_of_the_first_tokens() -> None:
    train, _ = markov_split(5000, 0)
    heldout, _ = markov_split(2000, 1)
    doubled = replace(heldout, characters=4000)
    scores = baselines(train, heldout, VOCABULARY, START, maximum_tokens=700)
    half = baselines(train, doubled, VOCABULARY, START, maximum_tokens=700)
    first = replace(heldout, tokens=heldout.tokens[:700], starts=np.array([0, 700]), characters=700)
    expected: dict[str, Any] = baselines(train, first, VOCABULARY, START)
    for name, value in scores.items():
        assert math.isclose(value, expected[name])
        assert math.isclose(value, 2 * half[name])
