"""The objective and its gradient, against hand-made ones."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from steps import descent_direction
from trajectories import LINEAR, LINEAR_POLICY, SMALL, WINDOW, learner_of, trajectory_of

from plain import ppo
from uphill.learning import advantages
from uphill.learning.learner import joint_model
from uphill.learning.objective import distribution_of, per_sample
from uphill.parts import KLPenalty, ValueFunction
from uphill.parts.algorithms import reinforce
from uphill.policies.actions import Bounded
from uphill.theory.means import standardize

make_batch = jax.jit(advantages.make_batch)


def ppo_of(**changes: Any) -> Any:
    return ppo(**{"policy": SMALL, "sampling": WINDOW} | changes)


def same_leaves(a: Any, b: Any, **tolerance: float) -> None:
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


def test_trap_29_the_gradient_is_the_mean_of_score_times_advantage():
    """A mean of products, not a product of means; no broadcast of (T,) against (T, 1)."""
    algorithm = reinforce(policy=SMALL, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    gradient, _ = descent_direction(algorithm, (learner.actor.policy, None), batch)

    returns = np.zeros((13, 4))
    ended = np.asarray(trajectory.ended)
    for t in reversed(range(12)):
        returns[t] = np.asarray(trajectory.reward)[t] + 0.99 * ~ended[t] * returns[t + 1]
    mask = np.asarray(trajectory.mask)
    advantage = np.where(mask, returns[:-1] - returns[:-1][mask].mean(), 0)

    @jax.grad
    def expected(policy):
        log_p = jax.nn.log_softmax(policy(trajectory.observation).logits)
        chosen = jax.nn.one_hot(trajectory.action, 2)
        return -jnp.einsum("tna,tna,tn->", log_p, chosen, advantage) / mask.sum()

    same_leaves(gradient[0], expected(learner.actor.policy), atol=2e-6)


def test_trap_15_the_value_loss_is_not_clipped():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    far = eqx.tree_at(lambda b: b.target, batch, batch.target + 100.0)
    gradient, metrics = descent_direction(algorithm, joint_model(algorithm, learner), far)

    def loss(critic):
        error = (critic(far.features) - far.target) ** 2
        return 0.5 * jnp.where(far.mask, error, 0.0).sum() / far.mask.sum()

    same_leaves(gradient[1], jax.grad(loss)(learner.parts.baseline.critic), rtol=1e-4, atol=1e-4)
    assert metrics["value/loss"] > 5000


def test_trap_10_the_ratio_is_one_before_the_first_step_though_actions_were_clipped():
    kind = Bounded((-0.1,), (0.1,), (1,), "float32")
    algorithm = ppo_of(target_kl=0.01)
    learner = learner_of(algorithm, kind)
    trajectory = trajectory_of(learner)
    assert (jnp.abs(trajectory.action) > 1).any()
    batch, _ = make_batch(algorithm, learner, trajectory)
    _, metrics = descent_direction(algorithm, joint_model(algorithm, learner), batch)
    assert metrics["policy/clip_fraction"] == 0
    assert abs(metrics["policy/approximate_kl"]) < 1e-6


def test_trap_10_the_ratio_is_one_before_the_first_step_though_uniform_actions_are_mixed_in():
    algorithm = reinforce(
        policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps", uniform_mixture=0.3
    )
    learner = learner_of(algorithm)
    policy = eqx.tree_at(lambda p: p.head.bias, learner.actor.policy, jnp.array([4.0, 0.0]))
    learner = eqx.tree_at(lambda x: x.actor.policy, learner, policy)
    trajectory = trajectory_of(learner, uniform=0.3)
    batch, _ = make_batch(algorithm, learner, trajectory)
    log_prob = distribution_of(algorithm, policy, batch.features).log_prob(batch.action)
    np.testing.assert_array_equal(jnp.exp(log_prob - batch.old_log_prob), 1.0)
    # It is the mixture's own: 0.7 π + 0.3 / 2.
    p = np.exp(policy(batch.features).log_prob(batch.action))
    np.testing.assert_allclose(np.exp(batch.old_log_prob), 0.7 * p + 0.15, rtol=1e-5)
    assert (batch.old_log_prob < np.log(0.2)).any()  # some would hardly be the policy's
    gradient, _ = descent_direction(algorithm, (policy, None), batch)

    @jax.grad
    def expected(policy):
        p = jnp.exp(policy(batch.features).log_prob(batch.action))
        weighed = jnp.log(0.7 * p + 0.15) * batch.advantage
        return -jnp.where(batch.mask, weighed, 0.0).sum() / batch.mask.sum()

    same_leaves(gradient[0], expected(policy), atol=1e-5)


def test_trap_09_constant_advantages_give_no_gradient():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    flat = eqx.tree_at(lambda b: b.advantage, batch, jnp.full_like(batch.advantage, 7.0))
    gradient, _ = descent_direction(algorithm, joint_model(algorithm, learner), flat)
    assert optax.tree.norm(gradient[0]) < 1e-6


def test_advantages_of_a_minibatch_are_scaled_by_its_own_deviation():
    scaled, plain = ppo_of(), ppo_of(scale_advantages="none")
    learner = learner_of(scaled)
    model = joint_model(scaled, learner)
    batch, _ = make_batch(scaled, learner, trajectory_of(learner))
    by_hand = eqx.tree_at(
        lambda b: b.advantage, batch, standardize(batch.advantage, batch.mask) * 1.0
    )
    found, _ = descent_direction(scaled, model, batch)
    expected, _ = descent_direction(plain, model, by_hand)
    same_leaves(found, expected, atol=1e-7)


def test_on_a_shared_trunk_the_value_loss_moves_the_policys_layers_too():
    baseline = ValueFunction(shares_trunk=True, coefficient=0.25)
    algorithm = ppo_of(baseline=baseline, scale_advantages="none", entropy=0.1)
    learner = learner_of(algorithm)
    assert learner.parts.baseline.critic.trunk is None
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    model = joint_model(algorithm, learner)
    gradient, _ = descent_direction(algorithm, model, batch)

    @jax.grad
    def expected(model):
        policy, critic = model
        hidden = policy.trunk(batch.features)
        log_p = jax.nn.log_softmax(hidden @ policy.head.weight.T + policy.head.bias[None, None])
        chosen = jnp.take_along_axis(log_p, batch.action[..., None], -1)[..., 0]
        ratio = jnp.exp(chosen - batch.old_log_prob)
        entropy = -(jnp.exp(log_p) * log_p).sum(-1)
        value = hidden @ critic.head.weight[0] + critic.head.bias[0]
        each = ratio * batch.advantage + 0.1 * entropy - 0.25 * (value - batch.target) ** 2
        return -jnp.where(batch.mask, each, 0.0).sum() / batch.mask.sum()

    same_leaves(gradient, expected(model), atol=1e-5)


def test_a_kl_penalty_is_subtracted_with_its_weight():
    algorithm = ppo_of(surrogate=KLPenalty(coefficient=3.0), policy=LINEAR_POLICY)
    learner = learner_of(algorithm)
    old = learner.actor.policy
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    samples = jax.tree.map(lambda x: x[0], batch)
    moved = eqx.tree_at(lambda p: p.head.bias, old, jnp.array([1.0, -0.5]))
    found, _ = per_sample(algorithm, (moved, None), samples, old)
    p, q = (np.asarray(jax.nn.softmax(x(samples.features).logits)) for x in (old, moved))
    kl = (p * np.log(p / q)).sum(-1)
    action = np.asarray(samples.action)[:, None]
    ratio = np.take_along_axis(q / p, action, 1)[:, 0]
    np.testing.assert_allclose(found, ratio * samples.advantage - 3 * kl, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("has_critic", [False, True])
def test_diagnostics_are_means_over_the_valid_samples(has_critic: bool):
    baseline = ValueFunction(network=LINEAR)
    algorithm = ppo_of(policy=LINEAR_POLICY, baseline=baseline, scale_advantages="none")
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    model = (learner.actor.policy, learner.parts.baseline.critic if has_critic else None)
    _, metrics = descent_direction(algorithm, model, batch)
    mask = np.asarray(batch.mask)
    entropy = np.asarray(learner.actor.policy(batch.features).entropy())
    np.testing.assert_allclose(metrics["policy/entropy"], entropy[mask].mean(), rtol=1e-5)
    surrogate = np.asarray(batch.advantage)[mask].mean()
    np.testing.assert_allclose(metrics["policy/surrogate"], surrogate, rtol=1e-4, atol=1e-6)
    assert ("value/loss" in metrics) == has_critic
