"""Collecting from Python environments."""

import math
from itertools import islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from uphill.collecting.episodes import ActOnHost, HostStep, Steppable, play_on_host
from uphill.collecting.lanes import Finished, Lanes, Row
from uphill.trajectory import BLOCK, Trajectory, narrow


def collect_on_host(
    env: Steppable,
    act: ActOnHost,
    lanes: Lanes,
    num_steps: int,
    per_env: int | None = None,
) -> tuple[Lanes, Trajectory, Finished]:
    """At most `num_steps` steps of Python environments; with `per_env`, whole episodes until every
    environment has that many."""
    # Copied before the next step: the environment may write its next observation into the same
    # array.
    first = jax.tree.map(np.array, lanes.observation)
    num_episodes, length_sum = np.zeros((2, env.num_envs), np.int32)
    return_sum = np.zeros(env.num_envs, np.float32)
    return_max = np.full(env.num_envs, -np.inf, np.float32)
    rows, step, length = None, None, 0
    steps = play_on_host(env, act, lanes, math.inf if per_env is None else per_env)
    for step in islice(steps, num_steps):
        rows = rows or _buffer(num_steps, first, step)
        if length + 1 < num_steps:
            # What a step led to follows it, the last one's too: a truncated one needs its value.
            _write(rows.observation, length + 1, step.observation)
        columns = (step.action, step.log_prob, step.reward, step.terminated, step.truncated)
        for buffer, x in zip(rows[1:], (*columns, step.mask), strict=True):
            buffer[length] = x
        counts = step.ended & step.mask
        num_episodes += counts
        return_sum += step.running_return * counts
        np.maximum(return_max, step.running_return, out=return_max, where=counts)
        length_sum += step.running_length * counts
        length += 1
    assert rows is not None
    assert step is not None
    final = jax.tree.map(np.array, step.observation)
    lanes = Lanes((), final, step.ended, step.running_return, step.running_length, {})
    filled = None
    if per_env is not None:
        # Blocks are computed whole, and rows beyond the last one are masked out. They must still
        # hold a valid action: 0 may have no log-probability, and 0 · ∞ is no gradient.
        filled = np.full((), -(-length // BLOCK) * BLOCK, np.int32)
        for buffer in (rows.action, rows.log_prob):
            buffer[length:filled] = buffer[length - 1]
    finished = Finished(num_episodes, return_sum, length_sum, return_max, {})
    return lanes, rows.trajectory(final, filled), finished


def shapes_on_host(
    lanes: Lanes, acted: PyTree, num_steps: int, has_whole_episodes: bool
) -> tuple[Lanes, Trajectory, Finished]:
    """The shapes of what `collect_on_host` returns, from those of what a policy says in a step."""
    action, log_prob, _ = acted

    def rows(x: Any) -> jax.Array:
        return jnp.zeros((num_steps, *x.shape), narrow(x.dtype))

    def zeros(lanes: Lanes) -> tuple[Lanes, Trajectory, Finished]:
        final, ended = lanes.observation, lanes.ended
        columns = (rows(action), rows(log_prob), rows(log_prob), *[rows(ended)] * 3)
        length = jnp.zeros((), jnp.int32) if has_whole_episodes else None
        trajectory = Row(jax.tree.map(rows, final), *columns).trajectory(final, length)
        ints, floats = ended.astype(jnp.int32), ended.astype(jnp.float32)
        finished = Finished(ints, floats, ints, floats, {})
        return Lanes((), final, ended, floats, ints, {}), trajectory, finished

    return jax.eval_shape(zeros, lanes)


def _buffer(num_steps: int, first: PyTree, step: HostStep) -> Row:
    """Room for `num_steps` rows, of zeros but for the first observation."""

    def room(x: np.ndarray) -> np.ndarray:
        return np.zeros((num_steps, *np.shape(x)), narrow(x.dtype))

    flags = (np.zeros((num_steps, len(step.log_prob)), bool) for _ in range(3))
    observation = jax.tree.map(room, first)
    _write(observation, 0, first)
    return Row(observation, room(step.action), room(step.log_prob), room(step.log_prob), *flags)


def _write(buffers: PyTree, t: int, values: PyTree) -> None:
    for buffer, x in zip(jax.tree.leaves(buffers), jax.tree.leaves(values), strict=True):
        buffer[t] = x
