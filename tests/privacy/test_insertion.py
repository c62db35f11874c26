"""Lines hidden in the training part of a corpus: only they are new, at places of their own."""

from collections import Counter
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
from corpora import FILES, LINES, build, build_text, documents_of, every_token, lines_of_text, texts
from files import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunspring.corpus.corpus import Corpus
from sunspring.privacy.insertion import insert_lines
from sunspring.text.options import ReadingOptions

HIDDEN = ("ԱԲԳ", "ԳԱԲ", "ԲԳԱ")  # no text of the tests has such letters
KNOWN = "".join(sorted({*"".join(HIDDEN)}))

without_hidden = texts.filter(lambda text: not {*text} & {*KNOWN})
lines_without_hidden = lines_of_text.filter(lambda lines: not {*"".join(lines)} & {*KNOWN})
some_hidden = st.lists(st.sampled_from(HIDDEN), min_size=1, max_size=20)
some_examples = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def hide(corpus: Corpus, lines: list[str], seed: int = 0, **more: Any) -> tuple[Corpus, list[int]]:
    """Hide lines; also gives the new training ids, which live in a file."""
    folder = Path(mkdtemp(dir=Path.cwd()))
    hidden = insert_lines(corpus, lines, folder, np.random.default_rng(seed), **more)
    return hidden, hidden.train.tokens.tolist()


def without(text: str) -> str:
    for line in HIDDEN:
        text = text.replace(f"{line}\n", "")
    return text


def before_validation(corpus: Corpus) -> str:
    return corpus.vocabulary.decode(corpus.train.tokens[: corpus.validation_at])


def assert_the_rest_is_the_same(old: Corpus, new: Corpus) -> None:
    assert new.vocabulary is old.vocabulary
    assert new.validation is old.validation
    assert new.heldout is old.heldout
    assert (new.documents, new.labels) == (old.documents, old.labels)
    assert new.train.tokens.dtype == old.train.tokens.dtype


class TestInRunningText:
    @every_token
    @given(without_hidden, some_hidden, st.integers(0, 9))
    @some_examples
    def test_they_are_lines_and_all_else_is_the_text(
        self, tokens: Any, text: str, lines: list[str], seed: int
    ) -> None:
        old = build_text(text, heldout=[write("letters", f"{KNOWN}\n")], tokens=tokens)
        new, _ = hide(old, lines, seed)
        assert_the_rest_is_the_same(old, new)
        before, after = (each.vocabulary.decode(each.train.tokens) for each in (old, new))
        assert Counter(line for line in after.split("\n") if line in HIDDEN) == Counter(lines)
        assert new.train.characters == len(after)
        # after the last newline they bring one along
        lines_end = before.rfind("\n") + 1
        left = without(after)
        assert left[:lines_end] == before[:lines_end]
        assert left[lines_end:].replace("\n", "") == before[lines_end:]
        before, after = map(before_validation, (old, new))
        assert without(after).replace("\n", "") == before.replace("\n", "")

    def test_without_newlines_they_stand_anywhere(self) -> None:
        old = build_text("no end " * 100, heldout=[write("letters", KNOWN)])
        new, _ = hide(old, [*HIDDEN])
        text = new.vocabulary.decode(new.train.tokens)
        assert all(text.count(line) == 1 for line in HIDDEN)
        for line in HIDDEN:
            text = text.replace(line, "")
        assert text == old.vocabulary.decode(old.train.tokens)
        assert new.train.characters == old.train.characters + 9

    def test_they_are_spread_over_the_text(self) -> None:
        old = build_text("one line\n" * 1000, heldout=[write("letters", f"{KNOWN}\n")])
        new, _ = hide(old, [HIDDEN[0]] * 150 + [HIDDEN[1]] * 150)
        lines = new.vocabulary.decode(new.train.tokens).split("\n")
        for hidden in HIDDEN[:2]:
            places = [place for place, line in enumerate(lines) if line == hidden]
            assert np.histogram(places, 3, (0, len(lines)))[0].min() > 25

    def test_a_seed_draws_the_same_places(self) -> None:
        old = build_text("one line\n" * 100, heldout=[write("letters", f"{KNOWN}\n")])
        first, again, other = (hide(old, [*HIDDEN], seed)[1] for seed in (1, 1, 2))
        assert first == again != other


def read_documents(corpus: Corpus) -> list[str]:
    return documents_of(corpus.train, corpus.vocabulary)


class TestAmongDocuments:
    @every_token
    @given(lines_without_hidden, some_hidden, st.integers(0, 9))
    @some_examples
    def test_they_are_documents_and_the_others_are_the_same(
        self, tokens: Any, texts: list[str], lines: list[str], seed: int
    ) -> None:
        old = build_text(
            "\n".join(texts), LINES, heldout=[write("letters", f"{KNOWN}\n")], tokens=tokens
        )
        new, ids = hide(old, lines, seed)
        assert_the_rest_is_the_same(old, new)
        documents = read_documents(new)
        assert [each for each in documents if each not in HIDDEN] == read_documents(old)
        assert Counter(each for each in documents if each in HIDDEN) == Counter(lines)
        added = sum(len(line) + 1 for line in lines)
        assert new.train.characters == old.train.characters + added
        end_id = new.vocabulary.end_id
        for document, start in zip(documents, new.train.starts[:-1].tolist(), strict=True):
            assert document not in HIDDEN or start == 0 or ids[start - 1] == end_id
        before, after = map(before_validation, (old, new))
        assert after.translate({ord(letter): None for letter in KNOWN}) == before

    def test_a_file_that_is_cut_by_the_validation_part_stays_so(self) -> None:
        old = build_text(
            "some words of a file\n" * 400, FILES, heldout=[write("letters", f"{KNOWN}\n")]
        )
        assert len(read_documents(old)) == 2
        new, _ = hide(old, [*HIDDEN] * 5)
        *hidden, first, second = read_documents(new)
        assert Counter(hidden) == Counter([*HIDDEN] * 5)
        assert [first, second] == read_documents(old)

    def test_they_have_the_label_that_is_asked_for(self) -> None:
        rows = "".join(f"{'ab'[i % 2]},line {i}\n" for i in range(60))
        table = write("table.csv", f"kind,text\n{rows}")
        reading = ReadingOptions(documents="lines", label_column="kind")
        letters = write("letters.csv", f"kind,text\na,{KNOWN}\n")
        old = build([f"{table}:text"], reading, heldout=[f"{letters}:text"])
        new, _ = hide(old, [*HIDDEN] * 5, label=1)
        kept = []
        assert new.train.labels is not None
        assert old.train.labels is not None
        for document, label in zip(read_documents(new), new.train.labels.tolist(), strict=True):
            if document in HIDDEN:
                assert label == 1
            else:
                kept.append(label)
        assert kept == old.train.labels.tolist()


def test_the_files_of_a_corpus_stay_as_they_are() -> None:
    old = build_text("one line\n" * 100, heldout=[write("letters", f"{KNOWN}\n")])
    before = {path: path.read_bytes() for path in old.folder.iterdir()}
    hide(old, [*HIDDEN])
    assert {path: path.read_bytes() for path in old.folder.iterdir()} == before
