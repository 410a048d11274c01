"""Distributions against SciPy, enumeration and integration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from uphill.theory.distributions import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
)

NUM_SAMPLES = 20_000


def make(kind: type, batch: tuple[int, ...] = ()) -> Distribution:
    """One of each, with the same parameters all over the batch."""
    rng = np.random.default_rng(0)

    def parameters(size: int, scale: float = 1.0) -> jax.Array:
        row = scale * rng.normal(size=size).astype(np.float32)
        return jnp.asarray(np.broadcast_to(row, (*batch, size)))

    if kind is MultiCategorical:
        return MultiCategorical(parameters(9), (2, 4, 3))
    if kind is DiagonalGaussian:
        return DiagonalGaussian(parameters(2, 3.0), parameters(2))
    return kind(parameters(4))


def events(kind: type) -> np.ndarray:
    """Every action there is."""
    if kind is Categorical:
        return np.arange(4, dtype=np.int32)
    sizes = (2, 4, 3) if kind is MultiCategorical else (2, 2, 2, 2)
    return np.array(list(itertools.product(*map(range, sizes))), np.int32)


def log_prob_of_all(kind: type) -> np.ndarray:
    actions = events(kind)
    return np.asarray(make(kind, (len(actions),)).log_prob(actions)).astype(float)


DISCRETE = [Categorical, MultiCategorical, Bernoulli]
ALL = [*DISCRETE, DiagonalGaussian]


def test_log_prob_and_entropy_are_scipys() -> None:
    categorical, bernoulli, gaussian = make(Categorical), make(Bernoulli), make(DiagonalGaussian)
    p = np.exp(categorical.logits) / np.exp(categorical.logits).sum()
    for a in range(4):
        assert categorical.log_prob(np.array(a)) == pytest.approx(np.log(p[a]), rel=1e-5)
    assert categorical.entropy() == pytest.approx(stats.entropy(p), rel=1e-5)

    q = 1 / (1 + np.exp(-bernoulli.logits))
    action = np.array([1, 0, 0, 1], np.int32)
    expected = stats.bernoulli.logpmf(action, q).sum()
    assert bernoulli.log_prob(action) == pytest.approx(expected, rel=1e-5)
    assert bernoulli.entropy() == pytest.approx(stats.bernoulli.entropy(q).sum(), rel=1e-5)

    oracle = stats.norm(gaussian.mean, np.exp(gaussian.log_std))
    x = np.array([0.3, -4.0], np.float32)
    assert gaussian.log_prob(x) == pytest.approx(oracle.logpdf(x).sum(), rel=1e-5)
    assert gaussian.entropy() == pytest.approx(oracle.entropy().sum(), rel=1e-5)


@pytest.mark.parametrize("kind", DISCRETE)
def test_trap_10_probabilities_sum_to_1_and_give_the_entropy(kind: type) -> None:
    log_p = log_prob_of_all(kind)
    assert np.exp(log_p).sum() == pytest.approx(1, abs=1e-5)
    assert make(kind).entropy() == pytest.approx(-(np.exp(log_p) * log_p).sum(), rel=1e-5)


def test_trap_10_the_gaussian_density_integrates_to_1_also_beyond_the_bounds() -> None:
    with jax.enable_x64(True):
        gaussian = DiagonalGaussian(jnp.array([0.4]), jnp.array([0.3]))
        grid = np.linspace(-15.0, 15.0, 4001)
        wide = DiagonalGaussian(jnp.full((4001, 1), 0.4), jnp.full((4001, 1), 0.3))
        log_p = np.asarray(wide.log_prob(grid[:, None]))
        density = np.exp(log_p)
        assert integrate.trapezoid(density, grid) == pytest.approx(1, abs=1e-10)
        entropy = integrate.trapezoid(-density * log_p, grid)
        assert gaussian.entropy() == pytest.approx(entropy, abs=1e-8)
        # The bounds of a space are none of its business: a density that were cut there would not
        # be that of the actions which are sampled.
        assert integrate.trapezoid(np.where(abs(grid) <= 1, density, 0), grid) < 0.6


@pytest.mark.parametrize("kind", DISCRETE)
def test_samples_come_as_often_as_they_should(kind: type) -> None:
    samples = np.asarray(make(kind, (NUM_SAMPLES,)).sample(jax.random.key(1)))
    actions = events(kind)
    same = samples[:, None] == actions[None]
    counts = (same if kind is Categorical else same.all(-1)).sum(0)
    assert counts.sum() == NUM_SAMPLES
    expected = np.exp(log_prob_of_all(kind))
    assert stats.chisquare(counts, NUM_SAMPLES * expected / expected.sum()).pvalue > 1e-3


def test_gaussian_samples_are_gaussian_and_independent() -> None:
    gaussian = make(DiagonalGaussian, (NUM_SAMPLES,))
    samples = np.asarray(gaussian.sample(jax.random.key(2)))
    for k in range(2):
        oracle = stats.norm(gaussian.mean[0, k], np.exp(gaussian.log_std[0, k]))
        assert stats.kstest(samples[:, k], oracle.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(samples.T)[0, 1]) < 4 / NUM_SAMPLES**0.5


@pytest.mark.parametrize("kind", ALL)
def test_the_mode_is_the_likeliest(kind: type) -> None:
    one = make(kind)
    mode = one.mode()
    if kind is DiagonalGaussian:
        rng = np.random.default_rng(3)
        others = [one.mean + x for x in rng.normal(size=(20, 2)).astype(np.float32)]
    else:
        others = list(events(kind))
    best = max(float(one.log_prob(np.asarray(x))) for x in others)
    assert float(one.log_prob(mode)) >= best - 1e-6
    assert mode.dtype == one.sample(jax.random.key(0)).dtype


@pytest.mark.parametrize("kind", ALL)
def test_leading_axes_are_kept(kind: type) -> None:
    batched = make(kind, (3, 2))
    assert isinstance(batched, Distribution)
    action = batched.sample(jax.random.key(0))
    assert action.shape[:2] == (3, 2)
    assert batched.log_prob(action).shape == batched.entropy().shape == (3, 2)
    single = make(kind)
    np.testing.assert_allclose(
        batched.log_prob(action)[1, 0], single.log_prob(action[1, 0]), rtol=1e-5
    )


@pytest.mark.parametrize("kind", ALL)
def test_trap_10_gradients_are_those_of_finite_differences(kind: type) -> None:
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), make(kind))
        action = wide.sample(jax.random.key(5))
        leaves, tree = jax.tree.flatten(wide)

        @jax.jit
        def score(*leaves: jax.Array) -> jax.Array:
            one = jax.tree.unflatten(tree, leaves)
            return one.log_prob(action) + 0.1 * one.entropy()

        gradients = jax.grad(score, argnums=tuple(range(len(leaves))))(*leaves)
        for k, leaf in enumerate(leaves):
            for i in range(leaf.size):
                step = jnp.zeros(leaf.size).at[i].set(1e-6)
                up = score(*(x + step if j == k else x for j, x in enumerate(leaves)))
                down = score(*(x - step if j == k else x for j, x in enumerate(leaves)))
                assert gradients[k][i] == pytest.approx(float(up - down) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("kind", DISCRETE)
@pytest.mark.parametrize("scale", [1e3, 1e30])
def test_trap_10_extreme_logits_stay_finite(kind: type, scale: float) -> None:
    one = jax.tree.map(lambda x: jnp.asarray(np.sign(x) * scale, jnp.float32), make(kind))
    action = one.mode()

    def objective(one: Distribution) -> jax.Array:
        return one.log_prob(action) + one.entropy()

    value, gradient = jax.jit(jax.value_and_grad(objective))(one)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_an_impossible_action_has_no_share_in_the_entropy() -> None:
    logits = jnp.array([0.5, -jnp.inf, 0.1])  # how an action mask forbids one
    rest = Categorical(logits[jnp.array([0, 2])])
    entropy, gradient = jax.value_and_grad(lambda z: Categorical(z).entropy())(logits)
    assert entropy == pytest.approx(float(rest.entropy()), rel=1e-6)
    expected = jax.grad(lambda z: Categorical(z).entropy())(rest.logits)
    np.testing.assert_allclose(gradient[jnp.array([0, 2])], expected, rtol=1e-5)
    assert gradient[1] == 0
    samples = Categorical(jnp.broadcast_to(logits, (500, 3))).sample(jax.random.key(0))
    assert not (samples == 1).any()
