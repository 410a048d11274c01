"""Natural steps, against a Fisher matrix that is written down."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from steps import descent_direction, natural_step
from trajectories import LINEAR, LINEAR_POLICY, QUOTA, WINDOW, episodes_of, learner_of
from trajectories import trajectory_of as window_of

from plain import npg, trpo
from uphill.learning import advantages, objective
from uphill.parts import SGD, NaturalGradient, TrustRegion, ValueFunction

DAMPING, MAX_KL = 0.05, 0.02
BASELINE = ValueFunction(network=LINEAR, optimizer=SGD(0.1))
make_batch, mean_kl = jax.jit(advantages.make_batch), jax.jit(objective.mean_kl)


def npg_of(**changes: Any) -> Any:
    optimizer = NaturalGradient(MAX_KL, DAMPING, num_iterations=20)
    parts = {"policy": LINEAR_POLICY, "baseline": BASELINE, "optimizer": optimizer}
    return npg(**{"sampling": WINDOW} | parts | changes)


def trpo_of(max_kl: float = MAX_KL, num_backtracks: int = 10, **changes: Any) -> Any:
    optimizer = TrustRegion(max_kl, DAMPING, num_backtracks=num_backtracks)
    parts = {"policy": LINEAR_POLICY, "baseline": BASELINE, "optimizer": optimizer}
    return trpo(**{"sampling": WINDOW} | parts | changes)


def data_of(algorithm: Any) -> tuple:
    learner = learner_of(algorithm)
    # Away from uniform, where the Fisher matrix says more.
    policy = learner.actor.policy
    policy = eqx.tree_at(lambda p: p.head.weight, policy, policy.head.weight + jnp.eye(2, 3))
    learner = eqx.tree_at(lambda x: x.actor.policy, learner, policy)
    make = window_of if algorithm.sampling == WINDOW else episodes_of
    return policy, make_batch(algorithm, learner, make(learner))[0]


def fisher(policy: Any, batch: Any) -> np.ndarray:
    """mean over the valid samples of E_a[∇log π ∇log πᵀ]."""
    parameters, unflatten = ravel_pytree(policy)

    def log_p(parameters: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(unflatten(parameters)(batch.features).logits)

    scores = np.asarray(jax.jacobian(log_p)(parameters), np.float64)[np.asarray(batch.mask)]
    p = np.exp(np.asarray(log_p(parameters), np.float64))[np.asarray(batch.mask)]
    return np.einsum("sa,sai,saj->ij", p, scores, scores) / len(p)


@pytest.mark.parametrize("sampling", [WINDOW, QUOTA], ids=["steps", "episodes"])
def test_npg_goes_along_the_inverse_fisher_as_far_as_the_bound(sampling: Any) -> None:
    algorithm = npg_of(sampling=sampling)
    policy, batch = data_of(algorithm)
    after, metrics = natural_step(algorithm, policy, batch)
    taken = np.asarray(ravel_pytree(after)[0] - ravel_pytree(policy)[0], np.float64)
    loss_gradient, _ = descent_direction(algorithm, (policy, None), batch)
    ascent = -np.asarray(ravel_pytree(loss_gradient)[0], np.float64)
    damped = fisher(policy, batch) + DAMPING * np.eye(len(ascent))
    direction = np.linalg.solve(damped, ascent)
    expected = np.sqrt(2 * MAX_KL / (direction @ damped @ direction)) * direction
    np.testing.assert_allclose(taken, expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(taken @ damped @ taken, 2 * MAX_KL, rtol=1e-3)
    np.testing.assert_allclose(metrics["gradient/norm"], np.linalg.norm(ascent), rtol=1e-4)


@pytest.mark.parametrize("optimizer", [NaturalGradient, TrustRegion])
def test_a_small_gradient_takes_a_small_step_where_the_step_size_is_limited(optimizer: Any) -> None:
    """Without a limit the step goes as far as the divergence whatever the gradient's size."""

    def moved(scale: float, **limit: float) -> np.ndarray:
        make = npg_of if optimizer is NaturalGradient else trpo_of
        algorithm = make(optimizer=optimizer(MAX_KL, DAMPING, num_iterations=20, **limit))
        policy, batch = data_of(make(scale_advantages="none"))
        small = eqx.tree_at(lambda b: b.advantage, batch, scale * batch.advantage)
        after, _ = natural_step(algorithm, policy, small)
        return np.asarray(ravel_pytree(after)[0] - ravel_pytree(policy)[0], np.float64)

    whole = moved(1.0)
    np.testing.assert_allclose(moved(1e-3), whole, rtol=1e-2, atol=1e-5)
    np.testing.assert_array_equal(moved(1.0, max_step_size=1e6), whole)
    first, second = moved(1e-3, max_step_size=0.5), moved(1e-3, max_step_size=0.25)
    assert np.linalg.norm(first) < 0.1 * np.linalg.norm(whole)
    np.testing.assert_allclose(first, 2 * second, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("sampling", [WINDOW, QUOTA], ids=["steps", "episodes"])
def test_trpo_improves_and_stays_in_its_region(sampling: Any) -> None:
    algorithm = trpo_of(sampling=sampling)
    policy, batch = data_of(algorithm)
    after, metrics = natural_step(algorithm, policy, batch)
    assert metrics["policy/step_fraction"] in 0.5 ** np.arange(10)
    assert 0 < mean_kl(algorithm, policy, after, batch) <= MAX_KL
    before, _ = descent_direction(algorithm, (policy, None), batch)
    _, now = descent_direction(algorithm, (after, None), batch)
    assert now["policy/surrogate"] > metrics["policy/surrogate"]
    assert any(x.any() for x in jax.tree.leaves(before))


def test_trpo_takes_no_step_when_nothing_improves() -> None:
    algorithm = trpo_of()
    policy, batch = data_of(algorithm)
    flat = eqx.tree_at(lambda b: b.advantage, batch, jnp.zeros_like(batch.advantage))
    after, metrics = natural_step(algorithm, policy, flat)
    assert eqx.tree_equal(after, policy)
    assert metrics["policy/step_fraction"] == 0


def test_trpo_takes_no_step_where_nothing_is_finite() -> None:
    algorithm = trpo_of()
    policy, batch = data_of(algorithm)
    nan = eqx.tree_at(lambda b: b.advantage, batch, jnp.full_like(batch.advantage, jnp.nan))
    after, metrics = natural_step(algorithm, policy, nan)
    assert eqx.tree_equal(after, policy)
    assert metrics["policy/step_fraction"] == 0


def test_advantages_may_be_scaled_with_the_minibatch_which_is_the_whole_batch() -> None:
    policy, batch = data_of(trpo_of(scale_advantages="none"))
    shifted = eqx.tree_at(lambda b: b.advantage, batch, batch.advantage + 5.0)
    found, _ = natural_step(trpo_of(scale_advantages="minibatch"), policy, shifted)
    _, scaled = data_of(trpo_of(scale_advantages="batch"))
    expected, _ = natural_step(trpo_of(scale_advantages="batch"), policy, scaled)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
