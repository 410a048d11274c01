"""Natural gradients against linear algebra, and Fisher matrices that were summed by hand."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from uphill.theory.continuous import DiagonalGaussian
from uphill.theory.distributions import Categorical, MultiCategorical
from uphill.theory.natural_gradient import (
    backtrack,
    conjugate_gradient,
    fisher_vector_product,
    natural_step_size,
)

# --- conjugate gradients ------------------------------------------------------------------------


def semi_definite(seed: int, size: int, rank: int) -> np.ndarray:
    """A random positive semi-definite matrix with eigenvalues from 0.1 to 10, and zeros."""
    rng = np.random.default_rng(seed)
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    eigenvalues = np.concatenate([np.geomspace(0.1, 10, rank), np.zeros(size - rank)])
    return basis @ np.diag(eigenvalues) @ basis.T


solve = jax.jit(lambda a, b, n: conjugate_gradient(lambda v: a @ v, b, n))


@pytest.mark.parametrize("rank", [12, 7, 1])
def test_conjugate_gradients_solve_what_linear_algebra_solves(rank: int) -> None:
    with jax.enable_x64(True):
        for seed in range(3):
            a = semi_definite(seed, 12, rank)
            b = a @ np.random.default_rng(seed).normal(size=12)
            exact = np.linalg.solve(a, b) if rank == 12 else np.linalg.pinv(a, rcond=1e-8) @ b
            x, missing = solve(a, b, 40)
            np.testing.assert_allclose(x, exact, atol=1e-8)
            assert missing <= 1e-9 * np.linalg.norm(b)


def test_few_steps_come_as_close_as_a_krylov_space_allows() -> None:
    with jax.enable_x64(True):
        a = semi_definite(4, 12, 12)
        b = np.random.default_rng(4).normal(size=12)
        for k in range(5):
            # The definition: of all combinations of b, Ab, A²b, … that with the least energy.
            basis = np.stack([np.linalg.matrix_power(a, j) @ b for j in range(k)] or [0 * b], 1)
            weights = np.linalg.pinv(basis.T @ a @ basis) @ basis.T @ b
            x, missing = solve(a, b, k)
            np.testing.assert_allclose(x, basis @ weights, atol=1e-7)
            assert missing == pytest.approx(np.linalg.norm(b - a @ np.asarray(x)), rel=1e-9)


def test_conjugate_gradients_stop_when_they_are_done() -> None:
    """Three different eigenvalues need three steps; the fourth multiplication never happens."""
    calls = []

    def matvec(v: jax.Array) -> jax.Array:
        jax.debug.callback(lambda _: calls.append(1), v)
        return jnp.array([1.0, 1.0, 2.0, 2.0, 5.0]) * v

    b = jnp.arange(1.0, 6.0)
    x, missing = conjugate_gradient(matvec, b, 50, tolerance=1e-5)
    jax.effects_barrier()
    assert len(calls) == 3
    np.testing.assert_allclose(x, [1.0, 2.0, 1.5, 2.0, 1.0], rtol=1e-5)
    assert missing < 1e-4


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e12])
def test_the_unit_of_the_gradient_does_not_matter(unit: float) -> None:
    a = semi_definite(5, 8, 8).astype(np.float32)
    b = np.random.default_rng(5).normal(size=8).astype(np.float32)
    x, _ = solve(a, np.float32(unit) * b, 30)
    np.testing.assert_allclose(np.asarray(x) / unit, np.linalg.solve(a, b), rtol=1e-2, atol=1e-3)


def test_nothing_to_solve_gives_zeros() -> None:
    a = semi_definite(6, 8, 8).astype(np.float32)
    zeros = np.zeros(8, np.float32)
    for matrix, b, steps in ((a, zeros, 10), (0 * a, a[0], 10), (a, a[0], 0)):
        x, missing = solve(matrix, b, steps)
        np.testing.assert_array_equal(x, zeros)
        assert missing == pytest.approx(np.linalg.norm(b), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_outside_of_the_range_stays_finite_and_damping_solves_it(dtype: type) -> None:
    with jax.enable_x64(True):
        for seed in range(5):
            a = semi_definite(seed, 10, 4).astype(dtype)
            b = np.random.default_rng(seed).normal(size=10).astype(dtype)
            x, missing = solve(a, b, 100)
            assert x.dtype == missing.dtype == dtype
            assert np.isfinite(x).all()
            damped = a + dtype(0.1) * np.eye(10, dtype=dtype)
            exact = np.linalg.solve(damped.astype(float), b)
            np.testing.assert_allclose(solve(damped, b, 100)[0], exact, rtol=1e-3, atol=1e-3)


# --- Fisher matrices ----------------------------------------------------------------------------


def categorical_kl(a: Categorical, b: Categorical) -> jax.Array:
    log_a, log_b = jax.nn.log_softmax(a.logits), jax.nn.log_softmax(b.logits)
    return (jnp.exp(log_a) * (log_a - log_b)).sum(-1)


def multi_categorical_kl(a: MultiCategorical, b: MultiCategorical) -> jax.Array:
    cuts = np.cumsum(a.sizes)[:-1]
    parts = zip(jnp.split(a.logits, cuts, -1), jnp.split(b.logits, cuts, -1), strict=True)
    return jnp.stack([categorical_kl(Categorical(p), Categorical(q)) for p, q in parts]).sum(0)


def gaussian_kl(a: DiagonalGaussian, b: DiagonalGaussian) -> jax.Array:
    gap = (jnp.exp(2 * a.log_std) + (a.mean - b.mean) ** 2) / (2 * jnp.exp(2 * b.log_std))
    return (b.log_std - a.log_std + gap - 0.5).sum(-1)


OBSERVATIONS = np.random.default_rng(20).normal(size=(5, 3))
PARAMETERS = np.random.default_rng(21).normal(size=3 * 4 + 4 * 4)


def network(parameters: jax.Array) -> jax.Array:
    """Five outputs of four numbers that depend on the parameters in a curved way."""
    first, second = parameters[:12].reshape(3, 4), parameters[12:].reshape(4, 4)
    return jnp.tanh(jnp.asarray(OBSERVATIONS) @ first) @ second


def categorical(parameters: jax.Array) -> Categorical:
    return Categorical(network(parameters))


def gaussian(parameters: jax.Array) -> DiagonalGaussian:
    out = network(parameters)
    return DiagonalGaussian(out[:, :2], 0.3 * out[:, 2:])


def pair(parameters: jax.Array) -> MultiCategorical:
    return MultiCategorical(network(parameters), (2, 2))


def matrix_of(
    distribution_of: Callable, parameters: np.ndarray, kl: Callable, weight: np.ndarray | None
) -> np.ndarray:
    """F, a column at a time."""

    @jax.jit
    def product(v: jax.Array) -> jax.Array:
        return fisher_vector_product(distribution_of, jnp.asarray(parameters), kl, v, weight)

    return np.stack([product(v) for v in jnp.eye(len(parameters))], 1)


def enumerated(log_probs: Callable, parameters: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Σ_i w_i Σ_a π(a|s_i) ∇log π ∇log πᵀ, where `log_probs` gives log π of all actions."""
    log_p, score = log_probs(jnp.asarray(parameters)), jax.jacobian(log_probs)(parameters)
    return np.einsum("i,ia,iap,iaq->pq", weight, np.exp(log_p), score, score)


