"""Masked sums and means, the batch-mean baseline, and standardised advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.theory.baselines import batch_mean, masked_mean, masked_sum, standardize


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(3.0, 5.0, size=(7, 4)).astype(np.float32)


@pytest.fixture
def mask() -> np.ndarray:
    return np.random.default_rng(1).random((7, 4)) < 0.6


def test_masked_sums_and_means_are_those_of_the_selection(x: np.ndarray, mask: np.ndarray) -> None:
    with_nan = np.where(mask, x, np.nan)
    np.testing.assert_allclose(masked_sum(with_nan, mask), x[mask].sum(), rtol=1e-5)
    np.testing.assert_allclose(masked_mean(with_nan, mask), x[mask].mean(), rtol=1e-5)
    assert masked_mean(with_nan, np.zeros_like(mask)) == 0


def test_batch_mean_is_one_number_for_every_step(x: np.ndarray, mask: np.ndarray) -> None:
    baseline = batch_mean(np.where(mask, x, np.nan), mask)
    np.testing.assert_allclose(baseline, np.full(x.shape, x[mask].mean()), rtol=1e-5)


def test_trap_09_standardized_entries_have_mean_0_and_deviation_1(
    x: np.ndarray, mask: np.ndarray
) -> None:
    found = np.asarray(standardize(x, mask))
    expected = (x[mask] - x[mask].mean()) / x[mask].std(ddof=1)
    np.testing.assert_allclose(found[mask], expected, atol=1e-5)
    assert (found[~mask] == 0).all()


def test_trap_09_a_batch_of_one_is_finite() -> None:
    one = np.full((1, 1), 7.0, np.float32)
    assert standardize(one, np.ones((1, 1), bool)) == 0
    only = np.array([[True], [False]])
    assert (standardize(np.array([[7.0], [np.nan]], np.float32), only) == 0).all()
    assert (standardize(one, np.zeros((1, 1), bool)) == 0).all()


@pytest.mark.parametrize("constant", [0.0, 1.0, -0.1, 1e-3, 1e6])
def test_trap_09_constant_advantages_give_no_gradient(constant: float) -> None:
    advantages = np.full((15, 7), constant, np.float32)
    mask = np.ones((15, 7), bool)
    # The mean of equal numbers is rounded: dividing that error by ε would give advantages of ±1.
    np.testing.assert_array_equal(standardize(advantages, mask), np.zeros((15, 7), np.float32))


@pytest.mark.parametrize("scale", [1e-3, 10.0, 1e6])
def test_trap_09_the_scale_of_the_rewards_does_not_matter(
    x: np.ndarray, mask: np.ndarray, scale: float
) -> None:
    found = standardize(np.float32(scale) * x, mask)
    np.testing.assert_allclose(found, standardize(x, mask), rtol=2e-4, atol=2e-5)


def test_trap_09_what_is_masked_out_does_not_matter(x: np.ndarray, mask: np.ndarray) -> None:
    clean = standardize(x, mask)
    for rubbish in (np.nan, np.inf, 1e30):
        dirty = np.where(mask, x, np.float32(rubbish))
        np.testing.assert_array_equal(standardize(dirty, mask), clean)
        gradient = jax.grad(lambda d: (standardize(d, mask) ** 3).sum())(jnp.asarray(dirty))
        assert np.isfinite(gradient).all()
        assert (np.asarray(gradient)[~mask] == 0).all()
