"""Running mean and variance against NumPy's on all samples together."""

import jax
import numpy as np
import pytest

from uphill.theory.moments import Moments, batch_moments, merge


def empty(size: int, dtype: type = np.float32) -> Moments:
    return Moments(np.zeros((), np.uint32), np.zeros(size, dtype), np.ones(size, dtype))


def of(count: int, mean: float, variance: float) -> Moments:
    return Moments(np.full((), count, np.uint32), np.float32([mean]), np.float32([variance]))


def test_trap_13_merging_is_numpy_on_the_concatenation() -> None:
    rng = np.random.default_rng(0)
    so_far, samples = empty(3), []
    for size in (1, 64, 64, 1, 64):
        x = (rng.normal(size=(size, 4, 3)) * [0.1, 1.0, 30.0] + rng.normal(size=3)).astype(
            np.float32
        )
        mask = rng.random((size, 4)) < 0.7
        so_far = merge(so_far, batch_moments(np.where(mask[..., None], x, np.nan), mask))
        samples.append(x[mask])
    everything = np.concatenate(samples).astype(float)
    assert so_far.count == len(everything)
    np.testing.assert_allclose(so_far.mean, everything.mean(0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(so_far.variance, everything.var(0), rtol=1e-5)


def test_trap_13_merging_in_either_order_and_with_nothing() -> None:
    rng = np.random.default_rng(1)
    every = np.ones(10, bool)
    a, b = (batch_moments(rng.normal(size=(10, 2)).astype(np.float32), every) for _ in range(2))
    ab, ba = merge(a, b), merge(b, a)
    np.testing.assert_allclose(ab.mean, ba.mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ab.variance, ba.variance, rtol=1e-5)
    nothing = batch_moments(np.full((10, 2), np.nan, np.float32), ~every)
    assert nothing.count == 0
    for merged in (merge(a, nothing), merge(empty(2), a)):
        assert merged.count == 10
        np.testing.assert_array_equal(merged.mean, a.mean)
        np.testing.assert_array_equal(merged.variance, a.variance)
    assert np.isfinite(merge(empty(2), nothing).mean).all()


def test_trap_13_a_large_offset_leaves_the_variance_right() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        so_far, samples = empty(1, np.float64), []
        for _ in range(20):
            x = 1e8 + rng.normal(size=(50, 1))
            so_far = merge(so_far, batch_moments(x, np.ones(50, bool)))
            samples.append(x)
        everything = np.concatenate(samples)
        np.testing.assert_allclose(so_far.mean, everything.mean(0), rtol=1e-14)
        np.testing.assert_allclose(so_far.variance, everything.var(0), rtol=1e-6)


def test_trap_13_an_offset_within_float32_keeps_the_variance() -> None:
    x = (1e4 + np.random.default_rng(3).normal(size=(4096, 1))).astype(np.float32)
    found = batch_moments(x, np.ones(4096, bool))
    np.testing.assert_allclose(found.variance, x.astype(float).var(0), rtol=1e-3)


def test_trap_13_counts_beyond_2_to_the_24() -> None:
    so_far = of(2**24, 0.0, 1.0)
    one = of(1, 0.0, 1.0)
    for _ in range(3):
        so_far = merge(so_far, one)
    assert int(so_far.count) == 2**24 + 3  # a float32 would still say 2²⁴
    # Half of 2³¹ samples each: the mean is half way.
    merged = merge(of(2**30, 0.0, 1.0), of(2**30, 2.0, 1.0))
    assert int(merged.count) == 2**31
    np.testing.assert_allclose(merged.mean, 1.0)
    np.testing.assert_allclose(merged.variance, 2.0)


def test_trap_13_the_count_saturates_and_never_wraps() -> None:
    full = 2**32 - 1
    assert int(merge(of(full - 5, 0.0, 1.0), of(5, 1.0, 1.0)).count) == full
    for count in (full - 5, full):
        merged = merge(of(count, 0.0, 1.0), of(1000, 1.0, 1.0))
        assert int(merged.count) == full
        assert merged.mean[0] == pytest.approx(1000 / 2**32, rel=1e-3)
    # Old samples fade from then on, and slowly: half after some 2³² · log 2 new ones.
    fading = of(full, 0.0, 1.0)
    for _ in range(64):
        fading = merge(fading, of(2**26, 1.0, 1.0))
    assert fading.mean[0] == pytest.approx(1 - np.exp(-1), rel=0.02)


def test_trap_13_a_large_offset_in_float32_adds_nothing_to_the_variance():
    """8 is one unit in the last place of 1e8 in float32: the data are exact, the mean is not."""
    x = np.where(np.arange(8192) % 2 == 0, 1e8, 1e8 + 8).astype(np.float32)[:, None]
    moments = batch_moments(x, np.ones(8192, bool))
    np.testing.assert_allclose(moments.variance, 16, rtol=1e-3)
