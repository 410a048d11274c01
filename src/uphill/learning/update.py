"""One update: from a trajectory to a better learner. Knows no environment.

trajectory → advantages → epochs of minibatches (or one natural step) → the next learner
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import PRNGKeyArray

from uphill.batch import Batch
from uphill.learning.advantages import make_batch
from uphill.learning.diagnostics import mean_kl
from uphill.learning.learner import Learner, choose, joint_model
from uphill.learning.natural_step import natural_step
from uphill.learning.objective import Metrics, Model, descent_direction
from uphill.learning.remembered import Remembered, remember
from uphill.learning.value_function import fit, fit_action_value, fit_from_memory
from uphill.parts import ActionValue, Algorithm, KLPenalty, Steps, ValueFunction
from uphill.parts.optimizers import GradientStep, as_seen_by
from uphill.policies.actor import Actor
from uphill.policies.policy import Policy
from uphill.trajectory import Array, Trajectory


def update(
    algorithm: Algorithm,
    learner: Learner,
    trajectory: Trajectory,
    key: PRNGKeyArray,
) -> tuple[Learner, Metrics]:
    """The learner after one batch, and what the step says of itself.

    `algorithm` has its schedules evaluated already: `algorithm.at(progress)`.
    """
    algorithm = _with_penalty_of(algorithm, learner)
    batch, value_metrics = make_batch(algorithm, learner, trajectory)
    policy = learner.actor.policy
    model = joint_model(algorithm, policy, learner.critic)
    if isinstance(algorithm.optimizer, GradientStep):
        model_after, state, metrics = ascend(algorithm, model, learner.optimizer_state, batch, key)
    else:
        policy_after, metrics = natural_step(algorithm, policy, batch)
        model_after, state = (policy_after, None), None
    policy_after, critic_after = model_after
    remembered = _remembered(algorithm, learner, trajectory, batch, policy_after)
    after = Learner(
        Actor(policy_after, learner.actor.normalizer, learner.actor.encoding),
        learner.critic if critic_after is None else critic_after,
        learner.action_critic,
        state,
        learner.critic_optimizer_state,
        learner.action_critic_optimizer_state,
        remembered,
        learner.num_updates,
        learner.num_transitions,
    )
    after = fit_critics(algorithm, after, batch, key)
    after = _unless_only_measuring(after, learner)
    if isinstance(algorithm.sampling, Steps) and algorithm.sampling.tail == "mask":
        after = _with_networks_of(batch.mask.any(), after, learner)
    return _counted(after, trajectory), metrics | value_metrics


def ascend(
    algorithm: Algorithm, model: Model, optimizer_state: Any, batch: Batch, key: PRNGKeyArray
) -> tuple[Model, Any, Metrics]:
    """`num_epochs` passes over the batch, a step of the optimiser for each minibatch."""
    assert isinstance(algorithm.optimizer, GradientStep)
    optimizer, transform = algorithm.optimizer, algorithm.optimizer.transform()
    parameters, unflatten = as_seen_by(optimizer, model)
    old, _ = model

    def step(carry: tuple, minibatch: Batch) -> tuple:
        parameters, state = carry
        gradient, metrics = descent_direction(algorithm, unflatten(parameters), minibatch, old)
        gradient, _ = as_seen_by(optimizer, gradient)
        metrics["gradient/norm"] = optax.tree.norm(gradient)
        updates, state = transform.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), metrics

    if algorithm.target_kl is not None:
        return _ascend_until(algorithm, step, (parameters, optimizer_state), unflatten, batch, key)

    def epoch(carry: tuple, key: PRNGKeyArray) -> tuple:
        if algorithm.num_minibatches == 1:
            return step(carry, batch)
        carry, metrics = jax.lax.scan(step, carry, split(batch, algorithm.num_minibatches, key))
        return carry, jax.tree.map(jnp.mean, metrics)

    carry = (parameters, optimizer_state)
    if algorithm.num_epochs == 1:
        (parameters, optimizer_state), metrics = epoch(carry, key)
        return unflatten(parameters), optimizer_state, metrics
    keys = jax.random.split(key, algorithm.num_epochs)
    (parameters, optimizer_state), metrics = jax.lax.scan(epoch, carry, keys)
    last = {name: values[-1] for name, values in metrics.items()}
    return unflatten(parameters), optimizer_state, last


def _ascend_until(
    algorithm: Algorithm, step: Any, carry: tuple, unflatten: Any, batch: Batch, key: PRNGKeyArray
) -> tuple[Model, Any, Metrics]:
    """`ascend`, until the policy has moved by 1.5 times the target KL divergence.

    The step on which that is seen is not taken, and none after it. Metrics are those of the last
    step that was taken.
    """
    assert algorithm.target_kl is not None
    limit = 1.5 * algorithm.target_kl

    def try_step(carry: tuple, minibatch: Batch) -> tuple:
        so_far, stopped, taken, last = carry
        after, metrics = step(so_far, minibatch)
        stopped = stopped | (metrics["policy/approximate_kl"] > limit)
        return (
            choose(stopped, so_far, after),
            stopped,
            jnp.where(stopped, taken, taken + 1),
            choose(stopped, last, metrics),
        )

    def go_on(carry: tuple, minibatch: Batch) -> tuple:
        return jax.lax.cond(carry[1], lambda c, _: c, try_step, carry, minibatch), None

    def epoch(carry: tuple, key: PRNGKeyArray) -> tuple:
        if algorithm.num_minibatches == 1:
            return go_on(carry, batch)
        return jax.lax.scan(go_on, carry, split(batch, algorithm.num_minibatches, key))

    shapes = jax.eval_shape(step, carry, batch)[1]
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    start = (carry, jnp.array(False), jnp.zeros((), jnp.int32), nothing)
    keys = jax.random.split(key, algorithm.num_epochs)
    ((parameters, state), _, taken, metrics), _ = jax.lax.scan(epoch, start, keys)
    metrics["policy/num_steps"] = taken.astype(float)
    return unflatten(parameters), state, metrics


def split(batch: Batch, num_minibatches: int, key: PRNGKeyArray) -> Batch:
    """The samples in random order, every one once, in `num_minibatches` equal parts."""
    order = jax.random.permutation(key, batch.mask.shape[1])

    def parts(x: Array) -> Array:
        return x[0, order].reshape(num_minibatches, 1, -1, *x.shape[2:])

    return jax.tree.map(parts, batch)


# --- what else changes --------------------------------------------------------------------------


def _with_penalty_of(algorithm: Algorithm, learner: Learner) -> Algorithm:
    """The algorithm with the KL penalty's weight as it has become."""
    if not isinstance(algorithm.surrogate, KLPenalty):
        return algorithm
    coefficient = learner.remembered.kl_coefficient
    return eqx.tree_at(lambda a: a.surrogate.coefficient, algorithm, coefficient)


