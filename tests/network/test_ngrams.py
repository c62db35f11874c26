import math
import tracemalloc
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_ngrams import START, VOCABULARY, NaiveModel, documents, join
from numpy.typing import NDArray

from sunspring.network.ngrams import NGramModel, count_ngrams


def make_model(texts: list[list[int]], order: int = 4, **settings: int) -> NGramModel:
    return count_ngrams(*join(texts), VOCABULARY, START, highest_order=order, **settings)


def distributions(model: NGramModel, context: list[int]) -> list[NDArray[np.float64]]:
    """What each order expects after a context, read from before any text."""
    before = model.initial_contexts(1)
    contexts = model.contexts(np.array([context]), before)[:, 0, -1:] if context else before.T
    return [each[0].copy() for each in model.distributions(contexts)]


def distribution(model: NGramModel, context: list[int]) -> NDArray[np.float64]:
    """What is expected after a context by the order that it fills."""
    return distributions(model, context)[min(len(context), model.highest_order - 1)]


@settings(deadline=None)
@given(texts=documents, context=st.lists(st.integers(0, VOCABULARY - 1), max_size=5))
def test_probabilities_sum_to_one_for_every_order_and_context(
    texts: list[list[int]], context: list[int]
) -> None:
    model = make_model(texts)
    for length in range(len(context) + 1):
        for each in distributions(model, context[len(context) - length :]):
            assert math.isclose(each.sum(), 1)
            assert (each > 0).all()


@settings(deadline=None)
@given(texts=documents)
def test_distribution_equals_the_naive_formula(texts: list[list[int]]) -> None:
    model, naive = make_model(texts, order=3), NaiveModel(texts, 3)
    for length in range(3):
        for context in product(range(VOCABULARY), repeat=length):
            expected = [naive.probability(token, context) for token in range(VOCABULARY)]
            np.testing.assert_allclose(distribution(model, list(context)), expected)


@settings(deadline=None)
@given(train=documents, test=documents)
def test_scores_equal_the_naive_formula_within_each_document(
    train: list[list[int]], test: list[list[int]]
) -> None:
    model, naive = make_model(train), NaiveModel(train, 4)
    scores = model.log_probabilities(*join(test))
    for order in range(1, 5):
        expected = []
        for text in test:
            for place, token in enumerate(text):
                past = (START, *text[:place])
                # Where the document is shorter than the context, a lower order is all there is.
                expected.append(
                    math.log(naive.probability(token, past[max(0, len(past) - order + 1) :]))
                )
        np.testing.assert_allclose(scores[order - 1], expected)


@settings(deadline=None)
@given(train=documents, text=st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12))
def test_reading_on_gives_the_same_contexts_as_a_document(
    train: list[list[int]], text: list[int]
) -> None:
    model, cut = make_model(train), len(text) // 2
    expected = np.exp(model.log_probabilities(*join([text])))
    ids = np.array([[START, *text[:-1]]])
    first = model.contexts(ids[:, :cut], model.initial_contexts(1))
    before = first[:, :, -1].T if cut else model.initial_contexts(1)
    contexts = np.concatenate([first, model.contexts(ids[:, cut:], before)], axis=2)[:, 0]
    np.testing.assert_allclose(model.probabilities(contexts, np.array(text)), expected)
    for order, each in enumerate(model.distributions(contexts)):
        np.testing.assert_allclose(each[np.arange(len(text)), text], expected[order])


@settings(deadline=None)
@given(texts=documents)
def test_contexts_know_how_often_they_were_seen_and_what_followed(texts: list[list[int]]) -> None:
    model, naive = make_model(texts, order=3), NaiveModel(texts, 3)
    for context in product(range(VOCABULARY), repeat=2):
        ids = np.array([context])
        totals, types = model.totals_and_types(
            model.contexts(ids, model.initial_contexts(1))[:, 0, -1:]
        )
        for length in range(3):
            followers = naive.followers(context[2 - length :])
            assert totals[length, 0] == followers.total()
            assert types[length, 0] == max(1, len(followers))


@settings(deadline=None)
@given(texts=documents, test=documents)
def test_total_is_the_sum_of_the_scores(texts: list[list[int]], test: list[list[int]]) -> None:
    model = make_model(texts)
    expected = model.log_probabilities(*join(test)).sum(axis=1)
    np.testing.assert_allclose(model.total_log_probabilities(*join(test)), expected)


