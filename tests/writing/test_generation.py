import copy
import resource
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from chains import START, chain, cycle, random_model
from engines import MakeWriter, every_arithmetic, every_engine, native_writer, torch_writer
from hypothesis import given, settings
from hypothesis import strategies as st
from writers import seeded, write_texts

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError
from sunspring.network.config import ModelConfig
from sunspring.writing.settings import ProposalSettings, WritingSettings
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Prompt, Writer, Writing

LETTERS = CharacterVocabulary("abcdefgh \n", end=False, unknown=False)
NAMES = CharacterVocabulary("abc é\n", end=True, unknown=True)
BYTES = ByteVocabulary(end=False)
BYTES_WITH_END = ByteVocabulary(end=True)
SUBWORDS = train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=False)
VOCABULARIES = [LETTERS, NAMES, BYTES, BYTES_WITH_END, SUBWORDS]
every_vocabulary = pytest.mark.parametrize(
    "vocabulary", VOCABULARIES, ids=["chars", "chars, end", "bytes", "bytes, end", "subwords"]
)
few_examples = settings(max_examples=25)
PLAIN = ModelConfig(LETTERS.size, layers=2, hidden_size=24, embedding_size=16)
CONFIGS = {
    f"{cell}{', skip' * skip}{', attention' * attention}": replace(
        PLAIN, cell=cell, skip=skip, attention=attention
    )
    for cell, skip, attention in product(("rnn", "gru", "lstm"), (False, True), (False, True))
} | {"tied": replace(PLAIN, embedding_size=24, tied=True)}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


@cache
def writer_of(make_writer: MakeWriter, vocabulary: Vocabulary, **more: Any) -> Writer:
    config = replace(PLAIN, vocabulary_size=vocabulary.size, hidden_size=8, **more)
    return make_writer(random_model(config), vocabulary)


def written(writer: Writer, prompt: str = "", **settings: Any) -> Writing:
    return write_texts(writer, seeded(prompt, **settings))[0]


@every_arithmetic
class TestSeeds:
    @every_config
    def test_write_the_same_text_alone_and_in_a_batch(
        self, make_writer: MakeWriter, config: ModelConfig
    ) -> None:
        writer = make_writer(random_model(config, std=0.8), LETTERS)
        wanted = seeded("ab", length=200)
        texts = write_texts(writer, wanted, 64)
        assert [text.seed for text in texts] == [*range(64)]
        assert len({text.text for text in texts}) == 64
        for seed in (0, 31, 63):
            assert write_texts(writer, replace(wanted, seed=seed)) == [texts[seed]]

    def test_write_the_same_text_whenever_the_others_of_a_batch_end(
        self, make_writer: MakeWriter
    ) -> None:
        writer = writer_of(make_writer, NAMES, attention=True)
        wanted = seeded("a", length=60, repetition_penalty=1.3, stop="ab")
        texts = write_texts(writer, wanted, 64)
        assert len({text.tokens for text in texts}) > 10
        assert texts == [write_texts(writer, replace(wanted, seed=s))[0] for s in range(64)]

    def test_of_many_texts_go_on_from_batch_to_batch(self, make_writer: MakeWriter) -> None:
        writer = writer_of(make_writer, LETTERS)
        texts = write_texts(writer, seeded(length=3, seed=5), 300)
        assert [text.seed for text in texts] == [*range(5, 305)]
        assert texts[299] == written(writer, length=3, seed=304)

    def test_may_be_as_large_as_promised(self, make_writer: MakeWriter) -> None:
        assert written(writer_of(make_writer, LETTERS), length=3, seed=(1 << 63) - 1).tokens == 3


