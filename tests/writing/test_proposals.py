"""What may come next: pieces that are proposed, and their probabilities."""

from typing import Any

import pytest
import torch
from chains import START, chain, random_model
from engines import MakeWriter, every_engine, native_model, native_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.network.config import ModelConfig
from sunspring.network.network import RecurrentModel
from sunspring.writing.native_writer import NativeWriter
from sunspring.writing.settings import ProposalSettings
from sunspring.writing.writer import Proposal

NAMES = CharacterVocabulary("ab ,é\n", end=True, unknown=True)
LETTERS = CharacterVocabulary("ab ,\n", end=False, unknown=False)
BYTES = ByteVocabulary(end=True)
SUBWORDS = train_subwords(iter(["ab ab ab "]), 258, end=False)


def proposals(
    make_writer: MakeWriter,
    model: RecurrentModel,
    vocabulary: Vocabulary,
    text: str,
    count: int = 5,
    **sampling: Any,
) -> list[Proposal]:
    wanted = ProposalSettings(**{"temperature": 1, "count": count, **sampling})
    return make_writer(model, vocabulary).proposals(text, wanted)


def naive_probabilities(model: RecurrentModel, ids: list[int]) -> list[float]:
    """The next token's probabilities after a text, in one pass over all of it."""
    with torch.no_grad():
        logits, _ = model(torch.tensor([ids]), model.initial_state(1))
    logits[0, -1, NAMES.unknown_id] = -torch.inf
    probabilities: list[float] = logits[0, -1].softmax(-1).tolist()
    return probabilities


def naive_word(model: RecurrentModel, ids: list[int], token: int) -> Proposal:
    text, probability = "", naive_probabilities(model, ids)[token]
    while True:
        text, ids = text + NAMES.tokens[token], [*ids, token]
        if len(text) == 20 or not (text == " " or text[-1].isalnum()):
            return Proposal(text, probability)
        chances = naive_probabilities(model, ids)
        token = chances.index(max(chances))
        if token == NAMES.end_id or not NAMES.tokens[token].isalnum():
            return Proposal(text, probability)
        probability *= chances[token]


@every_engine
@settings(max_examples=30)
@given(text=st.text("ab ,é\n", max_size=6), count=st.integers(1, 9), seed=st.integers(0, 5))
def test_are_the_most_probable_beginnings_with_the_product_of_their_tokens_probabilities(
    make_writer: MakeWriter, text: str, count: int, seed: int
) -> None:
    torch.manual_seed(seed)
    model = RecurrentModel(ModelConfig(NAMES.size, hidden_size=8, embedding_size=8)).double()
    torch.nn.init.normal_(model.head.weight, std=3)
    ids = [NAMES.start_id, *NAMES.encode(text).tolist()]
    chances = naive_probabilities(model, ids)
    first = sorted(range(NAMES.size), key=lambda token: -chances[token])
    first = [token for token in first if token not in (NAMES.end_id, NAMES.unknown_id)][:count]
    expected = sorted((naive_word(model, ids, t) for t in first), key=lambda p: -p.probability)
    found = proposals(make_writer, model, NAMES, text, count)
    assert [proposal.text for proposal in found] == [proposal.text for proposal in expected]
    for proposal, other in zip(found, expected, strict=True):
        assert proposal.probability == pytest.approx(other.probability, rel=1e-4)


@every_engine
def test_go_to_the_end_of_the_word_and_after_a_space_of_the_next_one(
    make_writer: MakeWriter,
) -> None:
    model = chain(
        LETTERS,
        {START: {"a": 0.6, " ": 0.3, ",": 0.1}, " ": {"b": 1}, "b": {"b": 0.4, ",": 0.6}}
        | {"a": {"b": 0.7, ",": 0.3}, ",": {" ": 1}},
    )
    found = proposals(make_writer, model, LETTERS, "")
    assert [proposal.text for proposal in found] == ["ab", " b", ","]
    assert [p.probability for p in found] == pytest.approx([0.42, 0.3, 0.1])


@every_engine
def test_never_have_the_unknown_token_or_the_end(make_writer: MakeWriter) -> None:
    often = {"<|unknown|>": 0.6, "<|end|>": 0.3, "a": 0.06, "b": 0.04}
    model = chain(NAMES, {START: often, "a": often, "b": {"<|unknown|>": 0.9, "a": 0.1}})
    found = proposals(make_writer, model, NAMES, "", 2)
    assert [proposal.text for proposal in found] == ["a", "b" + "a"]
    assert [p.probability for p in found] == pytest.approx([0.15, 0.1])


