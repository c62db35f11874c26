import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corpora import (
    FILES,
    LINES,
    PLAIN,
    TOKENS,
    build,
    build_text,
    documents_of,
    every_token,
    ids_in_order,
    lines_of_text,
    split_texts,
    texts,
)
from files import write
from hypothesis import given, settings

from sunspring.corpus.batches import Lanes
from sunspring.corpus.corpus import Corpus, build_corpus, encode_sources
from sunspring.corpus.settings import TokenSettings
from sunspring.corpus.splits import Split
from sunspring.corpus.vocabulary import (
    ByteVocabulary,
    CharacterVocabulary,
    Vocabulary,
    train_subwords,
)
from sunspring.errors import SettingsError, SourceError
from sunspring.notices import Notify, ignore
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions


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
        ids = ids_in_order(corpus)
        assert bytes(ids[ids < 256].astype(np.uint8)) == content
        assert (corpus.vocabulary.end_id is not None) == end

    def test_of_subwords_given_as_base_stay_as_they_are(self) -> None:
        base = train_subwords(iter(["the cat sat on the mat " * 9]), 280, end=False)
        corpus = build_text("the dog lay on the mat", base=base)
        assert corpus.vocabulary.to_json() == base.to_json()
        with pytest.raises(SettingsError, match="no end token"):
            build_text("the dog\nthe cat", LINES, base=base)

    @pytest.mark.parametrize("documents", [PLAIN, LINES], ids=["none", "lines"])
    def test_leave_out_bytes_that_are_no_text_and_say_so(self, documents: ReadingOptions) -> None:
        reading = ReadingOptions(documents=documents.documents, errors="surrogateescape")
        for tokens in ("chars", "subwords"):
            notices: list[str] = []
            corpus = build_text(
                "abc\udcff\udcfe\ndef\udcff" * 9, reading, tokens=tokens, notify=notices.append
            )
            expected = 63 if documents is PLAIN else 63 + 1
            assert corpus.characters == expected
            assert notices == [
                "27 characters that the model has never seen: '\\udcfe', '\\udcff' are left out"
            ]
            assert len(corpus.notices) == (0 if documents is PLAIN else 1)

    def test_of_labels_given_as_base_keep_their_places(self) -> None:
        write("f/new/a", "x" * 100)
        write("f/old/a", "y" * 100)
        corpus = build(
            "f", ReadingOptions(documents="files", label_folders=True), base_labels=("older", "old")
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
        lines = ["né " * 500_000, "x", *(f"    indented {number}" for number in range(1000))]
        corpus = build_text("\n".join(lines), reading, tokens=tokens)
        assert Counter(corpus.lines()) == Counter(lines)

    def test_leave_out_the_end_of_a_base_with_documents(self) -> None:
        base = CharacterVocabulary("a", end=True, unknown=False)
        corpus = build(write("a", "one"), heldout=[write("b", "two")], base=base)
        assert list(corpus.lines()) == ["one", "two"]


def trained_on(corpus: Corpus) -> list[str]:
    """What `training_bytes` gives, cut where documents end."""
    texts, begun = [], b""
    for piece in corpus.training_bytes():
        if piece is None:
            texts.append(begun.decode())
            begun = b""
        else:
            begun += piece
    assert begun == b""
    return texts


class TestTrainingBytes:
    @every_token
    @settings(max_examples=40)
    @given(text=texts)
    def test_of_one_text_are_what_stands_before_and_after_the_validation_part(
        self, tokens: str, text: str
    ) -> None:
        corpus = build_text(text, tokens=tokens, subword_vocabulary=300)
        before, *after = filter(None, trained_on(corpus)) if len(text) > 1 else [""]
        _, (*validation,), _ = split_texts(corpus)
        assert text.startswith(before + "".join([*validation, *after]))
        assert len(before + "".join(after)) == corpus.train.characters

    @every_token
    @settings(max_examples=40)
    @given(lines=lines_of_text)
    def test_of_documents_end_with_each_of_them(self, tokens: str, lines: list[str]) -> None:
        corpus = build_text("\n".join(lines), LINES, tokens=tokens, subword_vocabulary=300)
        train, _, _ = split_texts(corpus)
        assert list(filter(None, trained_on(corpus))) == train

    @every_token
    @pytest.mark.parametrize("reading", [PLAIN, LINES], ids=["none", "lines"])
    def test_longer_than_a_block_are_whole(self, tokens: str, reading: ReadingOptions) -> None:
        text = "\n".join(["né " * 500_000, *(f"    indented {number}" for number in range(1000))])
        heldout = write("b", "né indented 0123456789")
        corpus = build(write("a", text), reading, heldout=[heldout], tokens=tokens)
        train, validation, _ = split_texts(corpus)
        found = list(filter(None, trained_on(corpus)))
        if reading is LINES:
            assert found == train
        else:
            before, after = found
            assert before + validation[0] + after == text


def test_progress_goes_up_to_the_size_of_the_sources() -> None:
    name = write("a", "x" * 3_000_000)
    seen: list[tuple[int, int | None]] = []
    build_corpus(
        find_sources([name], PLAIN),
        TokenSettings(),
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
        notify: Notify = ignore,
    ) -> Split:
        folder = Path("encoded")
        folder.mkdir()
        sources = find_sources(names, reading, as_bytes=vocabulary.kind == "bytes")
        return encode_sources(sources, vocabulary, labels, folder, notify)

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
        split = self.encode([write("a", "abcxaybcx")], vocabulary, notify=notices.append)
        assert vocabulary.decode(split.tokens) == "abcabc"
        assert (split.characters, split.left_out) == (9, 3)
        assert notices == ["3 characters that the model has never seen: 'x', 'y' are left out"]

    def test_names_no_more_than_some_of_many_unknown_characters(self) -> None:
        notices: list[str] = []
        vocabulary = CharacterVocabulary("a", end=False, unknown=False)
        text = "a" + "".join(map(chr, range(0x4E00, 0x5E00)))
        self.encode([write("a", text)], vocabulary, notify=notices.append)
        assert notices[0].startswith("4,096 characters")
        assert notices[0].endswith("'\u4e13', … are left out")
        assert notices[0].count(",") == 1 + 20

    def test_takes_the_unknown_token_where_there_is_one(self) -> None:
        notices: list[str] = []
        vocabulary = CharacterVocabulary("abc", end=False, unknown=True)
        split = self.encode([write("a", "abxc")], vocabulary, notify=notices.append)
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
        reading = ReadingOptions(documents="lines", label_column="kind")
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
        reading = ReadingOptions(documents="lines", label_column="kind")
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
        TokenSettings(**wrong)


@pytest.mark.parametrize("documents", ["none", "lines"])
def test_text_that_is_too_short_to_learn_from_is_an_error_that_says_so(documents: Any) -> None:
    corpus = build_text("short", ReadingOptions(documents=documents))
    with pytest.raises(SourceError, match="give more text"):
        Lanes(corpus.train, corpus.vocabulary.start_id, batch_size=64, window=256, seed=0)


@pytest.mark.parametrize("reading", [LINES, FILES])
def test_documents_are_counted_as_a_person_counts_them(reading: ReadingOptions) -> None:
    names = [write(f"{number}.txt", f"a text of its own, number {number}") for number in range(10)]
    assert build(names, reading).document_count == 10


MEASURE = """
import json, re, sys
from pathlib import Path
import numpy as np
from sunspring.corpus.batches import Lanes, Windows
from sunspring.corpus.corpus import build_corpus
from sunspring.corpus.settings import TokenSettings
from sunspring.text.files import find_sources
from sunspring.text.options import ReadingOptions

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) >> 10

before = peak()
reading = ReadingOptions(documents=sys.argv[1])
corpus = build_corpus(find_sources(["text"], reading), TokenSettings(), Path("cache"))
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
