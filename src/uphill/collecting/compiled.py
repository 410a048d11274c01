"""Collecting inside a compiled program: windows of fixed length, and whole episodes."""

import jax
import jax.numpy as jnp
from jax import lax

from uphill.collecting.episodes import play
from uphill.collecting.lanes import Act, Finished, Keys, Lanes, nothing_finished, step_lanes
from uphill.envs.base import Environment
from uphill.parts.sampling import Sampling
from uphill.trajectory import BLOCK, Trajectory


def collect(
    env: Environment, act: Act, sampling: Sampling, lanes: Lanes, key: Keys
) -> tuple[Lanes, Trajectory, Finished]:
    """A trajectory by an algorithm's sampling. `key` may have an axis for the seeds."""
    rows = sampling.num_rows(env.max_episode_steps)
    if sampling.quota is None:
        return collect_steps(env, act, lanes, split_keys(key, (rows,)))
    keys = split_keys(key, (rows // BLOCK, BLOCK))
    return collect_episodes(env, act, lanes, keys, sampling.quota)


def collect_steps(
    env: Environment, act: Act, lanes: Lanes, keys: Keys
) -> tuple[Lanes, Trajectory, Finished]:
    """A window of fixed length, one step for each of `keys`; episodes carry over."""

    def one(carry: tuple, key: Keys) -> tuple:
        lanes, finished = carry
        lanes, row = step_lanes(env, act, lanes, key)
        return (lanes, finished.plus(lanes.ended, lanes)), row

    (lanes, finished), rows = lax.scan(one, (lanes, nothing_finished(lanes)), keys)
    return lanes, rows.trajectory(lanes.observation), finished


def collect_episodes(
    env: Environment, act: Act, lanes: Lanes, keys: Keys, per_env: int
) -> tuple[Lanes, Trajectory, Finished]:
    """`per_env` whole episodes of every environment, from freshly reset lanes.

    `keys` has a row for every block; blocks run until every environment has its episodes, and only
    they are filled.
    """
    played = play(
        env,
        act,
        lanes,
        lambda i: keys[i],
        per_env,
        lambda notes, step: (notes, step.row),
        num_blocks=keys.shape[0],
    )
    trajectory = played.rows.trajectory(played.lanes.observation, played.num_blocks * BLOCK)
    return played.lanes, trajectory, played.finished


def split_keys(key: Keys, shape: tuple[int, ...]) -> Keys:
    """Keys for every step: `shape`, then the axis for the seeds if `key` has one."""
    if key.ndim == 0:
        return jax.random.split(key, shape)
    return jnp.moveaxis(jax.vmap(lambda k: jax.random.split(k, shape))(key), 0, -1)