@every_engine
def test_are_none_where_the_model_surely_ends(make_writer: MakeWriter) -> None:
    assert proposals(make_writer, chain(NAMES, {START: {"<|end|>": 1}}), NAMES, "") == []


@every_engine
def test_have_whole_characters_though_tokens_are_bytes(make_writer: MakeWriter) -> None:
    first, second, third = (BYTES.tokens[byte] for byte in "—".encode())
    high, low = (BYTES.tokens[byte] for byte in "é".encode())
    model = chain(
        BYTES,
        {
            START: {first: 0.5, "x": 0.3, "y": 0.2},
            first: {second: 0.8, "x": 0.2},
            second: {third: 1},
        }
        | {"x": {first: 1}, "y": {high: 1}, high: {low: 1}, low: {first: 1}},
    )
    found = proposals(make_writer, model, BYTES, "")
    assert [proposal.text for proposal in found] == ["—", "x", "yé"]
    assert [p.probability for p in found] == pytest.approx([0.5, 0.3, 0.2])  # x would leave it half


@every_engine
def test_of_the_same_text_are_one_the_more_probable(make_writer: MakeWriter) -> None:
    rows = {START: {"a": 0.6, "ab": 0.4}, "a": {"b": 0.6, "Ġ": 0.4}, "b": {"Ġ": 1}, "ab": {"Ġ": 1}}
    (found,) = proposals(make_writer, chain(SUBWORDS, rows), SUBWORDS, "")
    assert found.text == "ab"
    assert found.probability == pytest.approx(0.4)


@every_engine
def test_follow_the_settings_of_the_sampling(make_writer: MakeWriter) -> None:
    row = {"a": 0.6, "b": 0.4}
    model = chain(LETTERS, {START: row, " ": row, "a": {" ": 1}, "b": {" ": 1}})
    assert proposals(make_writer, model, LETTERS, "", temperature=0) == [Proposal("a", 1.0)]
    assert [p.probability for p in proposals(make_writer, model, LETTERS, "", temperature=0.5)] == (
        pytest.approx([36 / 52, 16 / 52])
    )
    assert [p.text for p in proposals(make_writer, model, LETTERS, "", top_k=1)] == ["a"]
    penalised = proposals(make_writer, model, LETTERS, "a ", repetition_penalty=2)
    assert [p.text for p in penalised] == ["b", "a"]


@every_engine
def test_do_not_go_on_for_ever(make_writer: MakeWriter) -> None:
    model = chain(LETTERS, {START: {"a": 1}, "a": {"a": 1}})
    assert proposals(make_writer, model, LETTERS, "") == [Proposal("a" * 20, 1.0)]


@every_engine
def test_are_as_many_as_there_are_tokens_at_most(make_writer: MakeWriter) -> None:
    model = random_model(ModelConfig(LETTERS.size, hidden_size=8, embedding_size=8))
    assert len(proposals(make_writer, model, LETTERS, "ab", 99)) == LETTERS.size


def test_of_a_blend_have_the_probabilities_of_all_its_models() -> None:
    one = chain(LETTERS, {START: {"a": 0.6, ",": 0.4}, "a": {",": 1}})
    two = chain(LETTERS, {START: {"b": 0.7, ",": 0.3}, "a": {"b": 1}, "b": {",": 1}})
    other = native_writer(two, LETTERS)
    blended = NativeWriter(native_model(one, LETTERS), one.config, LETTERS, blend=[(other, 0.25)])
    found = blended.proposals("", ProposalSettings(temperature=1))
    assert [proposal.text for proposal in found] == ["a", ",", "b"]
    assert [p.probability for p in found] == pytest.approx([0.45, 0.375, 0.175])


@every_engine
def test_match_what_is_asked_of_the_text(make_writer: MakeWriter) -> None:
    row = {"a": 0.5, "b": 0.3, ",": 0.2}
    model = chain(LETTERS, {START: row, "a": row, "b": row, ",": row})
    assert {p.text for p in proposals(make_writer, model, LETTERS, "ab", regex="ab[b,]*")} == {
        "b" * 20,
        ",",
    }
    banned = proposals(make_writer, model, LETTERS, "a", ban=["aa", "bb"])
    assert [p.text for p in banned] == [",", "ba" * 10]
    assert proposals(make_writer, model, LETTERS, "ab", regex="ab") == []
