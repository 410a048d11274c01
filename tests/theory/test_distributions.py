"""Distributions against SciPy, enumeration and integration."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from uphill.theory.continuous import Beta, DiagonalGaussian, TanhGaussian
from uphill.theory.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    FiniteDistribution,
    MultiCategorical,
)

NUM_SAMPLES = 20_000


def make(kind: type, batch: tuple[int, ...] = (), seed: int = 0) -> Distribution:
    """One of each, with the same parameters all over the batch."""
    rng = np.random.default_rng(seed)

    def parameters(size: int, scale: float = 1.0) -> jax.Array:
        row = scale * rng.normal(size=size).astype(np.float32)
        return jnp.asarray(np.broadcast_to(row, (*batch, size)))

    if kind is MultiCategorical:
        return MultiCategorical(parameters(9), (2, 4, 3))
    if kind is DiagonalGaussian:
        return DiagonalGaussian(parameters(2, 3.0), parameters(2))
    if kind is TanhGaussian:
        return TanhGaussian(parameters(2), parameters(2, 0.5))
    if kind is Beta:
        return Beta(1.2 + abs(parameters(2, 2.0)), 1.2 + abs(parameters(2, 2.0)))
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
CONTINUOUS = [DiagonalGaussian, TanhGaussian, Beta]
ALL = [*DISCRETE, *CONTINUOUS]


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


# What a squashed Gaussian calls its mode is the median.
@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not TanhGaussian])
def test_the_mode_is_the_likeliest(kind: type) -> None:
    one = make(kind)
    mode = np.asarray(one.mode())
    if kind in CONTINUOUS:
        rng = np.random.default_rng(3)
        near = [mode + x for x in rng.normal(size=(20, 2)).astype(np.float32) / 10]
        others = [np.clip(x, 0.01, 0.99) for x in near] if kind is Beta else near
    else:
        others = list(events(kind))
    best = max(float(one.log_prob(np.asarray(x))) for x in others)
    assert float(one.log_prob(mode)) >= best - 1e-6
    assert mode.dtype == jax.eval_shape(one.sample, jax.random.key(0)).dtype


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
        fixed = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), make(kind, seed=1))
        leaves, tree = jax.tree.flatten(wide)

        @jax.jit
        def score(*leaves: jax.Array) -> jax.Array:
            one = jax.tree.unflatten(tree, leaves)
            others = one.kl(fixed) + fixed.kl(one)
            return one.log_prob(action) + 0.1 * one.entropy() + 0.01 * others

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
        # Itself, but with gradients through one side only: the divergence is 0.
        kl = one.kl(jax.lax.stop_gradient(one)) + jax.lax.stop_gradient(one).kl(one)
        return one.log_prob(action) + one.entropy() + kl

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


# --- squashed and bounded -----------------------------------------------------------------------


def test_trap_10_the_squashed_density_integrates_to_1_over_the_interval() -> None:
    with jax.enable_x64(True):
        actions = np.linspace(-1, 1, 200_001)[1:-1]
        u = np.arctanh(actions)[:, None]
        wide = TanhGaussian(jnp.full(u.shape, 0.4), jnp.full(u.shape, -0.3))
        log_p = np.asarray(wide.log_prob(u))
        assert integrate.trapezoid(np.exp(log_p), actions) == pytest.approx(1, abs=1e-8)
        # SciPy's density of the number beneath, and the slope of tanh by its definition.
        expected = stats.norm(0.4, np.exp(-0.3)).logpdf(u[:, 0]) - np.log1p(-(actions**2))
        np.testing.assert_allclose(log_p, expected, atol=1e-6)
        entropy = integrate.trapezoid(-np.exp(log_p) * log_p, actions)
        assert wide.entropy()[0] == pytest.approx(entropy, abs=1e-6)


def test_trap_10_nothing_is_lost_where_tanh_rounds_to_1() -> None:
    u = jnp.array([[3.0], [30.0], [-30.0], [1e4], [-1e4]])
    assert (abs(np.tanh(u[1:])) == 1).all()
    squashed = TanhGaussian(u, jnp.zeros(u.shape))

    def score(squashed: TanhGaussian) -> jax.Array:
        return squashed.log_prob(u).sum() + squashed.entropy().sum()

    value, gradient = jax.value_and_grad(score)(squashed)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    moved = TanhGaussian(u + 1, jnp.zeros(u.shape))
    ratio = moved.log_prob(u) - squashed.log_prob(u)
    np.testing.assert_allclose(ratio, np.full(5, -0.5), rtol=2e-3)


@pytest.mark.parametrize("log_std", [-1.0, 0.0, 0.5])
@pytest.mark.parametrize("mean", [0.0, 0.7, -3.0])
def test_trap_11_entropy_of_the_squashed_gaussian_is_that_of_its_samples(
    mean: float, log_std: float
) -> None:
    shape = (NUM_SAMPLES, 1)
    squashed = TanhGaussian(jnp.full(shape, mean), jnp.full(shape, log_std))
    surprise = -np.asarray(squashed.log_prob(squashed.sample(jax.random.key(11))), np.float64)
    error = abs(surprise.mean() - float(squashed.entropy()[0]))
    assert error < 4 * surprise.std() / NUM_SAMPLES**0.5
    # The Gaussian's own is another: a bonus on it would push actions to the bounds.
    assert abs(float(squashed.gaussian.entropy()[0]) - surprise.mean()) > 5 * error


def test_beta_is_scipys_and_integrates_to_1() -> None:
    beta = make(Beta)
    oracle = stats.beta(beta.alpha, beta.beta)
    x = np.array([0.03, 0.9], np.float32)
    assert beta.log_prob(x) == pytest.approx(oracle.logpdf(x).sum(), rel=1e-4)
    assert beta.entropy() == pytest.approx(oracle.entropy().sum(), rel=1e-4)
    grid = np.linspace(0, 1, 100_001)[1:-1].astype(np.float32)[:, None]
    one = Beta(jnp.full(grid.shape, 1.3), jnp.full(grid.shape, 4.0))
    density = np.exp(np.asarray(one.log_prob(grid), np.float64))
    assert integrate.trapezoid(density, grid[:, 0]) == pytest.approx(1, abs=1e-4)


def test_beta_samples_are_betas_and_strictly_inside() -> None:
    beta = make(Beta, (NUM_SAMPLES,))
    samples = np.asarray(beta.sample(jax.random.key(2)))
    for k in range(2):
        oracle = stats.beta(beta.alpha[0, k], beta.beta[0, k])
        assert stats.kstest(samples[:, k], oracle.cdf).pvalue > 1e-3
    edge = Beta(jnp.broadcast_to(jnp.array([1.0, 1e4]), samples.shape), 1.001 + 0 * beta.beta)
    samples = edge.sample(jax.random.key(3))
    assert ((samples > 0) & (samples < 1)).all()
    assert np.isfinite(edge.log_prob(samples)).all()


# --- divergences --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DISCRETE)
def test_kl_is_the_sum_over_all_actions(kind: type) -> None:
    actions, one, other = events(kind), make(kind), make(kind, seed=1)
    log_p = log_prob_of_all(kind)
    log_q = np.asarray(make(kind, (len(actions),), seed=1).log_prob(actions)).astype(float)
    assert one.kl(other) == pytest.approx((np.exp(log_p) * (log_p - log_q)).sum(), rel=1e-4)
    assert other.kl(one) == pytest.approx((np.exp(log_q) * (log_q - log_p)).sum(), rel=1e-4)


def test_kl_of_densities_is_the_integral() -> None:
    grid = np.linspace(-25, 25, 20_001)
    one, other = make(DiagonalGaussian), make(DiagonalGaussian, seed=1)

    def divergence(p: np.ndarray, q: np.ndarray, x: np.ndarray) -> float:
        return integrate.trapezoid(np.exp(p) * (p - q), x)

    def densities(gaussian: DiagonalGaussian, k: int) -> np.ndarray:
        return stats.norm(gaussian.mean[k], np.exp(gaussian.log_std[k])).logpdf(grid)

    parts = [divergence(densities(one, k), densities(other, k), grid) for k in range(2)]
    assert one.kl(other) == pytest.approx(sum(parts), rel=1e-4)
    inside = np.linspace(0, 1, 200_001)[1:-1]
    one, other = make(Beta), make(Beta, seed=1)
    parts = [
        divergence(
            stats.beta(one.alpha[k], one.beta[k]).logpdf(inside),
            stats.beta(other.alpha[k], other.beta[k]).logpdf(inside),
            inside,
        )
        for k in range(2)
    ]
    assert one.kl(other) == pytest.approx(sum(parts), rel=1e-3)


def test_kl_of_squashed_gaussians_is_that_of_their_samples() -> None:
    one, other = make(TanhGaussian, (NUM_SAMPLES,)), make(TanhGaussian, (NUM_SAMPLES,), seed=1)
    samples = one.sample(jax.random.key(7))
    log_ratio = np.asarray(one.log_prob(samples) - other.log_prob(samples))
    error = abs(log_ratio.mean() - float(one.kl(other)[0]))
    assert error < 4 * log_ratio.std() / NUM_SAMPLES**0.5


@pytest.mark.parametrize("kind", ALL)
def test_kl_is_0_at_equality_and_nowhere_else(kind: type) -> None:
    one, other = make(kind, (3,)), make(kind, (3,), seed=1)
    np.testing.assert_allclose(one.kl(one), np.zeros(3), atol=1e-6)
    assert (np.asarray(one.kl(other)) > 0.01).all()


def test_kl_ignores_what_both_forbid_and_is_infinite_where_only_the_other_does() -> None:
    masked = Categorical(jnp.array([0.5, -jnp.inf, 0.1]))
    rest = Categorical(jnp.array([0.5, 0.1]))
    same, gradient = jax.value_and_grad(
        lambda z: masked.kl(Categorical(z)) + Categorical(z).kl(masked)
    )(jnp.array([0.2, -jnp.inf, 0.3]))
    other = Categorical(jnp.array([0.2, 0.3]))
    assert same == pytest.approx(float(rest.kl(other) + other.kl(rest)), rel=1e-5)
    assert np.isfinite(gradient).all()
    assert np.isposinf(Categorical(jnp.zeros(3)).kl(masked))


# --- the mixture with the uniform distribution --------------------------------------------------


@pytest.mark.parametrize("kind", DISCRETE)
@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_the_mixture_has_the_probabilities_of_both(kind: type, epsilon: float) -> None:
    actions, one = events(kind), make(kind, (len(events(kind)),))
    assert isinstance(one, FiniteDistribution)
    mixed = one.mixed_with_uniform(epsilon)
    assert type(mixed) is kind

    def part(logits: np.ndarray, action: np.ndarray) -> np.ndarray:
        p = np.exp(logits) / np.exp(logits).sum()
        return (1 - epsilon) * p[action] + epsilon / len(p)

    logits = np.asarray(one.logits[0], np.float64)
    if kind is Categorical:
        expected = part(logits, actions)
    elif kind is MultiCategorical:
        blocks = np.split(logits, [2, 6])
        expected = np.prod([part(z, actions[:, k]) for k, z in enumerate(blocks)], 0)
    else:
        pairs = [np.array([0.0, z]) for z in logits]
        expected = np.prod([part(z, actions[:, k]) for k, z in enumerate(pairs)], 0)
    np.testing.assert_allclose(np.exp(mixed.log_prob(actions)), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", DISCRETE)
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e30])
def test_trap_10_the_mixture_is_finite_with_finite_gradients(kind: type, scale: float) -> None:
    one = jax.tree.map(lambda x: jnp.asarray(np.sign(x) * scale, jnp.float32), make(kind))
    rare = make(kind).mode() * 0

    @jax.jit
    def score(one: FiniteDistribution, epsilon: jax.Array) -> jax.Array:
        mixed = one.mixed_with_uniform(epsilon)
        return mixed.log_prob(rare) + mixed.entropy()

    for epsilon in (0.0, 1e-6, 0.5, 1.0):
        value, gradient = jax.value_and_grad(score)(one, jnp.float32(epsilon))
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_a_mixture_leaves_nothing_impossible_unless_epsilon_is_0() -> None:
    logits = jnp.array([0.5, -jnp.inf, 0.1])

    def entropy(logits: jax.Array, epsilon: float) -> jax.Array:
        return Categorical(logits).mixed_with_uniform(epsilon).entropy()

    mixed = Categorical(logits).mixed_with_uniform(0.3)
    assert mixed.log_prob(jnp.array(1)) == pytest.approx(np.log(0.1), rel=1e-5)
    for epsilon in (0.0, 0.3):
        value, gradient = jax.value_and_grad(entropy)(logits, epsilon)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert entropy(logits, 0.0) == pytest.approx(float(Categorical(logits).entropy()), rel=1e-6)


@pytest.mark.parametrize("kind", CONTINUOUS)
def test_there_is_no_uniform_distribution_to_mix_a_density_with(kind: type) -> None:
    assert not isinstance(make(kind), FiniteDistribution)