WEIGHTS = [None, np.array([True, False, True, True, False]), np.array([0.5, 2.0, 0.0, 1.0, 3.0])]


@pytest.mark.parametrize("weight", WEIGHTS, ids=["all", "mask", "weights"])
def test_fisher_of_a_tabular_softmax_is_the_enumerated_one(weight: np.ndarray | None) -> None:
    with jax.enable_x64(True):
        table = np.random.default_rng(22).normal(size=20)
        found = matrix_of(lambda z: Categorical(z.reshape(5, 4)), table, categorical_kl, weight)
        w = np.ones(5) if weight is None else weight.astype(float)
        expected = enumerated(lambda z: jax.nn.log_softmax(z.reshape(5, 4)), table, w)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        # … and in closed form: diag(π) − π πᵀ for each state.
        p = np.exp(jax.nn.log_softmax(table.reshape(5, 4)))
        np.testing.assert_allclose(found[:4, :4], w[0] * (np.diag(p[0]) - np.outer(p[0], p[0])))


def test_fisher_of_networks_is_the_enumerated_one() -> None:
    with jax.enable_x64(True):
        found = matrix_of(categorical, PARAMETERS, categorical_kl, None)
        expected = enumerated(lambda p: jax.nn.log_softmax(network(p)), PARAMETERS, np.ones(5))
        np.testing.assert_allclose(found, expected, atol=1e-12)

        def pairs(parameters: jax.Array) -> jax.Array:
            """log π of the four pairs of actions."""
            out = network(parameters)
            a, b = jax.nn.log_softmax(out[:, :2]), jax.nn.log_softmax(out[:, 2:])
            return jnp.stack([a[:, i] + b[:, j] for i in (0, 1) for j in (0, 1)], 1)

        found = matrix_of(pair, PARAMETERS, multi_categorical_kl, None)
        np.testing.assert_allclose(found, enumerated(pairs, PARAMETERS, np.ones(5)), atol=1e-12)


