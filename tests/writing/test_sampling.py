import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sunspring.errors import SettingsError
from sunspring.writing.sampling import draw, token_probabilities
from sunspring.writing.settings import SamplingSettings

FORBIDDEN = -math.inf
PLAIN = SamplingSettings(temperature=1)

temperatures = st.one_of(
    st.floats(0.1, 10), st.sampled_from([0.0, 1.0, 5e-324, 1e-300, 1e-40, 100.0])
)
some_settings = st.builds(
    SamplingSettings,
    temperature=temperatures,
    top_k=st.integers(0, 9),
    top_p=st.one_of(st.floats(1e-6, 1), st.sampled_from([1.0, 5e-324])),
    min_p=st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0])),
    repetition_penalty=st.floats(0.01, 100),
)
# Rounded, so that no rounding makes two of them equal.
finite = st.one_of(
    st.floats(-30, 30).map(lambda logit: round(logit, 6)),
    st.sampled_from([-1e4, -1.0, 0.0, 1.0, 1e4]),
)
rows_of_logits = st.lists(st.one_of(finite, st.just(FORBIDDEN)), min_size=1, max_size=8).filter(
    lambda row: max(row) > FORBIDDEN
)
dtypes = st.sampled_from([np.float32, np.float64])


def probabilities_of(row: list[float], settings: SamplingSettings = PLAIN) -> list[float]:
    probabilities: list[float] = token_probabilities([row], settings)[0].tolist()
    return probabilities


def softmax(row: list[float]) -> list[float]:
    weights = [math.exp(logit - max(row)) for logit in row]
    return [weight / sum(weights) for weight in weights]


def by_probability(row: list[float]) -> list[int]:
    """Tokens, the most probable first, of equal ones the lower id."""
    return sorted(range(len(row)), key=lambda token: (-row[token], token))


def only(row: list[float], kept: set[int]) -> list[float]:
    return softmax([logit if token in kept else FORBIDDEN for token, logit in enumerate(row)])


class TestProbabilities:
    @given(data=st.data(), settings=some_settings, dtype=dtypes)
    def test_sum_to_one_and_give_nothing_to_what_is_forbidden(
        self, data: st.DataObject, settings: SamplingSettings, dtype: type
    ) -> None:
        row = data.draw(rows_of_logits)
        recent = np.array([data.draw(st.lists(st.integers(0, len(row) - 1)))], np.int64)
        probabilities = token_probabilities(np.array([row], dtype), settings, recent)[0]
        assert probabilities.sum() == pytest.approx(1, abs=1e-9)
        assert (probabilities >= 0).all()
        assert not probabilities[np.array(row) == FORBIDDEN].any()

    @given(row=rows_of_logits)
    def test_are_the_softmax_where_nothing_is_set(self, row: list[float]) -> None:
        assert probabilities_of(row) == pytest.approx(softmax(row))

    @given(rows=st.lists(rows_of_logits, min_size=2, max_size=5), settings=some_settings)
    def test_of_a_row_do_not_depend_on_the_others(
        self, rows: list[list[float]], settings: SamplingSettings
    ) -> None:
        padded = np.full((len(rows), 8), FORBIDDEN)
        for index, row in enumerate(rows):
            padded[index, : len(row)] = row
        recent = np.arange(len(rows))[:, None]
        together = token_probabilities(padded, settings, recent)
        for index in range(len(rows)):
            alone = token_probabilities(
                padded[index : index + 1], settings, recent[index : index + 1]
            )
            assert (together[index] == alone[0]).all()

    @given(row=rows_of_logits, settings=some_settings)
    def test_leave_the_logits_as_they_are(
        self, row: list[float], settings: SamplingSettings
    ) -> None:
        logits = np.array([row])
        token_probabilities(logits, settings, np.zeros((1, 1), np.int64))
        assert logits.tolist() == [row]


class TestTemperature:
    @given(row=rows_of_logits, settings=some_settings)
    def test_of_zero_takes_the_most_probable(
        self, row: list[float], settings: SamplingSettings
    ) -> None:
        greedy = replace(settings, temperature=0, repetition_penalty=1)
        probabilities = probabilities_of(row, greedy)
        assert probabilities == [float(t == row.index(max(row))) for t in range(len(row))]

    @given(row=rows_of_logits, temperature=st.floats(0.05, 20))
    def test_divides_the_logits(self, row: list[float], temperature: float) -> None:
        found = probabilities_of(row, SamplingSettings(temperature=temperature))
        assert found == pytest.approx(softmax([logit / temperature for logit in row]))


class TestTopK:
    @given(row=rows_of_logits, count=st.integers(1, 9))
    def test_keeps_exactly_so_many_of_the_most_probable(self, row: list[float], count: int) -> None:
        assume(max(row) - min(row) < 100)
        found = probabilities_of(row, replace(PLAIN, top_k=count))
        assert found == pytest.approx(only(row, {*by_probability(row)[:count]}))
        assert sum(probability > 0 for probability in found) == min(count, len(row))

    def test_keeps_the_first_of_equal_ones(self) -> None:
        assert probabilities_of([1.0, 2.0, 2.0, 2.0], replace(PLAIN, top_k=2)) == [0, 0.5, 0.5, 0]


