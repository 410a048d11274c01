"""Lanes: running environments, one step of them, and sums over the episodes that end."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Key, PyTree, Shaped

from uphill.envs.base import Environment
from uphill.envs.compiled import CompiledEnvironment
from uphill.trajectory import Array, EpisodeStatistics, Trajectory

Keys = Key[jax.Array, "..."]
"""One key, or one for each seed; collectors get them for every step."""

Act = Callable[[PyTree, Keys], tuple[Array, Array, PyTree]]
"""(observations, key) → (action as sampled, its log-probability, action for the environment)"""


class Lanes(eqx.Module):
    """`N` running environments: what the next collection starts from."""

    env_state: Any
    observation: PyTree[Shaped[Array, "N ..."]]
    ended: Bool[Array, " N"]
    running_return: Float[Array, " N"]
    running_length: Int[Array, " N"]
    reached: dict[str, Bool[Array, " N"]]
    """by milestone of the world: whether the episode has reached it"""


class Finished(eqx.Module):
    """Sums over the episodes that ended, by environment."""

    num_episodes: Int[Array, " N"]
    return_sum: Float[Array, " N"]
    length_sum: Int[Array, " N"]
    return_max: Float[Array, " N"]
    reached: dict[str, Int[Array, " N"]]

    def plus(self, counts: Bool[Array, " N"], lanes: Lanes) -> "Finished":
        """The sums with the episodes that end, and count, where lanes are now."""
        reached = {name: n + (counts & lanes.reached[name]) for name, n in self.reached.items()}
        return Finished(
            self.num_episodes + counts,
            self.return_sum + jnp.where(counts, lanes.running_return, 0.0),
            self.length_sum + jnp.where(counts, lanes.running_length, 0),
            jnp.maximum(self.return_max, jnp.where(counts, lanes.running_return, -jnp.inf)),
            reached,
        )


def start_lanes(
    env_state: Any, observation: PyTree, reached: dict[str, Bool[Array, " N"]] | None = None
) -> Lanes:
    """Environments that have just been reset; `reached` are the milestones they start at."""
    num_envs = jax.tree.leaves(observation)[0].shape[0]
    return Lanes(
        env_state,
        observation,
        ended=np.zeros(num_envs, bool),
        running_return=np.zeros(num_envs, np.float32),
        running_length=np.zeros(num_envs, np.int32),
        reached=reached or {},
    )


def nothing_finished(lanes: Lanes) -> Finished:
    """The sums before any episode has ended."""
    num_envs = lanes.ended.shape[0]
    none, zeros = jnp.zeros(num_envs, jnp.int32), jnp.zeros(num_envs, jnp.float32)
    return Finished(none, zeros, none, zeros - jnp.inf, dict.fromkeys(lanes.reached, none))


class Row(NamedTuple):
    """One step of every environment: a row of the trajectory."""

    observation: Any
    action: Any
    log_prob: Any
    reward: Any
    terminated: Any
    truncated: Any
    mask: Any

    def trajectory(self, final: PyTree, length: Array | None = None) -> Trajectory:
        """Stacked rows as a trajectory."""
        observation, *columns = self
        return Trajectory(observation, final, *columns, length=length)


def step_lanes(env: Environment, act: Act, lanes: Lanes, key: Keys) -> tuple[Lanes, Row]:
    """One step of every environment: the lanes after it, and the row."""
    action, log_prob, env_action = act(lanes.observation, key)
    env_state, timestep = env.step(lanes.env_state, env_action)
    reward, terminated, truncated = timestep.reward, timestep.terminated, timestep.truncated
    mask = ~lanes.ended
    row = Row(lanes.observation, action, log_prob, reward, terminated, truncated, mask)
    after = Lanes(
        env_state,
        timestep.observation,
        terminated | truncated,
        jnp.where(mask, lanes.running_return + reward, 0.0),
        jnp.where(mask, lanes.running_length + 1, 0),
        _reached(env, env_state, lanes.reached, mask),
    )
    return after, row


def _reached(env: Environment, state: Any, before: dict[str, Any], mask: Any) -> dict[str, Any]:
    """The milestones that episodes have reached with this step or before it."""
    if not isinstance(env, CompiledEnvironment):
        return before
    now = env.milestones(state)
    return {name: mask & (before[name] | now[name]) for name in before}


def statistics(finished: Finished) -> EpisodeStatistics:
    """The sums over all environments."""
    return EpisodeStatistics(
        finished.num_episodes.sum(),
        finished.return_sum.sum(),
        finished.length_sum.sum(),
        jnp.where(finished.num_episodes.any(), finished.return_max.max(), 0.0),
        {name: n.sum() for name, n in finished.reached.items()},
    )
