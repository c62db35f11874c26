"""Sessions: requests of different settings, whose texts are those that each would give alone."""

import threading
import time
from functools import cache
from typing import Any

import pytest
from chains import cycle, random_model
from engines import native_model, native_writer
from hypothesis import given, settings
from hypothesis import strategies as st
from writers import seeded, write_texts

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.network.config import ModelConfig
from sunspring.writing.drafts import Piece
from sunspring.writing.native_writer import NativeWriter
from sunspring.writing.session import Session
from sunspring.writing.settings import WritingSettings
from sunspring.writing.stretches import KnownStretches
from sunspring.writing.writer import Task, Writing

NAMES = CharacterVocabulary("abc é\n", end=True, unknown=True)
BYTES = ByteVocabulary(end=True)
SUBWORDS = train_subwords(iter(["abc abc ab ab éa é\n" * 9]), 262, end=False)
VOCABULARIES = pytest.mark.parametrize(
    "vocabulary", [NAMES, BYTES, SUBWORDS], ids=["chars", "bytes", "subwords"]
)
KNOWN = KnownStretches(3, [b"abc ab", None, b"ca bc"])
OTHER_SETTINGS: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "abc ab"},
    "length": {"length": 90},
    "seed": {"seed": 1 << 40},
    "cold": {"temperature": 0.2, "prompt": "b"},
    "greedy": {"temperature": 0},
    "top_k": {"top_k": 2},
    "top_p": {"top_p": 0.5},
    "min_p": {"min_p": 0.3},
    "repetition_penalty": {"repetition_penalty": 5.0, "prompt": "ab"},
    "stop": {"stop": ("ab", "é", "\udcff")},
    "regex": {"regex": "[abc]{3,9}", "prompt": "a"},
    "no_copies_over": {"no_copies_over": 2},
    "nothing": {"length": 0, "prompt": "abc"},
}


@cache
def writer_of(vocabulary: Vocabulary, **more: Any) -> NativeWriter:
    config = ModelConfig(vocabulary.size, hidden_size=8, embedding_size=8, **more)
    return native_writer(random_model(config), vocabulary)


def begin(writer: NativeWriter, wanted: WritingSettings) -> Task:
    return writer.begin(wanted, KNOWN if wanted.no_copies_over else None)


def seeds_of(task: Task, count: int) -> range:
    return range(task.seed, task.seed + count)


def put_together(
    pieces: list[tuple[int, Piece]], tasks: dict[int, Task]
) -> dict[int, list[Writing]]:
    """The texts of each request, in the order of their seeds."""
    texts: dict[tuple[int, int], str] = {}
    found: dict[int, list[Writing]] = {number: [] for number in tasks}
    for number, piece in pieces:
        text = texts[number, piece.seed] = texts.get((number, piece.seed), "") + piece.text
        if piece.finish_reason is not None:
            prompt = tasks[number].prompt.text
            writing = Writing(prompt, text, piece.tokens, piece.finish_reason, piece.seed)
            found[number].append(writing)
    return {
        number: sorted(writings, key=lambda each: each.seed) for number, writings in found.items()
    }


def alone(writer: NativeWriter, wanted: WritingSettings, count: int = 1) -> list[Writing]:
    return write_texts(writer, wanted, count, KNOWN if wanted.no_copies_over else None)


@VOCABULARIES
@pytest.mark.parametrize("lanes", [1, 3, 64])
def test_requests_of_different_settings_each_give_what_they_give_alone(
    vocabulary: Vocabulary, lanes: int
) -> None:
    writer, session = writer_of(vocabulary), writer_of(vocabulary).open_session(lanes)
    asked = {name: seeded(**{"length": 20, **each}) for name, each in OTHER_SETTINGS.items()}
    tasks: dict[int, Task] = {}
    for count, wanted in enumerate(asked.values()):
        task = begin(writer, wanted)
        number = session.add(writer.request(task, seeds_of(task, count)))
        assert number == len(tasks)
        tasks[number] = task
    pieces = session.run(60.0)
    assert session.is_over
    found = put_together(pieces, tasks)
    for (name, wanted), (count, writings) in zip(asked.items(), found.items(), strict=True):
        assert writings == alone(writer, wanted, count), name


some_settings = st.builds(
    seeded,
    prompt=st.text("abc é", max_size=5),
    length=st.integers(0, 30),
    seed=st.integers(0, 5),
    temperature=st.sampled_from([0, 0.5, 1.0, 2.0]),
    top_k=st.integers(0, 4),
    top_p=st.sampled_from([0.5, 0.9, 1.0]),
    stop=st.lists(st.text("abc é", min_size=1, max_size=3), max_size=2).map(tuple),
    no_copies_over=st.sampled_from([None, 2]),
)