def test_fisher_is_the_hessian_of_the_divergence() -> None:
    with jax.enable_x64(True):
        now = gaussian(jnp.asarray(PARAMETERS))
        total = jax.jit(jax.hessian(lambda p: gaussian_kl(now, gaussian(p)).sum()))
        found = matrix_of(gaussian, PARAMETERS, gaussian_kl, None)
        np.testing.assert_allclose(found, total(PARAMETERS), atol=1e-11)


def test_fisher_of_a_gaussian_is_what_quadrature_gives() -> None:
    with jax.enable_x64(True):
        parameters = np.array([0.3, -1.0, 0.4, -0.7])  # μ, log σ
        found = matrix_of(
            lambda p: DiagonalGaussian(p[None, :2], p[None, 2:]), parameters, gaussian_kl, None
        )
        expected = np.zeros((4, 4))
        for k, (mean, log_std) in enumerate(parameters.reshape(2, 2).T):
            std = np.exp(log_std)
            a = np.linspace(mean - 12 * std, mean + 12 * std, 20_001)
            z = (a - mean) / std
            score = np.stack([z / std, z**2 - 1])
            weight = norm.pdf(a, mean, std) * (a[1] - a[0])
            expected[k::2, k::2] = (score * weight) @ score.T
        np.testing.assert_allclose(found, expected, atol=1e-9)
        closed = np.diag(np.concatenate([np.exp(-2 * parameters[2:]), [2.0, 2.0]]))
        np.testing.assert_allclose(found, closed, atol=1e-12)


def test_blocks_of_samples_add_up_and_masked_ones_may_be_infinite() -> None:
    with jax.enable_x64(True):
        v = np.random.default_rng(23).normal(size=28)
        weight = np.array([1.0, 1.0, 0.0, 0.0, 0.0])

        def product(weight: np.ndarray | None, kl: Callable = categorical_kl) -> np.ndarray:
            return np.asarray(fisher_vector_product(categorical, PARAMETERS, kl, v, weight))

        np.testing.assert_allclose(product(weight) + product(1 - weight), product(None))

        def broken(a: Categorical, b: Categorical) -> jax.Array:
            return jnp.where(weight > 0, categorical_kl(a, b), jnp.inf)

        np.testing.assert_allclose(product(weight, broken), product(weight))


