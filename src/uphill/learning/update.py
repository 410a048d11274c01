"""One update: from a trajectory to a better learner. Knows no environment.

values of all observations → returns → advantages → epochs of minibatches → the next learner
"""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree

from uphill.learning.gradient import Batch, accumulate, in_blocks
from uphill.learning.learner import Actor, Learner, choose, joint_model
from uphill.learning.parts import Algorithm, BatchMean, Episodes, Steps, ValueFunction
from uphill.learning.rollout import BLOCK
from uphill.learning.value_function import fit
from uphill.policies.policy import Critic, Policy, values
from uphill.theory.baselines import batch_mean, masked_mean, standardize
from uphill.theory.returns import inside_finished_episode
from uphill.theory.surrogates import approximate_kl
from uphill.trajectory import Array, Trajectory

Metrics = dict[str, Float[Array, ""]]
Model = tuple[Policy, Critic | None]


def update(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, key: PRNGKeyArray
) -> tuple[Learner, Metrics]:
    """The learner after one batch, and what is worth knowing about the step.

    `algorithm` has its schedules evaluated already: `algorithm.at(progress)`.
    """
    batch, value_metrics = make_batch(algorithm, learner, trajectory)
    policy, critic = learner.actor.policy, learner.critic
    model = joint_model(algorithm, policy, critic)
    model, optimizer_state, metrics = ascend(algorithm, model, learner.optimizer_state, batch, key)
    policy, critic_state = model[0], learner.critic_optimizer_state
    critic = critic if model[1] is None else model[1]
    if isinstance(algorithm.baseline, ValueFunction) and algorithm.baseline.optimizer is not None:
        assert critic is not None
        critic, critic_state = fit(algorithm.baseline, critic, critic_state, batch)
    learned = (policy, critic, optimizer_state, critic_state)
    normalizer = learner.actor.normalizer
    if normalizer is not None:
        # Until the normaliser has seen anything, a batch only fills it: the policy that learns must
        # be the one that sampled, and it saw raw numbers.
        before = (
            learner.actor.policy,
            learner.critic,
            learner.optimizer_state,
            learner.critic_optimizer_state,
        )
        learned = choose(normalizer.count > 0, learned, before)
        encoded = learner.actor.encoding.encode(trajectory.observation)
        normalizer = normalizer.seen(encoded, trajectory.mask)
    policy, critic, optimizer_state, critic_state = learned
    after = Learner(
        Actor(policy, normalizer, learner.actor.encoding),
        critic,
        optimizer_state,
        critic_state,
        learner.num_updates + 1,
        learner.num_transitions + trajectory.mask.sum(dtype=jnp.uint32),
    )
    return after, metrics | value_metrics


def make_batch(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory
) -> tuple[Batch, Metrics]:
    """The samples of a trajectory with their advantages."""
    actor, critic = learner.actor, learner.critic
    features = actor.features(trajectory.observation)
    num_blocks = None if trajectory.length is None else trajectory.length // BLOCK
    value = final_value = None
    if critic is not None:
        blocks = features if num_blocks is None else _into_blocks(features)
        value_of = partial(values, actor.policy, critic)
        value = in_blocks(value_of, blocks, num_blocks).reshape(trajectory.mask.shape)
        final_value = value_of(actor.features(trajectory.final_observation))
    returns = algorithm.estimator(trajectory, value, final_value)
    mask = trajectory.mask
    if isinstance(algorithm.sampling, Steps) and algorithm.sampling.tail == "mask":
        mask = mask & inside_finished_episode(trajectory.ended)
    advantage, metrics = returns, {}
    if isinstance(algorithm.baseline, BatchMean):
        advantage = returns - batch_mean(returns, mask)
    elif value is not None:
        advantage = returns - value
        metrics["value/explained_variance"] = explained_variance(returns, value, mask)
    if algorithm.scale_advantages == "batch":
        advantage = standardize(advantage, mask)
    rows = (features, trajectory.action, trajectory.log_prob, advantage, returns, mask)
    if num_blocks is None:
        flat = [x.reshape(1, mask.size, *x.shape[2:]) for x in rows]
    else:
        flat = [_into_blocks(x).reshape(-1, BLOCK * mask.shape[1], *x.shape[2:]) for x in rows]
    return Batch(*flat, num_blocks=num_blocks), metrics


