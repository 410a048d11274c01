"""Masked sums and means, baselines without parameters, and standardised advantages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uphill.theory.means import (
    batch_mean,
    leave_one_out,
    masked_mean,
    masked_sum,
    standardize,
    time_mean,
    update_running_mean,
)


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


def lanes(*episodes_by_lane: list[list[float]], num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns and mask of lanes that play these episodes, with next-step autoreset."""
    returns = np.full((num_rows, len(episodes_by_lane)), np.nan, np.float32)
    for env, episodes in enumerate(episodes_by_lane):
        row = 0
        for episode in episodes:
            returns[row : row + len(episode), env] = episode
            row += len(episode) + 1
    return returns, ~np.isnan(returns)


def test_time_mean_is_over_the_steps_of_the_same_age() -> None:
    returns, mask = lanes([[1, 2, 3], [4, 5]], [[6]], [[7, 8, 9, 10]], num_rows=8)
    by_age = [(1 + 4 + 6 + 7) / 4, (2 + 5 + 8) / 3, (3 + 9) / 2, 10]
    age, _ = lanes([[0, 1, 2], [0, 1]], [[0]], [[0, 1, 2, 3]], num_rows=8)
    expected = np.float32(by_age)[age[mask].astype(int)]
    for length in (None, 6):
        found = np.asarray(time_mean(returns, mask, length=length))
        np.testing.assert_allclose(found[mask], expected, rtol=1e-6)
        assert np.isfinite(found).all()


def test_time_mean_of_one_episode_each_is_the_same_by_rows() -> None:
    returns, mask = lanes([[1, 2, 3]], [[6]], [[7, 8, 9, 10]], [], num_rows=6)
    rows = np.asarray(time_mean(returns, mask, per_env=1))
    np.testing.assert_allclose(rows[mask], np.asarray(time_mean(returns, mask))[mask], rtol=1e-6)
    np.testing.assert_allclose(rows[1][mask[1]], 5.0)


def test_leave_one_out_is_the_mean_of_the_other_environments(
    x: np.ndarray, mask: np.ndarray
) -> None:
    found = np.asarray(leave_one_out(np.where(mask, x, np.nan), mask))
    for env in range(x.shape[1]):
        others = np.delete(x, env, 1)[np.delete(mask, env, 1)].mean()
        np.testing.assert_allclose(found[:, env], np.full(len(x), others), rtol=1e-5)


def test_leave_one_out_is_0_where_there_is_no_other(x: np.ndarray, mask: np.ndarray) -> None:
    assert (np.asarray(leave_one_out(x[:, :1], mask[:, :1])) == 0).all()
    only = mask & (np.arange(4) == 2)
    found = np.asarray(leave_one_out(np.where(only, x, np.nan), only))
    assert (found[:, 2] == 0).all()
    np.testing.assert_allclose(found[:, 0], np.full(len(x), x[only].mean()), rtol=1e-5)


def test_trap_08_leave_one_out_is_unbiased_and_the_batch_mean_is_short() -> None:
    """Every batch of two one-step episodes, with its probability."""
    with jax.enable_x64(True):
        p, reward = np.array([0.2, 0.5, 0.3]), np.array([1.0, -2.0, 7.0])
        score = np.eye(3) - p  # ∇_z log softmax(z)_a, by action
        exact = p @ (score * reward[:, None])
        every, mean = np.ones((1, 2), bool), {"leave": 0.0, "batch": 0.0, "time": 0.0}
        for a, b in np.ndindex(3, 3):
            returns = reward[[a, b]][None]
            baselines = {
                "leave": leave_one_out(returns, every),
                "batch": batch_mean(returns, every),
                "time": time_mean(returns, every),
            }
            for name, baseline in baselines.items():
                weight = np.asarray(returns - baseline)[0]
                mean[name] += p[a] * p[b] * (weight @ score[[a, b]]) / 2
        np.testing.assert_allclose(mean["leave"], exact, atol=1e-12)
        np.testing.assert_allclose(mean["batch"], exact / 2, atol=1e-12)
        np.testing.assert_allclose(mean["time"], exact / 2, atol=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.9, 1.0])
def test_a_running_mean_is_the_weighted_mean_of_the_batches(decay: float) -> None:
    batches = np.random.default_rng(2).normal(5.0, 2.0, size=8).astype(np.float32)
    mean, weight = jnp.full((), 100.0), jnp.zeros(())
    for k, batch in enumerate(batches):
        mean, weight = update_running_mean(mean, weight, jnp.asarray(batch), decay)
        weights = decay ** np.arange(k, -1.0, -1.0)
        assert mean == pytest.approx(np.average(batches[: k + 1], weights=weights), rel=1e-5)
        assert weight == pytest.approx(weights.sum(), rel=1e-6)


ANY = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(
    arrays(np.float32, (5, 3), elements=st.floats(-1e6, 1e6, width=32)),
    arrays(np.float32, (5, 3), elements=ANY),
    arrays(bool, (5, 3)),
)
def test_what_any_mask_leaves_out_changes_nothing(x, rubbish, mask) -> None:
    """Be it infinite or no number."""
    dirty = np.where(mask, x, rubbish)
    chosen = x[mask].astype(float)
    mean = chosen.mean() if chosen.size else 0.0
    np.testing.assert_allclose(masked_mean(dirty, mask), mean, rtol=1e-5, atol=1)
    for function in (leave_one_out, standardize):
        found, clean = (np.asarray(function(y, mask)) for y in (dirty, np.where(mask, x, 0)))
        np.testing.assert_array_equal(found[mask], clean[mask])
        assert np.isfinite(found[mask]).all()
