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

from sunspring.corpus.splits import Split
from sunspring.errors import SettingsError, SourceError, SunspringError
from sunspring.evaluation.dynamic import LearningSettings, evaluate_dynamic, learn_from
from sunspring.evaluation.protocols import evaluate_stream
from sunspring.network.config import DROPOUTS, ModelConfig
from sunspring.network.mixture import Mixture
from sunspring.network.network import RecurrentModel
from sunspring.network.ngrams import count_ngrams

VOCABULARY = 7
START = 6
CONFIG = ModelConfig(VOCABULARY, layers=2, hidden_size=8, embedding_size=5, skip=True)
CONFIGS = {
    "lstm": CONFIG,
    "gru": replace(CONFIG, cell="gru"),
    "rnn": replace(CONFIG, cell="rnn"),
    "attention": replace(CONFIG, attention=True),
    "tied": replace(CONFIG, skip=False, embedding_size=8, tied=True),
    "pointer": replace(CONFIG, pointer=5, pointer_size=3),
    "dropout": replace(CONFIG, **dict.fromkeys(DROPOUTS, 0.5)),
}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
STILL = LearningSettings(rate=0)
FAST = LearningSettings(rate=1e-2, decay=1e-2, segment=8)


def make_split(lengths: list[int], labels: list[int] | None = None, seed: int = 1) -> Split:
    starts = np.cumsum([0, *lengths])
    tokens = np.random.default_rng(seed).integers(0, VOCABULARY, starts[-1]).astype(np.uint8)
    kinds = None if labels is None else np.array(labels, dtype=np.uint16)
    return Split(tokens, starts, kinds, len(tokens))


def repeated(lengths: list[int]) -> Split:
    """A text that is easily learned."""
    split = make_split(lengths)
    return replace(split, tokens=np.resize(np.array([0, 3, 1, 4, 2, 5], np.uint8), sum(lengths)))


def dynamic(model: RecurrentModel, split: Split, learning: LearningSettings) -> float:
    return evaluate_dynamic(model, split, START, learning)["dynamic"].nats_per_token


def naive_dynamic(model: RecurrentModel, split: Split, learning: LearningSettings) -> float:
    """The rule word for word, for texts whose documents are longer than a segment."""
    model = copy.deepcopy(model).eval()
    trained = {name: each.detach().clone() for name, each in model.named_parameters()}
    gradients: list[dict[str, torch.Tensor]] = []
    total = 0.0
    for document, (begin, end) in enumerate(pairwise(split.starts.tolist())):
        labels = None if split.labels is None else torch.tensor([int(split.labels[document])])
        ids = [START, *split.tokens[begin:end].tolist()]
        state = model.initial_state(1)
        for offset in range(0, end - begin, learning.segment):
            segment = ids[offset : offset + learning.segment + 1]
            nats = torch.zeros(())
            for previous, token in pairwise(segment):
                logits, state = model(torch.tensor([[previous]]), state, labels)
                nats = nats - torch.log_softmax(logits[0, 0], dim=-1)[token]
            total += nats.item()
            state = tuple(tuple(tensor.detach() for tensor in layer) for layer in state)
            model.zero_grad()
            (nats / learning.segment).backward()
            gradients.append(
                {name: each.grad.clone() for name, each in model.named_parameters()}  # type: ignore[union-attr]
            )
            root = {
                name: torch.stack([each[name] ** 2 for each in gradients]).mean(dim=0).sqrt()
                for name in trained
            }
            mean = torch.cat([each.flatten() for each in root.values()]).mean()
            with torch.no_grad():
                for name, each in model.named_parameters():
                    pull = (learning.decay * root[name] / mean).clamp(max=1)
                    back = each + pull * (trained[name] - each)
                    each.copy_(back - learning.rate * gradients[-1][name] / (root[name] + 1e-5))
    return total / len(split.tokens)


@every_config
def test_figure_is_that_of_the_rule(config: ModelConfig) -> None:
    model, split = random_model(config), make_split([60, 21])
    expected = naive_dynamic(model, split, FAST)
    assert math.isclose(dynamic(model, split, FAST), expected, rel_tol=1e-4)
    assert abs(expected - dynamic(model, split, STILL)) > 0.005


def test_figure_is_that_of_the_rule_under_labels() -> None:
    model = random_model(replace(CONFIG, labels=("a", "b")))
    split = make_split([30, 20, 25], labels=[1, 0, 1])
    expected = naive_dynamic(model, split, FAST)
    assert math.isclose(dynamic(model, split, FAST), expected, rel_tol=1e-4)


@settings(deadline=None, max_examples=25)
@given(
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=8).filter(any),
    segment=st.integers(1, 12),
)
def test_without_learning_it_is_the_static_figure(lengths: list[int], segment: int) -> None:
    model, split = random_model(CONFIG), make_split(lengths)
    figures = evaluate_dynamic(model, split, START, replace(STILL, segment=segment))
    static = evaluate_stream(model, split, START)
    assert figures["dynamic"].tokens == static.tokens == sum(lengths)
    assert math.isclose(figures["dynamic"].nats_per_token, static.nats_per_token, rel_tol=1e-5)