def random_documents(tokens: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Documents that lie across a block's borders, and begin right at one."""
    random = np.random.default_rng(0)
    inside = random.choice(np.arange(1, tokens), size=tokens // 1000, replace=False)
    near = [place for place in range((1 << 20) - 3, (1 << 20) + 4, 2) if place < tokens]
    starts = np.unique([0, *inside, *near, tokens])
    return random.integers(0, VOCABULARY, tokens).astype(np.uint8), starts


def test_total_over_blocks_is_the_sum_of_the_scores() -> None:
    tokens, starts = random_documents((1 << 20) + 5000)
    model = count_ngrams(tokens[:2000], np.array([0, 700, 2000]), VOCABULARY, START)
    expected = model.log_probabilities(tokens, starts).sum(axis=1)
    np.testing.assert_allclose(model.total_log_probabilities(tokens, starts), expected, rtol=1e-12)


def test_memory_of_scoring_does_not_grow_with_the_text() -> None:
    tokens, starts = random_documents(3 << 20)
    model = count_ngrams(tokens[:2000], np.array([0, 2000]), VOCABULARY, START, highest_order=2)
    peaks = []
    for length in (1 << 20, 3 << 20):
        inside = starts[starts < length]
        tracemalloc.start()
        model.total_log_probabilities(tokens[:length], np.append(inside, length))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


def test_longer_text_is_counted_from_its_end() -> None:
    tokens, starts = random_documents(5000)
    bounded = count_ngrams(tokens, starts, VOCABULARY, START, maximum_tokens=1200)
    begin = 5000 - 1200
    rest = np.array([0, *(starts[starts > begin] - begin)])
    expected = count_ngrams(tokens[begin:], rest, VOCABULARY, START)
    assert bounded.trained_on == expected.trained_on == 1200
    assert np.array_equal(
        bounded.log_probabilities(tokens, starts), expected.log_probabilities(tokens, starts)
    )


def test_model_of_nothing_expects_every_token_alike() -> None:
    model = make_model([])
    np.testing.assert_allclose(distribution(model, [1, 2]), 1 / VOCABULARY)


def test_text_of_the_largest_vocabulary_is_counted_without_overflow() -> None:
    size = 1 << 17
    tokens = np.random.default_rng(0).integers(0, size, 3000)
    model = count_ngrams(tokens, np.array([0, 3000]), size, 0)
    scores = model.log_probabilities(tokens, np.array([0, 3000]))
    assert (np.diff(scores.sum(axis=1)) > 0).all()  # each order knows its own text better
    assert math.isclose(distribution(model, tokens[:5].tolist()).sum(), 1)


@pytest.mark.parametrize("order", [2, 3])
def test_model_approaches_the_entropy_of_a_markov_source(order: int) -> None:
    """A source of order 1: an n-gram of order 2 can reach its entropy, one of order 1 cannot."""
    transitions = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.4, 0.4, 0.1, 0.1]])
    transitions = np.vstack([transitions, [0.25, 0.25, 0.25, 0.25]])
    values, vectors = np.linalg.eig(transitions.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary /= stationary.sum()
    entropy = float(-(stationary[:, None] * transitions * np.log(transitions)).sum())
    unigram_entropy = float(-(stationary * np.log(stationary)).sum())
    random = np.random.default_rng(0)
    draws = random.random(60_000)
    cumulative = transitions.cumsum(axis=1)
    tokens = [0]
    for draw in draws:
        tokens.append(int(np.searchsorted(cumulative[tokens[-1]], draw)))
    ids = np.minimum(np.array(tokens), VOCABULARY - 1)
    model = count_ngrams(
        ids[:40_000], np.array([0, 40_000]), VOCABULARY, START, highest_order=order
    )
    test = ids[40_000:]
    totals = model.total_log_probabilities(test, np.array([0, len(test)]))
    assert math.isclose(-totals[order - 1] / len(test), entropy, abs_tol=0.02)
    assert math.isclose(-totals[0] / len(test), unigram_entropy, abs_tol=0.02)
    assert unigram_entropy > entropy + 0.1


def test_documents_do_not_run_into_one_another() -> None:
    together = make_model([[0, 1], [2, 2]])
    assert [len(text) for text in ([0, 1], [2, 2])] == [
        end - begin for begin, end in pairwise([0, 2, 4])
    ]
    after_one = distribution(together, [1])
    assert after_one[2] == after_one[1 + 1] < 0.5  # 2 was never seen after 1
    np.testing.assert_allclose(after_one, distribution(together, []))
