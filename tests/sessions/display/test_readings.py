"""Numbers, texts and curves that a person is shown."""

import itertools

import numpy as np

from uphill.sessions.display.readings import (
    POINTS,
    Curve,
    Pause,
    View,
    ending,
    progress,
    resample,
    sparkline,
)


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


def test_time_left_goes_by_and_stands_still_in_a_pause() -> None:
    view = View(100, shown=10.0, steps=(25,), left=30.0)
    assert view.seconds_left(10.0, Pause()) == 30
    assert view.seconds_left(14.0, Pause()) == 26
    assert view.seconds_left(99.0, Pause()) == 0
    for seconds in (1.0, 50.0):  # of a pause that began at 14
        assert view.seconds_left(14.0 + seconds, Pause("compiling", seconds, seconds)) == 26
    assert view.seconds_left(65.0, Pause(total=50.0)) == 25  # just after it


def test_what_the_end_of_the_line_says() -> None:
    view = View(1_000_000, shown=10.0, steps=(250_000,), left=30.0)
    assert ending(view, 12.0, Pause()) == "28 s left"
    assert ending(view, 12.0, Pause("compiling", 9.52, 11.0)) == "compiling 9.5 s"
    assert ending(View(10, started=10.0), 12.0, Pause()) == "starting 2.0 s"
    second = Pause("compiling", 0.5, 4.0)
    assert ending(View(10, started=7.0), 12.0, second) == "compiling 4.0 s"


def test_what_is_of_each_seed_and_what_of_all() -> None:
    one = View(500_000, steps=(15_300,), steps_per_second=123e3)
    assert progress(one) == ("15.3 k of 500 k steps", "123 k steps/s")
    two = View(500_000, seeds=(0, 1), steps=(15_300, 17_000), steps_per_second=123e3)
    assert progress(two) == ("2 seeds × 15.3 k of 500 k steps", "123 k steps/s in all")


def test_a_seed_that_has_its_steps_waits() -> None:
    assert View(100, seeds=(0, 1), steps=(130, 50)).fraction == 0.75
