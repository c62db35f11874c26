import hashlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunspring.batches import Lanes
from sunspring.corpus import (
    Corpus,
    CorpusSettings,
    Split,
    build_corpus,
    encode_sources,
    open_corpus,
)
from sunspring.errors import SettingsError, SourceError
from sunspring.sources import ReadingOptions
from sunspring.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)

PLAIN = ReadingOptions()
LINES = ReadingOptions("lines")
FILES = ReadingOptions("files")
TOKENS: list[Literal["chars", "bytes", "subwords"]] = ["chars", "bytes", "subwords"]
every_token = pytest.mark.parametrize("tokens", TOKENS)

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\ufeff")
texts = st.text(st.one_of(st.sampled_from("ab \n\n"), characters), min_size=1).filter(
    lambda text: not text.isspace()
)
lines_of_text = st.lists(
    st.text(characters.filter(lambda one: one != "\n"), min_size=1).filter(
        lambda text: not text.isspace()
    ),
    min_size=1,
    max_size=120,
)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes) -> str:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def build(
    names: str | list[str],
    reading: ReadingOptions = PLAIN,
    *,
    heldout: list[str] | None = None,
    base: Vocabulary | None = None,
    base_labels: tuple[str, ...] = (),
    on_notice: Callable[[str], None] | None = None,
    **chosen: Any,
) -> Corpus:
    return build_corpus(
        [names] if isinstance(names, str) else names,
        reading,
        CorpusSettings(**chosen),
        Path("cache"),
        heldout=heldout or (),
        base=base,
        base_labels=base_labels,
        on_notice=on_notice,
    )


def build_text(text: str, reading: ReadingOptions = PLAIN, **more: Any) -> Corpus:
    """Build from a file that no other text was ever in, so that the cache never stands for it."""
    name = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
    return build(write(name, text.encode("utf-8", "surrogateescape")), reading, **more)


def documents_of(split: Split, vocabulary: Vocabulary) -> list[str]:
    return [vocabulary.decode(split.tokens[a:b]) for a, b in pairwise(split.starts)]


def split_texts(corpus: Corpus) -> tuple[list[str], list[str], list[str]]:
    train, validation, heldout = (
        documents_of(split, corpus.vocabulary)
        for split in (corpus.train, corpus.validation, corpus.heldout)
    )
    return train, validation, heldout


def arrays_of(corpus: Corpus) -> list[Any]:
    return [
        array.tolist()
        for split in (corpus.train, corpus.validation, corpus.heldout)
        for array in (split.tokens, split.starts)
    ]


def read_stdin(monkeypatch: pytest.MonkeyPatch, text: str, **more: Any) -> Corpus:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return build("-", **more)


