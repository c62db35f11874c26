"""What stands word for word in another text, against a search for every stretch."""

import random

import numpy as np
import pytest
from corpora import LINES, PLAIN, build
from files import write
from hypothesis import example, given
from hypothesis import strategies as st

from sunspring.corpus.corpus import Corpus
from sunspring.explanation.copies import (
    Copies,
    Stretch,
    find_copies,
    repeated_lines,
    report_copies,
)
from sunspring.text.options import ReadingOptions

few_letters = st.text("abé", max_size=25)


def naive_lengths(text: str, pieces: list[str]) -> list[int]:
    """The longest stretch that ends with each character, by looking for each."""
    return [
        max(
            (end - begin for begin in range(end) if any(text[begin:end] in p for p in pieces)),
            default=0,
        )
        for end in range(1, len(text) + 1)
    ]


def lengths(text: str, *pieces: str, size: int = 1000) -> list[int]:
    data: list[bytes | None] = []
    for piece in pieces:
        encoded = piece.encode()
        data += [encoded[i : i + size] for i in range(0, len(encoded), size)]
        data.append(None)
    return find_copies([text], data)[0].lengths.tolist()


class TestLengths:
    @given(text=few_letters, pieces=st.lists(few_letters, max_size=3), size=st.integers(1, 30))
    def test_are_those_of_a_search_for_every_stretch(
        self, text: str, pieces: list[str], size: int
    ) -> None:
        assert lengths(text, *pieces, size=size) == naive_lengths(text, pieces)

    @given(text=st.text(max_size=20), piece=st.text(max_size=20))
    @example("é", "è")  # which have a byte in common
    @example("\ud800a", "a")
    def test_are_of_whole_characters(self, text: str, piece: str) -> None:
        piece = piece.encode("utf-8", "ignore").decode()
        assert lengths(text, piece) == naive_lengths(text, [piece])

    @given(texts=st.lists(few_letters, max_size=4), piece=few_letters)
    def test_of_several_texts_are_those_of_each(self, texts: list[str], piece: str) -> None:
        found = [copies.lengths.tolist() for copies in find_copies(texts, [piece.encode()])]
        assert found == [naive_lengths(text, [piece]) for text in texts]

    def test_never_go_on_from_one_text_to_the_next(self) -> None:
        found = find_copies(["ab", "cd"], [b"ab\xffcd"])
        assert [copies.lengths.tolist() for copies in found] == [[1, 2], [1, 2]]

    @pytest.mark.parametrize("threads", [1, 2, 3])
    @pytest.mark.parametrize("size", [5000, 70_000, 200_000])
    def test_of_planted_copies_in_a_long_text_are_found(self, size: int, threads: int) -> None:
        """Long enough to be read in many places at once, which stretches lie across."""
        draw = random.Random(size)
        other = "".join(draw.choices("abcdefgh", k=size))
        parts, planted = [], []
        for _ in range(20):
            parts.append("".join(draw.choices("xyz", k=draw.randrange(1, 30))))
            begin = draw.randrange(size - 3000)
            length = draw.choice([10, 100, 3000])
            at = sum(map(len, parts))
            planted.append(Stretch(at, at + length))
            parts.append(other[begin : begin + length])
        text = "".join([*parts, "x"])
        copies = find_copies([text], [other.encode()], threads)[0]
        assert copies.stretches(10) == planted

    @pytest.mark.parametrize("threads", [2, 3])
    def test_are_the_same_in_several_threads(self, threads: int) -> None:
        draw = random.Random(threads)
        other = "".join(draw.choices("ab", k=300_000)).encode()
        begin = len(other) // threads - 1500  # a stretch across the border of two threads
        text = "".join(draw.choices("ab", k=500)) + other[begin : begin + 3000].decode()
        pieces = [other[:150_000], other[150_000:], None, other[::-1]]
        alone = find_copies([text], pieces, 1)[0].lengths.tolist()
        assert max(alone) >= 3000
        assert find_copies([text], pieces, threads)[0].lengths.tolist() == alone


