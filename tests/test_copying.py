"""What stands word for word in another text, against a search for every stretch."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sunspring.copying import Copies, Stretch, find_copies, token_bytes
from sunspring.corpus import CorpusSettings, build_corpus
from sunspring.decoding import ReadingOptions

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

    @pytest.mark.parametrize("size", [5000, 70_000])
    def test_of_planted_copies_in_a_long_text_are_found(self, size: int) -> None:
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
        copies = find_copies([text], [other.encode()])[0]
        assert copies.stretches(10) == planted


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

    def test_of_nothing_are_nothing(self) -> None:
        copies = find_copies([""], [b"abc"])[0]
        assert copies == Copies("", copies.lengths)
        assert copies.stretches(1) == []
        assert np.isnan(copies.new_shares(2)).all()


@pytest.mark.parametrize("tokens", ["chars", "bytes", "subwords"])
@pytest.mark.parametrize("documents", ["none", "lines"])
def test_a_corpus_is_read_as_it_was_written(tokens: str, documents: str, tmp_path: Path) -> None:
    text = "".join(f"naïve {number} 日本\n" for number in range(3000))
    Path("text.txt").write_text(text)
    corpus = build_corpus(
        ("text.txt",), ReadingOptions(documents), CorpusSettings(tokens=tokens), tmp_path / "cache"
    )
    pieces = list(token_bytes(corpus.heldout.tokens, corpus.vocabulary))
    read = b"".join(b"" if piece is None else piece for piece in pieces).decode()
    if documents == "none":
        assert text.endswith(read)
        assert None not in pieces
    else:
        assert pieces.count(None) == corpus.heldout.documents
        assert set(read.replace("naïve", "\nnaïve").split("\n")) <= {*text.split("\n"), ""}
    assert len(read) > 1000