@every_engine
class TestWriting:
    @every_config
    def test_takes_the_same_steps_as_one_long_forward_pass(
        self, make_writer: MakeWriter, config: ModelConfig
    ) -> None:
        model = random_model(config)
        text = written(make_writer(model, LETTERS), "bad", length=50, temperature=0).text
        ids = [LETTERS.start_id, *LETTERS.encode(text).tolist()]
        model.double()
        logits, _ = model(torch.tensor([ids[:-1]]), model.initial_state(1))
        expected = LETTERS.decode(logits[0, -50:].argmax(-1).numpy())
        assert text == "bad" + expected

    @every_vocabulary
    @few_examples
    @given(prompt=st.text("abc é\n", max_size=5), length=st.integers(0, 20), seed=st.integers(0, 9))
    def test_has_as_many_characters_as_asked_unless_the_model_ends_it(
        self, make_writer: MakeWriter, vocabulary: Vocabulary, prompt: str, length: int, seed: int
    ) -> None:
        writer = writer_of(make_writer, vocabulary)
        prompt = Prompt.read(prompt, vocabulary).text
        writing = written(writer, prompt, length=length, seed=seed)
        assert writing.text.startswith(prompt)
        assert writing.finish_reason in ("length", "end")
        count = len(writing.text) - len(prompt)
        assert count == length if writing.finish_reason == "length" else count <= length

    @pytest.mark.parametrize("length", [1, 4, 5, 6])
    def test_cuts_a_token_that_is_longer_than_what_is_left(
        self, make_writer: MakeWriter, length: int
    ) -> None:
        writing = written(make_writer(cycle(SUBWORDS, "abc", "Ġ"), SUBWORDS), length=length)
        assert writing.text == "abc abc"[:length]
        assert writing.tokens == [0, 1, 1, 1, 2, 3, 3][length]

    def test_counts_characters_and_not_bytes(self, make_writer: MakeWriter) -> None:
        first, second = BYTES.tokens[0xC3], BYTES.tokens[0xA9]
        writing = written(make_writer(cycle(BYTES, first, second), BYTES), length=3)
        assert (writing.text, writing.tokens) == ("ééé", 6)

    @every_vocabulary
    @few_examples
    @given(prompt=st.text("abc é\n", max_size=5), seed=st.integers(0, 9), data=st.data())
    def test_is_what_is_streamed(
        self,
        make_writer: MakeWriter,
        vocabulary: Vocabulary,
        prompt: str,
        seed: int,
        data: st.DataObject,
    ) -> None:
        stop = tuple(data.draw(st.lists(st.text("abc é\n", min_size=1, max_size=3), max_size=2)))
        wanted = seeded(prompt, length=15, stop=stop, seed=seed)
        writer = writer_of(make_writer, vocabulary)
        pieces = [*writer.stream(writer.begin(wanted))]
        [writing] = write_texts(writer, wanted)
        assert pieces[0] == writing.prompt == Prompt.read(prompt, vocabulary).text
        assert all(pieces[1:])
        assert "".join(pieces[1:]) == writing.continuation
        assert "".join(pieces) == writing.text

    @pytest.mark.parametrize("text", ["", "a", "abc"])
    def test_is_over_when_the_end_token_comes(self, make_writer: MakeWriter, text: str) -> None:
        tokens = [*text, "<|end|>"]
        model = chain(NAMES, {a: {b: 1} for a, b in zip([START, *text], tokens, strict=True)})
        writing = written(make_writer(model, NAMES))
        assert writing == Writing("", text, len(text) + 1, "end", 0)

    def test_shows_that_a_character_is_unfinished_where_the_model_ends_it(
        self, make_writer: MakeWriter
    ) -> None:
        first = BYTES_WITH_END.tokens[0xC3]
        model = chain(BYTES_WITH_END, {START: {first: 1}, first: {"<|end|>": 1}})
        assert written(make_writer(model, BYTES_WITH_END)).text == "\ufffd"

    def test_never_has_the_unknown_token(self, make_writer: MakeWriter) -> None:
        often = {"<|unknown|>": 0.999, "a": 0.001}
        model = chain(NAMES, {START: often, "a": often})
        assert written(make_writer(model, NAMES), length=50).text == "a" * 50

    def test_follows_the_probabilities_of_the_model(self, make_writer: MakeWriter) -> None:
        model = chain(LETTERS, {START: {"a": 0.2, "b": 0.5, "c": 0.3}})
        texts = write_texts(make_writer(model, LETTERS), seeded(length=1), 2000)
        counts = [sum(text.text == letter for text in texts) for letter in "abc"]
        assert sum(counts) == 2000
        expected = (400, 1000, 600)
        chi_square = sum((c - e) ** 2 / e for c, e in zip(counts, expected, strict=True))
        assert chi_square < 13.8  # two degrees of freedom: exceeded once in a thousand

    def test_repeats_itself_less_with_a_penalty_that_sees_the_prompt(
        self, make_writer: MakeWriter
    ) -> None:
        likely = {"a": 0.9, "b": 0.05, "c": 0.03, "d": 0.02}
        model = chain(LETTERS, dict.fromkeys("abcd", likely))
        writing = written(
            make_writer(model, LETTERS), "a", length=3, temperature=0, repetition_penalty=100
        )
        assert writing.text == "abcd"

    def test_leaves_the_model_and_all_else_that_is_random_as_they_were(
        self, make_writer: MakeWriter
    ) -> None:
        model = random_model(replace(PLAIN, layer_dropout=0.5)).train()
        before = copy.deepcopy(model.state_dict())
        random = torch.get_rng_state()
        written(make_writer(model, LETTERS), length=20)
        assert torch.equal(random, torch.get_rng_state())
        assert model.training
        for name, parameter in model.named_parameters():
            assert parameter.dtype == torch.float32
            assert parameter.requires_grad
            assert torch.equal(parameter, before[name])

    def test_does_not_follow_what_becomes_of_the_model(self, make_writer: MakeWriter) -> None:
        model = random_model(PLAIN)
        writer = make_writer(model, LETTERS)
        before = written(writer)
        with torch.no_grad():
            model.head.weight.zero_()
        assert written(writer) == before

    def test_of_no_text_at_all_is_nothing(self, make_writer: MakeWriter) -> None:
        assert write_texts(writer_of(make_writer, LETTERS), seeded(), 0) == []


