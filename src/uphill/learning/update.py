"""One update: from a trajectory to a better learner. Knows no environment.

trajectory → advantages → epochs of minibatches → the next learner
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Int, PRNGKeyArray, PyTree

from uphill.batch import Batch
from uphill.learning.advantages import make_batch
from uphill.learning.learner import (
    Learner,
    Model,
    PartStates,
    current,
    joint_model,
    select,
    with_model,
)
from uphill.learning.objective import mean_kl
from uphill.learning.problem import problem_of
from uphill.parts import Algorithm, Served
from uphill.policies.actor import Actor
from uphill.trajectory import Array, Metrics, Trajectory

TakeStep = Callable[[tuple, Batch], tuple[tuple, Metrics]]
"""(parameters and the optimiser's state, samples) → (the next ones, metrics)"""

Samples = Callable[[tuple], Batch]
"""The samples of an epoch, from the parameters and the optimiser's state that it starts with"""


def update(
    algorithm: Algorithm,
    learner: Learner,
    trajectory: Trajectory,
    key: PRNGKeyArray,
) -> tuple[Learner, Metrics]:
    """The learner after one batch, and the update's metrics.

    `algorithm` must have its schedules evaluated: `algorithm.at(progress)`.

    Metrics are scalars by name: `policy/surrogate`, `policy/entropy` and `gradient/norm`; those of
    the surrogate, of a jointly trained baseline (`value/loss`) and of the optimiser
    (`policy/step_fraction`); with a `target_kl`, `policy/approximate_kl` and `policy/num_steps`.
    They are means over the minibatches of the last epoch, or with a `target_kl` those of the last
    step taken. A value function adds `value/explained_variance`, measured before the update.

    Raises:
        Nothing of its own: parts that don't fit together are refused when `Algorithm` is built, and
        a non-finite number is passed on (`training/guard.py` looks for it).
    """
    algorithm = current(algorithm, learner)
    batch, value_metrics = make_batch(algorithm, learner, trajectory)
    model, optimizer_state, metrics = ascend(algorithm, learner, trajectory, batch, key)
    stepped = with_model(algorithm, learner, model)
    parts = learned(algorithm, learner, stepped, trajectory, batch, key)
    steps = learner.steps.plus(trajectory.mask.sum(dtype=jnp.uint32))
    after = Learner(
        _measured(stepped.actor, trajectory),
        PartStates(parts.estimator, parts.baseline, parts.surrogate, optimizer_state),
        learner.scales.seen(trajectory, algorithm.estimator.gamma),
        jnp.asarray(learner.num_updates) + 1,
        steps.low,
        steps.high,
    )
    after = _unless_only_measuring(algorithm, after, learner, batch)
    return after, metrics | value_metrics


def ascend(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, batch: Batch, key: PRNGKeyArray
) -> tuple[Model, PyTree, Metrics]:
    """`num_epochs` passes over the batch, a step of the optimiser for each minibatch: the networks
    and the optimiser's state after them, and the metrics of the last pass."""
    optimizer, old = algorithm.optimizer, learner.actor.policy
    parameters, unflatten = optimizer.flattened(joint_model(algorithm, learner))

    def step(carry: tuple, minibatch: Batch) -> tuple:
        parameters, state = carry
        problem = problem_of(algorithm, parameters, unflatten, minibatch, old)
        parameters, state, metrics = optimizer.step(state, parameters, problem)
        return (parameters, state), metrics

    def samples(carry: tuple) -> Batch:
        """The samples of an epoch: with their advantages anew, if so asked."""
        if not algorithm.recompute_advantages:
            return batch
        now = with_model(algorithm, learner, unflatten(carry[0]))
        return make_batch(algorithm, now, trajectory)[0]

    start = (parameters, learner.parts.optimizer)
    passes = epochs if algorithm.target_kl is None else epochs_until_far
    (parameters, state), metrics = passes(algorithm, step, start, samples, key)
    return unflatten(parameters), state, metrics


def epochs(
    algorithm: Algorithm, step: TakeStep, start: tuple, samples: Samples, key: PRNGKeyArray
) -> tuple[tuple, Metrics]:
    """`num_epochs` passes over the samples, a step for each minibatch: what they lead to, and the
    metrics of the last pass."""

    def epoch(carry: tuple, key: PRNGKeyArray) -> tuple:
        if algorithm.num_minibatches == 1:
            return step(carry, samples(carry))
        minibatches = minibatches_of(samples(carry), algorithm.num_minibatches, key)
        carry, metrics = jax.lax.scan(step, carry, minibatches)
        return carry, jax.tree.map(jnp.mean, metrics)

    if algorithm.num_epochs == 1:
        return epoch(start, key)
    keys = jax.random.split(key, algorithm.num_epochs)
    carry, metrics = jax.lax.scan(epoch, start, keys)
    return carry, jax.tree.map(lambda values: values[-1], metrics)


def epochs_until_far(
    algorithm: Algorithm, step: TakeStep, start: tuple, samples: Samples, key: PRNGKeyArray
) -> tuple[tuple, Metrics]:
    """The same, until the policy has moved by 1.5 times the target KL divergence.

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
            select(stopped, so_far, after),
            stopped,
            jnp.where(stopped, taken, taken + 1),
            select(stopped, last, metrics),
        )

    def step_if_near(carry: tuple, minibatch: Batch) -> tuple:
        return jax.lax.cond(carry[1], lambda c, _: c, try_step, carry, minibatch), {}

    shapes = jax.eval_shape(lambda carry: step(carry, samples(carry))[1], start)
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    near = (start, jnp.array(False), jnp.zeros((), jnp.int32), nothing)
    (end, _, taken, metrics), _ = epochs(
        algorithm, step_if_near, near, lambda carry: samples(carry[0]), key
    )
    return end, metrics | {"policy/num_steps": taken.astype(float)}


def minibatches_of(batch: Batch, num_minibatches: int, key: PRNGKeyArray) -> Batch:
    """The samples in random order, every one once, in `num_minibatches` equal parts."""
    order = shuffled(key, batch.mask.shape[1])

    def parts(x: Array) -> Array:
        return x[0, order].reshape(num_minibatches, 1, -1, *x.shape[2:])

    return jax.tree.map(parts, batch)


def shuffled(key: PRNGKeyArray, count: int) -> Int[Array, " {count}"]:
    """The numbers below `count` in random order.

    Words are sorted that have random bits above and the number below, which takes a quarter to a
    ninth of the time of sorting pairs. Where few bits are left for chance, it is done twice.
    """
    width = (count - 1).bit_length()
    numbers = jnp.arange(count, dtype=jnp.uint32)
    order = numbers
    for one in jax.random.split(key, 1 if width <= 16 else 2):
        chance = jax.random.bits(one, (count,), jnp.uint32) >> width << width
        order = order[jnp.sort(chance | numbers, stable=False) & jnp.uint32(2**width - 1)]
    return order.astype(jnp.int32)


def learned(
    algorithm: Algorithm,
    learner: Learner,
    stepped: Learner,
    trajectory: Trajectory,
    batch: Batch,
    key: PRNGKeyArray,
) -> PartStates:
    """What the parts have learned from the batch, once it has served the policy; `stepped` is the
    learner with the networks that it led to."""
    actor, parts = learner.actor, stepped.parts
    served = served_by(algorithm, learner, trajectory, batch)
    return PartStates(
        algorithm.estimator.learned(parts.estimator, served, jax.random.fold_in(key, 2)),
        algorithm.baseline.learned(parts.baseline, served, jax.random.fold_in(key, 1)),
        algorithm.surrogate.learned(
            parts.surrogate, lambda: mean_kl(algorithm, actor.policy, stepped.actor.policy, batch)
        ),
        parts.optimizer,
    )


def served_by(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory, batch: Batch
) -> Served:
    """A batch that has served, as the parts see it."""
    actor, gamma = learner.actor, algorithm.estimator.gamma
    return Served(trajectory, batch, gamma, actor.encoding.encode, actor.normalized)


def _unless_only_measuring(
    algorithm: Algorithm, after: Learner, before: Learner, batch: Batch
) -> Learner:
    """`after`; but what `before` had learned while scales have seen nothing, or of a batch that
    counts no step.

    What learns must be what sampled, and it saw raw numbers: the first batch only fills the scales.
    """
    normalizer = before.actor.normalizer
    counts = before.scales.counts + ([] if normalizer is None else [normalizer.count])
    counts += algorithm.baseline.counts(before.parts.baseline)
    has_learned: list[Any] = [jnp.asarray(count) > 0 for count in counts]
    if algorithm.sampling.may_count_nothing:
        has_learned.append(batch.mask.any())
    if not has_learned:
        return after
    old, new = before.parts, after.parts
    kept = PartStates(
        algorithm.estimator.unlearned(old.estimator, new.estimator),
        algorithm.baseline.unlearned(old.baseline, new.baseline),
        algorithm.surrogate.unlearned(old.surrogate, new.surrogate),
        old.optimizer,
    )
    policy, parts = select(
        jnp.stack(has_learned).all(),
        (after.actor.policy, new),
        (before.actor.policy, kept),
    )
    actor = Actor(policy, after.actor.normalizer, after.actor.encoding)
    counters = after.num_updates, after.num_transitions, after.num_wraps
    return Learner(actor, parts, after.scales, *counters)


def _measured(actor: Actor, trajectory: Trajectory) -> Actor:
    """The actor whose normaliser has seen the trajectory, too."""
    if actor.normalizer is None:
        return actor
    encoded = actor.encoding.encode(trajectory.observation)
    seen = actor.normalizer.seen(encoded, trajectory.mask)
    return Actor(actor.policy, seen, actor.encoding)
