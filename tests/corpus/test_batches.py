import json
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sunspring.corpus.batches import (
    IGNORED,
    Batch,
    Batches,
    Lanes,
    Windows,
    check_window,
    split_window,
)
from sunspring.corpus.splits import Split
from sunspring.errors import SourceError

START = 1_000_000_000
"""Stands before a document; every other id in these tests is its own place in the split."""

KINDS: list[type[Batches]] = [Windows, Lanes]
both_kinds = pytest.mark.parametrize("kind", KINDS)
lengths = st.lists(st.integers(1, 60), min_size=1, max_size=30)
sizes = st.integers(1, 12)


def split_of(lengths: list[int], labels: list[int] | None = None) -> Split:
    """Make documents of these lengths; each token is its place, so batches tell what was read."""
    starts = np.cumsum([0, *lengths], dtype=np.int64)
    return Split(
        np.arange(starts[-1], dtype=np.uint32),
        starts,
        None if labels is None else np.array(labels, dtype=np.uint16),
        int(starts[-1]),
    )


def made(kind: type[Batches], split: Split, batch_size: int, window: int, seed: int = 0) -> Batches:
    assume(split.document_count > 1 or len(split.tokens) > window)
    return kind(split, START, batch_size=batch_size, window=window, seed=seed)


def endless(batches: Batches) -> Iterator[Batch]:
    while True:
        yield batches.next()


def targets_of(batch: Batch) -> list[list[int]]:
    return [row[row != IGNORED].tolist() for row in batch.targets]


class Stretch(NamedTuple):
    targets: list[int]
    label: int | None


def stretches(batches: Batches) -> Iterator[Stretch]:
    """Follow each row from one fresh state to the next; give what was read, in order of taking."""
    taken: list[Stretch] = []
    current: list[Stretch] = []
    given = 0
    for batch in endless(batches):
        for row, targets in enumerate(targets_of(batch)):
            label = None if batch.labels is None else int(batch.labels[row])
            if batch.fresh[row]:
                stretch = Stretch([], label)
                taken.append(stretch)
                current[row : row + 1] = [stretch]
            current[row].targets.extend(targets)
            assert current[row].label == label
        reading = {id(stretch) for stretch in current}
        while given < len(taken) and id(taken[given]) not in reading:
            yield taken[given]
            given += 1


def epochs_of(batches: Batches, tokens: int) -> Iterator[list[Stretch]]:
    """Gather whole stretches into epochs of so many tokens."""
    epoch: list[Stretch] = []
    for stretch in stretches(batches):
        epoch.append(stretch)
        size = sum(len(one.targets) for one in epoch)
        assert size <= tokens
        if size == tokens:
            yield epoch
            epoch = []


def same(one: Batch, other: Batch) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


def text_split(text: str) -> Split:
    ids = np.frombuffer(text.encode(), dtype=np.uint8)
    return Split(ids, np.array([0, len(ids)]), None, len(ids))


def as_text(ids: np.ndarray) -> str:
    return bytes(ids.astype(np.uint8)).decode()


class TestEveryBatch:
    @both_kinds
    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_has_at_each_place_the_token_before_the_target(
        self, kind: type[Batches], lengths: list[int], batch_size: int, window: int
    ) -> None:
        batches = made(kind, split_of(lengths), batch_size, window)
        for batch in islice(endless(batches), 20):
            assert batch.inputs.shape == batch.targets.shape
            assert batch.inputs.shape[0] == batches.batch_size <= batch_size
            assert 1 <= batch.inputs.shape[1] <= window
            real = batch.targets != IGNORED
            expected = np.where(batch.targets == 0, START, batch.targets - 1)
            assert np.array_equal(batch.inputs[real], expected[real])

    @both_kinds
    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_is_padded_only_at_the_ends_of_rows_and_to_the_longest(
        self, kind: type[Batches], lengths: list[int], batch_size: int, window: int
    ) -> None:
        batches = made(kind, split_of(lengths), batch_size, window)
        for batch in islice(endless(batches), 20):
            real = batch.targets != IGNORED
            assert real[:, 0].all()
            assert not (~real[:, :-1] & real[:, 1:]).any()
            assert real[:, -1].any()

    @both_kinds
    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_has_no_row_that_crosses_into_another_document(
        self, kind: type[Batches], lengths: list[int], batch_size: int, window: int
    ) -> None:
        split = split_of(lengths)
        for batch in islice(endless(made(kind, split, batch_size, window)), 20):
            for row in targets_of(batch):
                documents = np.searchsorted(split.starts, row, side="right")
                assert len({*documents.tolist()}) == 1

    @both_kinds
    @given(lengths=lengths.filter(lambda lengths: len(lengths) > 1), batch_size=sizes, window=sizes)
    def test_carries_the_label_of_each_rows_document(
        self, kind: type[Batches], lengths: list[int], batch_size: int, window: int
    ) -> None:
        split = split_of(lengths, labels=[index % 3 for index in range(len(lengths))])
        for batch in islice(endless(made(kind, split, batch_size, window)), 20):
            assert batch.labels is not None
            firsts = batch.targets[:, 0]
            documents = np.searchsorted(split.starts, firsts, side="right") - 1
            assert np.array_equal(batch.labels, documents % 3)

    @both_kinds
    def test_has_no_labels_where_documents_have_none(self, kind: type[Batches]) -> None:
        assert kind(split_of([9, 9]), START, batch_size=2, window=3, seed=0).next().labels is None