class TestTopP:
    @given(row=rows_of_logits, share=st.floats(0.001, 0.999))
    def test_keeps_the_fewest_that_reach_the_share(self, row: list[float], share: float) -> None:
        plain, kept, reached = softmax(row), set(), 0.0
        for token in by_probability(row):
            assume(abs(reached - share) > 1e-9)  # there rounding decides
            if reached >= share:
                break
            kept.add(token)
            reached += plain[token]
        assert probabilities_of(row, replace(PLAIN, top_p=share)) == pytest.approx(only(row, kept))

    def test_stops_at_the_token_that_reaches_the_share_exactly(self) -> None:
        row = [math.log(0.25), math.log(0.5), math.log(0.125), math.log(0.125)]
        found = probabilities_of(row, replace(PLAIN, top_p=0.5))
        assert found == [0, 1, 0, 0]

    def test_keeps_one_however_small_the_share(self) -> None:
        assert probabilities_of([0.0, 1.0], replace(PLAIN, top_p=1e-9)) == [0, 1]


class TestMinP:
    @given(row=rows_of_logits, share=st.floats(0.001, 1))
    def test_keeps_what_reaches_its_share_of_the_most_probable(
        self, row: list[float], share: float
    ) -> None:
        plain = softmax(row)
        assume(all(abs(p - share * max(plain)) > 1e-12 for p in plain if p < max(plain)))
        kept = {token for token, p in enumerate(plain) if p >= share * max(plain)}
        assert probabilities_of(row, replace(PLAIN, min_p=share)) == pytest.approx(only(row, kept))


def test_the_cut_offs_come_after_the_temperature_and_one_after_another() -> None:
    row = [math.log(p) for p in (0.4, 0.3, 0.2, 0.1)]
    # At temperature 1/2 the odds are 16 : 9 : 4 : 1. Of the first three, 29 in all, the first two
    # hold 25, less than 0.9 of them; with all four, or at temperature 1, more would be kept or
    # fewer. The third has 1/4 of the first.
    settings = SamplingSettings(temperature=0.5, top_k=3, top_p=0.86, min_p=0.2)
    assert probabilities_of(row, settings) == pytest.approx([16 / 25, 9 / 25, 0, 0])
    settings = SamplingSettings(temperature=0.5, top_k=3, top_p=0.9, min_p=0.2)
    assert probabilities_of(row, settings) == pytest.approx([16 / 29, 9 / 29, 4 / 29, 0])
    settings = SamplingSettings(temperature=0.5, top_k=3, top_p=0.9, min_p=0.26)
    assert probabilities_of(row, settings) == pytest.approx([16 / 25, 9 / 25, 0, 0])


class TestRepetitionPenalty:
    @given(data=st.data(), row=rows_of_logits, penalty=st.floats(0.1, 10))
    def test_weakens_each_recent_token_once(
        self, data: st.DataObject, row: list[float], penalty: float
    ) -> None:
        recent = data.draw(st.lists(st.integers(0, len(row) - 1), max_size=20))
        weakened = [
            (logit / penalty if logit > 0 else logit * penalty) if token in recent else logit
            for token, logit in enumerate(row)
        ]
        found = token_probabilities(
            [row], replace(PLAIN, repetition_penalty=penalty), np.array([recent], np.int64)
        )
        assert found[0].tolist() == pytest.approx(softmax(weakened))

    def test_counts_for_the_greedy_choice_too(self) -> None:
        settings = SamplingSettings(temperature=0, repetition_penalty=2)
        logits = [[3.0, 2.0], [3.0, 2.0]]
        found = token_probabilities(logits, settings, np.array([[0], [1]]))
        assert found.tolist() == [[0, 1], [1, 0]]

    def test_needs_recent_tokens(self) -> None:
        settings = replace(PLAIN, repetition_penalty=2)
        assert probabilities_of([1.0, 2.0], settings) == pytest.approx(softmax([1.0, 2.0]))


class TestDraw:
    @given(weights=st.lists(st.sampled_from([0, 0, 1, 2, 5]), min_size=1), place=st.floats(0, 1))
    def test_is_the_inverse_of_the_cumulative_distribution(
        self, weights: list[int], place: float
    ) -> None:
        assume(any(weights) and place < 1)
        total, reached, expected = sum(weights), 0, -1
        while reached <= place * total:
            expected += 1
            reached += weights[expected]
        # Integers, whose sums are exact; a distribution need not be normalised.
        found = draw(np.array([weights], np.float64), np.array([place]))
        assert found.tolist() == [expected]

    @given(
        row=rows_of_logits,
        uniform=st.one_of(
            st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, math.nextafter(1, 0)])
        ),
    )
    def test_never_gives_what_is_forbidden(self, row: list[float], uniform: float) -> None:
        probabilities = np.array([probabilities_of(row)])
        token = int(draw(probabilities, np.array([uniform]))[0])
        assert row[token] > FORBIDDEN
        assert probabilities[0, token] > 0

    def test_follows_the_distribution(self) -> None:
        weights = np.array([0.05, 0.3, 0.0, 0.15, 0.5])
        count = 100_000
        uniforms = np.random.default_rng(0).random(count)
        drawn = np.bincount(draw(np.tile(weights, (count, 1)), uniforms), minlength=5)
        expected = weights * count
        assert drawn[2] == 0
        chi_square = ((drawn - expected)[weights > 0] ** 2 / expected[weights > 0]).sum()
        assert chi_square < 16.3  # three degrees of freedom: exceeded once in a thousand

    def test_takes_each_row_by_its_own_number(self) -> None:
        probabilities = np.array([[0.5, 0.5], [0.5, 0.5], [0.0, 1.0]])
        assert draw(probabilities, np.array([0.6, 0.4, 0.0])).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"temperature": 101},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0},
        {"repetition_penalty": math.inf},
        {"repetition_penalty": 1e-300},
        {"temperature": "warm"},
        {"temperature": True},
        {"top_k": 2.5},
        {"top_k": None},
        {"label": 3},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"{name} is .*: it must be"):
        SamplingSettings(**wrong)
