"""One update of one seed in a compiled world: the pure function that training repeats."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

from uphill.collecting.compiled import collect
from uphill.collecting.lanes import Finished, Keys, Lanes, start_lanes, statistics
from uphill.devices import on_each, spread
from uphill.envs.compiled import CompiledEnvironment
from uphill.learning.counting import Count
from uphill.learning.learner import Learner, networks_of
from uphill.learning.update import update
from uphill.parts import Algorithm
from uphill.parts.sampling import Sampling
from uphill.training.keys import keys_of
from uphill.training.rows import numbers_of
from uphill.trajectory import Array, EpisodeStatistics, Trajectory


def first_lanes(env: CompiledEnvironment, sampling: Sampling, key: Keys) -> Lanes | None:
    """What the first update starts from: nothing but shapes, for each seed if `key` has an axis for
    them. It resets the environments itself, which saves compiling a program; and whole episodes
    start their own in every update."""
    if sampling.has_whole_episodes:
        return None
    reset = functools.partial(fresh_lanes, env)
    return zeros_like(jax.eval_shape(jax.vmap(reset) if key.ndim else reset, key))


def fresh_lanes(env: CompiledEnvironment, key: Keys) -> Lanes:
    """Environments that have just been reset."""
    env_state, observation = env.reset(key)
    return start_lanes(env_state, observation, env.milestones(env_state))


def collect_and_learn(
    env: CompiledEnvironment,
    algorithm: Algorithm,
    num_steps: Count | Array | int,
    learner: Learner,
    lanes: Lanes | None,
    key: Keys,
) -> tuple[Learner, Lanes | None, Trajectory, dict[str, Array]]:
    """The learner and the lanes after one update, the trajectory, and the update's metrics.

    `num_steps` are those of the whole training run, over which schedules run; `key` is the seed's.
    """
    key_environment, key_act, key_update = keys_of(key, learner.num_updates)
    now = algorithm_now(algorithm, num_steps, learner.steps)

    def act(observation: Any, key: Keys) -> tuple[Array, Array, PyTree]:
        return learner.actor.act(observation, key, now.uniform)

    if lanes is None:
        start = fresh_lanes(env, key_environment)
    else:
        start = lax.cond(
            learner.num_updates == 0, lambda: fresh_lanes(env, key_environment), lambda: lanes
        )
    start = spread(start, env.num_envs)
    after, trajectory, finished = collect(env, act, now.sampling, start, key_act)
    lanes = None if lanes is None else spread(after, env.num_envs)
    collected = trajectory, finished
    axes = [*trajectory.axes, *[0] * len(jax.tree.leaves(finished))]
    learner, metrics = on_each(_learn, (now, learner, key_update), collected, axes)
    return learner, lanes, trajectory, metrics


def _learn(
    now: Algorithm, learner: Learner, key: Keys, collected: tuple[Trajectory, Finished]
) -> tuple[Learner, dict[str, Array]]:
    trajectory, finished = collected
    return learn(now, learner, trajectory, statistics(finished), key)


def learn(
    now: Algorithm,
    learner: Learner,
    trajectory: Trajectory,
    episodes: EpisodeStatistics,
    key: Keys,
) -> tuple[Learner, dict[str, Array]]:
    """One update, and its metrics."""
    after, metrics = update(now, learner, trajectory, key)
    networks, encoding = networks_of(now, after), after.actor.encoding
    return after, numbers_of(metrics, trajectory, episodes, networks, encoding)


def algorithm_now(algorithm: Algorithm, num_steps: Count | Array | int, done: Count) -> Algorithm:
    """The algorithm with its schedules evaluated after this many transitions; after the last ones
    they stay where they end."""
    progress = jnp.divide(done.as_float(), _as_float(num_steps))
    return algorithm.at(jnp.minimum(progress, 1.0))


def _as_float(number: Count | Array | int) -> Array:
    if isinstance(number, Count):
        return number.as_float()
    if isinstance(number, jax.Array):
        return number.astype(jnp.float32)
    return np.asarray(number, np.float32)  # of Python's, it may have more than 32 bits


def zeros_like(shapes: Any) -> Any:
    """Arrays of these shapes and types, keys among them, made without compiling anything."""
    return jax.tree.map(_zeros, shapes)


def _zeros(x: jax.ShapeDtypeStruct) -> Array:
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        data = jax.eval_shape(jax.random.key_data, x)
        return jax.random.wrap_key_data(jnp.asarray(np.zeros(data.shape, data.dtype)))
    return np.zeros(x.shape, x.dtype)
