import copy
import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from chains import random_model
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_ngrams import START, VOCABULARY, NaiveModel, documents, join
from writers import seeded, write_texts

from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import CharacterVocabulary
from sunspring.evaluation.protocols import evaluate_stream, evaluate_windows
from sunspring.network.config import ModelConfig
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import count_ngrams
from sunspring.writing.settings import ProposalSettings
from sunspring.writing.torch_writer import TorchWriter

ORDER = 3
LETTERS = CharacterVocabulary("abc\n", end=False, unknown=False)
gates = st.integers(0, 1000).map(
    lambda seed: np.random.default_rng(seed).normal(size=(2 * ORDER, 1 + ORDER))
)
texts = st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12)


def make_network(**more: Any) -> RecurrentModel:
    config = ModelConfig(VOCABULARY, layers=1, hidden_size=6, embedding_size=5, **more)
    return random_model(config, std=0.8).eval()


NETWORK = make_network()
networks = st.sampled_from((NETWORK, make_network(pointer=4, pointer_size=3)))


def make_mixture(
    train: list[list[int]], gate: Any = None, network: RecurrentModel = NETWORK
) -> Mixture:
    ngrams = count_ngrams(*join(train), VOCABULARY, START, highest_order=ORDER)
    return Mixture(network, ngrams, gate)


def read(mixture: Mixture, ids: list[int]) -> np.ndarray[Any, Any]:
    """Probabilities (time, vocabulary) of what follows each token."""
    with torch.no_grad():
        logarithms, _ = mixture(torch.tensor([ids]), mixture.initial_state(1))
    return np.asarray(logarithms[0].exp())


def naive_probabilities(
    mixture: Mixture, train: list[list[int]], text: list[int]
) -> list[list[float]]:
    """The formula word for word: what is expected after the start token and each of a text."""
    naive = NaiveModel(train, ORDER)
    ids = [START, *text]
    with torch.no_grad():
        logits, _ = mixture.network(torch.tensor([ids]), mixture.network.initial_state(1))
    results = []
    for place in range(len(ids)):
        expected = torch.softmax(logits[0, place].double(), dim=-1).tolist()
        escapes, counts = [], []
        for length in range(1, ORDER):
            context = tuple(ids[max(0, place + 1 - length) : place + 1])
            followers = naive.followers(context) if length <= place + 1 else {}
            total, types = sum(followers.values()), max(1, len(followers))
            escapes.append(types / (total + types))
            counts.append(math.log(1 + total) / 5)
        entropy = -sum(p * math.log(p) for p in expected)
        features = np.array([1, entropy, *escapes, *counts])
        shares = np.exp(features @ mixture.gate)
        shares /= shares.sum()
        results.append(
            [
                shares[0] * expected[token]
                + sum(
                    shares[1 + length]
                    * naive.probability(token, tuple(ids[max(0, place + 1 - length) : place + 1]))
                    for length in range(ORDER)
                )
                for token in range(VOCABULARY)
            ]
        )
    return results


@settings(deadline=None, max_examples=50)
@given(train=documents, text=texts, gate=gates)
def test_probabilities_sum_to_one_and_are_never_zero(
    train: list[list[int]], text: list[int], gate: Any
) -> None:
    probabilities = read(make_mixture(train, gate), [START, *text])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (probabilities > 0).all()


