"""How the parts are drawn: over characters, documents and labels alike."""

import json
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from corpora import FILES, LINES, PLAIN, build, build_text, documents_of, split_texts
from files import write
from hypothesis import example, given
from hypothesis import strategies as st

from sunspring.corpus.corpus import OLDEST_FORMAT, open_corpus
from sunspring.corpus.pieces import Pieces, draw_pieces, whole_documents
from sunspring.corpus.splits import HELDOUT, TRAIN, VALIDATION
from sunspring.text.options import ReadingOptions

LABELLED = ReadingOptions(documents="files", label_folders=True)

sizes_of_documents = st.lists(
    st.one_of(st.integers(20, 60), st.integers(1, 1000), st.integers(1, 100_000)),
    min_size=1,
    max_size=200,
)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[int], list[int] | None]:
    """Documents of any length, perhaps with labels: the length and label of each."""
    sizes = draw(sizes_of_documents)
    if draw(st.booleans()):
        return sizes, None
    most = draw(st.sampled_from([1, 3, len(sizes)]))
    return sizes, [draw(st.integers(0, most - 1)) for _ in sizes]


def draw(
    sizes: list[int],
    labels: list[int] | None = None,
    *,
    count: int | None = None,
    seed: int = 0,
    whole: bool = False,
) -> tuple[Pieces, list[str]]:
    notices: list[str] = []
    documents = whole_documents(
        np.cumsum(sizes), None if labels is None else np.array(labels, np.uint16)
    )
    names = [f"label {number}" for number in range(1 + max(labels or [0]))]
    pieces = draw_pieces(
        documents,
        count or len(sizes),
        label_names=names,
        seed=seed,
        whole=whole,
        notify=notices.append,
    )
    return pieces, notices


def characters_in(pieces: Pieces, split: int) -> int:
    return int(np.diff(pieces.ends, prepend=0)[pieces.splits == split].sum())


def splits_by_document(pieces: Pieces) -> list[list[int]]:
    """The splits of each document's pieces."""
    ends = np.flatnonzero(pieces.document_ends) + 1
    return [pieces.splits[a:b].tolist() for a, b in pairwise([0, *ends])]


class TestOfAnyDocuments:
    @given(tree=trees(), seed=st.integers(0, 3))
    @example(tree=([1, 1], [0, 1]), seed=0)
    def test_every_character_is_in_one_part_and_a_document_that_is_cut_is_said(
        self, tree: tuple[list[int], list[int] | None], seed: int
    ) -> None:
        sizes, labels = tree
        pieces, notices = draw(sizes, labels, seed=seed)
        assert pieces.ends[pieces.document_ends].tolist() == np.cumsum(sizes).tolist()
        assert (np.diff(pieces.ends, prepend=0) > 0).all()
        if labels is not None:
            assert pieces.labels is not None
            assert pieces.labels[pieces.document_ends].tolist() == labels
        cut = [parts for parts in splits_by_document(pieces) if len(parts) > 1]
        if len(sizes) > 1:
            said = " ".join(notices)
            for split, use in ((HELDOUT, "are held out"), (VALIDATION, "are the validation part")):
                assert any(split in parts for parts in cut) == (use in said)

    @given(tree=trees(), seed=st.integers(0, 3))
    def test_the_held_out_part_is_near_a_tenth(
        self, tree: tuple[list[int], list[int] | None], seed: int
    ) -> None:
        sizes, labels = tree
        pieces, _ = draw(sizes, labels, seed=seed)
        total = sum(sizes)
        if total < 2 * len(sizes):  # documents of one character
            return
        tenth = total - int(0.9 * total)
        assert abs(characters_in(pieces, HELDOUT) - tenth) <= 0.25 * tenth
        kept = total - characters_in(pieces, HELDOUT)
        expected = int(max(0.02 * kept, min(0.05 * kept, 5000)))
        assert abs(characters_in(pieces, VALIDATION) - expected) <= 0.25 * expected

    @given(tree=trees(), seed=st.integers(0, 3), whole=st.booleans())
    def test_no_label_leaves_training_and_its_only_document_is_not_drawn(
        self, tree: tuple[list[int], list[int] | None], seed: int, whole: bool
    ) -> None:
        sizes, labels = tree
        labels = labels or [0] * len(sizes)
        if len(sizes) == 1:
            return
        pieces, _ = draw(sizes, labels, seed=seed, whole=whole)
        trained = {
            label
            for label, parts in zip(labels, splits_by_document(pieces), strict=True)
            if TRAIN in parts
        }
        assert trained == set(labels)

    @given(tree=trees(), seed=st.integers(0, 3))
    def test_the_draw_depends_on_the_seed_alone(
        self, tree: tuple[list[int], list[int] | None], seed: int
    ) -> None:
        (one, _), (other, _) = draw(*tree, seed=seed), draw(*tree, seed=seed)
        assert one.ends.tolist() == other.ends.tolist()
        assert one.splits.tolist() == other.splits.tolist()

    def test_of_held_out_sources_nothing_is_drawn(self) -> None:
        pieces, _ = draw([100] * 60 + [1000] * 5, count=60, whole=True)
        parts = splits_by_document(pieces)
        assert all(HELDOUT not in each for each in parts[:60])
        assert parts[60:] == [[HELDOUT]] * 5