class TestResuming:
    @both_kinds
    @given(lengths=lengths, batch_size=sizes, window=sizes, steps=st.integers(0, 60))
    def test_gives_the_batches_that_would_have_come(
        self, kind: type[Batches], lengths: list[int], batch_size: int, window: int, steps: int
    ) -> None:
        split = split_of(lengths, labels=[index % 3 for index in range(len(lengths))])
        batches, resumed = (made(kind, split, batch_size, window) for _ in range(2))
        for _ in range(steps):
            batches.next()
        resumed.seek(json.loads(json.dumps(batches.position())))
        assert resumed.epochs == batches.epochs
        for _ in range(40):
            assert same(batches.next(), resumed.next())
            assert resumed.epochs == batches.epochs

    @both_kinds
    def test_is_not_disturbed_by_reading_on_after_the_position_was_taken(
        self, kind: type[Batches]
    ) -> None:
        batches = kind(split_of([30, 7, 9, 50]), START, batch_size=3, window=4, seed=0)
        batches.next()
        position = batches.position()
        expected = list(islice(endless(batches), 30))
        batches.seek(position)
        assert all(map(same, expected, islice(endless(batches), 30)))


@both_kinds
class TestOrder:
    def test_is_the_same_for_the_same_seed_and_another_for_another(
        self, kind: type[Batches]
    ) -> None:
        split = split_of([5] * 200)
        first, again, other = (
            kind(split, START, batch_size=4, window=5, seed=seed).next() for seed in (1, 1, 2)
        )
        assert same(first, again)
        assert not same(first, other)

    def test_differs_from_epoch_to_epoch(self, kind: type[Batches]) -> None:
        batches = kind(split_of([5] * 64), START, batch_size=8, window=5, seed=0)
        first, second = (
            [batch.targets.tolist() for batch in islice(endless(batches), 8)] for _ in range(2)
        )
        assert batches.epochs == 2
        assert first != second

    def test_is_shuffled(self, kind: type[Batches]) -> None:
        batches = kind(split_of([5] * 64), START, batch_size=8, window=5, seed=0)
        firsts = [batch.targets[0, 0] for batch in islice(endless(batches), 8)]
        assert firsts != sorted(firsts)


@both_kinds
@given(lengths=lengths, batch_size=sizes, window=sizes)
def test_epochs_never_go_back(
    kind: type[Batches], lengths: list[int], batch_size: int, window: int
) -> None:
    batches = made(kind, split_of(lengths), batch_size, window)
    epochs = [0.0, *(batches.epochs for _ in islice(endless(batches), 50))]
    assert all(one < other for one, other in pairwise(epochs))