@every_engine
class TestPrompt:
    @every_vocabulary
    @few_examples
    @given(prompt=st.text(st.characters(), max_size=8))
    def test_of_any_characters_is_written_on_from_and_can_be_printed(
        self, make_writer: MakeWriter, vocabulary: Vocabulary, prompt: str
    ) -> None:
        writer = writer_of(make_writer, vocabulary)
        wanted = seeded(prompt, length=3)
        [writing] = write_texts(writer, wanted)
        writing.text.encode()
        assert "".join(writer.stream(writer.begin(wanted))) == writing.text

    def test_is_read_without_the_characters_that_the_model_lacks(
        self, make_writer: MakeWriter
    ) -> None:
        assert written(writer_of(make_writer, LETTERS), "日A—bé", length=0).text == "abe"

    def test_may_be_empty(self, make_writer: MakeWriter) -> None:
        model = chain(LETTERS, {START: {"a": 1}, "a": {"b": 1}})
        assert written(make_writer(model, LETTERS), "", length=2).text == "ab"

    def test_may_be_long_without_taking_memory_for_the_square_of_it(
        self, make_writer: MakeWriter
    ) -> None:
        writer = writer_of(make_writer, LETTERS, attention=True)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limits = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20), limits[1]))
        try:
            assert written(writer, "abc " * 3000, length=3).tokens == 3
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    @pytest.mark.parametrize("size", [1023, 1024, 1025, 2500])
    def test_that_is_long_is_read_to_its_end(self, make_writer: MakeWriter, size: int) -> None:
        model = random_model(replace(PLAIN, attention=True, skip=True))
        prompt = ("abcdefgh" * size)[:size]
        found = make_writer(model, LETTERS).proposals(
            prompt, ProposalSettings(temperature=1, count=1)
        )
        ids = [LETTERS.start_id, *LETTERS.encode(prompt + found[0].text[0]).tolist()]
        model.double()
        logits, _ = model(torch.tensor([ids[:-1]]), model.initial_state(1))
        assert int(logits[0, -1].argmax()) == ids[-1]


@every_engine
class TestLabels:
    def test_condition_what_is_written(self, make_writer: MakeWriter) -> None:
        writer = writer_of(make_writer, LETTERS, labels=("horror", "poem"))
        texts = {written(writer, length=30, label=label).text for label in ("horror", "poem")}
        assert len(texts) == 2

    @pytest.mark.parametrize("length", [0, 5])
    @pytest.mark.parametrize(
        ("label", "known", "message"),
        [
            (None, ("horror", "poem"), "needs a label: its labels are horror, poem"),
            ("prose", ("horror", "poem"), "the label 'prose': its labels are horror, poem"),
            ("prose", (), "the label 'prose': its labels are none"),
        ],
    )
    def test_that_are_missing_or_unknown_are_an_error_that_lists_the_known_ones(
        self,
        make_writer: MakeWriter,
        label: str | None,
        known: tuple[str, ...],
        message: str,
        length: int,
    ) -> None:
        writer = writer_of(make_writer, LETTERS, labels=known)
        with pytest.raises(SettingsError, match=message):
            written(writer, label=label, length=length)
        with pytest.raises(SettingsError, match=message):
            writer.proposals("", ProposalSettings(label=label, count=3))


