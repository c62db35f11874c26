import re
import time
import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError
from sunspring.writing.expressions import parse
from sunspring.writing.patterns import UNREACHABLE, Pattern, constraints_of
from sunspring.writing.settings import ConstraintSettings

LETTERS = CharacterVocabulary("abc é\n", end=True, unknown=True)
BYTES = ByteVocabulary(end=False)
SUBWORDS = train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=True)

atoms = st.sampled_from(["a", "b", "c", " ", "é", ".", "[ab]", "[^a]"])
regexes = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("(?:{})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)
texts = st.text("abc é\n", max_size=8)


def pattern_of(vocabulary: Vocabulary, prompt: str = "", **settings: Any) -> Pattern:
    return Pattern(constraints_of(ConstraintSettings(**settings), vocabulary), vocabulary, prompt)


@cache
def compiled(vocabulary: Vocabulary, regex: str) -> Pattern:
    return pattern_of(vocabulary, regex=regex)


def follow(pattern: Pattern, vocabulary: Vocabulary, text: str) -> int | None:
    state: int | None = pattern.initial
    for token in vocabulary.encode(text).tolist():
        state = None if state is None else pattern.follow(state, token)
    return state


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES, SUBWORDS])
@given(regex=regexes, text=texts)
def test_a_text_ends_in_a_matching_state_exactly_if_it_matches(
    vocabulary: Vocabulary, regex: str, text: str
) -> None:
    pattern = pattern_of(vocabulary, regex=regex)
    state = follow(pattern, vocabulary, text)
    matches = state is not None and pattern.is_final(state)
    assert matches == (re.fullmatch(regex, text) is not None)


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES, SUBWORDS])
@given(regex=regexes, data=st.data())
def test_walking_where_it_is_allowed_always_ends_in_a_match_in_time(
    vocabulary: Vocabulary, regex: str, data: st.DataObject
) -> None:
    pattern = pattern_of(vocabulary, regex=regex)
    state, text = pattern.initial, b""
    length = pattern.needed(state) + data.draw(st.integers(0, 4))
    for _ in range(100):
        left = length - sum(byte & 0xC0 != 0x80 for byte in text)
        tokens = np.flatnonzero(pattern.allowed(state, left)).tolist()
        if not tokens or (pattern.is_final(state) and data.draw(st.booleans())):
            break
        token = data.draw(st.sampled_from(tokens))
        following = pattern.follow(state, token)
        assert following is not None
        state, text = following, text + vocabulary.token_bytes(token)
    assert pattern.is_final(state)
    assert re.fullmatch(regex, text.decode())
    assert len(text.decode()) <= length


@given(regex=regexes)
def test_what_is_needed_is_the_length_of_the_shortest_match(regex: str) -> None:
    pattern = pattern_of(LETTERS, regex=regex)
    needed = pattern.needed(pattern.initial)
    reached = {pattern.initial}
    for _ in range(needed):
        assert not any(map(pattern.is_final, reached))
        steps = [(state, token) for state in reached for token in range(LETTERS.size)]
        followed = [pattern.follow(state, token) for state, token in steps]
        reached = {state for state in followed if state is not None}
    assert any(map(pattern.is_final, reached))