class TestWindows:
    def test_split_a_text_as_the_article_does(self) -> None:
        ids = np.frombuffer(b"Hello my name", dtype=np.uint8)
        inputs, targets = split_window(ids)
        assert (as_text(inputs), as_text(targets)) == ("Hello my nam", "ello my name")

    def test_give_the_articles_example(self) -> None:
        batches = Windows(text_split("Hello my name"), 0, batch_size=64, window=12, seed=0)
        inputs, targets, fresh, labels = batches.next()
        assert [as_text(row) for row in inputs] == ["Hello my nam"]
        assert [as_text(row) for row in targets] == ["ello my name"]
        assert fresh.tolist() == [True]
        assert labels is None

    @given(length=st.integers(2, 200), batch_size=sizes, window=sizes)
    def test_of_a_text_are_its_whole_sequences_each_once_but_for_the_last_batch(
        self, length: int, batch_size: int, window: int
    ) -> None:
        batches = made(Windows, split_of([length]), batch_size, window)
        count = length // (window + 1)
        whole = count // batches.batch_size
        assert batches.batch_size == min(batch_size, count)
        read = [
            (*inputs.tolist(), int(targets[-1]))
            for batch in islice(endless(batches), whole)
            for inputs, targets in zip(batch.inputs, batch.targets, strict=True)
        ]
        assert batches.epochs == 1
        sequences = {
            tuple(range(begin, begin + window + 1))
            for begin in range(0, count * (window + 1), window + 1)
        }
        assert {*read} <= sequences
        assert len({*read}) == len(read) == whole * batches.batch_size

    @given(lengths=lengths.filter(lambda lengths: len(lengths) > 1), window=sizes)
    def test_of_documents_hold_every_token_once_an_epoch(
        self, lengths: list[int], window: int
    ) -> None:
        split = split_of(lengths)
        batches = Windows(split, START, batch_size=1, window=window, seed=0)
        for epoch in (1, 2):
            read: list[int] = []
            while batches.epochs < epoch:
                (row,) = targets_of(batches.next())
                read += row
            assert sorted(read) == split.tokens.tolist()

    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_all_start_fresh(self, lengths: list[int], batch_size: int, window: int) -> None:
        batches = made(Windows, split_of(lengths), batch_size, window)
        assert all(batch.fresh.all() for batch in islice(endless(batches), 20))


class TestLanes:
    @settings(max_examples=60)
    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_read_every_target_once_an_epoch(
        self, lengths: list[int], batch_size: int, window: int
    ) -> None:
        split = split_of(lengths)
        batches = made(Lanes, split, batch_size, window)
        for epoch in islice(epochs_of(batches, len(split.tokens)), 3):
            read = sorted(target for stretch in epoch for target in stretch.targets)
            assert read == split.tokens.tolist()

    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_read_on_where_they_left_off_until_they_are_fresh(
        self, lengths: list[int], batch_size: int, window: int
    ) -> None:
        batches = made(Lanes, split_of(lengths), batch_size, window)
        before = batches.next()
        for batch in islice(endless(batches), 30):
            for old, new, fresh in zip(
                targets_of(before), targets_of(batch), batch.fresh, strict=True
            ):
                assert fresh or new[0] == old[-1] + 1
            before = batch

    @given(lengths=lengths.filter(lambda lengths: len(lengths) > 1), batch_size=sizes, window=sizes)
    def test_start_every_document_fresh(
        self, lengths: list[int], batch_size: int, window: int
    ) -> None:
        split = split_of(lengths)
        for batch in islice(endless(made(Lanes, split, batch_size, window)), 30):
            begins = np.isin(batch.targets[:, 0], split.starts)
            assert batch.fresh[begins].all()

    def test_of_a_text_carry_their_state_through_long_stretches(self) -> None:
        batches = Lanes(split_of([40_000]), START, batch_size=4, window=10, seed=0)
        fresh = sum(batch.fresh.astype(int) for batch in islice(endless(batches), 1000))
        assert 12 <= sum(fresh[1:]) <= 18

    def test_every_fourth_begins_afresh_again_and_again(self) -> None:
        batches = Lanes(split_of([80_000]), START, batch_size=8, window=16, seed=0)
        fresh = sum(batch.fresh.astype(int) for batch in islice(endless(batches), 160))
        assert fresh[[0, 4]].min() >= 10
        assert fresh[[1, 2, 3, 5, 6, 7]].max() <= 3

    def test_cut_a_text_at_other_places_in_every_epoch(self) -> None:
        batches = Lanes(split_of([4000]), START, batch_size=4, window=10, seed=0)
        first, second, third = (
            {stretch.targets[0] for stretch in epoch}
            for epoch in islice(epochs_of(batches, 4000), 3)
        )
        assert first & second == second & third == first & third == {0}

    def test_read_short_documents_whole_in_batches_of_similar_length(self) -> None:
        lengths = np.random.default_rng(0).integers(2, 40, 4000).tolist()
        batches = Lanes(split_of(lengths), START, batch_size=16, window=64, seed=0)
        read = list(islice(endless(batches), 250))
        assert all(batch.fresh.all() for batch in read)
        padding = np.mean(np.concatenate([batch.targets.ravel() for batch in read]) == IGNORED)
        assert padding < 0.05

    @given(lengths=lengths, batch_size=sizes, window=sizes)
    def test_count_the_share_of_an_epoch_that_was_read(
        self, lengths: list[int], batch_size: int, window: int
    ) -> None:
        split = split_of(lengths)
        batches = made(Lanes, split, batch_size, window)
        read = 0
        for batch in islice(endless(batches), 30):
            read += sum(map(len, targets_of(batch)))
            assert batches.epochs == read / len(split.tokens)