def fit_critics(algorithm: Algorithm, learner: Learner, batch: Batch, key: PRNGKeyArray) -> Learner:
    """The learner after the steps of those networks that have optimisers of their own."""
    baseline, estimator = algorithm.baseline, algorithm.estimator
    if isinstance(baseline, ValueFunction) and baseline.optimizer is not None:
        fitted = _fitted(algorithm, baseline, learner, batch, key)
        learner = eqx.tree_at(lambda x: (x.critic, x.critic_optimizer_state), learner, fitted)
    if isinstance(estimator, ActionValue):
        assert learner.action_critic is not None
        state = learner.action_critic_optimizer_state
        fitted = fit_action_value(estimator, learner.action_critic, state, batch)
        learner = eqx.tree_at(
            lambda x: (x.action_critic, x.action_critic_optimizer_state), learner, fitted
        )
    return learner


def _fitted(
    algorithm: Algorithm, baseline: ValueFunction, learner: Learner, batch: Batch, key: PRNGKeyArray
) -> tuple:
    critic, state = learner.critic, learner.critic_optimizer_state
    assert critic is not None
    memory = learner.remembered.memory
    if memory is None:
        return fit(baseline, critic, state, batch)
    gamma, key = algorithm.estimator.gamma, jax.random.fold_in(key, 1)
    return fit_from_memory(baseline, critic, state, memory, learner.actor.normalized, gamma, key)


def _remembered(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, batch: Batch, after: Policy
) -> Remembered:
    """What the parts remember after the batch."""
    actor, kl = learner.actor, None
    if isinstance(algorithm.surrogate, KLPenalty):
        kl = mean_kl(algorithm, actor.policy, after, batch)
    return remember(algorithm, learner.remembered, actor.encoding, trajectory, batch, kl)


def _unless_only_measuring(after: Learner, before: Learner) -> Learner:
    """`after`; but the networks and optimisers of `before` while scales have seen nothing.

    What learns must be what sampled, and it saw raw numbers: the first batch only fills the scales.
    """
    normalizer, old = before.actor.normalizer, before.remembered
    counts = [] if normalizer is None else [normalizer.count]
    counts += [] if old.reward_scale is None else [old.reward_scale.moments.count]
    counts += [] if old.return_scale is None else [old.return_scale.count]
    if not counts:
        return after
    is_warm = jnp.stack([jnp.asarray(count) for count in counts]).min() > 0
    return _with_networks_of(is_warm, after, before)


def _with_networks_of(condition: Any, after: Learner, before: Learner) -> Learner:
    """`after`; but the networks and optimisers of `before` unless the condition holds."""

    def learned(x: Learner) -> tuple:
        states = (x.optimizer_state, x.critic_optimizer_state, x.action_critic_optimizer_state)
        parts = (x.remembered.running_mean, x.remembered.kl_coefficient)
        return (x.actor.policy, x.critic, x.action_critic, *states, *parts)

    chosen = choose(condition, learned(after), learned(before))
    return eqx.tree_at(learned, after, chosen, is_leaf=lambda x: x is None)


def _counted(learner: Learner, trajectory: Trajectory) -> Learner:
    """The learner whose counters and normaliser have seen the trajectory, too."""
    actor = learner.actor
    if actor.normalizer is not None:
        encoded = actor.encoding.encode(trajectory.observation)
        seen = actor.normalizer.seen(encoded, trajectory.mask)
        learner = eqx.tree_at(lambda x: x.actor.normalizer, learner, seen)
    counters = (
        learner.num_updates + 1,
        learner.num_transitions + trajectory.mask.sum(dtype=jnp.uint32),
    )
    return eqx.tree_at(lambda x: (x.num_updates, x.num_transitions), learner, counters)