@pytest.mark.parametrize(
    ("regex", "message"),
    [
        ("(", "( at character 1 is never closed"),
        ("a|b)|(c", ") at character 4 has no ( before it"),
        (")(", ") at character 1 has no ( before it"),
        ("a{3", "{ at character 2 begins no repetition"),
        ("a{3,2}", "{3,2} at character 2 has more at least than at most"),
        ("*a", "* at character 1 has nothing to repeat"),
        ("a**", "* at character 3 repeats a repetition"),
        ("[z-a]", "z-a at character 2 is no range"),
        ("[a-\\d]", "a-\\d at character 2 is no range"),
        ("[a", "[ at character 1 is never closed"),
        ("[[:alpha:]]", "[: at character 2 is a set of sets, which is not supported"),
        ("(?=a)b", "(?= at character 1 is look-ahead, which is not supported"),
        ("b(?!a)", "(?! at character 2 is look-ahead, which is not supported"),
        ("(?<=a)b", "(?<= at character 1 is look-behind, which is not supported"),
        ("(?<!a)b", "(?<! at character 1 is look-behind, which is not supported"),
        (r"(a)\1", r"\1 at character 4 is a reference to a group, which is not supported"),
        ("(?P<x>a)(?P=x)", "(?P= at character 9 is a reference to a group"),
        ("(?>a)", "(?> at character 1 is an atomic group, which is not supported"),
        (r"a\b", r"\b at character 2 is a word boundary, which is not supported"),
        ("(?z)a", "(?z at character 1 begins no group"),
        ("a^b", "^ at character 2 is inside the pattern"),
        ("(a$)b", "$ at character 3 is inside the pattern"),
        ("a$*", "* at character 3 has nothing to repeat"),
        ("a\\", "\\ at character 2 is no escape"),
        (r"\q", r"\q at character 1 is no escape"),
        (r"\xZZ", r"\x at character 1 is no character"),
        (r"\p{Foo}", r"\p{Foo} at character 1 is no category of Unicode"),
        ("(" * 500 + "a" + ")" * 500, "( at character 101 is nested in more than 100 groups"),
    ],
)
@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES])
def test_what_cannot_be_read_is_an_error_that_names_the_place(
    vocabulary: Vocabulary, regex: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=r"^the pattern .* cannot be used: ") as caught:
        pattern_of(vocabulary, regex=regex)
    said = str(caught.value)
    assert message in said
    assert len(said) < 300
    assert "\n" not in said


@pytest.mark.parametrize(
    "regex",
    [
        "^[a-c]+$",
        "abc$",
        "^^a",
        r"\Aa\Z",
        "(^a|b$)",
        "^(?:a|b)c?$",
        "^",
        "(?x) a # note\n b",
        "(?i)AB",
        "(?P<name>a)b",
        "a+?b*?",
        r"[\w ]{2,4}",
        r"[^\s]+",
        r"\x61\u0062",
        "(?i:A)b|(?s:.)",
        "(?i)[^K]b?",
        "a(?#note)b",
        "[]a]b",
        "(?x) a # the first\n b + \\ ? [ #]",
        "(?x)a\xa0?b",
        "(?x)a#\\\nb",
        "(?x)a#\\\\\nb",
        "(?#a\\)b)ab",
        "[a-]",
        "((a){2}){2}",
        "(a|b)*a(a|b){4}",
        "a|",
        ".",
    ],
)
@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES, SUBWORDS])
@given(text=texts)
def test_patterns_mean_what_they_mean_in_python(
    vocabulary: Vocabulary, regex: str, text: str
) -> None:
    expected = re.fullmatch(regex, text)
    state = follow(pattern := compiled(vocabulary, regex), vocabulary, text)
    assert (state is not None and pattern.is_final(state)) == (expected is not None)


@given(
    regex=st.text("ab(|)[]^$*+?{1,2}\\dWs.-:!=<P \xa0#\n", max_size=9),
    flags=st.sampled_from(["", "(?i)", "(?s)", "(?x)"]),
    text=st.text("abAB1 k\u212a\n\xa0#", max_size=4),
)
@example(regex="#\\", flags="(?x)", text="")
@settings(max_examples=500)
def test_what_is_accepted_means_what_it_means_in_python(regex: str, flags: str, text: str) -> None:
    vocabulary = CharacterVocabulary("abABkK1 \u212a\n-[]{}\xa0#", end=False, unknown=False)
    try:
        parse(flags + regex)
    except SettingsError:
        return
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        expected = re.fullmatch(flags + regex, text) is not None
    try:
        pattern = pattern_of(vocabulary, regex=flags + regex)
    except SettingsError:
        assert not expected
        return
    state = follow(pattern, vocabulary, text)
    assert (state is not None and pattern.is_final(state)) == expected