def known(longest: int, *documents: str) -> KnownStretches:
    pieces = [piece for document in documents for piece in (document.encode(), None)]
    return KnownStretches(longest + 1, pieces)


def copies(writing: Writing, prompt: str, longest: int, documents: list[str]) -> list[str]:
    """Stretches of the documents that are too long and that what was written ends."""
    ends = range(len(prompt) + 1, len(writing.text) + 1)
    found = [writing.text[end - longest - 1 : end] for end in ends if end > longest]
    return [stretch for stretch in found if any(stretch in document for document in documents)]


few_documents = st.lists(st.text("abc é\n", max_size=60), max_size=3)


class TestNoCopiesOver:
    @every_engine
    @every_vocabulary
    @few_examples
    @given(
        documents=few_documents,
        prompt=st.text("abc é", max_size=8),
        longest=st.integers(1, 6),
        seed=st.integers(0, 99),
    )
    def test_is_the_longest_stretch_that_stands_in_the_documents(
        self,
        make_writer: MakeWriter,
        vocabulary: Vocabulary,
        documents: list[str],
        prompt: str,
        longest: int,
        seed: int,
    ) -> None:
        writer = writer_of(make_writer, vocabulary)
        prompt = Prompt.read(prompt, vocabulary).text
        wanted = seeded(prompt, length=30, seed=seed, no_copies_over=longest)
        [writing] = write_texts(writer, wanted, 1, known(longest, *documents))
        assert copies(writing, prompt, longest, documents) == []
        assert len(writing.text) == len(prompt) + 30 or writing.finish_reason in ("end", "novel")

    @every_engine
    def test_counts_the_characters_of_the_prompt(self, make_writer: MakeWriter) -> None:
        writer = make_writer(chain(LETTERS, {"b": {"c": 0.9, "d": 0.1}}), LETTERS)
        wanted = seeded(length=1, temperature=0, no_copies_over=2)
        texts = {
            prompt: write_texts(writer, replace(wanted, prompt=prompt), 1, known(2, "abc"))[0].text
            for prompt in ("b", "ab", "aab", "bb")
        }
        assert texts == {"b": "bc", "ab": "abd", "aab": "aabd", "bb": "bbc"}

    @every_engine
    def test_is_no_limit_where_nothing_is_copied(self, make_writer: MakeWriter) -> None:
        writer = writer_of(make_writer, LETTERS)
        wanted = seeded("a", length=80, no_copies_over=3)
        free = replace(wanted, no_copies_over=None)
        assert write_texts(writer, wanted, 3, known(3, "ééééé")) == write_texts(writer, free, 3)

    @every_engine
    def test_ends_the_text_where_everything_would_be_a_copy(self, make_writer: MakeWriter) -> None:
        pairs = "".join(first + second for first in "ab" for second in "abcdefgh \n")
        wanted = seeded("a", length=5, no_copies_over=1)
        writer = writer_of(make_writer, LETTERS)
        [writing] = write_texts(writer, wanted, 1, known(1, pairs))
        assert (writing.text, writing.finish_reason, writing.tokens) == ("a", "novel", 0)
        wanted = replace(wanted, prompt="")
        [writing] = write_texts(writer, wanted, 1, known(1, *product_of(LETTERS)))
        assert (len(writing.text), writing.finish_reason, writing.tokens) == (1, "novel", 1)

    @every_engine
    def test_leaves_the_end_of_a_document(self, make_writer: MakeWriter) -> None:
        wanted = seeded("a", length=5, no_copies_over=1)
        documents = known(1, *product_of(NAMES))
        [writing] = write_texts(writer_of(make_writer, NAMES), wanted, 1, documents)
        assert (writing.text, writing.finish_reason, writing.tokens) == ("a", "end", 1)

    @every_engine
    @pytest.mark.parametrize(
        ("regex", "text", "reason"),
        [("ab|ac", "ac", "pattern"), ("ab", "a", "novel"), ("a(c|bd)", "ac", "pattern")],
    )
    def test_goes_together_with_a_pattern(
        self, make_writer: MakeWriter, regex: str, text: str, reason: str
    ) -> None:
        wanted = seeded("a", length=5, no_copies_over=1, regex=regex)
        [writing] = write_texts(writer_of(make_writer, LETTERS), wanted, 1, known(1, "ab"))
        assert (writing.text, writing.finish_reason) == (text, reason)
        assert writing.unmet == ("matches 'ab'" if reason == "novel" else "")

    @every_vocabulary
    @few_examples
    @given(
        documents=few_documents,
        prompt=st.text("abc ", max_size=4),
        longest=st.integers(1, 5),
        regex=st.sampled_from([None, "[abc ]*", "(ab|b|c)*a?"]),
        stop=st.sampled_from([(), ("ab",)]),
    )
    def test_is_kept_alike_by_both_engines(
        self,
        vocabulary: Vocabulary,
        documents: list[str],
        prompt: str,
        longest: int,
        regex: str | None,
        stop: tuple[str, ...],
    ) -> None:
        if regex == "(ab|b|c)*a?" and (" " in prompt or "aa" in prompt or "ac" in prompt):
            regex = None
        wanted = seeded(prompt, length=25, no_copies_over=longest, regex=regex, stop=stop)
        first, second = (
            write_texts(writer_of(each, vocabulary), wanted, 3, known(longest, *documents))
            for each in (torch_writer, native_writer)
        )
        assert first == second


