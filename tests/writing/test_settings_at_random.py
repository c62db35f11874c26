"""Settings of writing at random: what was asked for holds, and both engines write the same.

`pytest -m long tests/writing/test_settings_at_random.py` tries many more.
"""

import re
from functools import cache
from typing import Any

import pytest
from chains import random_model
from engines import MakeWriter, native_writer, torch_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_patterns import regexes
from writers import seeded

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError, SunspringError
from sunspring.network.config import ModelConfig
from sunspring.writing.settings import ProposalSettings
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Proposal, Writer, Writing

VOCABULARIES = {
    "chars": CharacterVocabulary("abc é\n", end=False, unknown=False),
    "chars with end": CharacterVocabulary("abc é\n", end=True, unknown=True),
    "bytes": ByteVocabulary(end=False),
    "bytes with end": ByteVocabulary(end=True),
    "subwords": train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=False),
    "subwords with end": train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=True),
}
SOURCE = [b"abc ab", None, "ca bé".encode()]

texts = st.text("abc é\n日", max_size=5)
phrases = st.text("abc é\n日", min_size=1, max_size=3)
constraints: dict[str, st.SearchStrategy[Any]] = {
    "regex": st.none() | regexes | regexes.map("(?s:.*)(?:{})".format),
    "ban": st.lists(phrases, max_size=3),
    "contains": st.lists(phrases, max_size=2),
    "ends_with": st.none() | phrases,
    "no_copies_over": st.none() | st.integers(1, 4),
    "temperature": st.sampled_from([0, 0.3, 1.0, 5.0]),
    "top_k": st.integers(0, 4),
    "top_p": st.sampled_from([0.4, 1.0]),
    "min_p": st.sampled_from([0.0, 0.3]),
    "repetition_penalty": st.sampled_from([1.0, 3.0]),
}
asked = st.fixed_dictionaries(
    {"prompt": texts},
    optional={
        **constraints,
        "length": st.integers(0, 30),
        "stop": st.lists(phrases, max_size=2),
        "seed": st.integers(0, 1 << 40),
        "unique": st.booleans(),
    },
)


@cache
def writer_of(make_writer: MakeWriter, name: str) -> Writer:
    vocabulary = VOCABULARIES[name]
    config = ModelConfig(vocabulary.size, layers=1, hidden_size=8, embedding_size=8)
    return make_writer(random_model(config), vocabulary)


@cache
def known(longest: int) -> KnownStretches:
    return KnownStretches(longest + 1, SOURCE)


def written(writer: Writer, wanted: dict[str, Any]) -> list[Writing] | str:
    """Three texts, or what was said instead."""
    try:
        setting = seeded(**wanted)
        longest = setting.no_copies_over
        task = writer.begin(setting, known(longest) if longest else None)
    except SettingsError as error:
        return str(error)
    if not setting.unique:
        return writer.write(task, 3)
    found: list[Writing] = []
    try:
        found.extend(writer.write_distinct(task, 3, unique=True))
    except SunspringError as error:
        assert str(error).startswith(f"found only {len(found)} of 3 texts")
    assert len({writing.text.strip() for writing in found}) == len(found)
    return found


def has_banned(writing: Writing, phrase: str) -> bool:
    """Whether a phrase ends in the continuation, wherever it begins."""
    begin = max(len(writing.prompt) - len(phrase) + 1, 0)
    return phrase in writing.text[begin:]


def check(writing: Writing, wanted: dict[str, Any]) -> None:
    assert len(writing.continuation) <= wanted.get("length", 500)
    assert not any(has_banned(writing, phrase) for phrase in wanted.get("ban", []))
    if writing.finish_reason in ("stop", "novel"):
        return
    assert all(phrase in writing.continuation for phrase in wanted.get("contains", []))
    assert writing.continuation.endswith(wanted.get("ends_with") or "")
    if wanted.get("regex") is not None:
        assert re.fullmatch(wanted["regex"], writing.text)


def check_settings(name: str, wanted: dict[str, Any]) -> None:
    wanted = {"length": 20, **wanted}
    first, second = (
        written(writer_of(each, name), wanted) for each in (native_writer, torch_writer)
    )
    assert first == second
    if isinstance(first, str):
        assert "\n" not in first
        assert len(first) < 1000
    else:
        for writing in first:
            check(writing, wanted)


def proposed(writer: Writer, text: str, wanted: ProposalSettings) -> list[Proposal] | str:
    longest = wanted.no_copies_over
    try:
        return writer.proposals(text, wanted, known(longest) if longest else None)
    except SettingsError as error:
        return str(error)


def check_proposals(name: str, text: str, wanted: dict[str, Any]) -> None:
    setting = ProposalSettings(**{"temperature": 1.0, **wanted})
    found = proposed(writer_of(native_writer, name), text, setting)
    other = proposed(writer_of(torch_writer, name), text, setting)
    if isinstance(found, str) or isinstance(other, str):
        assert found == other
        return
    assert [each.text for each in found] == [each.text for each in other]
    shown = writer_of(native_writer, name).begin(seeded(text)).prompt.text
    for proposal in found:
        assert "\ufffd" not in proposal.text
        assert not any(
            has_banned(Writing(shown, proposal.text, 1, "length", 0), phrase)
            for phrase in wanted.get("ban", [])
        )


names = st.sampled_from([*VOCABULARIES])
few = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=5000, suppress_health_check=[HealthCheck.too_slow])


@few
@given(name=names, wanted=asked)
def test_texts_hold_what_was_asked_on_both_engines(name: str, wanted: dict[str, Any]) -> None:
    check_settings(name, wanted)


@few
@given(name=names, text=texts, wanted=st.fixed_dictionaries({}, optional=constraints))
def test_proposals_hold_what_was_asked_on_both_engines(
    name: str, text: str, wanted: dict[str, Any]
) -> None:
    check_proposals(name, text, wanted)


@pytest.mark.long
@many
@given(name=names, wanted=asked)
def test_many_texts_hold_what_was_asked(name: str, wanted: dict[str, Any]) -> None:
    check_settings(name, wanted)


@pytest.mark.long
@many
@given(name=names, text=texts, wanted=st.fixed_dictionaries({}, optional=constraints))
def test_many_proposals_hold_what_was_asked(name: str, text: str, wanted: dict[str, Any]) -> None:
    check_proposals(name, text, wanted)
