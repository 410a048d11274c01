"""Numbers, texts and curves that a person is shown."""

import itertools

import numpy as np
import pytest
from scipy.stats import trim_mean

from uphill.sessions.display.readings import (
    POINTS,
    Curve,
    View,
    header,
    middle,
    resample,
    sparkline,
)


@pytest.mark.parametrize("num_values", [1, 2, 3, 4, 5, 8, 13])
def test_the_middle_is_scipys_interquartile_mean(num_values: int) -> None:
    values = np.random.default_rng(num_values).normal(size=num_values)
    assert middle(values) == pytest.approx(trim_mean(values, 0.25))


def test_fewer_columns_than_points_are_means_that_forget_none() -> None:
    values = np.random.default_rng(0).normal(size=103)
    found = resample(values, 10)
    edges = [103 * k // 10 for k in range(11)]
    expected = [values[a:b].mean() for a, b in itertools.pairwise(edges)]
    np.testing.assert_allclose(found, expected)


def test_more_columns_than_points_lie_between_them() -> None:
    np.testing.assert_allclose(resample(np.array([0.0, 3.0]), 4), [0, 1, 2, 3])
    np.testing.assert_allclose(resample(np.array([5.0]), 3), [5, 5, 5])


def test_sparkline_is_lowest_at_one_end_and_highest_at_the_other() -> None:
    assert sparkline(np.array([-5.0, 10.0, 25.0]), 3, -5.0, 25.0) == "▁▅█"
    assert sparkline(np.array([3.0, 3.0]), 4, 3.0, 3.0) == "▄▄▄▄"  # flat, neither low nor high
    # Of a seed whose curve leaves what the line shows.
    assert sparkline(np.array([-9.0, 99.0]), 2, 0.0, 1.0) == "▁█"


def test_a_curve_of_any_length_stays_small_and_keeps_its_shape() -> None:
    curve = Curve()
    num_points = 10 * POINTS + 3
    for k in range(num_points):
        curve = curve.add([float(k), 2.0 * k])
    assert len(curve.values) <= POINTS
    assert len(curve.pending) < curve.per_value
    table = curve.of_seeds()
    np.testing.assert_allclose(table[1], 2 * table[0])
    # Means of neighbours: a straight line stays one, from one end to the other.
    whole = table[0, : len(curve.values)]
    np.testing.assert_allclose(np.diff(whole), curve.per_value)
    assert whole[0] == (curve.per_value - 1) / 2
    assert num_points - 1 - table[0, -1] < curve.per_value


def test_a_seed_without_an_episode_is_where_it_was() -> None:
    curve = Curve().add([None, None]).add([1.0, None]).add([None, 4.0]).add([2.0, None])
    np.testing.assert_allclose(curve.of_seeds(), [[1, 2], [4, 4]])
    assert Curve().add([None]).of_seeds().size == 0
    assert Curve().of_seeds().size == 0


def test_time_left_is_that_of_all_seeds_and_goes_by() -> None:
    # Eight seeds took 250 k steps each in ten seconds: three quarters are left.
    view = View(
        1_000_000,
        seeds=tuple(range(8)),
        shown=10.0,
        steps=(250_000,) * 8,
        steps_per_second=8 * 250_000 / 10,
    )
    assert view.seconds_left(10.0) == 30
    assert view.seconds_left(14.0) == 26
    assert view.seconds_left(99.0) == 0
    assert header(view, 10.0) == ["25\u00a0%", "250 k of 1 M steps", "200 k steps/s", "30 s left"]


def test_a_seed_that_has_its_steps_waits_and_nothing_of_it_is_left() -> None:
    view = View(100, seeds=(0, 1), steps=(130, 50), steps_per_second=10.0)
    assert view.fraction == 0.75
    assert view.seconds_left(0.0) == 5