@VOCABULARIES
@settings(max_examples=25)
@given(
    requests=st.lists(st.tuples(some_settings, st.integers(0, 4)), min_size=1, max_size=5),
    lanes=st.integers(1, 5),
    seconds=st.sampled_from([1e-6, 1e-4, 60.0]),
)
def test_requests_that_come_between_slices_give_what_they_give_alone(
    vocabulary: Vocabulary,
    requests: list[tuple[WritingSettings, int]],
    lanes: int,
    seconds: float,
) -> None:
    writer, session = writer_of(vocabulary), writer_of(vocabulary).open_session(lanes)
    tasks: dict[int, Task] = {}
    pieces: list[tuple[int, Piece]] = []
    for wanted, count in requests:
        task = begin(writer, wanted)
        tasks[session.add(writer.request(task, seeds_of(task, count)))] = task
        pieces += session.run(seconds)
    while not session.is_over:
        pieces += session.run(seconds)
    found = put_together(pieces, tasks)
    assert [*found.values()] == [alone(writer, wanted, count) for wanted, count in requests]


def test_requests_join_from_another_thread_while_others_are_written() -> None:
    writer = writer_of(SUBWORDS)  # which has no end of its own
    session, lasting = writer.open_session(lanes=2), writer.begin(seeded(length=1 << 40))
    first = session.add(writer.request(lasting, seeds_of(lasting, 1)))
    pieces: list[tuple[int, Piece]] = []

    def run() -> None:
        while not session.is_over:
            pieces.extend(session.run(0.001))

    thread = threading.Thread(target=run)
    thread.start()
    asked = [seeded("ab", length=20, seed=seed, top_k=seed % 3) for seed in range(9)]
    tasks: dict[int, Task] = {}
    for wanted in asked:
        task = begin(writer, wanted)
        tasks[session.add(writer.request(task, seeds_of(task, 3)))] = task
    deadline = time.monotonic() + 60
    while sum(piece.finish_reason is not None for _, piece in [*pieces]) < 3 * len(asked):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    session.cancel()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert any(number == first for number, _ in pieces)
    found = put_together([each for each in pieces if each[0] != first], tasks)
    assert [*found.values()] == [alone(writer, wanted, 3) for wanted in asked]


def test_pieces_come_while_a_text_is_written_and_count_its_tokens() -> None:
    writer = native_writer(cycle(SUBWORDS, "abc", "Ġ"), SUBWORDS)
    session = writer.open_session(lanes=1)
    task = writer.begin(seeded(length=100_000))
    session.add(writer.request(task, seeds_of(task, 1)))
    pieces = []
    while not session.is_over:
        pieces += [piece for _, piece in session.run(1e-4)]
    assert len(pieces) > 3
    assert "".join(piece.text for piece in pieces) == ("abc " * 25_000)
    counts = [piece.tokens for piece in pieces]
    assert counts == sorted(counts)
    assert counts[-1] == 50_000
    assert [piece.finish_reason for piece in pieces] == [None] * (len(pieces) - 1) + ["length"]


def test_labels_are_those_of_each_request() -> None:
    writer = writer_of(NAMES, labels=("horror", "poem"))
    session, tasks = writer.open_session(lanes=4), {}
    asked = [seeded("a", length=30, label=label) for label in ("horror", "poem", "horror")]
    for wanted in asked:
        task = writer.begin(wanted)
        tasks[session.add(writer.request(task, seeds_of(task, 2)))] = task
    first, second, third = put_together(session.run(60.0), tasks).values()
    assert first == third == alone(writer, asked[0], 2)
    assert second == alone(writer, asked[1], 2) != first


def test_other_voices_have_their_share_in_every_request() -> None:
    one, other = cycle(NAMES, "a"), native_writer(cycle(NAMES, "b"), NAMES)
    assert write_texts(native_writer(one, NAMES), seeded(length=5))[0].text == "aaaaa"
    model = native_model(one, NAMES)
    blended = NativeWriter(model, one.config, NAMES, blend=[(other, 1.0)])
    session, tasks = blended.open_session(lanes=2), {}
    for prompt in ("", "b"):
        task = blended.begin(seeded(prompt, length=5))
        tasks[session.add(blended.request(task, seeds_of(task, 1)))] = task
    found = put_together(session.run(60.0), tasks)
    assert [writing.text for writings in found.values() for writing in writings] == [
        "bbbbb",
        "bbbbbb",
    ]


def test_nothing_to_write_is_over_at_once() -> None:
    session: Session = writer_of(NAMES).open_session(lanes=1)
    assert session.is_over
    assert session.run(60.0) == []
