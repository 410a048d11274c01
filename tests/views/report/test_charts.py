"""Charts: what is drawn is where the numbers say."""

import itertools
import re

import numpy as np
import pytest

from uphill.views.report.charts import Chart, Line, line_chart, ticks


def points(drawn: str) -> np.ndarray:
    """The points of an SVG path, in parts of the plot; y from below."""
    found = [(float(a), float(b)) for a, b in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", drawn)]
    x, y = np.array(found).T / 1000
    return np.stack([x, 1 - y])


def test_a_curve_goes_through_its_points() -> None:
    x, y = np.array([0.0, 50.0, 100.0]), np.array([0.0, 30.0, 60.0])
    chart = line_chart("title", [Line(x, y)], x_range=(0.0, 100.0), y_range=(0.0, 100.0))
    np.testing.assert_allclose(points(chart.lines[0].drawn), [[0, 0.5, 1], [0, 0.3, 0.6]])
    assert chart.title == "title"
    assert [(tick.at, tick.label) for tick in chart.x_ticks][:2] == [(0.0, "0"), (20.0, "20")]
    assert [(tick.at, tick.label) for tick in chart.y_ticks][-1] == (0.0, "100")


def test_what_is_not_finite_leaves_a_gap_and_no_other_number() -> None:
    y = np.array([1.0, np.nan, 2.0, np.inf, 3.0])
    chart = line_chart("", [Line(np.arange(5.0), y)])
    drawn = chart.lines[0].drawn
    assert drawn.count("M") == 3
    assert not re.search("nan|inf", drawn)
    assert all(0 <= tick.at <= 100 for tick in (*chart.x_ticks, *chart.y_ticks))


def test_the_band_goes_there_and_back_around_its_curve() -> None:
    x, y = np.array([0.0, 1.0]), np.array([2.0, 3.0])
    chart = line_chart("", [Line(x, y, "run-1", y - 1, y + 1)], y_range=(0.0, 4.0))
    (band,) = chart.bands
    assert band.look == "run-1 band"
    assert band.drawn.endswith("Z")
    np.testing.assert_allclose(points(band.drawn), [[0, 1, 1, 0], [0.25, 0.5, 1, 0.75]])


def test_marks_are_dots_on_their_line() -> None:
    x = np.array([0.0, 50.0, 100.0])
    line = Line(x, np.array([0.0, 100.0, 0.0]), "seed", marks=np.array([50.0, 75.0]))
    chart = line_chart("", [line, Line(x, x)], y_range=(0.0, 100.0))
    (marks,) = chart.marks
    assert marks.look == "seed"
    assert marks.drawn == "M500.0 0.0h0M750.0 500.0h0"


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 0.0], ["0\u00a0%", "50\u00a0%", "100\u00a0%"]),
        ([0.17, 0.18], ["0\u00a0%", "5\u00a0%", "10\u00a0%", "15\u00a0%"]),
        ([0.001, 0.004], ["0\u00a0%", "0.2\u00a0%", "0.4\u00a0%"]),
    ],
)
def test_shares_are_counted_from_0_in_per_cent(values: list[float], labels: list[str]) -> None:
    chart = line_chart("", [Line(np.arange(2.0), np.array(values))], num_ticks=3, is_share=True)
    assert [tick.label for tick in chart.y_ticks] == labels
    assert chart.y_ticks[0].at == pytest.approx(100)


@pytest.mark.parametrize("constant", [0.0, 0.2, 500.0])
def test_what_is_never_below_0_has_no_axis_below_it(constant: float) -> None:
    chart = line_chart("", [Line(np.arange(3.0), np.full(3, constant))])
    assert chart.y_ticks[0].label == "0"
    assert chart.y_ticks[0].at == pytest.approx(100)
    (line,) = chart.lines
    assert points(line.drawn)[1].max() <= 1


def test_level_and_dots_are_within_the_picture() -> None:
    curve = Line(np.array([0.0, 10.0]), np.array([1.0, 2.0]))
    chart = line_chart("", [curve], level=(50.0, "solved"), dots=[(10.0, -20.0, "lowest")])
    assert chart.level is not None
    assert chart.level.label == "solved"
    (dot,) = chart.dots
    assert 0 < chart.level.at < dot.y < 100
    assert (dot.x, dot.title) == (100.0, "lowest")
    # Heights are linear: the curve's end lies where its value is between these two.
    share = (50 - 2) / (50 + 20)
    end = 100 * (1 - points(chart.lines[0].drawn)[1, -1])
    assert end == pytest.approx(chart.level.at + share * (dot.y - chart.level.at), abs=0.1)


@pytest.mark.parametrize(
    "curves", [[], [Line(np.zeros(0), np.zeros(0))], [Line(np.zeros(1), np.full(1, 7.0))]]
)
def test_hardly_anything_to_draw_is_a_chart_all_the_same(curves: list[Line]) -> None:
    chart = line_chart("", curves)
    assert isinstance(chart, Chart)
    assert all(np.isfinite(tick.at) for tick in (*chart.x_ticks, *chart.y_ticks))


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 100_039), (-0.1, 0.71), (-2.5e-4, 3e-4), (480, 500), (7, 7e6)]
)
def test_ticks_are_round_even_and_inside(low: float, high: float) -> None:
    for most in (3, 5):
        found = ticks(low, high, most)
        assert 2 <= len(found) <= most + 1
        assert low - 1e-9 * high <= found[0] < found[-1] <= high * (1 + 1e-9)
        (step,) = {round(b - a, 12) for a, b in itertools.pairwise(found)}
        assert re.fullmatch(r"[125]\.?0*e[+-]\d+", f"{step:.6e}")
