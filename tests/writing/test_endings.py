"""Where writing ends: stop texts, patterns, and texts that must differ from others."""

import re
from functools import cache
from itertools import product
from typing import Any

import pytest
from chains import START, chain, cycle, random_model
from engines import MakeWriter, every_engine, torch_writer
from hypothesis import given
from hypothesis import strategies as st
from test_patterns import regexes
from writers import seeded, write_texts

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError, SunspringError
from sunspring.network.config import ModelConfig
from sunspring.writing.writer import Writer, Writing, choose_visible

LETTERS = CharacterVocabulary("abc é\n", end=False, unknown=False)
NAMES = CharacterVocabulary("abc é\n", end=True, unknown=True)
BYTES = ByteVocabulary(end=False)
BYTES_WITH_END = ByteVocabulary(end=True)
SUBWORDS = train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=False)
SUBWORDS_WITH_END = train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=True)


@cache
def writer_of(make_writer: MakeWriter, vocabulary: Vocabulary) -> Writer:
    config = ModelConfig(vocabulary.size, layers=1, hidden_size=8, embedding_size=8)
    return make_writer(random_model(config), vocabulary)


@cache
def abc_of(make_writer: MakeWriter) -> Writer:
    """Writes abcabc…"""
    return make_writer(cycle(LETTERS, *"abc"), LETTERS)


@cache
def names_of(make_writer: MakeWriter) -> Writer:
    """Writes short names, some of them often and some blank."""
    rows = {
        START: {"a": 0.5, "b": 0.3, "c": 0.1, " ": 0.1},
        " ": {"<|end|>": 1},
        **{letter: {"a": 0.2, "<|end|>": 0.8} for letter in "abc"},
    }
    return make_writer(chain(NAMES, rows), NAMES)


def written(writer: Writer, prompt: str = "", **settings: Any) -> Writing:
    return write_texts(writer, seeded(prompt, **settings))[0]


def cut(text: str, stops: tuple[str, ...]) -> tuple[str, bool]:
    """The text before the stop text that is complete first; whether there is one."""
    for end in range(len(text) + 1):
        if places := [text[:end].find(stop) for stop in stops if stop in text[:end]]:
            return text[: min(places)], True
    return text, False


@every_engine
class TestStop:
    @given(
        stop=st.lists(st.text("abc é\n", min_size=1, max_size=4), max_size=3).map(tuple),
        seed=st.integers(0, 9),
        length=st.integers(0, 30),
    )
    def test_ends_the_text_where_a_stop_text_is_first_complete(
        self, make_writer: MakeWriter, stop: tuple[str, ...], seed: int, length: int
    ) -> None:
        writer = writer_of(make_writer, LETTERS)
        whole = written(writer, "ab", length=length, seed=seed).text
        writing = written(writer, "ab", length=length, seed=seed, stop=stop)
        text, is_stopped = cut(whole.removeprefix("ab"), stop)
        assert writing.text == "ab" + text
        assert writing.finish_reason == ("stop" if is_stopped else "length")

    def test_that_is_no_text_never_comes(self, make_writer: MakeWriter) -> None:
        assert written(abc_of(make_writer), length=5, stop=("\udcff", "a\ud800")).text == "abcab"

    @given(stop=st.lists(st.text("abc", min_size=1, max_size=5), max_size=3).map(tuple))
    def test_is_never_shown_in_part(self, make_writer: MakeWriter, stop: tuple[str, ...]) -> None:
        expected, _ = cut("abc" * 4, stop)
        shown, writer = "", abc_of(make_writer)
        for piece in writer.stream(writer.begin(seeded(length=12, stop=stop))):
            shown += piece
            assert expected.startswith(shown)
        assert shown == expected

    @pytest.mark.parametrize(
        ("stop", "expected"),
        [("bc", "a"), ("c ", "ab"), ("c a", "ab"), (" ", "abc"), ("c b", "abc abc ab")],
    )
    def test_may_span_tokens_and_end_within_one(
        self, make_writer: MakeWriter, stop: str, expected: str
    ) -> None:
        writer = make_writer(cycle(SUBWORDS, "abc", "Ġ"), SUBWORDS)
        assert written(writer, length=10, stop=(stop,)).text == expected

    def test_is_not_looked_for_in_the_prompt(self, make_writer: MakeWriter) -> None:
        assert written(abc_of(make_writer), "abab", length=3, stop=("ab",)).text == "ababc"
        assert written(abc_of(make_writer), "ca", length=3, stop=("ab",)).text == "cabca"