@settings(deadline=None, max_examples=50)
@given(train=documents, text=texts, gate=gates, network=networks)
def test_probabilities_are_those_of_the_formula(
    train: list[list[int]], text: list[int], gate: Any, network: RecurrentModel
) -> None:
    mixture = make_mixture(train, gate, network)
    expected = naive_probabilities(mixture, train, text)
    np.testing.assert_allclose(read(mixture, [START, *text]), expected, rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(train=documents, text=texts, gate=gates, network=networks, cut=st.integers(0, 12))
def test_reading_in_parts_and_in_batches_is_reading_at_once(
    train: list[list[int]], text: list[int], gate: Any, network: RecurrentModel, cut: int
) -> None:
    mixture = make_mixture(train, gate, network)
    ids = torch.tensor([[START, *text], [*text, START]])
    with torch.no_grad():
        first, state = mixture(ids[:, : cut + 1], mixture.initial_state(2))
        parts = [first]
        if cut + 1 < ids.shape[1]:
            parts.append(mixture(ids[:, cut + 1 :], state)[0])
    together = torch.cat(parts, dim=1).exp()
    for row in (0, 1):
        np.testing.assert_allclose(together[row], read(mixture, ids[row].tolist()), rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(
    train=documents,
    heldout=st.lists(st.lists(st.integers(0, VOCABULARY - 1), max_size=12), max_size=5).filter(any),
    gate=gates,
)
def test_a_text_is_scored_by_the_formula_from_fresh_contexts_in_each_document(
    train: list[list[int]], heldout: list[list[int]], gate: Any
) -> None:
    mixture = make_mixture(train, gate)
    tokens, starts = join(heldout)
    evaluation = evaluate_stream(mixture, Split(tokens, starts, None, len(tokens)), START)
    expected = [
        -math.log(probabilities[token])
        for begin, end in pairwise(starts)
        for token, probabilities in zip(
            tokens[begin:end].tolist(),
            naive_probabilities(mixture, train, tokens[begin:end].tolist()),
            strict=False,
        )
    ]
    assert math.isclose(evaluation.nats_per_token, sum(expected) / len(expected), rel_tol=1e-5)


def test_windows_are_scored_by_what_is_within_them() -> None:
    mixture = make_mixture([[0, 1, 2, 0, 1, 2, 2]])
    tokens = np.array([0, 1, 2, 0, 1], dtype=np.uint8)
    split = Split(tokens, np.array([0, 5]), None, 5)
    evaluation = evaluate_windows(mixture, split, START, window=4, count=2)
    probabilities = read(mixture, tokens.tolist())
    expected = [-math.log(probabilities[place, tokens[place + 1]]) for place in range(4)]
    assert math.isclose(evaluation.nats_per_token, sum(expected) / 4, rel_tol=1e-5)


def test_labels_reach_the_network() -> None:
    mixture = make_mixture([[0, 1, 2]], network=make_network(labels=("a", "b")))
    ids = torch.tensor([[START, 1], [START, 1]])
    with torch.no_grad():
        rows, _ = mixture(ids, mixture.initial_state(2), torch.tensor([0, 1]))
        alone, _ = mixture(ids[1:], mixture.initial_state(1), torch.tensor([1]))
    assert not torch.allclose(rows[0], rows[1])
    torch.testing.assert_close(rows[1:], alone)


def test_copies_share_the_counts() -> None:
    mixture = make_mixture([[0, 1, 2]])
    assert copy.deepcopy(mixture).ngrams is mixture.ngrams


@pytest.fixture
def mixture() -> Mixture:
    ids = LETTERS.encode("abcab\nbca\nabcabc\n" * 5)
    ngrams = count_ngrams(
        ids, np.array([0, len(ids)]), LETTERS.size, LETTERS.start_id, highest_order=ORDER
    )
    return Mixture(make_network(), ngrams)


def mixture_writer(mixture: Mixture, before: Any = None) -> TorchWriter:
    return TorchWriter(mixture, mixture.network.config, LETTERS, before)


class TestWriting:
    def test_with_a_seed_gives_the_same_text_alone_and_in_a_batch(self, mixture: Mixture) -> None:
        writer = mixture_writer(mixture)
        together = write_texts(writer, seeded("ab", length=60, seed=5), 16)
        assert len({each.text for each in together}) == 16
        for writing in together:
            assert write_texts(writer, seeded("ab", length=60, seed=writing.seed)) == [writing]

    def test_takes_what_the_mixture_expects_most(self, mixture: Mixture) -> None:
        wanted = seeded("ca", length=30, temperature=0)
        text = write_texts(mixture_writer(mixture), wanted)[0].text
        ids = [LETTERS.start_id, *LETTERS.encode(text).tolist()]
        expected = read(mixture, ids[:-1])[2:].argmax(axis=1)
        assert text == "ca" + LETTERS.decode(expected)

    def test_goes_on_from_a_text_before_as_from_a_longer_prompt(self, mixture: Mixture) -> None:
        wanted = seeded("abcab\nbca", length=30, seed=3)
        before = LETTERS.encode("abcab\nb").astype(np.int64)
        plain, after = mixture_writer(mixture), mixture_writer(mixture, before)
        expected = write_texts(plain, wanted)[0].text
        for _ in range(2):
            assert "abcab\nb" + write_texts(after, replace(wanted, prompt="ca"))[0].text == expected
        proposed = ProposalSettings(temperature=1, count=3)
        for one, other in zip(
            after.proposals("", proposed), plain.proposals("abcab\nb", proposed), strict=True
        ):
            assert one.text == other.text
            assert math.isclose(one.probability, other.probability, rel_tol=1e-5)