class TestOfManyDocuments:
    @pytest.mark.parametrize("count", [20, 100, 200, 1000])
    def test_of_one_length_a_tenth_is_held_out_as_it_ever_was(self, count: int) -> None:
        expected = np.full(count, TRAIN)
        expected[-count // 10 :] = HELDOUT
        np.random.default_rng(3).shuffle(expected)
        pieces, _ = draw([70] * count, seed=3)
        held = [HELDOUT in parts for parts in splits_by_document(pieces)]
        assert held == (expected == HELDOUT).tolist()

    @pytest.mark.parametrize("sizes", [[50_000_000], [1_000_000] * 50])
    def test_of_a_long_one_no_more_is_held_out_than_is_scored_in_seconds(
        self, sizes: list[int]
    ) -> None:
        pieces, _ = draw(sizes)
        assert characters_in(pieces, HELDOUT) == 2_000_000

    def test_each_label_gives_its_tenth(self) -> None:
        random = np.random.default_rng(0)
        sizes = random.integers(20, 200, 5000)
        labels = random.choice(4, 5000, p=[0.7, 0.2, 0.08, 0.02])
        pieces, notices = draw(sizes.tolist(), labels.tolist())
        assert notices == []
        held, validation = (pieces.splits == split for split in (HELDOUT, VALIDATION))
        for label in range(4):
            characters = sizes[labels == label].sum()
            assert sizes[held & (labels == label)].sum() == pytest.approx(
                0.1 * characters, rel=0.05
            )
            assert sizes[validation & (labels == label)].sum() == pytest.approx(
                0.018 * characters, abs=200
            )

    def test_labels_of_few_documents_give_one_in_ten_of_them_all(self) -> None:
        pieces, _ = draw([50] * 3000, np.repeat(np.arange(1000), 3).tolist())
        held = Counter((pieces.splits == HELDOUT).reshape(1000, 3).sum(1).tolist())
        assert held[1] == 300
        assert held[0] == 700

    def test_those_that_are_much_longer_do_not_decide_the_share(self) -> None:
        pieces, _ = draw([100_000] * 3 + [100] * 5000)
        assert characters_in(pieces, HELDOUT) == pytest.approx(80_000, rel=0.01)


class TestOfTrees:
    def test_the_only_document_of_a_label_is_learned(self) -> None:
        for number in range(9):
            write(f"labels/letters/{number}.txt", f"letter {number} " * 60)
        write("labels/verse/only.txt", "verse " * 40)
        for seed in range(9):
            corpus = build("labels", LABELLED, seed=seed)
            verse = corpus.labels.index("verse")
            for split in (corpus.validation, corpus.heldout):
                assert split.labels is not None
                assert verse not in split.labels
            assert corpus.notices[0] == (
                "nothing is held out of labels that have too few documents: verse"
            )

    def test_books_that_are_each_the_only_one_of_their_label_give_their_ends(self) -> None:
        texts = {name: f"{name} wrote this line\n" * 800 for name in ("ann", "bob", "cid")}
        for name, text in texts.items():
            write(f"books/{name}/book.txt", text)
        corpus = build("books", LABELLED)
        heldout = documents_of(corpus.heldout, corpus.vocabulary)
        assert len(heldout) == 3
        assert all(
            text.endswith(end) and len(end) == pytest.approx(0.1 * len(text), abs=1)
            for text, end in zip(texts.values(), heldout, strict=True)
        )
        assert sorted(corpus.lines()) == sorted(texts.values())
        assert corpus.document_count == 3
        assert "characters of 3 are held out" in corpus.notices[0]

    @pytest.mark.parametrize("seed", range(4))
    def test_a_novel_beside_a_note_gives_its_end(self, seed: int) -> None:
        write("unequal/novel.txt", "".join(f"Sentence {number} of it.\n" for number in range(9000)))
        write("unequal/note.txt", "A note.\n" * 40)
        corpus = build("unequal", FILES, seed=seed)
        assert corpus.heldout.characters == pytest.approx(0.1 * corpus.characters, rel=0.01)
        assert corpus.train.characters > 0.87 * corpus.characters
        assert "Sentence 8999 of it" in "".join(split_texts(corpus)[2])


class TestCuts:
    @given(
        lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=12),
        labelled=st.booleans(),
        seed=st.integers(0, 3),
    )
    def test_are_mended_where_whole_documents_are_asked_for(
        self, lengths: list[int], labelled: bool, seed: int
    ) -> None:
        texts = [f"{number}:" + "ab\n" * length for number, length in enumerate(lengths)]
        names = []
        for number, text in enumerate(texts):
            names.append(write(f"{len(lengths)}/{number % 3}/{number}", text))
        source = [f"{len(lengths)}"] if labelled else names
        corpus = build(source, LABELLED if labelled else FILES, seed=seed)
        assert sorted(corpus.lines()) == sorted(Path(name).read_text() for name in _files(source))
        assert open_corpus(corpus.folder).cuts == corpus.cuts

    def test_part_the_training_text_where_they_are(self) -> None:
        for name in ("ann", "bob"):
            write(f"{name}/book.txt", f"{name} wrote this line\n" * 800)
        corpus = build(["ann", "bob"], FILES)
        train, _, _ = split_texts(corpus)
        assert list(filter(None, corpus.training_lines())) == train