def product_of(vocabulary: CharacterVocabulary) -> list[str]:
    """All pairs of characters."""
    characters = [token for token in vocabulary.tokens if len(token) == 1]
    return [first + second for first in characters for second in characters]


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": -1},
        {"seed": -1},
        {"seed": 1 << 63},
        {"stop": ("a", "")},
        {"no_copies_over": 0},
        {"no_copies_over": 100_001},
        {"length": 2.5},
        {"seed": 1.0},
        {"prompt": b"a"},
        {"regex": 3},
        {"unique": 1},
        {"novel": 5},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        WritingSettings(**wrong)


def test_settings_say_what_is_wrong_and_what_may_be() -> None:
    wrong: dict[str, Any]
    for wrong, message in (
        ({"top_k": 2.5}, "top_k is 2.5: it must be a whole number, at least 0 and below 2**63"),
        ({"length": -1}, "length is -1: it must be at least 0 and below 2**63"),
        ({"length": 10**20}, f"length is {10**20:,}: it must be at least 0 and below 2**63"),
        ({"ban": ("a", "")}, "ban is empty: leave it out"),
        ({"contains": ""}, "contains is empty: leave it out"),
        ({"ends_with": ""}, "ends_with is empty: leave it out"),
        ({"contains": 3}, "contains is 3: it must be a text, or several"),
        ({"novel": 5}, "novel is 5: it must be true or false"),
        ({"regex": 3}, "regex is 3: it must be a text"),
        ({"no_copies_over": 0}, "no_copies_over is 0: it must be between 1 and 100,000"),
        ({"seed": 1 << 63}, f"seed is {1 << 63:,}: it must be at least 0 and below 2**63"),
    ):
        with pytest.raises(SettingsError) as caught:
            WritingSettings(**wrong)
        assert str(caught.value) == message


def test_a_stop_text_may_stand_for_a_list_of_one() -> None:
    assert WritingSettings(stop="ab").stops == ("ab",)
    assert WritingSettings(stop=["ab", "c"]).stops == ("ab", "c")
    assert WritingSettings().stops == ()


def test_without_a_seed_the_first_one_is_new_each_time() -> None:
    assert WritingSettings(seed=7).first_seed() == 7
    assert len({WritingSettings().first_seed() for _ in range(9)}) == 9


@every_vocabulary
@given(text=st.text(st.characters(), max_size=8))
def test_a_prompt_is_shown_as_it_is_read(vocabulary: Vocabulary, text: str) -> None:
    prompt = Prompt.read(text, vocabulary)
    assert prompt.tokens.dtype == np.int64
    prompt.text.encode()
    unknown = vocabulary.unknown_characters(text)
    assert {*prompt.replaced} == {
        character
        for character in unknown
        if vocabulary.unknown_id is None or prompt.replaced.get(character)
    }
    if not unknown:
        assert vocabulary.decode(prompt.tokens) == text
    for old, new in prompt.replaced.items():
        assert not vocabulary.unknown_characters(new), old


def test_the_reference_streams_each_token_as_it_comes() -> None:
    writer = torch_writer(cycle(LETTERS, *"abc"), LETTERS)
    pieces = writer.stream(writer.begin(seeded("c", length=4)))
    assert [*pieces] == ["c", "a", "b", "c", "a"]


def test_the_native_engine_streams_while_it_writes() -> None:
    writer = native_writer(random_model(PLAIN), LETTERS)
    pieces = writer.stream(writer.begin(seeded("c", length=1_000_000)))
    assert next(pieces) == "c"
    assert 0 < len(next(pieces)) < 1_000_000
