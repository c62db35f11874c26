"""Line charts, laid out for the template that draws them as SVG.

Nothing here knows what is shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

LEFT, RIGHT, TOP, BOTTOM = 64, 500, 12, 262  # edges of the plot; names are to its right

_TICKS = 6  # on an axis, about
_APART = 13  # smallest distance between names
_MOST_POINTS = 150
_LONGEST_NAME = 20  # characters
_MOST_DECADES = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Args:
        name: written at its end.
        points: x and y of each point, in order; those that are not finite are left out.
        colour: index of the colour, from 0 to 3.
        dashed: whether the line is dashed.
        straight: whether it is a reference line, drawn thin and grey between its two `points`.
    """

    name: str
    points: Sequence[Point]
    colour: int = 0
    dashed: bool = False
    straight: bool = False


class Tick(NamedTuple):
    """A number at an axis, and its place."""

    place: float
    text: str


class Drawn(NamedTuple):
    """A line as it is drawn: its points in the picture, each with a tooltip, and its name."""

    line: Line
    points: list[tuple[float, float, str]]
    name_at: float

    @property
    def name(self) -> str:
        """The line's name, cut to the room there is."""
        name = self.line.name
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"

    @property
    def path(self) -> str:
        """The points in the format of an SVG polyline."""
        return " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in self.points)


@dataclass(frozen=True)
class Chart:
    """A line chart.

    Args:
        title: what it shows, in words, for those who cannot see it.
        x_name: name of the horizontal axis.
        y_name: name of the vertical axis.
        lines: the lines, drawn in this order.
        mark: a marked place on the horizontal axis, and its name.
        log_x: whether the horizontal axis is logarithmic.
        log_y: whether the vertical axis is logarithmic.
        x_range: range of the horizontal axis, outside of which nothing is drawn; by default that of
            the points.
        y_range: range of the vertical axis.
    """

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    mark: tuple[float, str] | None = None
    log_x: bool = False
    log_y: bool = False
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None

    left: ClassVar[int] = LEFT
    right: ClassVar[int] = RIGHT
    top: ClassVar[int] = TOP
    bottom: ClassVar[int] = BOTTOM

    @cached_property
    def _kept(self) -> list[tuple[Line, list[Point]]]:
        kept = [
            (line, thinned([p for p in line.points if self._is_shown(p)])) for line in self.lines
        ]
        return [(line, points) for line, points in kept if points]

    def _is_shown(self, point: Point) -> bool:
        return all(
            math.isfinite(value)
            and (value > 0 or not is_log)
            and (span is None or span[0] <= value <= span[1])
            for value, is_log, span in zip(
                point, (self.log_x, self.log_y), (self.x_range, self.y_range), strict=True
            )
        )

    def _range(self, axis: int) -> tuple[float, float]:
        given = (self.x_range, self.y_range)[axis]
        if given is not None:
            return given
        values = [point[axis] for _, points in self._kept for point in points] or [0.0, 1.0]
        low, high = min(values), max(values)
        if (self.log_x, self.log_y)[axis]:
            return max(low, high / 10**_MOST_DECADES), high if high > low else 2 * low
        room = 0.04 * (high - low) if axis else 0.0
        return low - room, (high if high > low else low + 1) + room

    @cached_property
    def _place_x(self) -> Callable[[float], float]:
        return _scale(self._range(0), (LEFT, RIGHT), self.log_x)

    @cached_property
    def _place_y(self) -> Callable[[float], float]:
        return _scale(self._range(1), (BOTTOM, TOP), self.log_y)

    @property
    def x_ticks(self) -> list[Tick]:
        """Numbers at the horizontal axis."""
        return [Tick(self._place_x(x), text) for x, text in ticks(*self._range(0), self.log_x)]

    @property
    def y_ticks(self) -> list[Tick]:
        """Numbers at the vertical axis."""
        return [Tick(self._place_y(y), text) for y, text in ticks(*self._range(1), self.log_y)]

    @property
    def mark_at(self) -> float | None:
        """The place of the mark in the picture."""
        return None if self.mark is None else self._place_x(self.mark[0])

    @property
    def drawn(self) -> list[Drawn]:
        """The lines, with names that do not overlap."""
        placed = [
            [
                (self._place_x(x), self._place_y(y), f"{line.name}: {short(y)} at {short(x)}")
                for x, y in points
            ]
            for line, points in self._kept
        ]
        names = apart([points[-1][1] for points in placed], _APART, BOTTOM)
        return [
            Drawn(line, points, name_at)
            for (line, _), points, name_at in zip(self._kept, placed, names, strict=True)
        ]


def _scale(
    values: tuple[float, float], places: tuple[float, float], is_log: bool
) -> Callable[[float], float]:
    low, high = (math.log(value) if is_log else value for value in values)

    def place(value: float) -> float:
        known = math.log(max(value, values[0])) if is_log else value
        share = (known - low) / (high - low or 1)
        return places[0] + share * (places[1] - places[0])

    return place


def thinned(points: Sequence[Point]) -> list[Point]:
    """Keep only as many points of a line as can be seen, including the last one."""
    step = math.ceil(len(points) / _MOST_POINTS) or 1
    return list(points[::-1][::step][::-1])


def ticks(low: float, high: float, is_log: bool) -> list[tuple[float, str]]:
    """Choose round numbers for an axis from `low` to `high`, and their texts."""
    if is_log:
        first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
        step = max(1, math.ceil((last - first + 1) / _TICKS))
        if last - first < 2:
            values = [
                digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)
            ]
        else:
            values = [10.0**power for power in range(first, last + 1, step)]
    else:
        rough = (high - low) / _TICKS or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        step_by = next(power * each for each in (1, 2, 5, 10) if power * each >= rough * 0.999)
        values = [
            step_by * n for n in range(math.ceil(low / step_by), math.floor(high / step_by) + 1)
        ]
    slack = 1e-9 * (high - low)
    return [(value, short(value)) for value in values if low - slack <= value <= high + slack]


def short(value: float) -> str:
    """Write a number in few characters."""
    if value == 0:
        return "0"
    if abs(value) >= 10_000 or abs(value) < 0.001:
        digits, power = f"{value:.1e}".split("e")
        return f"{digits.removesuffix('.0')}e{int(power)}"
    return f"{value:.3f}".rstrip("0").rstrip(".") if abs(value) < 100 else f"{value:,.0f}"


def apart(places: Sequence[float], least: float, high: float) -> list[float]:
    """Move places as little as possible, so that any two are `least` apart and none above `high`.

    Returns:
        The new places, in the order of the old ones.
    """
    order = sorted(range(len(places)), key=places.__getitem__)
    moved = list(places)
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    below = high
    for index in reversed(order):
        moved[index] = min(moved[index], below)
        below = moved[index] - least
    for before, after in itertools.pairwise(order):
        moved[after] = max(moved[after], moved[before] + least)
    return moved