def _files(names: list[str]) -> list[str]:
    return [
        str(path)
        for name in names
        for path in ([Path(name)] if Path(name).is_file() else Path(name).rglob("*"))
        if path.is_file()
    ]


class TestEarlierFormats:
    def test_are_drawn_as_they_were(self) -> None:
        lines = [f"{number} " * (1 + number % 7) for number in range(300)]
        corpus = build_text("\n".join(lines), LINES, seed=5, corpus_format=OLDEST_FORMAT)
        expected = np.full(300, TRAIN)
        expected[:6], expected[-30:] = VALIDATION, HELDOUT
        np.random.default_rng(5).shuffle(expected)
        parts = defaultdict(list)
        for line, code in zip(lines, expected.tolist(), strict=True):
            parts[code].append(line)
        assert split_texts(corpus) == (parts[TRAIN], parts[VALIDATION], parts[HELDOUT])
        assert corpus.format == OLDEST_FORMAT
        assert corpus.fingerprint != build_text("\n".join(lines), LINES, seed=5).fingerprint

    def test_of_one_text_stay_the_same(self) -> None:
        text = "some text " * 50
        assert build_text(text).fingerprint == (
            build_text(text, corpus_format=OLDEST_FORMAT).fingerprint
        )

    @pytest.mark.parametrize("reading", [PLAIN, LINES, FILES], ids=["none", "lines", "files"])
    @pytest.mark.parametrize("count", [1, 9, 90])
    def test_that_know_only_their_validation_part_are_read(
        self, reading: ReadingOptions, count: int
    ) -> None:
        names = [write(f"{number}", f"number {number} " * 40) for number in range(count)]
        corpus = build(names, reading, corpus_format=OLDEST_FORMAT)
        expected = list(corpus.lines())
        path = corpus.folder / "corpus.json"
        meta = json.loads(path.read_text())
        for key in ("cuts", "overlap"):
            del meta[key]
        path.write_text(json.dumps({**meta, "validation_at": corpus.validation_at}))
        opened = open_corpus(corpus.folder)
        assert sorted(opened.lines()) == sorted(expected)
        assert opened.overlap is None
