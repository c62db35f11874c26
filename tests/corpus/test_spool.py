import os
from pathlib import Path

import numpy as np
import pytest
from corpora import (
    FILES,
    LINES,
    PLAIN,
    build,
    build_text,
    documents_of,
    every_token,
    ids_in_order,
    split_texts,
    texts,
)
from files import write
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.errors import SettingsError
from sunspring.text.options import ReadingOptions


class TestOneText:
    @every_token
    @settings(max_examples=40)
    @given(text=texts)
    def test_comes_back_from_its_splits_and_the_last_tenth_of_it_is_held_out(
        self, tokens: str, text: str
    ) -> None:
        corpus = build_text(text, tokens=tokens, subword_vocabulary=300)
        _, _, (heldout,) = split_texts(corpus)
        assert corpus.vocabulary.decode(ids_in_order(corpus)) == text
        assert heldout == text[int(len(text) * 0.9) :]
        assert corpus.characters == len(text)
        assert corpus.heldout.characters == len(heldout)

    @pytest.mark.parametrize(
        ("length", "expected"), [(20, 0), (1000, 45), (100_000, 4500), (1_000_000, 18_000)]
    )
    def test_has_a_validation_part_in_the_middle_of_its_training_part(
        self, length: int, expected: int
    ) -> None:
        corpus = build_text("abcd" * (length // 4))
        kept = length * 9 // 10
        assert corpus.validation.characters == expected
        assert corpus.train.characters == kept - expected
        assert corpus.train.document_count == 1
        if expected:
            assert abs(corpus.validation_at - (kept - expected) / 2) <= 1

    @pytest.mark.parametrize("length", range(2, 30))
    def test_has_a_training_and_a_held_out_part_however_short(self, length: int) -> None:
        corpus = build_text("x" * length)
        assert corpus.train.characters >= 1
        assert corpus.heldout.characters == length - int(length * 0.9)

    def test_has_no_end_tokens(self) -> None:
        assert build_text("some text\nor other").vocabulary.end_id is None

    @every_token
    def test_longer_than_a_block_is_encoded_like_a_short_one(self, tokens: str) -> None:
        text = "".join(f"line {number} 🙂 é\r\n" for number in range(80_000))
        corpus = build_text(text, ReadingOptions(keep_newlines=True), tokens=tokens)
        ids = ids_in_order(corpus)
        assert corpus.vocabulary.decode(ids) == text
        if tokens == "chars":
            assert np.array_equal(ids, corpus.vocabulary.encode(text))

    def test_read_as_one_document_of_several_files_is_cut_once(self) -> None:
        names = [write("a", "a" * 50), write("b", "b" * 50)]
        corpus = build(names)
        assert corpus.vocabulary.decode(ids_in_order(corpus)) == "a" * 50 + "\n" + "b" * 50
        assert split_texts(corpus)[2] == ["b" * 11]


class TestDocuments:
    @every_token
    @settings(max_examples=40)
    @given(lines=st.lists(st.text("ab é", max_size=30), min_size=1, max_size=120))
    def test_are_in_their_order_in_each_split(self, tokens: str, lines: list[str]) -> None:
        lines = [f"<{number}: {line}>" for number, line in enumerate(lines)]
        corpus = build_text("\n".join(lines), LINES, tokens=tokens, subword_vocabulary=300)
        if len(lines) == 1:
            assert corpus.vocabulary.decode(ids_in_order(corpus)) == lines[0]
        assert corpus.document_count == len(lines)
        assert corpus.characters == len("\n".join(lines)) + 1
        for documents in split_texts(corpus):
            remaining, whole = iter(lines), {*documents} & {*lines}
            assert all(document in remaining for document in documents if document in whole)

    @every_token
    @pytest.mark.parametrize("reading", [LINES, FILES], ids=["lines", "files"])
    def test_end_with_the_end_token_which_counts_as_a_character(
        self, tokens: str, reading: ReadingOptions
    ) -> None:
        lines = [f"number {number} é" for number in range(100)]
        names = [write(f"f/{number:02}", line) for number, line in enumerate(lines)]
        corpus = build(names, reading, tokens=tokens)
        for split in (corpus.train, corpus.validation, corpus.heldout):
            ends = np.flatnonzero(split.tokens == corpus.vocabulary.end_id) + 1
            assert np.array_equal(ends, split.starts[1:])
            documents = documents_of(split, corpus.vocabulary)
            assert split.characters == sum(len(document) + 1 for document in documents)
        assert corpus.tokens == sum(
            len(split.tokens) for split in (corpus.train, corpus.validation, corpus.heldout)
        )

    def test_are_held_out_by_the_seed(self) -> None:
        name = write("a", "\n".join(map(str, range(200))))
        heldout = [
            documents_of(corpus.heldout, corpus.vocabulary)
            for corpus in (build(name, LINES, seed=seed) for seed in (0, 0, 1))
        ]
        assert heldout[0] == heldout[1] != heldout[2]
        assert heldout[0] != [str(number) for number in range(180, 200)]

    def test_of_a_great_number_are_drawn_as_whole_ones(self) -> None:
        corpus = build_text("\n".join(f"number {number}" for number in range(1000, 1500)), LINES)
        assert [len(part) for part in split_texts(corpus)] == [428, 22, 50]
        assert corpus.cuts == ()

    def test_of_a_small_number_are_validated_on_the_end_of_the_last_one(self) -> None:
        names = [write(f"f/{number}", f"{number}" * 1000) for number in range(9)]
        train, validation, heldout = split_texts(build(names, FILES))
        assert len(train) == 8
        assert len(heldout) == 1
        assert validation == [train[-1][0] * 400]
        assert len(train[-1]) == 600

    def test_of_two_give_the_end_of_one(self) -> None:
        corpus = build_text("one\ntwo", LINES)
        train, _, heldout = split_texts(corpus)
        assert (train, heldout) == (["one", "tw"], ["o"])
        assert corpus.notices == (
            "the documents are too few, or too unequal in length, to take whole ones: "
            "1 character of one are held out",
        )

    def test_keep_their_labels_in_every_split(self) -> None:
        rows = [f"{'even' if number % 2 == 0 else 'odd'},{number}" for number in range(300)]
        name = write("t.csv", "\n".join(["kind,text", *rows]))
        corpus = build(f"{name}:text", ReadingOptions(documents="lines", label_column="kind"))
        assert corpus.labels == ("even", "odd")
        for split in (corpus.train, corpus.validation, corpus.heldout):
            assert split.labels is not None
            assert split.labels.tolist() == [
                int(document) % 2 for document in documents_of(split, corpus.vocabulary)
            ]

    def test_that_are_cut_keep_their_label_on_both_sides(self) -> None:
        for label in ("x", "y"):
            write(f"f/{label}/a", label * 20_000)
        corpus = build("f", ReadingOptions(documents="files", label_folders=True))
        for split in (corpus.train, corpus.validation, corpus.heldout):
            documents = documents_of(split, corpus.vocabulary)
            assert split.labels is not None
            assert [corpus.labels[index] for index in split.labels] == [
                each[0] for each in documents
            ]
            assert {document[0] for document in documents} == {"x", "y"}

    def test_with_more_labels_than_fit_are_refused(self) -> None:
        rows = (f"{number},x" for number in range(70_000))
        name = write("t.csv", "\n".join(["id,text", *rows]))
        with pytest.raises(
            SettingsError, match="more than 65536 different labels, the last one '65536'"
        ):
            build(f"{name}:text", ReadingOptions(documents="lines", label_column="id"))

    def test_may_have_a_label_that_is_no_text(self) -> None:
        folder = os.fsdecode(b"f/\xff")
        write(f"{folder}/a", "x" * 100)
        corpus = build("f", ReadingOptions(documents="files", label_folders=True))
        assert corpus.labels == ("\udcff",)


class TestHeldoutSources:
    @every_token
    @pytest.mark.parametrize("reading", [PLAIN, LINES, FILES], ids=["none", "lines", "files"])
    def test_are_held_out_whole_and_nothing_else_is(
        self, tokens: str, reading: ReadingOptions
    ) -> None:
        name = write("a", "\n".join(f"train {number}" for number in range(100)))
        other = write("b", "\n".join(f"heldout {number}" for number in range(10)))
        corpus = build(name, reading, heldout=[other], tokens=tokens)
        _, _, heldout = split_texts(corpus)
        assert "\n".join(heldout) == Path(other).read_text()
        expected = Path(name).read_text()
        if reading is LINES:
            train, validation, _ = split_texts(corpus)
            assert sorted(train + validation) == sorted(expected.split("\n"))
        else:
            before_heldout = ids_in_order(corpus)[: -len(corpus.heldout.tokens)]
            assert corpus.vocabulary.decode(before_heldout) == expected
        assert corpus.validation.characters > 0

    def test_may_be_more_than_the_training_text(self) -> None:
        corpus = build(write("a", "abc" * 10), heldout=[write("b", "xyz" * 100)])
        assert corpus.train.characters + corpus.validation.characters == 30
        assert corpus.heldout.characters == 300