def test_the_natural_gradient_does_not_depend_on_the_parametrisation() -> None:
    """Two ways to write the same policies give the same change of the policy."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(24)
        linear, advantage = rng.normal(size=(3, 3)), rng.normal(size=4)

        def change(logits_of: Callable, parameters: np.ndarray) -> np.ndarray:
            def objective(p: jax.Array) -> jax.Array:
                return (jax.nn.softmax(logits_of(p)) * advantage).sum()

            def fisher(v: jax.Array) -> jax.Array:
                return fisher_vector_product(
                    lambda p: Categorical(logits_of(p)[None]),
                    jnp.asarray(parameters),
                    categorical_kl,
                    v,
                )

            x, _ = conjugate_gradient(fisher, jax.grad(objective)(jnp.asarray(parameters)), 20)
            return np.asarray(jax.jvp(logits_of, (jnp.asarray(parameters),), (x,))[1])

        def plain(p: jax.Array) -> jax.Array:
            return jnp.concatenate([p, jnp.zeros(1)])

        start = rng.normal(size=3)
        first = change(plain, linear @ start)
        second = change(lambda p: plain(jnp.asarray(linear) @ p), start)
        np.testing.assert_allclose(first, second, atol=1e-7)
        # For a softmax it is the advantage itself, but for a constant (Kakade 2001).
        np.testing.assert_allclose(first - first[-1], advantage - advantage[-1], atol=1e-7)


# --- step size and line search ------------------------------------------------------------------


def test_the_step_reaches_the_divergence_that_was_asked_for() -> None:
    with jax.enable_x64(True):
        v = np.random.default_rng(25).normal(size=28)
        start = jnp.asarray(PARAMETERS)
        image = fisher_vector_product(gaussian, start, gaussian_kl, v)
        size = natural_step_size(v, image, 1e-8)
        reached = gaussian_kl(gaussian(start), gaussian(start + size * v)).sum()
        assert reached == pytest.approx(1e-8, rel=1e-3)


@pytest.mark.parametrize("curvature", [0.0, -1.0, np.nan])
def test_without_curvature_there_is_no_step(curvature: float) -> None:
    x = np.ones(3, np.float32)
    assert natural_step_size(x, np.float32(curvature) * x, 0.01) == 0


def table(improvements: list[float], divergences: list[float], tried: list[float]) -> Callable:
    """Answers for the fractions 1, ½, ¼, …; notes those that were asked for."""

    def evaluate(fraction: jax.Array) -> tuple[jax.Array, jax.Array]:
        jax.debug.callback(lambda f: tried.append(float(f)), fraction)
        k = jnp.round(-jnp.log2(fraction)).astype(int)
        return jnp.array(improvements)[k], jnp.array(divergences)[k]

    return evaluate


NAN = float("nan")


@pytest.mark.parametrize(
    ("improvements", "divergences", "accepted"),
    [
        ([1.0, 1.0, 1.0], [0.1, 0.0, 0.0], 0),  # at once, with the divergence just allowed
        ([1.0, 2.0, 3.0], [0.2, 0.09, 0.0], 1),  # first too far
        ([-1.0, 0.0, 3.0], [0.0, 0.0, 0.0], 2),  # first worse, then no better
        ([NAN, 1.0, 3.0], [0.0, NAN, 0.05], 2),  # first not a number
        ([1.0, -1.0, 3.0], [0.2, 0.0, 0.3], None),
        ([NAN, NAN, NAN], [NAN, NAN, NAN], None),
    ],
)
def test_the_line_search_takes_the_first_fraction_that_will_do(
    improvements: list[float], divergences: list[float], accepted: int | None
) -> None:
    tried: list[float] = []
    found = backtrack(table(improvements, divergences, tried), 0.1, 3)
    jax.effects_barrier()
    expected = (0.0, 0.0, 0.0)
    if accepted is not None:
        expected = (0.5**accepted, improvements[accepted], divergences[accepted])
    assert [float(x) for x in found] == pytest.approx(expected)
    num_tried = 3 if accepted is None else accepted + 1
    assert tried == [0.5**k for k in range(num_tried)]


def test_several_line_searches_at_once_end_each_for_itself() -> None:
    limits = jnp.array([1.0, 0.3, 0.01, 1e-9])
    search = jax.vmap(lambda limit: backtrack(lambda f: (f, f**2), limit, 5, shrink=0.4))
    fraction, improvement, kl = search(limits)
    np.testing.assert_allclose(fraction, [1.0, 0.4, 0.064, 0.0], rtol=1e-6)
    np.testing.assert_allclose(improvement, fraction, rtol=1e-6)
    np.testing.assert_allclose(kl, np.square(fraction), rtol=1e-6)