@pytest.mark.parametrize("stop", ["bcb", "bb", "bca"])
def test_what_may_be_a_stop_text_is_held_back_and_then_released(stop: str) -> None:
    model = chain(NAMES, {START: {"a": 1}, "a": {"b": 1}, "b": {"c": 1}, "c": {"<|end|>": 1}})
    writer = torch_writer(model, NAMES)
    pieces = writer.stream(writer.begin(seeded(stop=(stop, "é"))))
    assert [*pieces] == ["", "a", "bc"]


@every_engine
class TestRegex:
    @pytest.mark.parametrize(
        "vocabulary",
        [LETTERS, NAMES, BYTES, BYTES_WITH_END, SUBWORDS, SUBWORDS_WITH_END],
        ids=["chars", "chars, end", "bytes", "bytes, end", "subwords", "subwords, end"],
    )
    @given(
        regex=regexes,
        prompt=st.text("abc é\n", max_size=2),
        length=st.integers(0, 8),
        seed=st.integers(0, 99),
    )
    def test_is_matched_by_the_whole_text_within_the_length(
        self,
        make_writer: MakeWriter,
        vocabulary: Vocabulary,
        regex: str,
        prompt: str,
        length: int,
        seed: int,
    ) -> None:
        wanted = seeded(prompt, length=length, regex=regex, seed=seed)
        try:
            texts = write_texts(writer_of(make_writer, vocabulary), wanted, 5)
        except SettingsError:
            for count in range(min(length, 3) + 1):
                for more in product("abc é\n", repeat=count):
                    assert not re.fullmatch(regex, prompt + "".join(more))
            return
        for writing in texts:
            assert writing.text.startswith(prompt)
            assert re.fullmatch(regex, writing.text)
            assert len(writing.text) - len(prompt) <= length

    @pytest.mark.parametrize("vocabulary", [BYTES, SUBWORDS])
    def test_is_matched_where_a_byte_decides_how_much_is_still_needed(
        self, make_writer: MakeWriter, vocabulary: Vocabulary
    ) -> None:
        wanted = seeded(length=1, regex="é|èx|ê{9}")
        texts = write_texts(writer_of(make_writer, vocabulary), wanted, 50)
        assert {writing.text for writing in texts} == {"é"}

    def test_lets_the_model_end_only_where_it_matches(self, make_writer: MakeWriter) -> None:
        early = {token: {"<|end|>": 0.99, "a": 0.01} for token in (START, "a")}
        writing = written(make_writer(chain(NAMES, early), NAMES), regex="a{3,9}")
        assert writing == Writing("", "aaa", 4, "end", 0)

    def test_ends_the_text_where_nothing_can_follow(self, make_writer: MakeWriter) -> None:
        writer, whole = abc_of(make_writer), Writing("", "abca", 4, "pattern", 0)
        assert written(writer, regex="abca") == whole
        assert written(writer, length=4, regex="abca") == whole
        assert written(writer, "abca", regex="abca") == Writing("abca", "", 0, "pattern", 0)

    def test_lets_the_length_end_a_text_that_could_go_on(self, make_writer: MakeWriter) -> None:
        writer = abc_of(make_writer)
        cut = written(writer, length=4, regex="[a-c]*")
        assert cut == Writing("", "abca", 4, "length", 0)
        cut = written(writer, length=5, regex="(abc)*")
        assert cut == Writing("", "abc", 3, "length", 0)

    @pytest.mark.parametrize(
        ("prompt", "regex", "place"), [("b", "a+", 1), ("abca", "ab", 3), ("日a", "b", 1)]
    )
    def test_that_no_continuation_matches_is_an_error(
        self, make_writer: MakeWriter, prompt: str, regex: str, place: int
    ) -> None:
        message = f"begins with the prompt: it fails at character {place} .*, prompt included"
        with pytest.raises(SettingsError, match=message):
            written(abc_of(make_writer), prompt, regex=regex)

    @pytest.mark.parametrize(("regex", "needed"), [("a{5}", 4), ("ab*c{3}", 3)])
    def test_that_needs_more_than_the_length_is_an_error(
        self, make_writer: MakeWriter, regex: str, needed: int
    ) -> None:
        with pytest.raises(SettingsError, match=rf"needs {needed} characters and length is 2"):
            written(abc_of(make_writer), "a", length=2, regex=regex)
        assert re.fullmatch(
            regex, written(abc_of(make_writer), "a", length=needed, regex=regex).text
        )

    def test_that_is_none_is_an_error(self, make_writer: MakeWriter) -> None:
        with pytest.raises(SettingsError, match="cannot be used"):
            written(abc_of(make_writer), regex="(")