class TestOneText:
    @every_token
    @settings(max_examples=40)
    @given(text=texts)
    def test_comes_back_from_its_splits_and_the_last_tenth_of_it_is_held_out(
        self, tokens: str, text: str
    ) -> None:
        corpus = build_text(text, tokens=tokens, subword_vocabulary=300)
        train, validation, heldout = map("".join, split_texts(corpus))
        assert train + validation + heldout == text
        assert heldout == text[int(len(text) * 0.9) :]
        assert corpus.characters == len(text)
        assert corpus.heldout.characters == len(heldout)

    @pytest.mark.parametrize(
        ("length", "expected"), [(20, 0), (1000, 45), (100_000, 4500), (1_000_000, 18_000)]
    )
    def test_ends_its_training_part_with_a_validation_part(
        self, length: int, expected: int
    ) -> None:
        corpus = build_text("abcd" * (length // 4))
        assert corpus.validation.characters == expected
        assert corpus.train.characters == length * 9 // 10 - expected

    @pytest.mark.parametrize("length", range(2, 30))
    def test_has_a_training_and_a_held_out_part_however_short(self, length: int) -> None:
        corpus = build_text("x" * length)
        assert corpus.train.characters >= 1
        assert corpus.heldout.characters == length - int(length * 0.9)

    def test_has_no_end_tokens(self) -> None:
        assert build_text("some text\nor other").vocabulary.end_id is None

    @every_token
    def test_longer_than_a_block_is_encoded_like_a_short_one(self, tokens: str) -> None:
        text = "".join(f"line {number} 🙂 é\r\n" for number in range(150_000))
        corpus = build_text(text, ReadingOptions(keep_newlines=True), tokens=tokens)
        assert "".join(map("".join, split_texts(corpus))) == text
        if tokens == "chars":
            whole = np.concatenate([corpus.train.tokens, corpus.validation.tokens])
            assert np.array_equal(whole, corpus.vocabulary.encode(text)[: len(whole)])

    def test_read_as_one_document_of_several_files_is_cut_once(self) -> None:
        names = [write("a", "a" * 50), write("b", "b" * 50)]
        train, validation, heldout = split_texts(build(names))
        assert "".join(train + validation) == "a" * 50 + "\n" + "b" * 39
        assert heldout == ["b" * 11]


class TestDocuments:
    @every_token
    @settings(max_examples=40)
    @given(lines=lines_of_text)
    def test_are_each_in_one_split_and_in_their_order(self, tokens: str, lines: list[str]) -> None:
        corpus = build_text("\n".join(lines), LINES, tokens=tokens, subword_vocabulary=300)
        train, validation, heldout = split_texts(corpus)
        if len(lines) == 1:
            assert "".join(train + validation + heldout) == lines[0]
            return
        assert len(heldout) == max(1, round(len(lines) / 10))
        if len(lines) < 50 and len(train) + len(validation) + len(heldout) > len(lines):
            train, validation = [*train[:-1], train[-1] + validation[0]], []
        assert Counter(train + validation + heldout) == Counter(lines)
        for documents in (train, validation, heldout):
            remaining = iter(lines)
            assert all(document in remaining for document in documents)

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
            for corpus in (build(name, LINES, split_seed=seed) for seed in (0, 0, 1))
        ]
        assert heldout[0] == heldout[1] != heldout[2]
        assert heldout[0] != [str(number) for number in range(180, 200)]

    def test_of_a_great_number_give_a_fiftieth_to_validation(self) -> None:
        corpus = build_text("\n".join(map(str, range(500))), LINES)
        assert [len(part) for part in split_texts(corpus)] == [440, 10, 50]

    def test_of_a_small_number_are_validated_on_the_end_of_the_last_one(self) -> None:
        names = [write(f"f/{number}", f"{number}" * 1000) for number in range(9)]
        train, validation, heldout = split_texts(build(names, FILES))
        assert len(train) == 8
        assert len(heldout) == 1
        assert validation == [train[-1][0] * 400]
        assert len(train[-1]) == 600

    def test_of_a_small_number_never_give_up_more_than_the_last_one(self) -> None:
        text = "\n".join([*("a" * 1000 for _ in range(20)), *("b" for _ in range(20))])
        train, validation, _ = split_texts(build_text(text, LINES))
        assert validation == ["b"]
        assert len(train) == 35

    def test_of_two_give_one_to_each_side(self) -> None:
        train, validation, heldout = split_texts(build_text("one\ntwo", LINES))
        assert {"".join(train + validation), *heldout} == {"one", "two"}

    def test_keep_their_labels_in_every_split(self) -> None:
        rows = [f"{'even' if number % 2 == 0 else 'odd'},{number}" for number in range(300)]
        name = write("t.csv", "\n".join(["kind,text", *rows]))
        corpus = build(f"{name}:text", ReadingOptions("lines", label_column="kind"))
        assert corpus.labels == ("even", "odd")
        for split in (corpus.train, corpus.validation, corpus.heldout):
            assert split.labels is not None
            assert split.labels.tolist() == [
                int(document) % 2 for document in documents_of(split, corpus.vocabulary)
            ]

    def test_that_are_cut_keep_their_label_on_both_sides(self) -> None:
        for label in ("x", "y"):
            write(f"f/{label}/a", label * 1000)
        corpus = build("f", ReadingOptions("files", label_folders=True))
        for split in (corpus.train, corpus.validation, corpus.heldout):
            (document,) = documents_of(split, corpus.vocabulary)
            assert split.labels is not None
            assert [corpus.labels[index] for index in split.labels] == [document[0]]

    def test_with_more_labels_than_fit_are_refused(self) -> None:
        rows = (f"{number},x" for number in range(70_000))
        name = write("t.csv", "\n".join(["id,text", *rows]))
        with pytest.raises(SettingsError, match="more than 65536 different labels, '65536'"):
            build(f"{name}:text", ReadingOptions("lines", label_column="id"))

    def test_may_have_a_label_that_is_no_text(self) -> None:
        folder = os.fsdecode(b"f/\xff")
        write(f"{folder}/a", "x" * 100)
        corpus = build("f", ReadingOptions("files", label_folders=True))
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
        train, validation, heldout = split_texts(corpus)
        assert "\n".join(heldout) == Path(other).read_text()
        separator = "\n" if reading is LINES else ""
        assert {*separator.join(train + validation).split("\n")} == {
            *Path(name).read_text().split("\n")
        }
        assert corpus.validation.characters > 0

    def test_may_be_more_than_the_training_text(self) -> None:
        corpus = build(write("a", "abc" * 10), heldout=[write("b", "xyz" * 100)])
        assert corpus.train.characters + corpus.validation.characters == 30
        assert corpus.heldout.characters == 300


class TestVocabularies:
    def test_of_subwords_never_see_held_out_text(self) -> None:
        words = ["sunspring", "wonderful", "Copenhagen"]
        text = "the cat sat on the mat\n" * 900
        heldout = write("b", " ".join(words) * 500)
        corpus = build(write("a", text), heldout=[heldout], tokens="subwords")
        pieces = {corpus.vocabulary.token_bytes(index) for index in range(corpus.vocabulary.size)}
        assert b" the" in pieces
        assert not any(part in piece for piece in pieces for part in (b"un", b"spr", b"won", b"Co"))

        corpus = build_text(text + "sunspring " * 200, tokens="subwords")
        pieces = {corpus.vocabulary.token_bytes(index) for index in range(corpus.vocabulary.size)}
        assert "".join(split_texts(corpus)[0]).count("sunspring") == 0
        assert not any(b"un" in piece for piece in pieces)

    def test_of_characters_leave_rare_ones_to_the_unknown_token(self) -> None:
        corpus = build_text("ab" * 50 + "z", minimum_count=2)
        assert corpus.vocabulary.decode(corpus.heldout.tokens).endswith("ab\ufffd")

    def test_given_as_base_keep_their_ids_and_take_new_characters(self) -> None:
        base = CharacterVocabulary("xyz", end=False, unknown=False)
        corpus = build_text("zebra\nyak", LINES, base=base)
        assert corpus.vocabulary.tokens[:3] == base.tokens
        assert "".join(map("".join, split_texts(corpus)))
        assert corpus.vocabulary.end_id is not None
        assert sorted(corpus.lines()) == ["yak", "zebra"]

    @pytest.mark.parametrize("end", [False, True])
    def test_of_bytes_given_as_base_read_any_bytes(self, end: bool) -> None:
        content = b"\xff\0\r\n" * 100
        corpus = build(write("a", content), base=ByteVocabulary(end=end))
        ids = np.concatenate([corpus.train.tokens, corpus.validation.tokens, corpus.heldout.tokens])
        assert bytes(ids[ids < 256].astype(np.uint8)) == content
        assert (corpus.vocabulary.end_id is not None) == end

    def test_of_subwords_given_as_base_stay_as_they_are(self) -> None:
        base = train_subwords(iter(["the cat sat on the mat " * 9]), 280, end=False)
        corpus = build_text("the dog lay on the mat", base=base)
        assert corpus.vocabulary.document() == base.document()
        with pytest.raises(SettingsError, match="no end token"):
            build_text("the dog\nthe cat", LINES, base=base)

    @pytest.mark.parametrize("documents", [PLAIN, LINES], ids=["none", "lines"])
    def test_leave_out_bytes_that_are_no_text_and_say_so(self, documents: ReadingOptions) -> None:
        reading = ReadingOptions(documents.documents, errors="surrogateescape")
        for tokens in ("chars", "subwords"):
            notices: list[str] = []
            corpus = build_text(
                "abc\udcff\udcfe\ndef\udcff" * 9, reading, tokens=tokens, on_notice=notices.append
            )
            expected = 63 if documents is PLAIN else 63 + 1
            assert corpus.characters == expected
            assert notices == [
                "27 characters that the model cannot know are left out: '\\udcfe\\udcff'"
            ]

    def test_of_labels_given_as_base_keep_their_places(self) -> None:
        write("f/new/a", "x" * 100)
        write("f/old/a", "y" * 100)
        corpus = build(
            "f", ReadingOptions("files", label_folders=True), base_labels=("older", "old")
        )
        assert corpus.labels == ("older", "old", "new")

    def test_of_labels_given_as_base_may_stay_unused(self) -> None:
        corpus = build_text("no labels here", base_labels=("old",))
        assert corpus.labels == ("old",)
        assert corpus.train.labels is None


class TestLines:
    @every_token
    @settings(max_examples=40)
    @given(text=texts)
    def test_of_one_text_are_its_lines_but_for_the_empty_ones(self, tokens: str, text: str) -> None:
        corpus = build_text(text, tokens=tokens, subword_vocabulary=300)
        assert list(corpus.lines()) == [line for line in text.split("\n") if line]

    @every_token
    @settings(max_examples=40)
    @given(lines=lines_of_text)
    def test_of_documents_are_whole(self, tokens: str, lines: list[str]) -> None:
        corpus = build_text("\n".join(lines), LINES, tokens=tokens, subword_vocabulary=300)
        assert Counter(corpus.lines()) == Counter(lines)

    @every_token
    def test_of_files_hold_their_newlines(self, tokens: str) -> None:
        texts = [f"{number}\n\nand more {number}\n" for number in range(9)]
        names = [write(f"f/{number}", text) for number, text in enumerate(texts)]
        assert sorted(build(names, FILES, tokens=tokens).lines()) == texts

    @every_token
    @pytest.mark.parametrize("reading", [PLAIN, LINES, FILES], ids=["none", "lines", "files"])
    def test_never_join_training_and_held_out_sources(
        self, tokens: str, reading: ReadingOptions
    ) -> None:
        corpus = build(write("a", "one"), reading, heldout=[write("b", "two")], tokens=tokens)
        assert list(corpus.lines()) == ["one", "two"]

    @every_token
    @pytest.mark.parametrize("reading", [PLAIN, LINES], ids=["none", "lines"])
    def test_longer_than_a_block_are_whole(self, tokens: str, reading: ReadingOptions) -> None:
        lines = ["é" * 3_000_000, "x", *(f"    indented {number}" for number in range(1000))]
        corpus = build_text("\n".join(lines), reading, tokens=tokens)
        assert Counter(corpus.lines()) == Counter(lines)

    def test_leave_out_the_end_of_a_base_with_documents(self) -> None:
        base = CharacterVocabulary("a", end=True, unknown=False)
        corpus = build(write("a", "one"), heldout=[write("b", "two")], base=base)
        assert list(corpus.lines()) == ["one", "two"]


class TestFingerprint:
    def test_is_the_same_for_the_same_text_under_another_name(self) -> None:
        one, other = build(write("a", "some text")), build(write("b", "some text"))
        assert one.fingerprint == other.fingerprint
        assert one.folder != other.folder

    @pytest.mark.parametrize(
        "change",
        [
            {"tokens": "bytes"},
            {"minimum_count": 2},
            {"split_seed": 1},
            {"reading": ReadingOptions("files")},
            {"reading": ReadingOptions(keep_newlines=True)},
            {"base": CharacterVocabulary("some tx", end=False, unknown=False)},
            {"base_labels": ("x",)},
            {"heldout": ["a"]},
        ],
        ids=lambda change: str(*change),
    )
    def test_changes_with_every_setting(self, change: dict[str, Any]) -> None:
        name = write("a", "some text, some text")
        changed = build(name, **change)
        assert build(name).fingerprint != changed.fingerprint
        assert build(name).folder != changed.folder

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (["abc", "d"], ["abc", "e"]),
            (["abc", "d"], ["ab", "cd"]),
            (["abc", "d"], ["abcd"]),
            (["abc", "d"], ["d", "abc"]),
        ],
    )
    def test_changes_with_the_text_and_its_documents(
        self, one: list[str], other: list[str]
    ) -> None:
        names = [write("a", "\n".join(one)), write("b", "\n".join(other))]
        assert build(names[0], LINES).fingerprint != build(names[1], LINES).fingerprint

    def test_changes_with_the_labels(self) -> None:
        reading = ReadingOptions("lines", label_column="label")
        names = [
            write(
                f"{labels}.csv", f"label,text\n{labels[0]},one\n{labels[1]},two\n{labels[2]},three"
            )
            for labels in ("xyx", "xyy", "xzx")
        ]
        fingerprints = {build(f"{name}:text", reading).fingerprint for name in names}
        assert len(fingerprints) == 3

    def test_changes_with_what_is_held_out(self) -> None:
        for name in "abc":
            write(name, name)
        fingerprints = {
            build(["a", "b", "c"], FILES).fingerprint,
            build(["a", "b"], FILES, heldout=["c"]).fingerprint,
            build(["a"], FILES, heldout=["b", "c"]).fingerprint,
        }
        assert len(fingerprints) == 3