@pytest.mark.parametrize(
    "regex",
    [
        "a{1000000000}",
        "(a{1000}){1000}",
        "((((a{99}){99}){99}){99}){99}",
        "(a|b)*a(a|b){40}",
        "a{" + "9" * 5000 + "}",
        "a" * 99999,
    ],
    ids=lambda regex: regex[:20],
)
@pytest.mark.parametrize(
    "vocabulary", [LETTERS, BYTES, SUBWORDS], ids=["chars", "bytes", "subwords"]
)
def test_what_is_too_large_is_refused_in_time(vocabulary: Vocabulary, regex: str) -> None:
    began = time.thread_time()
    with pytest.raises(
        SettingsError, match=r"would take more than|has 9\d,\d+ characters"
    ) as caught:
        pattern_of(vocabulary, regex=regex)
    assert time.thread_time() - began < 3
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES], ids=["chars", "bytes"])
def test_classes_of_unicode_take_little(vocabulary: Vocabulary) -> None:
    began = time.thread_time()
    pattern = pattern_of(vocabulary, regex=r"[\w ]{100,300}")
    assert time.thread_time() - began < 3
    assert pattern.needed(pattern.initial) == 100


@pytest.mark.parametrize("regex", ["x", "a+x", "[0-9]{3}"])
def test_a_pattern_that_needs_unknown_characters_is_an_error(regex: str) -> None:
    with pytest.raises(SettingsError, match="characters"):
        pattern_of(LETTERS, regex=regex)


def test_special_tokens_match_nothing() -> None:
    pattern = pattern_of(LETTERS, regex=".+")
    allowed = pattern.allowed(pattern.initial, 9)
    assert not allowed[LETTERS.end_id]
    assert not allowed[LETTERS.unknown_id]


phrases = st.text("abé", min_size=1, max_size=3)


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES, SUBWORDS])
@given(
    prompt=texts,
    text=texts,
    ban=st.lists(phrases, max_size=2),
    contains=st.lists(phrases, max_size=2),
    ends_with=st.none() | phrases,
)
def test_phrases_are_looked_for_in_what_follows_the_prompt(
    vocabulary: Vocabulary,
    prompt: str,
    text: str,
    ban: list[str],
    contains: list[str],
    ends_with: str | None,
) -> None:
    asked: dict[str, Any] = {"ban": ban, "contains": contains, "ends_with": ends_with}
    whole = prompt + text
    places = {
        place + len(phrase)
        for phrase in ban
        for place in range(len(whole))
        if whole.startswith(phrase, place)
    }
    expected = (
        not any(place > len(prompt) for place in places)
        and all(phrase in text for phrase in contains)
        and text.endswith(ends_with or "")
    )
    try:
        pattern = pattern_of(vocabulary, prompt, **asked)
    except SettingsError:
        assert not expected
        return
    state = follow(pattern, vocabulary, text)
    assert (state is not None and pattern.is_final(state)) == expected
    assert pattern.needed(pattern.initial) < UNREACHABLE


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"contains": "ab", "ban": "b"}, "no text that does not have 'b' and contains 'ab':"),
        ({"contains": "ab", "ban": "b", "regex": "[abc]+"}, "does not have 'b' and contains 'ab'"),
        ({"regex": "a+", "ends_with": "b", "ban": "c"}, "that matches 'a+' and ends with 'b':"),
        ({"contains": "a日"}, "contains is 'a日', and the model cannot write '日'"),
        ({"ends_with": "\udcff"}, "the model cannot write"),
    ],
)
def test_what_cannot_be_met_is_said_with_the_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        pattern_of(LETTERS, **settings)
    assert message in str(caught.value)


def test_a_prompt_that_does_not_match_is_said_by_place() -> None:
    prompt = "ab" * 100_000 + "c" + "ab" * 100_000
    with pytest.raises(SettingsError, match="prompt included") as caught:
        pattern_of(LETTERS, prompt, regex="[ab]*")
    assert "begins with the prompt: it fails at character 200,001 ('…abab" in str(caught.value)
    assert len(str(caught.value)) < 300