def _into_blocks(x: Array) -> Array:
    return x.reshape(x.shape[0] // BLOCK, BLOCK, *x.shape[1:])


def ascend(
    algorithm: Algorithm, model: Model, optimizer_state: Any, batch: Batch, key: PRNGKeyArray
) -> tuple[Model, Any, Metrics]:
    """`num_epochs` passes over the batch, a step of the optimiser for each minibatch."""
    transform = algorithm.optimizer.transform()
    parameters, unflatten = ravel_pytree(model)

    def step(carry: tuple, minibatch: Batch) -> tuple:
        parameters, state = carry
        gradient, metrics = descent_direction(algorithm, unflatten(parameters), minibatch)
        gradient, _ = ravel_pytree(gradient)
        metrics["gradient/norm"] = optax.tree.norm(gradient)
        updates, state = transform.update(gradient, state, parameters)
        return (optax.apply_updates(parameters, updates), state), metrics

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


def split(batch: Batch, num_minibatches: int, key: PRNGKeyArray) -> Batch:
    """The samples in random order, every one once, in `num_minibatches` equal parts."""
    order = jax.random.permutation(key, batch.mask.shape[1])

    def parts(x: Array) -> Array:
        return x[0, order].reshape(num_minibatches, 1, -1, *x.shape[2:])

    return jax.tree.map(parts, batch)


def descent_direction(algorithm: Algorithm, model: Model, batch: Batch) -> tuple[PyTree, Metrics]:
    """The loss's gradient: minus that of the objective, entropy bonus and value loss included."""
    count = jnp.maximum(batch.mask.sum(), 1)
    divisor = count
    if algorithm.mean_over == "episodes":
        assert isinstance(algorithm.sampling, Episodes)
        divisor = algorithm.sampling.num_envs * algorithm.sampling.per_env
    if algorithm.scale_advantages == "minibatch":
        advantage = standardize(batch.advantage, batch.mask)
        batch = eqx.tree_at(lambda b: b.advantage, batch, advantage)

    def total(model: Model, samples: Batch) -> tuple[Float[Array, ""], Float[Array, " M"]]:
        objective, diagnostics = per_sample(algorithm, model, samples)
        valid = jnp.broadcast_to(samples.mask, diagnostics.shape)
        sums = jnp.where(valid, diagnostics, 0.0).sum(1)
        return -jnp.where(samples.mask, objective, 0.0).sum() / divisor, sums

    gradient, sums = accumulate(total, model, batch)
    return gradient, dict(zip(DIAGNOSTICS, sums / count, strict=False))


# The value function's is the last: without one there is none.
DIAGNOSTICS = (
    "policy/surrogate",
    "policy/entropy",
    "policy/kl",
    "policy/clip_fraction",
    "value/loss",
)


def per_sample(
    algorithm: Algorithm, model: Model, samples: Batch
) -> tuple[Float[Array, " B"], Float[Array, "M B"]]:
    """What each sample adds to the objective, and its `DIAGNOSTICS`.

    L = surrogate + c_H · H(π(·|s)) − c_V · (V(s) − G)²
    """
    policy, critic = model
    hidden = policy.hidden(samples.features)
    distribution = policy.distribution(hidden, samples.features)
    log_prob, old_log_prob = distribution.log_prob(samples.action), samples.old_log_prob
    surrogate = algorithm.surrogate(log_prob, old_log_prob, samples.advantage)
    entropy = distribution.entropy()
    objective = surrogate + algorithm.entropy.value * entropy
    kl = approximate_kl(log_prob, old_log_prob)
    clips = algorithm.surrogate.clips(log_prob, old_log_prob)
    diagnostics = [surrogate, entropy, kl, clips]
    if critic is not None:
        assert isinstance(algorithm.baseline, ValueFunction)
        error = (critic(samples.features, hidden) - samples.target) ** 2
        objective = objective - algorithm.baseline.coefficient * error
        diagnostics.append(error)
    # One array, and one sum of it: a sum for each would cost as much as a small network.
    return objective, jnp.stack(diagnostics)


def explained_variance(
    returns: Float[Array, "T N"], value: Float[Array, "T N"], mask: Bool[Array, "T N"]
) -> Float[Array, ""]:
    """How much of the returns' variance the value function knew, before it learned from them.

    1 − Var(G − V) / Var(G),   which is 1 for a perfect one and 0 for a constant
    """

    def variance(x: Array) -> Array:
        return masked_mean((x - masked_mean(x, mask)) ** 2, mask)

    return 1.0 - variance(returns - value) / jnp.maximum(variance(returns), 1e-12)
