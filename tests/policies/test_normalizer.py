"""Observation normalisation."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from uphill.policies.normalizer import Normalizer, fresh_normalizer


@pytest.fixture
def x() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(40, 3, 2)) * [0.01, 50.0] + [100.0, -3.0]).astype(np.float32)


EVERY = np.ones((40, 3), bool)


def test_it_passes_everything_until_it_has_seen_anything(x: np.ndarray) -> None:
    fresh = fresh_normalizer((True, True))
    np.testing.assert_array_equal(fresh(x), x)
    nothing = fresh.seen(x, ~EVERY)
    assert nothing.count == 0
    np.testing.assert_array_equal(nothing(x), x)


def test_what_it_has_seen_gets_mean_0_and_deviation_1(x: np.ndarray) -> None:
    normalizer = fresh_normalizer((True, True)).seen(x, EVERY)
    assert normalizer.count == 120
    found = np.asarray(normalizer(x)).astype(float)
    np.testing.assert_allclose(found.mean((0, 1)), 0, atol=2e-3)
    np.testing.assert_allclose(found.std((0, 1)), 1, rtol=2e-3)
    single = normalizer(x[0, 0])
    np.testing.assert_allclose(single, found[0, 0], rtol=1e-5, atol=1e-5)


def test_seeing_in_parts_is_seeing_all(x: np.ndarray) -> None:
    whole = fresh_normalizer((True, True)).seen(x, EVERY)
    parts = fresh_normalizer((True, True)).seen(x[:20], EVERY[:20]).seen(x[20:], EVERY[20:])
    np.testing.assert_allclose(parts.moments.mean, whole.moments.mean, rtol=1e-5)
    np.testing.assert_allclose(parts.moments.variance, whole.moments.variance, rtol=1e-3)


def test_trap_14_calling_it_changes_nothing(x: np.ndarray) -> None:
    normalizer = fresh_normalizer((True, True)).seen(x, EVERY)
    before = [np.array(leaf) for leaf in jax.tree.leaves(normalizer)]
    normalizer(1e6 + x)
    for old, new in zip(before, jax.tree.leaves(normalizer), strict=True):
        np.testing.assert_array_equal(old, new)


def test_trap_03_masked_rows_do_not_count(x: np.ndarray) -> None:
    mask = np.random.default_rng(1).random((40, 3)) < 0.5
    dirty = np.where(mask[..., None], x, np.nan)
    normalizer = fresh_normalizer((True, True)).seen(dirty, mask)
    assert normalizer.count == mask.sum()
    np.testing.assert_allclose(normalizer.moments.mean, x[mask].mean(0), rtol=1e-4)


def test_one_hot_features_are_left_alone(x: np.ndarray) -> None:
    normalizer = fresh_normalizer((True, False)).seen(x, EVERY)
    found = np.asarray(normalizer(x))
    np.testing.assert_array_equal(found[..., 1], x[..., 1])
    assert abs(found[..., 0]).max() < 6


def test_outliers_are_clipped_and_constant_features_finite() -> None:
    x = np.stack([np.full(10, 3.0), np.arange(10.0)], -1).astype(np.float32)
    normalizer = fresh_normalizer((True, True)).seen(x, np.ones(10, bool))
    assert (np.asarray(normalizer(x))[:, 0] == 0).all()
    far = np.array([[1e9, 1e9], [-1e9, -1e9]], np.float32)
    np.testing.assert_array_equal(normalizer(far), [[10, 10], [-10, -10]])
    narrow = Normalizer(normalizer.moments, (True, True), clip=2.0)
    np.testing.assert_array_equal(narrow(far), [[2, 2], [-2, -2]])


@given(
    arrays(np.float32, (8, 2), elements=st.floats(-1e4, 1e4, width=32)),
    arrays(bool, (8,)),
    st.integers(0, 8),
)
def test_any_samples_may_be_seen_in_two_parts(samples, mask, cut) -> None:
    """And what they are scaled to is finite and within the clip."""
    fresh = fresh_normalizer((True, True))
    whole = fresh.seen(samples, mask)
    first = np.arange(8) < cut
    parts = fresh.seen(samples, mask & first).seen(samples, mask & ~first)
    assert parts.count == whole.count == mask.sum()
    chosen = samples[mask].astype(float)
    if len(chosen):
        size = np.abs(chosen).max() + 1
        for seen in (whole, parts):
            np.testing.assert_allclose(seen.moments.mean, chosen.mean(0), atol=1e-5 * size)
            np.testing.assert_allclose(seen.moments.variance, chosen.var(0), atol=1e-5 * size**2)
        assert (np.abs(whole(samples)) <= whole.clip).all()
