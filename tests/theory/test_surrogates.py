"""Surrogates: their values, and where they have a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.theory.surrogates import (
    adapted_coefficient,
    approximate_kl,
    clipped_ratio,
    importance_ratio,
    kl_penalized,
    score_function,
)

EPSILON = 0.2

#       advantage, ratio, does the gradient pass?
SIGNS = [
    (1.0, 1.0, True),
    (1.0, 1.1, True),
    (1.0, 1.5, False),  # already much likelier: no more of it
    (1.0, 0.5, True),  # a good action became unlikely: bring it back
    (-1.0, 1.0, True),
    (-1.0, 0.9, True),
    (-1.0, 0.5, False),  # already much rarer
    (-1.0, 1.5, True),  # a bad action became likely: push it down
]


@pytest.mark.parametrize(("advantage", "ratio", "passes"), SIGNS)
def test_trap_21_the_sides_on_which_a_ratio_is_clipped(
    advantage: float, ratio: float, passes: bool
) -> None:
    old = jnp.array(-0.7)
    log_prob = old + jnp.log(ratio)
    value, gradient = jax.value_and_grad(clipped_ratio)(
        log_prob, old, jnp.array(advantage), EPSILON
    )
    clipped = min(max(ratio, 1 - EPSILON), 1 + EPSILON)
    assert value == pytest.approx(min(ratio * advantage, clipped * advantage), rel=1e-5)
    assert gradient == pytest.approx(ratio * advantage if passes else 0.0, rel=1e-5)


def test_trap_10_at_ratio_one_the_gradient_is_that_of_the_score_function() -> None:
    rng = np.random.default_rng(0)
    log_prob, advantage = rng.normal(size=(2, 20)).astype(np.float32)
    ratio = jax.grad(lambda lp: clipped_ratio(lp, log_prob, advantage, EPSILON).sum())
    score = jax.grad(lambda lp: score_function(lp, advantage).sum())
    np.testing.assert_array_equal(ratio(jnp.asarray(log_prob)), score(jnp.asarray(log_prob)))
    np.testing.assert_array_equal(score(jnp.asarray(log_prob)), advantage)
    np.testing.assert_array_equal(clipped_ratio(log_prob, log_prob, advantage, EPSILON), advantage)


def test_trap_21_an_epsilon_of_zero_stops_all_gain() -> None:
    for advantage, ratio in ((1.0, 1.001), (-1.0, 0.999)):
        gradient = jax.grad(clipped_ratio)(jnp.log(ratio), jnp.zeros(()), jnp.array(advantage), 0.0)
        assert gradient == 0


def test_trap_22_kl_is_never_negative() -> None:
    rng = np.random.default_rng(1)
    log_prob, old = 5 * rng.normal(size=(2, 10_000)).astype(np.float32)
    assert (np.asarray(approximate_kl(log_prob, old)) >= 0).all()
    assert (np.asarray(approximate_kl(old, old)) == 0).all()
    # Where the policies nearly agree, log r is tiny and (r − 1) − log r must keep its digits.
    log_ratio = np.float32([1e-3, -1e-3, 3e-2])
    exact = np.expm1(log_ratio.astype(float)) - log_ratio.astype(float)
    np.testing.assert_allclose(approximate_kl(log_ratio, 0 * log_ratio), exact, rtol=5e-3)


def test_trap_22_kl_is_unbiased_by_enumeration() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(2)
        for _ in range(5):
            p, q = rng.dirichlet(np.ones(6), size=2)  # p sampled, q is the policy now
            estimate = (p * np.asarray(approximate_kl(np.log(q), np.log(p)))).sum()
            exact = (p * (np.log(p) - np.log(q))).sum()
            assert estimate == pytest.approx(exact, abs=1e-12)
            # The other direction is another number, which swapped arguments would give.
            assert estimate != pytest.approx((q * (np.log(q) - np.log(p))).sum(), abs=1e-3)


def test_trap_22_the_gradient_of_kl_is_unbiased_by_enumeration() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(3)
        p = rng.dirichlet(np.ones(6))
        logits = jnp.asarray(rng.normal(size=6))

        def expected_estimate(logits: jax.Array) -> jax.Array:
            return (p * approximate_kl(jax.nn.log_softmax(logits), np.log(p))).sum()

        exact = np.asarray(jax.nn.softmax(logits)) - p  # ∇_z Σ p (log p − log softmax(z))
        np.testing.assert_allclose(jax.grad(expected_estimate)(logits), exact, atol=1e-12)


def test_the_importance_ratio_reweighs_an_expectation() -> None:
    with jax.enable_x64(True):
        rng = np.random.default_rng(4)
        old, new = rng.dirichlet(np.ones(6), size=2)
        advantage = rng.normal(size=6)
        found = (old * np.asarray(importance_ratio(np.log(new), np.log(old), advantage))).sum()
        assert found == pytest.approx((new * advantage).sum(), abs=1e-12)


def test_trap_10_without_clipping_the_first_gradient_is_the_same() -> None:
    rng = np.random.default_rng(5)
    log_prob, advantage = rng.normal(size=(2, 20)).astype(np.float32)
    gradient = jax.grad(lambda lp: importance_ratio(lp, log_prob, advantage).sum())
    np.testing.assert_array_equal(gradient(jnp.asarray(log_prob)), advantage)


def test_the_penalised_surrogate_pulls_back() -> None:
    rng = np.random.default_rng(6)
    log_prob, old, advantage, kl = rng.normal(size=(4, 20)).astype(np.float32)
    found = kl_penalized(log_prob, old, advantage, kl, 0.5)
    expected = np.exp(log_prob - old) * advantage - 0.5 * kl
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda kl: kl_penalized(log_prob, old, advantage, kl, 0.5).sum())
    np.testing.assert_array_equal(gradient(jnp.asarray(kl)), np.full(20, -0.5, np.float32))


@pytest.mark.parametrize(
    ("kl", "factor"),
    [(0.0, 0.5), (0.0066, 0.5), (0.0067, 1), (0.01, 1), (0.0149, 1), (0.0151, 2), (9.0, 2)],
)
def test_the_coefficient_follows_the_divergence(kl: float, factor: float) -> None:
    assert adapted_coefficient(3.0, kl, 0.01) == 3.0 * factor
    assert jax.jit(adapted_coefficient)(3.0, kl, 0.01) == 3.0 * factor


def test_the_coefficient_can_always_come_back() -> None:
    adapt = jax.jit(adapted_coefficient)
    for far, kl in ((0.0, 1.0), (1.0, 0.0)):
        beta = jnp.float32(1.0)
        for _ in range(200):
            beta = adapt(beta, far, 0.01)
        for _ in range(40):
            beta = adapt(beta, kl, 0.01)
        assert beta == 1.0
