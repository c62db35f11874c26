import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunspring.pages.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Chart,
    Line,
    apart,
    short,
    thinned,
    ticks,
)

numbers = st.floats(-1e6, 1e6, allow_nan=False)
odd_numbers = st.one_of(numbers, st.sampled_from([math.nan, math.inf, -math.inf]))


class TestTicks:
    @given(numbers, st.floats(1e-3, 1e6))
    def test_are_few_round_and_within(self, low: float, extent: float) -> None:
        high = low + extent
        found = [value for value, _ in ticks(low, high, is_log=False)]
        assert 2 <= len(found) <= 8
        assert all(low - 1e-6 * extent <= value <= high + 1e-6 * extent for value in found)
        step = found[1] - found[0]
        assert step / 10 ** math.floor(math.log10(step * 1.0001)) == pytest.approx(
            min(
                (1, 2, 5), key=lambda n: abs(n - step / 10 ** math.floor(math.log10(step * 1.0001)))
            ),
            rel=1e-3,
        )

    @given(st.floats(1e-9, 1e3), st.floats(3, 1e9))
    def test_of_a_logarithmic_axis_are_few_and_within(self, low: float, factor: float) -> None:
        found = [value for value, _ in ticks(low, low * factor, is_log=True)]
        assert 1 <= len(found) <= 8
        assert all(low * 0.999 <= value <= low * factor * 1.001 for value in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.5, "0.5"), (2.0, "2"), (1234, "1,234"), (20_000, "2e4"), (1e-9, "1e-9")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


@given(st.lists(st.floats(0, 300), min_size=1, max_size=12))
def test_names_keep_apart_and_in_order(places: list[float]) -> None:
    moved = apart(places, 13, 300)
    in_order = sorted(moved)
    assert all(b - a >= 13 - 1e-6 for a, b in pairwise(in_order))
    assert in_order == [moved[n] for n in sorted(range(len(places)), key=places.__getitem__)]
    assert max(moved) <= 300 + 1e-6


@given(st.lists(st.tuples(numbers, numbers), max_size=1000))
def test_a_long_line_is_thinned_and_keeps_its_end(points: list[tuple[float, float]]) -> None:
    kept = thinned(points)
    assert len(kept) <= 150
    assert kept[-1:] == points[-1:]
    assert kept == [point for point in points if point in kept] or len(set(points)) < len(points)


class TestChart:
    @given(
        st.lists(st.tuples(numbers, odd_numbers), min_size=1, max_size=30),
        st.booleans(),
        st.booleans(),
    )
    def test_draws_within_its_area_whatever_the_numbers(
        self, points: list[tuple[float, float]], log_x: bool, log_y: bool
    ) -> None:
        chart = Chart("a chart", "x", "y", [Line("line", points)], log_x=log_x, log_y=log_y)
        for drawn in chart.drawn:
            for x, y, _ in drawn.points:
                assert LEFT - 1e-6 <= x <= RIGHT + 1e-6
                assert TOP - 1e-6 <= y <= BOTTOM + 1e-6
        assert chart.x_ticks is not None
        assert chart.y_ticks is not None

    def test_rises_where_the_figures_rise(self) -> None:
        (drawn,) = Chart("a", "x", "y", [Line("line", [(1, 10), (2, 20), (3, 15)])]).drawn
        (x1, y1, text), (x2, y2, _), (x3, y3, _) = drawn.points
        assert x1 < x2 < x3
        assert y2 < y3 < y1  # downwards in the picture
        assert text == "line: 10 at 1"

    def test_leaves_out_what_is_no_number_and_lines_without_any(self) -> None:
        lines = [Line("gaps", [(1, math.nan), (2, 3), (3, math.inf)]), Line("empty", [])]
        (drawn,) = Chart("a", "x", "y", lines).drawn
        assert len(drawn.points) == 1
