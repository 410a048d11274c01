"""Collectors: from a policy and environments to a `Trajectory`.

Three of them, and the same trajectory from all: `collect_steps` and `collect_episodes` run inside a
compiled program; `collect_on_host` steps Python environments. None knows the critic: values are
computed once, afterwards.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, Key, PyTree, Shaped

from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import CompiledEnvironment, Environment
from uphill.trajectory import BLOCK, Array, EpisodeStatistics, Trajectory, narrow_on_host

Keys = Key[jax.Array, "..."]
"""One key, or one for each seed; collectors get them for every step."""

Act = Callable[[PyTree, Keys], tuple[Array, Array, Array]]
"""(observations, key) → (action as sampled, its log-probability, action for the environment)"""


class Lanes(eqx.Module):
    """`N` environments in mid-flight: what the next collection starts from."""

    env_state: Any
    observation: PyTree[Shaped[Array, "N ..."]]
    ended: Bool[Array, " N"]
    running_return: Float[Array, " N"]
    running_length: Int[Array, " N"]
    reached: dict[str, Bool[Array, " N"]]
    """by milestone of the world: whether the episode came to it"""


class _Finished(eqx.Module):
    """Sums over the episodes that ended, by environment."""

    num_episodes: Int[Array, " N"]
    return_sum: Float[Array, " N"]
    length_sum: Int[Array, " N"]
    return_max: Float[Array, " N"]
    reached: dict[str, Int[Array, " N"]]

    def plus(self, counts: Bool[Array, " N"], lanes: Lanes) -> "_Finished":
        reached = {name: n + (counts & lanes.reached[name]) for name, n in self.reached.items()}
        return _Finished(
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


def _nothing_finished(lanes: Lanes) -> _Finished:
    num_envs = lanes.ended.shape[0]
    none, zeros = jnp.zeros(num_envs, jnp.int32), jnp.zeros(num_envs, jnp.float32)
    return _Finished(none, zeros, none, zeros - jnp.inf, dict.fromkeys(lanes.reached, none))


class _Row(NamedTuple):
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


def _step(env: Environment, act: Act, lanes: Lanes, key: Keys) -> tuple[Lanes, _Row]:
    """One step of every environment: the lanes after it, and the row."""
    action, log_prob, env_action = act(lanes.observation, key)
    env_state, timestep = env.step(lanes.env_state, env_action)
    reward, terminated, truncated = timestep.reward, timestep.terminated, timestep.truncated
    mask = ~lanes.ended
    row = _Row(lanes.observation, action, log_prob, reward, terminated, truncated, mask)
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
    """The milestones that episodes have come to with this step, or came to before it."""
    if not isinstance(env, CompiledEnvironment):
        return before
    now = env.milestones(state)
    return {name: mask & (before[name] | now[name]) for name in before}


def collect_steps(
    env: Environment, act: Act, lanes: Lanes, keys: Keys
) -> tuple[Lanes, Trajectory, _Finished]:
    """A window of fixed length, one step for each of `keys`; episodes carry over."""

    def step(carry: tuple, key: Keys) -> tuple:
        lanes, finished = carry
        lanes, row = _step(env, act, lanes, key)
        return (lanes, finished.plus(lanes.ended, lanes)), row

    (lanes, finished), rows = lax.scan(step, (lanes, _nothing_finished(lanes)), keys)
    return lanes, rows.trajectory(lanes.observation), finished


def collect_episodes(
    env: Environment,
    act: Act,
    lanes: Lanes,
    keys: Keys,
    per_env: int,
) -> tuple[Lanes, Trajectory, _Finished]:
    """`per_env` whole episodes of every environment, from freshly reset lanes.

    How many is fixed before they run: keeping whichever happen to finish first would favour short
    ones. `keys` has a row for every block; blocks run until every environment has its episodes, and
    only they are filled.
    """
    num_blocks = keys.shape[0]

    def step(carry: tuple, key: Keys) -> tuple:
        lanes, finished = carry
        lanes, row = _step(env, act, lanes, key)
        wanted = finished.num_episodes < per_env
        row = row._replace(mask=row.mask & wanted)
        return (lanes, finished.plus(lanes.ended & wanted, lanes)), row

    def block(carry: tuple) -> tuple:
        i, lanes, finished, rows = carry
        (lanes, finished), new = lax.scan(step, (lanes, finished), keys[i])
        rows = jax.tree.map(
            lambda rows, new: lax.dynamic_update_slice_in_dim(rows, new, i * BLOCK, 0), rows, new
        )
        return i + 1, lanes, finished, rows

    def unfinished(carry: tuple) -> Bool[Array, ""]:
        i, _, finished, _ = carry
        return (finished.num_episodes < per_env).any() & (i < num_blocks)

    finished = _nothing_finished(lanes)
    row = jax.eval_shape(step, (lanes, finished), keys[0, 0])[1]
    empty = jax.tree.map(lambda x: jnp.zeros((num_blocks * BLOCK, *x.shape), x.dtype), row)
    filled, lanes, finished, rows = lax.while_loop(unfinished, block, (0, lanes, finished, empty))
    return lanes, rows.trajectory(lanes.observation, filled * BLOCK), finished


def num_blocks(per_env: int, max_episode_steps: int) -> int:
    """Blocks enough for `per_env` episodes of full length and the reset after each."""
    return -(-per_env * (max_episode_steps + 1) // BLOCK)


def collect_on_host(
    env: HostEnvironment,
    act: Callable[[PyTree, int], tuple[np.ndarray, np.ndarray, np.ndarray]],
    lanes: Lanes,
    num_steps: int,
    per_env: int | None = None,
) -> tuple[Lanes, Trajectory, _Finished]:
    """At most `num_steps` steps of Python environments; with `per_env`, whole episodes until every
    environment has so many. `act` gets the step's number instead of a key."""
    # Plain arrays and loops: what happens here costs every step of every Python environment.
    observation, ended = lanes.observation, np.asarray(lanes.ended)
    running_return, running_length = np.array(lanes.running_return), np.array(lanes.running_length)
    num_episodes, length_sum = np.zeros((2, env.num_envs), np.int32)
    return_sum = np.zeros(env.num_envs, np.float32)
    return_max = np.full(env.num_envs, -np.inf, np.float32)
    rows, before, after = None, [], []
    length = 0
    while length < num_steps and (per_env is None or (num_episodes < per_env).any()):
        action, log_prob, env_action = act(observation, length)
        if rows is None:
            rows = _buffer(num_steps, observation, action, log_prob)
            before, after = jax.tree.leaves(tuple(rows[:3])), rows[3:]
        # Copied before the environment steps: it may write the next one into the same array.
        for buffer, x in zip(before, jax.tree.leaves((observation, action, log_prob)), strict=True):
            buffer[length] = x
        observation, reward, terminated, truncated = env.step(env_action)
        mask = ~ended
        if per_env is not None:
            mask &= num_episodes < per_env
        for buffer, x in zip(after, (reward, terminated, truncated, mask), strict=True):
            buffer[length] = x
        running_return = np.where(ended, np.float32(0), running_return + rows.reward[length])
        running_length = np.where(ended, np.int32(0), running_length + 1)
        ended = terminated | truncated
        counts = ended & mask
        num_episodes += counts
        return_sum += running_return * counts
        np.maximum(return_max, running_return, out=return_max, where=counts)
        length_sum += running_length * counts
        length += 1
    assert rows is not None
    final = jax.tree.map(lambda x: narrow_on_host(x).copy(), observation)
    lanes = Lanes((), final, ended, running_return, running_length, {})
    if length < num_steps:
        # What the last step led to follows it here as everywhere: a truncated one needs its value.
        jax.tree.map(lambda rows, x: rows.__setitem__(length, x), rows.observation, final)
    filled = None
    if per_env is not None:
        # Blocks are computed whole, and what is beyond the last row is masked out. It must be an
        # action all the same: 0 may have no log-probability, and 0 · ∞ is no gradient.
        filled = np.full((), -(-length // BLOCK) * BLOCK, np.int32)
        for buffer in (rows.action, rows.log_prob):
            buffer[length:filled] = buffer[length - 1]
    finished = _Finished(num_episodes, return_sum, length_sum, return_max, {})
    return lanes, rows.trajectory(final, filled), finished


def _buffer(num_steps: int, observation: PyTree, action: np.ndarray, log_prob: np.ndarray) -> _Row:
    """Room for `num_steps` rows, of zeros."""

    def room(x: np.ndarray) -> np.ndarray:
        return np.zeros((num_steps, *np.shape(x)), narrow_on_host(x).dtype)

    flags = (np.zeros((num_steps, len(log_prob)), bool) for _ in range(3))
    return _Row(
        jax.tree.map(room, observation), room(action), room(log_prob), room(log_prob), *flags
    )


def statistics(finished: _Finished) -> EpisodeStatistics:
    """The sums over all environments."""
    return EpisodeStatistics(
        finished.num_episodes.sum(),
        finished.return_sum.sum(),
        finished.length_sum.sum(),
        jnp.where(finished.num_episodes.any(), finished.return_max.max(), 0.0),
        {name: n.sum() for name, n in finished.reached.items()},
    )
