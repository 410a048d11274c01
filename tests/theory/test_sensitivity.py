"""Hyperparameter sensitivity and effective dimension, against arrays made by hand."""

import itertools

import numpy as np
import pytest

from uphill.theory.sensitivity import normalised_score, sensitivities

GRID = np.array(list(itertools.product(range(3), repeat=2)))
"""The levels of two settings with three values each."""


def scores_of(*tables: list[list[float]], seeds: int = 3) -> np.ndarray:
    """[E, H, S] of tables [first setting, second setting], one for each environment."""
    flat = np.array([np.ravel(table) for table in tables])
    return np.repeat(flat[..., None], seeds, -1)


PEAK_AT_START = [[10.0, 5.0, 0.0], [5.0, 5.0, 0.0], [0.0, 0.0, 0.0]]


def test_nothing_is_to_be_tuned_where_all_environments_like_the_same_values() -> None:
    scores = scores_of(PEAK_AT_START, [[100 * x + 7 for x in row] for row in PEAK_AT_START])
    (found,) = sensitivities([scores], [GRID])
    assert found.best == 0
    assert found.phi.value == found.dimension.value == 0
    assert found.phi.interval == found.dimension.interval == (0, 0)
    # p₅ = 0 and p₉₅ = 8: the fourth part of the way from 5 to 10, at 7.6 of 0 to 8.
    assert found.tuned.value == pytest.approx(10 / 8)
    assert found.tuned.value == found.shared.value


def test_one_setting_that_each_environment_wants_otherwise() -> None:
    first = [[10.0, 0.0, 0.0], [8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    turned = first[::-1]
    scores = scores_of(first, turned)
    (found,) = sensitivities([scores], [GRID])
    low, high = np.percentile(scores[0, :, 0], (5, 95))
    assert low == 0
    assert found.tuned.value == pytest.approx(10 / high)
    assert found.shared.value == pytest.approx(8 / high)  # the middle one serves both
    assert found.best == 3
    assert found.phi.value == pytest.approx(2 / high)
    assert found.dimension.value == 1
    assert found.to_tune == (0,)
    assert found.reached == pytest.approx((8 / high, 10 / high, 10 / high))


def test_two_settings_that_each_environment_wants_otherwise() -> None:
    first = [[10.0, 4.0, 0.0], [4.0, 8.0, 4.0], [0.0, 4.0, 0.0]]
    turned = [row[::-1] for row in first[::-1]]
    (found,) = sensitivities([scores_of(first, turned)], [GRID])
    assert found.best == 4
    assert found.dimension.value == 2


def test_algorithms_share_the_percentiles_of_each_environment() -> None:
    better, worse = scores_of(PEAK_AT_START), scores_of(PEAK_AT_START) - 100
    a, b = sensitivities([better, worse], [GRID, GRID])
    pooled = np.concatenate([better, worse], 1)[0, :, 0]
    low, high = np.percentile(pooled, (5, 95))
    assert a.tuned.value == pytest.approx((10 - low) / (high - low))
    assert b.tuned.value == pytest.approx((-90 - low) / (high - low))


def test_intervals_are_of_the_noise_of_seeds() -> None:
    generator = np.random.default_rng(0)
    clean = scores_of(PEAK_AT_START, PEAK_AT_START[::-1], seeds=16)
    widths = []
    for noise in (0.1, 1.0):
        noisy = clean + noise * generator.normal(size=clean.shape)
        (found,) = sensitivities([noisy], [GRID])
        low, high = found.phi.interval
        assert low <= found.phi.value <= high
        widths.append(high - low)
    assert 4 < widths[1] / widths[0] < 20


def test_an_algorithm_whose_best_is_below_the_percentiles_has_a_dimension_too() -> None:
    large = np.array(list(itertools.product(range(3), repeat=4)))
    good = scores_of([[*map(float, range(81))]], [[*map(float, range(81))]])
    bad = scores_of([[-1000.0, -990.0]], [[-990.0, -1000.0]])
    _, found = sensitivities([good, bad], [large, np.array([[0], [1]])])
    assert found.reached[0] < found.reached[1] < 0
    assert found.dimension.value == 0  # both settings are within 5 % of the best


def test_fresh_seeds_are_scored_as_the_others() -> None:
    scores = scores_of(PEAK_AT_START, PEAK_AT_START[::-1])
    low, high = np.percentile(scores[0, :, 0], (5, 95))
    fresh = np.array([[8.0, 10.0, 12.0], [4.0, 4.0, 4.0]])
    score, interval = normalised_score(fresh, [scores])
    assert score == pytest.approx((10 / high + 4 / high) / 2)
    assert interval[0] == pytest.approx((8 + 4) / 2 / high, abs=0.3 / high)
    assert interval[1] == pytest.approx((12 + 4) / 2 / high, abs=0.3 / high)
    assert low == 0


def test_an_environment_that_tells_nothing_apart_is_refused() -> None:
    with pytest.raises(ValueError, match="all values have the same score"):
        sensitivities([scores_of(PEAK_AT_START, [[1.0] * 3] * 3)], [GRID])
