"""Numbers with intervals, against their definitions."""

import numpy as np
import pytest

from uphill.runs.statistics import confidence_interval, interquartile_mean, summarize


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 10, 101])
def test_interquartile_mean_is_the_mean_of_the_middle_half(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size)
    cut = size // 4
    assert interquartile_mean(values) == pytest.approx(np.sort(values)[cut : size - cut].mean())


def test_interquartile_mean_along_an_axis() -> None:
    values = np.random.default_rng(0).normal(size=(8, 3))
    by_column = [interquartile_mean(values[:, k]) for k in range(3)]
    np.testing.assert_allclose(interquartile_mean(values, axis=0), by_column)


def test_interval_is_always_the_same_and_holds_the_middle() -> None:
    values = np.random.default_rng(1).normal(10, 1, size=40)
    low, high = confidence_interval(values)
    assert (low, high) == confidence_interval(values.copy())
    assert low < interquartile_mean(values) < high
    assert confidence_interval(np.full(5, 3.0)) == (3.0, 3.0)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    samples = generator.normal(size=(200, 50))
    covered = [low <= 0 <= high for low, high in map(confidence_interval, samples)]
    # 95 % asked; the percentile bootstrap of 50 values gives a little less: 188 ± 9 of 200.
    assert 175 <= sum(covered) <= 199


def test_one_seed_is_summarized_over_its_episodes() -> None:
    returns = np.array([[1.0, 2.0, 3.0, 10.0]])
    summary = summarize(returns)
    assert summary["mean"] == 4.0
    assert summary["std"] == pytest.approx(np.std([1, 2, 3, 10]))
    assert summary["iqm"] == 2.5
    assert summary["per_seed"] == [4.0]
    assert summary["ci95"] == list(confidence_interval(returns[0]))


def test_several_seeds_are_summarized_over_seeds() -> None:
    returns = np.array([[0.0, 2.0], [4.0, 6.0], [0.0, 0.0], [100.0, 100.0]])
    summary = summarize(returns)
    assert summary["per_seed"] == [1.0, 5.0, 0.0, 100.0]
    assert summary["mean"] == pytest.approx(26.5)
    assert summary["std"] == pytest.approx(np.std([1, 5, 0, 100]))
    assert summary["iqm"] == 3.0
    assert summary["ci95"] == list(confidence_interval(np.array([1.0, 5.0, 0.0, 100.0])))