class TestCopies:
    def test_know_the_share_of_ngrams_that_are_new(self) -> None:
        copies = find_copies(["abcab"], [b"zabz"])[0]
        assert copies.new_shares(6).tolist()[:5] == pytest.approx([1 / 5, 2 / 4, 1, 1, 1])
        assert np.isnan(copies.new_shares(6)[5])

    @given(text=few_letters, piece=few_letters, n=st.integers(1, 6))
    def test_shares_are_those_of_a_search(self, text: str, piece: str, n: int) -> None:
        grams = [text[i : i + n] for i in range(len(text) - n + 1)]
        share = find_copies([text], [piece.encode()])[0].new_shares(6)[n - 1]
        if grams:
            assert share == pytest.approx(np.mean([gram not in piece for gram in grams]))
        else:
            assert np.isnan(share)

    @given(text=few_letters, piece=few_letters, least=st.integers(1, 5))
    def test_give_every_stretch_that_is_part_of_no_longer_one(
        self, text: str, piece: str, least: int
    ) -> None:
        copied = {
            (begin, end)
            for begin in range(len(text))
            for end in range(begin + least, len(text) + 1)
            if text[begin:end] in piece
        }
        longest = sorted(
            (begin, end)
            for begin, end in copied
            if not {(begin - 1, end), (begin, end + 1)} & copied
        )
        found = find_copies([text], [piece.encode()])[0].stretches(least)
        assert [tuple(stretch) for stretch in found] == longest

    @given(text=few_letters, piece=few_letters, least=st.integers(1, 5))
    def test_mark_the_characters_of_these_stretches(
        self, text: str, piece: str, least: int
    ) -> None:
        copies = find_copies([text], [piece.encode()])[0]
        places = {i for begin, end in copies.stretches(least) for i in range(begin, end)}
        assert copies.is_copied(least).tolist() == [i in places for i in range(len(text))]

    def test_of_nothing_are_nothing(self) -> None:
        copies = find_copies([""], [b"abc"])[0]
        assert copies == Copies("", copies.lengths)
        assert copies.stretches(1) == []
        assert np.isnan(copies.new_shares(2)).all()


class TestRepeatedLines:
    TEXT = tuple(f"  line {number} of the text" for number in range(2000))

    def corpus(self, reading: ReadingOptions = PLAIN) -> Corpus:
        return build(write("text.txt", "\n".join([*self.TEXT, "short"])), reading)

    @pytest.mark.parametrize("reading", [PLAIN, LINES], ids=["none", "lines"])
    def test_are_whole_lines_of_the_training_text(self, reading: ReadingOptions) -> None:
        corpus = self.corpus(reading)
        text = b"".join(piece or b"\n" for piece in corpus.training_bytes()).decode()
        trained = {line.strip() for line in text.split("\n")}
        found = repeated_lines("\n".join(self.TEXT), corpus)
        assert found == [line.strip() for line in self.TEXT if line.strip() in trained]
        assert 1500 < len(found) < 2000

    def test_are_each_given_once_and_only_where_they_are_long(self) -> None:
        corpus = self.corpus()
        text = "line 7 of the text \nline 7 of\nshort\n\nline 3 of the text\n\tline 7 of the text"
        assert repeated_lines(text, corpus) == ["line 7 of the text", "line 3 of the text"]
        assert repeated_lines("", corpus) == []

    def test_are_reported_with_the_stretches_of_each_text(self) -> None:
        corpus = self.corpus()
        texts = ["qqline 7 of the text\n  line 8 zz", "line 5 of the text\nqq", "q"]
        report = report_copies(texts, corpus)
        assert report.lines == [[], ["line 5 of the text"], []]
        long = "line 7 of the text\n  line 8 "
        assert [each.text for each in report.copies] == texts
        assert report.copies[0].stretches(20) == [Stretch(2, 2 + len(long))]
        assert (report.characters, report.longest) == (len(long), len(long))
        nothing = report_copies(["q"], corpus)
        assert (nothing.characters, nothing.longest) == (0, 0)