class TestCache:
    def reading_fails(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Let a file be looked at, but not be read."""
        path = Path(name)
        status = path.stat()
        path.write_bytes(b"\0" * status.st_size)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @every_token
    def test_is_opened_without_reading_the_sources_again(
        self, tokens: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = write("a", "some text, some text\n" * 9)
        first = build(name, LINES, tokens=tokens)
        expected = arrays_of(first)
        self.reading_fails(monkeypatch, name)
        again = build(name, LINES, tokens=tokens)
        assert (again.folder, again.fingerprint) == (first.folder, first.fingerprint)
        assert arrays_of(again) == expected
        assert again.characters == first.characters

    def test_is_not_used_when_a_file_changes(self) -> None:
        name = write("a", "some text")
        status = Path(name).stat()
        first = build(name)
        write(name, "same text")
        os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
        assert build(name).fingerprint != first.fingerprint
        assert "".join(build(name).lines()) == "same text"

    @pytest.mark.parametrize(
        "damage",
        [
            *("train.tokens", "train.starts", "train.labels", "heldout.tokens"),
            *("corpus.json", "tokenizer.json"),
        ],
    )
    @pytest.mark.parametrize("how", ["gone", "cut", "empty", "junk"])
    def test_that_is_damaged_is_told_apart_and_made_anew(self, damage: str, how: str) -> None:
        rows = "\n".join(f"{number % 2},text {number}" for number in range(300))
        name = write("t.csv", f"label,text\n{rows}") + ":text"
        reading = ReadingOptions("lines", label_column="label")
        first = build(name, reading)
        expected = arrays_of(first)
        path = first.folder / damage
        content = path.read_bytes()
        path.unlink()
        if how == "junk":
            path.write_bytes(b"[]")
        elif how != "gone":
            path.write_bytes(content[: len(content) // 2 + 1 if how == "cut" else 0])
        if not (damage.endswith("labels") and how == "empty"):
            with pytest.raises(SourceError, match="is gone or damaged") as caught:
                open_corpus(first.folder)
            assert str(first.folder) in str(caught.value)
            assert "\n" not in str(caught.value)
        assert arrays_of(build(name, reading)) == expected

    def test_holds_nothing_but_whole_corpora(self) -> None:
        write("a", "some text")
        corpus = build("a")
        with pytest.raises(SourceError):
            build(write("b", b"\xff"))
        assert [path.name for path in Path("cache").iterdir()] == [corpus.folder.name]
        assert "spool.txt" not in {path.name for path in corpus.folder.iterdir()}

    def test_of_standard_input_is_kept_under_its_fingerprint(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = read_stdin(monkeypatch, "some text")
        assert first.folder.name == first.fingerprint
        again = read_stdin(monkeypatch, "some text")
        assert again.folder == first.folder
        assert "".join(first.lines()) == "some text"
        other = read_stdin(monkeypatch, "same text")
        assert other.folder != first.folder
        assert "".join(other.lines()) == "same text"

    def test_that_was_moved_opens_where_it_is(self) -> None:
        first = build(write("a", "some text"))
        expected = arrays_of(first)
        moved = first.folder.rename("elsewhere")
        opened = open_corpus(moved)
        assert opened.fingerprint == first.fingerprint
        assert arrays_of(opened) == expected


def test_progress_goes_up_to_the_size_of_the_sources() -> None:
    name = write("a", "x" * 3_000_000)
    seen: list[tuple[int, int | None]] = []
    build_corpus(
        [name],
        PLAIN,
        CorpusSettings(),
        Path("cache"),
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == sorted(seen)
    assert seen[-1] == (3_000_000, 3_000_000)


class TestEncodeSources:
    def encode(
        self,
        names: list[str],
        vocabulary: Vocabulary,
        reading: ReadingOptions = PLAIN,
        labels: tuple[str, ...] = (),
        on_notice: Callable[[str], None] | None = None,
    ) -> Split:
        folder = Path("encoded")
        folder.mkdir()
        return encode_sources(names, reading, vocabulary, labels, folder, on_notice)

    @pytest.mark.parametrize(
        "vocabulary",
        [
            CharacterVocabulary("helo\n wrd", end=True, unknown=False),
            ByteVocabulary(end=True),
            train_subwords(iter(["hello world\n" * 9]), 270, end=True),
        ],
        ids=TOKENS,
    )
    def test_gives_all_documents_with_their_ends(self, vocabulary: Vocabulary) -> None:
        split = self.encode([write("a", "hello\nworld")], vocabulary, LINES)
        assert documents_of(split, vocabulary) == ["hello", "world"]
        assert split.tokens[split.starts[1:] - 1].tolist() == [vocabulary.end_id] * 2
        assert split.characters == 12
        assert split.labels is None

    def test_leaves_out_what_the_model_does_not_know_and_says_so(self) -> None:
        notices: list[str] = []
        vocabulary = CharacterVocabulary("abc", end=False, unknown=False)
        split = self.encode([write("a", "abcxaybcx")], vocabulary, on_notice=notices.append)
        assert vocabulary.decode(split.tokens) == "abcabc"
        assert split.characters == 6
        assert notices == ["3 characters that the model cannot know are left out: 'xy'"]

    def test_names_no_more_than_some_of_many_unknown_characters(self) -> None:
        notices: list[str] = []
        vocabulary = CharacterVocabulary("a", end=False, unknown=False)
        text = "a" + "".join(map(chr, range(0x4E00, 0x5E00)))
        self.encode([write("a", text)], vocabulary, on_notice=notices.append)
        assert notices[0].startswith("4096 characters")
        assert notices[0].endswith("…'")
        assert len(notices[0]) < 100

    def test_takes_the_unknown_token_where_there_is_one(self) -> None:
        notices: list[str] = []
        vocabulary = CharacterVocabulary("abc", end=False, unknown=True)
        split = self.encode([write("a", "abxc")], vocabulary, on_notice=notices.append)
        assert vocabulary.decode(split.tokens) == "ab\ufffdc"
        assert split.characters == 4
        assert notices == []

    @pytest.mark.parametrize("reading", [PLAIN, LINES], ids=["none", "lines"])
    def test_of_which_nothing_is_known_is_an_error(self, reading: ReadingOptions) -> None:
        vocabulary = CharacterVocabulary("abc", end=True, unknown=False)
        with pytest.raises(SourceError, match="no character that the model knows"):
            self.encode([write("a", "xyz")], vocabulary, reading)

    def test_knows_the_labels_of_the_model(self) -> None:
        name = write("t.csv", "kind,text\npoem,a\nhorror,b\n")
        reading = ReadingOptions("lines", label_column="kind")
        vocabulary = CharacterVocabulary("ab", end=True, unknown=False)
        split = self.encode([f"{name}:text"], vocabulary, reading, ("horror", "poem"))
        assert split.labels is not None
        assert split.labels.tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("labels", "known"), [(("horror",), "it knows horror"), ((), "it knows none")]
    )
    def test_refuses_a_label_that_the_model_does_not_know(
        self, labels: tuple[str, ...], known: str
    ) -> None:
        name = write("t.csv", "kind,text\npoem,a\n")
        reading = ReadingOptions("lines", label_column="kind")
        with pytest.raises(SettingsError) as caught:
            self.encode([f"{name}:text"], ByteVocabulary(end=True), reading, labels)
        assert str(caught.value) == f"the model does not know the label poem: {known}"

    def test_may_have_no_labels_though_the_model_has(self) -> None:
        split = self.encode([write("a", "x")], ByteVocabulary(end=True), LINES, ("horror",))
        assert split.labels is None


@pytest.mark.parametrize(
    "wrong", [{"tokens": "words"}, {"subword_vocabulary": 256}, {"minimum_count": 0}], ids=str
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        CorpusSettings(**wrong)


@pytest.mark.parametrize("documents", ["none", "lines"])
def test_text_that_is_too_short_to_learn_from_is_an_error_that_says_so(documents: Any) -> None:
    corpus = build_text("short", ReadingOptions(documents))
    with pytest.raises(SourceError, match="give more text"):
        Lanes(corpus.train, corpus.vocabulary.start_id, batch_size=64, window=256, seed=0)


MEASURE = """
import json, re, sys
from pathlib import Path
import numpy as np
from sunspring.batches import Lanes, Windows
from sunspring.corpus import CorpusSettings, build_corpus
from sunspring.sources import ReadingOptions

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10

before = peak()
reading = ReadingOptions(sys.argv[1])
corpus = build_corpus(["text"], reading, CorpusSettings(), Path("cache"))
built = peak()
for kind in Lanes, Windows:
    batches = kind(corpus.train, corpus.vocabulary.start_id, batch_size=64, window=128, seed=0)
    for _ in range(1000):
        batches.next()
lines = sum(1 for _ in corpus.lines()) if sys.argv[1] == "none" else 0
print(json.dumps([built - before, peak() - before, lines, corpus.characters]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize(("documents", "megabytes"), [("none", 150), ("lines", 60)])
def test_a_corpus_is_built_and_read_in_bounded_memory(documents: str, megabytes: int) -> None:
    block = "".join(f"a line of about forty characters: {n:05}\n" for n in range(25_000))
    with Path("text").open("w") as file:
        for _ in range(megabytes):
            file.write(block)
    command = [sys.executable, "-c", MEASURE, documents]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    built, read, lines, counted = json.loads(done.stdout)
    assert counted == megabytes * len(block)
    assert lines in (0, megabytes * 25_000)
    # text and ids would take twice the megabytes; documents take 11 bytes each while building
    assert built < (60 if documents == "none" else 90)
    assert read < 220
