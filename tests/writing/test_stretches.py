"""Which stretches stand in a text, and which tokens would complete one, against plain searches."""

import random
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.explanation.copies import find_copies
from sunspring.writing import stretches
from sunspring.writing.copy_marks import mark_copies
from sunspring.writing.stretches import CopyGuard, KnownStretches, NovelTokens

few_letters = st.text("abé", max_size=25)
LETTERS = CharacterVocabulary("abé", end=True, unknown=True)
BYTES = ByteVocabulary(end=True)
SUBWORDS = train_subwords(iter(["ab ab éab é aba" * 9]), 266, end=True)


def known(size: int, documents: Sequence[str], at_once: int = 1000) -> KnownStretches:
    pieces: list[bytes | None] = []
    for document in documents:
        encoded = document.encode()
        pieces += [encoded[i : i + at_once] for i in range(0, len(encoded), at_once)]
        pieces.append(None)
    return KnownStretches(size, pieces)


class TestKnownStretches:
    @given(
        size=st.integers(2, 9),
        documents=st.lists(few_letters, max_size=3),
        text=few_letters,
        at_once=st.integers(1, 30),
    )
    @example(2, ["a", "b"], "ab", 1)  # across the end of a document
    def test_are_those_of_a_search(
        self, size: int, documents: list[str], text: str, at_once: int
    ) -> None:
        found = known(size, documents, at_once).contains(text).tolist()
        windows = [text[i : i + size] for i in range(len(text) - size + 1)]
        assert found == [any(window in document for document in documents) for window in windows]

    @pytest.mark.parametrize("size", [2, 5, 20, 63, 64])
    def test_of_a_long_text_are_found_wherever_it_is_cut(
        self, size: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stretches, "_BLOCK", 700)
        draw = random.Random(size)
        text = "".join(draw.choices("abcdé", k=5000))
        found = known(size, [text], 611)
        assert found.contains(text).all()
        assert len(found.keys) == len({text[i : i + size] for i in range(5001 - size)})
        assert np.all(found.keys[1:] > found.keys[:-1])

    def test_are_few_among_other_text(self) -> None:
        draw = random.Random(1)
        found = known(12, ["".join(draw.choices("abcdé", k=100_000))])
        other = "".join(draw.choices("fghij", k=100_000))
        assert not found.contains(other).any()

    def test_lack_bytes_that_are_no_text(self) -> None:
        found = KnownStretches(2, [b"a\xffb", b"\xc3", None, b"\xa9c"])
        assert not found.contains("a\ufffdb éc").any()

    def test_of_nothing_are_none(self) -> None:
        assert KnownStretches(3, []).contains("abc").tolist() == [False]
        assert KnownStretches(3, [b"abc"]).contains("ab").tolist() == []


def completes(text: str, token: str, size: int, documents: list[str]) -> bool:
    """Whether a token's characters complete a stretch, by a search for each."""
    whole = text + token
    ends = range(max(size, len(text) + 1), len(whole) + 1)
    return any(whole[end - size : end] in document for end in ends for document in documents)


class TestCopyGuard:
    @pytest.mark.parametrize(
        "vocabulary", [LETTERS, BYTES, SUBWORDS], ids=["chars", "bytes", "subwords"]
    )
    @given(
        documents=st.lists(st.text("abé ", max_size=25), max_size=2),
        prompt=st.text("abé ", max_size=6),
        size=st.integers(2, 6),
        data=st.data(),
    )
    def test_forbids_the_tokens_that_complete_a_known_stretch(
        self,
        vocabulary: Vocabulary,
        documents: list[str],
        prompt: str,
        size: int,
        data: st.DataObject,
    ) -> None:
        guard = CopyGuard(NovelTokens(vocabulary, known(size, documents)), prompt)
        ids = vocabulary.encode("abéab ").tolist()
        pushed = data.draw(st.lists(st.sampled_from(ids), max_size=8))
        for token in pushed:
            guard.push(token)
        decoder = vocabulary.decoder()
        text = prompt + "".join(map(decoder.push, pushed))
        for token, is_forbidden in enumerate(guard.forbidden()):
            after = vocabulary.decoder()
            whole = prompt + "".join(map(after.push, [*pushed, token]))
            added = whole.removeprefix(text)
            assert is_forbidden == completes(text, added, size, documents), (text, added)


class TestMarks:
    @given(
        text=few_letters,
        document=few_letters,
        size=st.integers(2, 6),
        cuts=st.lists(st.integers(0, 25), max_size=5),
    )
    def test_are_those_of_the_copies_of_the_whole_text(
        self, text: str, document: str, size: int, cuts: list[int]
    ) -> None:
        places = [0, *sorted(cuts), len(text)]
        pieces = [text[begin:end] for begin, end in pairwise(places)]
        marked = list(mark_copies(pieces, known(size, [document])))
        assert "".join(part.text for part in marked) == text
        assert all(part.text for part in marked)
        marks = [part.is_copied for part in marked for _ in part.text]
        [copies] = find_copies([text], [document.encode()])
        assert marks == copies.is_copied(size).tolist()

    def test_hold_back_only_what_may_still_be_part_of_a_stretch(self) -> None:
        pieces = iter(["abcde", "f", "xyz"])
        marked = mark_copies(pieces, known(3, ["bcd"]))
        shown = [next(marked) for _ in range(2)]
        assert [*shown] == [("a", False), ("bc", True)]
        assert next(pieces) == "f"