@every_config
def test_without_learning_it_is_the_static_figure_of_every_model(config: ModelConfig) -> None:
    model, split = random_model(config).train(), make_split([300, 4])
    static = evaluate_stream(model, split, START).nats_per_token
    assert math.isclose(dynamic(model, split, STILL), static, rel_tol=1e-5)


@pytest.mark.parametrize("lengths", [[50], [5, 40, 2, 3]])
def test_tokens_are_scored_before_they_are_learned_from(lengths: list[int]) -> None:
    model, split = random_model(CONFIG), make_split(lengths)
    one_segment = dynamic(model, split, replace(FAST, segment=50))
    static = evaluate_stream(model, split, START).nats_per_token
    assert math.isclose(one_segment, static, rel_tol=1e-5)


@pytest.mark.parametrize("lengths", [[600], [6] * 100], ids=["one text", "short documents"])
def test_what_was_read_is_learned_and_carried_from_document_to_document(lengths: list[int]) -> None:
    model, split = random_model(CONFIG, std=0.1), repeated(lengths)
    learned = dynamic(model, split, replace(FAST, segment=24))
    assert learned < 0.9 * evaluate_stream(model, split, START).nats_per_token


def test_decay_leads_back_to_the_trained_weights() -> None:
    model, split = random_model(CONFIG), make_split([400])
    trained = dict(model.named_parameters())

    def distance(decay: float) -> float:
        learned = learn_from(model, split, START, replace(FAST, decay=decay))
        moved = [(each - trained[name]).detach() for name, each in learned.named_parameters()]
        return float(torch.cat([each.flatten() for each in moved]).norm())

    assert distance(0) > distance(0.1) > distance(1)


@pytest.mark.parametrize("training", [True, False])
def test_model_is_left_as_it_was(training: bool) -> None:
    model = random_model(CONFIGS["dropout"]).train(training)
    before = copy.deepcopy(model.state_dict())
    evaluate_dynamic(model, make_split([100]), START, FAST)
    learned = learn_from(model, make_split([100]), START, FAST)
    assert model.training is training
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None
        assert parameter.requires_grad
    assert not learned.training


def test_learning_twice_gives_the_same_weights() -> None:
    model, split = random_model(CONFIGS["dropout"]), make_split([100, 3, 3])
    one, two = (learn_from(model, split, START, FAST).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_learned_model_knows_what_it_read() -> None:
    model, split = random_model(CONFIG, std=0.1), repeated([200])
    learned = learn_from(model, split, START, FAST)
    before = evaluate_stream(model, split, START).nats_per_token
    assert evaluate_stream(learned, split, START).nats_per_token < before - 0.05


def test_one_label_may_stand_for_all_documents() -> None:
    model = random_model(replace(CONFIG, labels=("a", "b")))
    one = learn_from(model, make_split([30, 9]), START, FAST, label=1).state_dict()
    two = learn_from(model, make_split([30, 9], labels=[1, 1]), START, FAST).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_mixture_without_learning_is_the_static_mixture() -> None:
    model, split = random_model(CONFIG), make_split([90, 5, 4, 4, 80])
    train = make_split([500], seed=2)
    ngrams = count_ngrams(train.tokens, train.starts, VOCABULARY, START, highest_order=3)
    mixture = Mixture(model, ngrams)
    mixtures = {"dynamic": None, "dynamic_mixture": mixture}
    still = evaluate_dynamic(model, split, START, STILL, mixtures)
    assert list(still) == ["dynamic", "dynamic_mixture"]
    static = evaluate_stream(mixture, split, START).nats_per_token
    assert math.isclose(still["dynamic_mixture"].nats_per_token, static, rel_tol=1e-5)
    learning = evaluate_dynamic(model, split, START, FAST, mixtures)
    assert learning["dynamic_mixture"].nats_per_token != still["dynamic_mixture"].nats_per_token
    assert math.isclose(learning["dynamic"].nats_per_token, dynamic(model, split, FAST))


class TestFaults:
    def test_labels_that_are_missing(self) -> None:
        model = random_model(replace(CONFIG, labels=("a", "b")))
        for use in (evaluate_dynamic, learn_from):
            with pytest.raises(SettingsError, match="give one of a, b"):
                use(model, make_split([9]), START)

    @pytest.mark.parametrize("lengths", [[], [0, 0]])
    def test_text_that_is_empty(self, lengths: list[int]) -> None:
        for use in (evaluate_dynamic, learn_from):
            with pytest.raises(SourceError, match="is empty"):
                use(random_model(CONFIG), make_split(lengths), START)

    def test_learning_that_goes_astray(self) -> None:
        wild = LearningSettings(rate=1e38, segment=8)
        for use in (evaluate_dynamic, learn_from):
            with pytest.raises(SunspringError, match="choose a smaller learning rate"):
                use(random_model(CONFIG), make_split([90]), START, wild)

    @pytest.mark.parametrize(
        "wrong",
        [{"rate": -1}, {"rate": math.nan}, {"rate": math.inf}, {"decay": 2}, {"segment": 0}],
        ids=str,
    )
    def test_settings_that_make_no_sense(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="must be"):
            LearningSettings(**wrong)
