"""Scaling by running deviations against NumPy, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.theory.moments import Moments, batch_moments, merge
from uphill.theory.scaling import (
    Scale,
    deviation,
    discounted_running_return,
    fresh_scale,
    scaled,
)

T, N = 40, 5


def rows(seed: int, num_steps: int = T) -> dict[str, np.ndarray]:
    """Random steps with next-step autoreset; both flags occur. Masked rows hold rubbish."""
    rng = np.random.default_rng(seed)
    terminated, truncated = rng.random((2, num_steps, N)) < 0.1
    mask = np.ones((num_steps, N), bool)
    for t in range(1, num_steps):
        mask[t] = ~(mask & (terminated | truncated))[t - 1]
    reward = np.where(mask, rng.normal(3.0, 20.0, size=mask.shape), np.nan)
    return {
        "reward": reward.astype(np.float32),
        "mask": mask,
        "ended": terminated | truncated,
    }


def by_hand(r: dict[str, np.ndarray], gamma: float) -> np.ndarray:
    """Every R from its definition: the sum of all earlier rewards of the episode."""
    out = np.zeros((len(r["mask"]), N))
    for t, env in np.argwhere(r["mask"]):
        for k in range(t, -1, -1):
            if not r["mask"][k, env] or (k < t and r["ended"][k, env]):
                break
            out[t, env] += gamma ** (t - k) * r["reward"][k, env]
    return out


def part(r: dict[str, np.ndarray], start: int, stop: int) -> list[np.ndarray]:
    return [r[x][start:stop] for x in ("reward", "mask", "ended")]


@pytest.mark.parametrize("gamma", [0.0, 0.9, 1.0])
def test_the_running_return_looks_back(gamma: float) -> None:
    r = rows(0)
    found, _ = discounted_running_return(*part(r, 0, T), gamma, np.zeros(N, np.float32))
    np.testing.assert_allclose(found, by_hand(r, gamma), rtol=1e-4, atol=1e-4)


def test_windows_carry_it_over() -> None:
    r = rows(1)
    found, carry = [], np.zeros(N, np.float32)
    for start in range(0, T, 8):
        returns, carry = discounted_running_return(*part(r, start, start + 8), 0.9, carry)
        found.append(returns)
    np.testing.assert_allclose(np.concatenate(found), by_hand(r, 0.9), rtol=1e-4, atol=1e-4)


def test_only_the_filled_part_is_read() -> None:
    r, start = rows(2), np.ones(N, np.float32)
    run = jax.jit(discounted_running_return)
    found, carry = run(*part(r, 0, T), 0.9, start, 13)
    expected, expected_carry = run(*part(r, 0, 13), 0.9, start)
    np.testing.assert_allclose(found[:13], expected, rtol=1e-6)
    np.testing.assert_allclose(carry, expected_carry, rtol=1e-6)
    assert (np.asarray(found)[13:] == 0).all()


@pytest.mark.parametrize("flag", ["terminated", "truncated"])
def test_trap_12_both_flags_reset_the_accumulator(flag: str) -> None:
    flags = {"terminated": np.zeros((5, 1), bool), "truncated": np.zeros((5, 1), bool)}
    flags[flag][1] = True
    mask = np.array([[True], [True], [False], [True], [True]])
    ended = flags["terminated"] | flags["truncated"]
    reward = np.ones((5, 1), np.float32)
    found, carry = discounted_running_return(reward, mask, ended, 0.5, np.float32([4.0]))
    assert found[:, 0].tolist() == [3.0, 2.5, 0.0, 1.0, 1.5]
    assert carry.tolist() == [1.5]
    ended[-1] = True
    assert discounted_running_return(reward, mask, ended, 0.5, carry)[1].tolist() == [0.0]


def test_trap_12_valid_steps_count_and_the_variance_becomes_1() -> None:
    gamma, window, num_windows = 0.99, 40, 60
    r = rows(3, window * num_windows)
    see = jax.jit(Scale.seen)
    scale = fresh_scale(N)
    for start in range(0, window * num_windows, window):
        scale = see(scale, *part(r, start, start + window), gamma)
    returns = by_hand(r, gamma)[r["mask"]]
    assert int(scale.moments.count) == r["mask"].sum()
    np.testing.assert_allclose(scale.moments.variance, returns.var(), rtol=1e-3)
    # Rewards that are scaled so have returns with a deviation of 1.
    r["reward"] = np.asarray(scaled(r["reward"], scale.moments, clip=100.0))
    assert 0.9 < by_hand(r, gamma)[r["mask"]].var() < 1.1


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e4])
def test_trap_12_signs_are_kept_and_units_lost(unit: float) -> None:
    r = rows(4)
    reward = (np.float32(unit) * r["reward"], *part(r, 0, T)[1:])
    moments = fresh_scale(N).seen(*reward, 0.9).moments
    same = fresh_scale(N).seen(*part(r, 0, T), 0.9).moments
    found = np.asarray(scaled(reward[0], moments))[r["mask"]]
    np.testing.assert_array_equal(np.sign(found), np.sign(reward[0][r["mask"]]))
    np.testing.assert_allclose(found, np.asarray(scaled(r["reward"], same))[r["mask"]], rtol=1e-4)


def test_trap_12_nothing_seen_changes_nothing_and_outliers_are_clipped() -> None:
    x = np.float32([[-1e9, 2.0, 0.0, 1e9]])
    np.testing.assert_array_equal(scaled(x, fresh_scale(1).moments), x)
    moments = Moments(np.full((), 5, np.uint32), jnp.ones(1), jnp.full(1, 4.0))
    np.testing.assert_allclose(scaled(x, moments), [[-10.0, 1.0, 0.0, 10.0]])
    np.testing.assert_allclose(scaled(x, moments, clip=3.0), [[-3.0, 1.0, 0.0, 3.0]])
    # A constant has no deviation, and must not become infinite.
    constant = Moments(moments.count, jnp.ones(1), jnp.zeros(1))
    assert np.isfinite(scaled(x, constant)).all()


def test_a_scale_stays_in_the_type_of_the_rewards() -> None:
    with jax.enable_x64(True):
        r = rows(5)
        reward, mask, ended = part(r, 0, T)
        wide = fresh_scale(N, np.float64).seen(reward.astype(np.float64), mask, ended, 0.9)
        np.testing.assert_allclose(wide.moments.variance, by_hand(r, 0.9)[mask].var(), rtol=1e-12)
        narrow = fresh_scale(N).seen(reward, mask, ended, 0.9)
        assert narrow.moments.variance.dtype == narrow.running.dtype == np.float32


@pytest.mark.parametrize("value", [0.0, 1e-3, -70.0, 1e6])
def test_what_never_varied_is_no_unit(value: float) -> None:
    """Its variance is 0, or what rounding leaves of a large number."""
    moments = fresh_scale(1).moments
    for k in range(3):
        x = jnp.full((5 + k, 7, 1), value)
        moments = merge(moments, batch_moments(x, jnp.ones(x.shape[:-1], bool)))
    assert deviation(moments) == 1.0
    np.testing.assert_array_equal(scaled(jnp.array([0.5, 20.0]), moments), [0.5, 10.0])
    varied = merge(moments, batch_moments(jnp.array([[value], [value + 4]]), jnp.ones(2, bool)))
    if abs(value) < 100:
        assert 0 < deviation(varied) < 4
