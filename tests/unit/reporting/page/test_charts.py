import re

import pytest

from canthus.reporting.page.charts import (
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Series,
    line_chart,
    nice_ticks,
    scatter_chart,
)

X = Axis("x", 0, 10, nice_ticks(0, 10))
Y = Axis("y", 0, 100, nice_ticks(0, 100))


@pytest.mark.parametrize(
    ("low", "high", "values"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 0.31, [0, 0.1, 0.2, 0.3]),
        (2.2, 9.9, [4, 6, 8]),
        (0, 100, [0, 20, 40, 60, 80, 100]),
    ],
)
def test_ticks_are_round(low, high, values):
    assert [value for value, _ in nice_ticks(low, high)] == values


def test_points_are_where_they_belong():
    svg = line_chart([Series("a", 0, [(0, 0), (5, 50), (10, 100)])], X, Y, about="t", markers=True)
    places = [tuple(map(float, found)) for found in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]
    left, right, bottom = LEFT, WIDTH - RIGHT, HEIGHT - 44
    expected = [(left, bottom), ((left + right) / 2, (bottom + TOP) / 2), (right, TOP)]
    assert [value for place in places for value in place] == pytest.approx([v for p in expected for v in p], abs=0.1)


def test_steps_go_across_before_they_go_up():
    svg = line_chart([Series("a", 0, [(0, 0), (5, 50)])], X, Y, about="t", step=True)
    assert re.search(r'd="M[\d.]+ [\d.]+H[\d.]+V[\d.]+"', svg)


def test_names_are_escaped_and_what_is_not_finite_is_left_out():
    evil = Series('<b>"', 1, [(0, float("inf")), (1, 1)])
    for svg in (line_chart([evil], X, Y, about='"<i>'), scatter_chart([Series("<b>", 0, [(1, 1)])], X, Y, about="t")):
        assert "<b>" not in svg
        assert "<i>" not in svg
        assert "inf" not in svg


def test_a_logarithmic_axis():
    axis = Axis("ms", 1, 100, [], log=True)
    assert axis.place(10, 0, 1) == pytest.approx(0.5)


def test_long_lines_are_thinned():
    svg = line_chart([Series("a", 0, [(i / 1000, 1.0) for i in range(10_000)])], X, Y, about="t")
    assert svg.count("L") < 1200
