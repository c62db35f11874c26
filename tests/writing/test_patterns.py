import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError
from sunspring.writing.patterns import Pattern

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
    pattern = Pattern(regex, vocabulary)
    state = follow(pattern, vocabulary, text)
    matches = state is not None and pattern.is_final(state)
    assert matches == (re.fullmatch(regex, text) is not None)


@pytest.mark.parametrize("vocabulary", [LETTERS, BYTES, SUBWORDS])
@given(regex=regexes, data=st.data())
def test_walking_where_it_is_allowed_always_ends_in_a_match_in_time(
    vocabulary: Vocabulary, regex: str, data: st.DataObject
) -> None:
    pattern = Pattern(regex, vocabulary)
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
    pattern = Pattern(regex, LETTERS)
    needed = pattern.needed(pattern.initial)
    reached = {pattern.initial}
    for _ in range(needed):
        assert not any(map(pattern.is_final, reached))
        steps = [(state, token) for state in reached for token in range(LETTERS.size)]
        followed = [pattern.follow(state, token) for state, token in steps]
        reached = {state for state in followed if state is not None}
    assert any(map(pattern.is_final, reached))


@pytest.mark.parametrize("regex", ["(", "(?=a)b", "a{3", "[z-a]"])
def test_what_is_no_regular_expression_is_an_error_that_names_it(regex: str) -> None:
    with pytest.raises(SettingsError, match="cannot be used") as caught:
        Pattern(regex, LETTERS)
    assert repr(regex) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("regex", ["x", "a+x", "[0-9]{3}"])
def test_a_pattern_that_needs_unknown_characters_is_an_error(regex: str) -> None:
    with pytest.raises(SettingsError, match="characters"):
        Pattern(regex, LETTERS)


def test_special_tokens_match_nothing() -> None:
    pattern = Pattern(".+", LETTERS)
    allowed = pattern.allowed(pattern.initial, 9)
    assert not allowed[LETTERS.end_id]
    assert not allowed[LETTERS.unknown_id]
