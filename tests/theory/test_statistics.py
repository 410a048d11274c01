"""Numbers with intervals, against their definitions."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, mannwhitneyu, norm, trim_mean

from uphill.theory.statistics import (
    confidence_band,
    confidence_interval,
    few_seeds,
    interquartile_mean,
    mean_probability_of_improvement,
    performance_profile,
    probability_of_improvement,
    summarize,
)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 10, 101])
def test_interquartile_mean_is_the_mean_of_the_middle_half(size: int) -> None:
    values = np.random.default_rng(size).normal(size=size)
    cut = size // 4
    assert interquartile_mean(values) == pytest.approx(np.sort(values)[cut : size - cut].mean())


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 100])
def test_interquartile_mean_is_that_of_scipy_to_the_bit(size: int, axis: int) -> None:
    values = np.random.default_rng(size).normal(size=(size, size))
    expected = trim_mean(values, 0.25, axis=axis)
    np.testing.assert_array_equal(interquartile_mean(values, axis=axis), expected)


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


@pytest.mark.parametrize(("size", "covered"), [(2, 0.50), (3, 0.75), (4, 0.88), (5, 0.90)])
def test_intervals_of_few_seeds_cover_as_little_as_the_documentation_says(
    size: int, covered: float
) -> None:
    samples = np.random.default_rng(size).normal(size=(300, size))
    hits = [low <= 0 <= high for low, high in map(confidence_interval, samples)]
    assert np.mean(hits) == pytest.approx(covered, abs=0.08)


def test_a_remark_stands_beside_intervals_of_two_to_four_seeds() -> None:
    assert [bool(few_seeds(count)) for count in (1, 2, 3, 4, 5, 10)] == [0, 1, 1, 1, 0, 0]
    assert few_seeds(3).startswith("With 3 seeds a 95 % interval is too narrow")


def test_band_is_about_the_interval_at_each_point() -> None:
    curves = np.random.default_rng(3).normal(size=(10, 4)) * [1, 2, 0, 5] + [0, 10, 3, 0]
    low, high = confidence_band(curves)
    # They are bootstraps of different samples: a few hundredths of the width apart.
    for k, (least, most) in enumerate(map(confidence_interval, curves.T)):
        assert low[k] == pytest.approx(least, abs=0.1 * (most - least))
        assert high[k] == pytest.approx(most, abs=0.1 * (most - least))
    one = np.array([[1.0, 2.0]])
    np.testing.assert_array_equal(confidence_band(one), [[1.0, 2.0], [1.0, 2.0]])


def test_profile_is_the_share_above_and_its_bootstrap_is_binomial() -> None:
    scores = np.random.default_rng(4).integers(0, 10, size=12).astype(float)
    thresholds = np.linspace(-1, 11, 25)
    share, (low, high) = performance_profile(scores, thresholds)
    brute = [sum(score > threshold for score in scores) / 12 for threshold in thresholds]
    np.testing.assert_allclose(share, brute)
    assert share[0] == low[0] == high[0] == 1
    assert share[-1] == low[-1] == high[-1] == 0
    # A bootstrap sample of 12 seeds holds Binomial(12, share) of those above: exactly known, up to
    # one seed more or less where the percentile of 2000 samples falls beside a step.
    for bound, level in ((low, 0.025), (high, 0.975)):
        exact = binom.ppf(level, 12, share) / 12
        assert np.abs(bound - exact).max() < 1.01 / 12
        assert np.mean(np.abs(bound - exact) < 1e-9) > 0.8


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (10, 10), (8, 32)])
def test_improvement_is_mann_and_whitneys_u(n: int, m: int) -> None:
    generator = np.random.default_rng(n)
    x, y = (generator.integers(0, 6, size=size).astype(float) for size in (n, m))  # with ties
    probability, (low, high) = probability_of_improvement(x, y)
    assert probability == pytest.approx(mannwhitneyu(x, y).statistic / (n * m))
    assert probability_of_improvement(y, x)[0] == pytest.approx(1 - probability)
    assert 0 <= low <= probability <= high <= 1
    assert probability_of_improvement(x, y)[1] == (low, high)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (3, 3), (4, 4), (3, 10), (10, 10)])
def test_improvement_of_what_is_always_better_is_wilsons_interval(n: int, m: int) -> None:
    x, y = 10.0 + np.arange(n), np.arange(m) / m
    probability, (low, high) = probability_of_improvement(x, y)
    least = min(n, m)
    wilson = binomtest(least, least).proportion_ci(method="wilson")
    assert probability == 1
    assert (low, high) == pytest.approx((wilson.low, wilson.high))
    assert probability_of_improvement(y, x) == (0, pytest.approx((1 - high, 1 - low)))
    # It tells X from Y only where the exact test does.
    assert low < 0.5 or mannwhitneyu(x, y, method="exact").pvalue < 0.05


def test_improvement_over_environments_is_the_mean_with_an_interval_of_all_seeds() -> None:
    better, worse = np.arange(8.0) + 100, np.arange(8.0)
    probability, interval = mean_probability_of_improvement([(better, worse), (worse, worse)])
    assert probability == pytest.approx(0.75)
    assert interval == pytest.approx(binomtest(12, 16).proportion_ci(method="wilson"))


def test_improvement_of_what_is_the_same_may_be_either() -> None:
    probability, (low, high) = probability_of_improvement(np.full(3, 500.0), np.full(4, 500.0))
    assert probability == 0.5
    assert low + high == pytest.approx(1)
    assert 0.1 < low < 0.2


def test_improvements_interval_ends_where_the_variances_bound_does() -> None:
    generator = np.random.default_rng(5)
    x, y = generator.normal(0.5, size=7), generator.normal(size=9)
    probability, interval = probability_of_improvement(x, y)
    for end in interval:
        deviation = np.sqrt(end * (1 - end) / 7)
        assert abs(probability - end) == pytest.approx(norm.ppf(0.975) * deviation)


def test_no_distributions_give_the_improvement_more_variance_than_the_bound() -> None:
    generator = np.random.default_rng(7)
    x, y = np.zeros((20_000, 9)), np.where(generator.random((20_000, 4)) < 0.7, -1.0, 1.0)
    wins = (x[:, :, None] > y[:, None]).mean((1, 2))
    # One of a constant and of two values has all of it: θ (1 − θ) / m.
    assert wins.var() == pytest.approx(0.7 * 0.3 / 4, rel=0.03)
    normal = generator.normal(0.5, size=(20_000, 9, 1)) > generator.normal(size=(20_000, 1, 4))
    assert normal.mean((1, 2)).var() < normal.mean() * (1 - normal.mean()) / 4


@pytest.mark.parametrize("size", [3, 4, 5, 10])
@pytest.mark.parametrize(
    ("truth", "deviation"), [(0.5, 1.0), (0.75, 1.0), (0.95, 1.0), (0.75, 5.0)]
)
def test_improvements_interval_covers_the_truth_at_least_as_often_as_it_says(
    size: int, truth: float, deviation: float
) -> None:
    generator = np.random.default_rng(6)
    shift = norm.ppf(truth) * np.hypot(1, deviation)
    covered = 0
    for _ in range(1000):
        x, y = generator.normal(shift, size=size), generator.normal(0, deviation, size=size)
        low, high = probability_of_improvement(x, y)[1]
        covered += low <= truth <= high
    assert covered >= 940


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