@both_kinds
class TestMillions:
    """More documents than are shuffled together: an epoch goes through several pools."""

    def test_of_documents_are_read_once_an_epoch(self, kind: type[Batches]) -> None:
        rows = 1 << 16
        split = split_of([2] * (39 * rows))
        batches = kind(split, START, batch_size=rows, window=4, seed=0)
        for epoch in (1, 2):
            read = [batches.next().targets.ravel() for _ in range(39)]
            assert batches.epochs == epoch
            assert (np.bincount(np.concatenate(read)) == 1).all()

    def test_of_documents_come_from_everywhere_and_resume_anywhere(
        self, kind: type[Batches]
    ) -> None:
        split = split_of([2] * 2_500_000, labels=[0] * 1_250_000 + [1] * 1_250_000)
        batches, resumed = (
            kind(split, START, batch_size=1 << 16, window=4, seed=0) for _ in range(2)
        )
        for step in range(60):
            labels = batches.next().labels
            assert labels is not None
            assert 0.45 < labels.mean() < 0.55
            if step in (10, 30, 45):
                resumed.seek(batches.position())
                assert same(batches.next(), resumed.next())


def test_windows_of_a_very_long_text_are_read_once_an_epoch() -> None:
    rows = 1 << 16
    split = split_of([2 * 39 * rows])
    batches = Windows(split, START, batch_size=rows, window=1, seed=0)
    read = np.concatenate([batches.next().targets.ravel() for _ in range(39)])
    assert batches.epochs == 1
    assert np.array_equal(np.bincount(read), split.tokens % 2)


@both_kinds
class TestTooShort:
    def test_a_text_is_refused_with_the_remedy(self, kind: type[Batches]) -> None:
        with pytest.raises(SourceError) as caught:
            kind(split_of([12]), START, batch_size=1, window=12, seed=0)
        assert str(caught.value) == (
            "the training part of the text has 12 tokens and one window needs 13: "
            "give more text, or set a smaller window with --set window=N"
        )

    def test_a_text_of_one_window_is_enough(self, kind: type[Batches]) -> None:
        batches = kind(split_of([13]), START, batch_size=64, window=12, seed=0)
        assert batches.next().inputs.shape == (1, 12)

    def test_an_empty_text_is_refused(self, kind: type[Batches]) -> None:
        empty = Split(np.zeros(0, np.uint8), np.zeros(1, np.int64), None, 0)
        with pytest.raises(SourceError, match="has 0 tokens"):
            kind(empty, START, batch_size=1, window=1, seed=0)

    def test_documents_may_be_shorter_than_a_window(self, kind: type[Batches]) -> None:
        batches = kind(split_of([2, 3]), START, batch_size=64, window=100, seed=0)
        assert batches.next().targets.shape[1] <= 3


class TestCheckWindow:
    @given(lengths=lengths, window=sizes)
    def test_refuses_what_batches_refuse_and_nothing_else(
        self, lengths: list[int], window: int
    ) -> None:
        split = split_of(lengths)
        is_refused = len(lengths) == 1 and lengths[0] <= window
        if is_refused:
            with pytest.raises(SourceError, match=f"one window needs {window + 1}: give more text"):
                check_window(split, window)
        else:
            check_window(split, window)
        for kind in KINDS:
            if is_refused:
                with pytest.raises(SourceError):
                    kind(split, START, batch_size=2, window=window, seed=0)
            else:
                kind(split, START, batch_size=2, window=window, seed=0)

    def test_of_one_token_too_few_names_both_numbers_and_the_remedy(self) -> None:
        with pytest.raises(SourceError) as caught:
            check_window(split_of([64]), 64)
        assert str(caught.value) == (
            "the training part of the text has 64 tokens and one window needs 65: "
            "give more text, or set a smaller window with --set window=N"
        )