def test_texts_that_are_shown_have_something_to_see_where_there_are_enough() -> None:
    blank, first, second = (Writing("", text, 1, "end", 0) for text in (" \n", "a", "b"))
    assert choose_visible([blank, first, blank, second], 1) == [first]
    assert choose_visible([blank, first, blank, second], 2) == [first, second]
    assert choose_visible([blank, first, blank], 2) == [first, blank]
    assert choose_visible([], 2) == []


@every_engine
class TestDistinctTexts:
    def distinct(self, make_writer: MakeWriter, count: int, **more: Any) -> list[Writing]:
        names = names_of(make_writer)
        return [*names.write_distinct(names.begin(seeded(length=9)), count, **more)]

    def test_are_the_first_of_their_kind_among_the_texts_of_the_seeds(
        self, make_writer: MakeWriter
    ) -> None:
        expected: dict[str, Writing] = {}
        for writing in write_texts(names_of(make_writer), seeded(length=9), 400):
            if text := writing.text.strip():
                expected.setdefault(text, writing)
        assert self.distinct(make_writer, 8, unique=True) == [*expected.values()][:8]

    def test_are_not_among_the_excluded_ones(self, make_writer: MakeWriter) -> None:
        excluded = frozenset({"a", "b", "aa"})
        texts = self.distinct(make_writer, 30, unique=False, excluded=excluded)
        assert len(texts) == 30
        assert not excluded & {writing.text for writing in texts}
        assert len({writing.text for writing in texts}) < 30

    def test_are_never_blank(self, make_writer: MakeWriter) -> None:
        assert "" not in {
            writing.text.strip() for writing in self.distinct(make_writer, 99, unique=False)
        }

    def test_may_differ_in_more_than_blanks(self, make_writer: MakeWriter) -> None:
        model = chain(NAMES, {START: {"a": 1}, "a": {" ": 0.5, "<|end|>": 0.5}, " ": {"a": 1}})
        writer = make_writer(model, NAMES)
        texts = writer.write_distinct(writer.begin(seeded(length=4)), 2, unique=True)
        assert len({writing.text.strip() for writing in texts}) == 2

    @pytest.mark.parametrize("count", [2, 5])
    def test_that_the_model_does_not_have_are_an_error(
        self, make_writer: MakeWriter, count: int
    ) -> None:
        writer = abc_of(make_writer)
        task = writer.begin(seeded(length=3, temperature=0))
        texts = writer.write_distinct(task, count, unique=True)
        assert next(texts).text == "abc"
        message = f"found only 1 of {count} texts in {100 * count} tries: raise --temperature"
        with pytest.raises(SunspringError, match=message):
            next(texts)
