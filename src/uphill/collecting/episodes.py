"""Whole episodes of a policy: the only place where training and evaluation play them.

Their number is fixed before they run: keeping whichever finish first would favour short ones.
`play` is part of a compiled program, `play_on_host` steps Python environments. The caller chooses
what is kept of each step.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, PyTree

from uphill.collecting.lanes import Act, Finished, Keys, Lanes, Row, nothing_finished, step_lanes
from uphill.envs.base import Environment
from uphill.trajectory import Array

ActOnHost = Callable[[PyTree, int], tuple[Any, Any, Any]]
"""`Act` with the step's number instead of a key."""


class Step(NamedTuple):
    """One step of every environment."""

    row: Row
    """`mask` leaves out what is beyond the quota"""
    lanes: Lanes
    number: Int[Array, " N"]
    """of the episode, among those of its environment"""
    is_cut: Bool[Array, " N"]
    """whether an episode that counts is cut off after this step"""


class Played(NamedTuple):
    """The outcome of the episodes."""

    num_blocks: Int[Array, ""]
    lanes: Lanes
    finished: Finished
    notes: Any
    rows: Any


def play(
    env: Environment,
    act: Act,
    lanes: Lanes,
    keys: Callable[[Array], Keys],
    quota: int | Int[Array, " N"],
    note: Callable[[Any, Step], tuple[Any, Any]],
    notes: Any = None,
    *,
    num_blocks: int | None = None,
    longest: int | None = None,
) -> Played:
    """Episodes of every environment, from freshly reset lanes, until each has its quota.

    `keys(i)` are those of the steps of block `i`; it is asked after every block whether all have
    their episodes. `note(notes, step)` gives the next notes, and a row to keep: there is room for
    the rows of `num_blocks` blocks, of which the first are filled. An episode without an end is cut
    off after `longest` steps; its environment goes on, and its next steps count as the next one.
    """

    def one(carry: tuple, key: Keys) -> tuple:
        lanes, finished, notes = carry
        is_wanted = finished.num_episodes < quota
        lanes, row = step_lanes(env, act, lanes, key)
        row = row._replace(mask=row.mask & is_wanted)
        ended, is_cut = lanes.ended, jnp.zeros_like(is_wanted)
        if longest is not None:
            is_cut = ~ended & (lanes.running_length >= longest)
        taken = Step(row, lanes, finished.num_episodes, is_cut & is_wanted)
        notes, kept = note(notes, taken)
        finished = finished.plus((ended | is_cut) & is_wanted, lanes)
        return (lanes if longest is None else _cut(lanes, is_cut), finished, notes), kept

    def block(carry: tuple) -> tuple:
        i, lanes, finished, notes, rows = carry
        (lanes, finished, notes), new = lax.scan(one, (lanes, finished, notes), keys(i))
        rows = jax.tree.map(
            lambda rows, new: lax.dynamic_update_slice_in_dim(rows, new, i * len(new), 0), rows, new
        )
        return i + 1, lanes, finished, notes, rows

    def is_unfinished(carry: tuple) -> Bool[Array, ""]:
        i, _, finished, *_ = carry
        some_miss = (finished.num_episodes < quota).any()
        return some_miss if num_blocks is None else some_miss & (i < num_blocks)

    finished = nothing_finished(lanes)
    start = jnp.int32(0)
    some_keys = jax.eval_shape(keys, start)
    row = jax.eval_shape(lambda *x: one(x, keys(start)[0]), lanes, finished, notes)[1]
    room = len(some_keys) * (num_blocks or 0)
    rows = jax.tree.map(lambda x: jnp.zeros((room, *x.shape), x.dtype), row)
    return Played(*lax.while_loop(is_unfinished, block, (start, lanes, finished, notes, rows)))


def _cut(lanes: Lanes, is_cut: Bool[Array, " N"]) -> Lanes:
    """Lanes in which a new episode starts to count after one was cut off."""
    return replace(
        lanes,
        running_return=jnp.where(is_cut, 0.0, lanes.running_return),
        running_length=jnp.where(is_cut, 0, lanes.running_length),
    )


@runtime_checkable
class Steppable(Protocol):
    """What `play_on_host` asks of Python environments."""

    @property
    def num_envs(self) -> int: ...

    def step(self, action: Any) -> tuple[PyTree, np.ndarray, np.ndarray, np.ndarray]:
        """Observation, reward, terminated, truncated."""
        ...


class HostStep(NamedTuple):
    """One step of every environment; the next may write into its observation."""

    observation: PyTree
    """what the step led to"""
    action: Any
    log_prob: Any
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    mask: np.ndarray
    number: np.ndarray
    ended: np.ndarray
    is_cut: np.ndarray
    running_return: Float[np.ndarray, " N"]
    running_length: Int[np.ndarray, " N"]


def play_on_host(
    env: Steppable,
    act: ActOnHost,
    lanes: Lanes,
    quota: float | Int[np.ndarray, " N"],
    longest: int | None = None,
    dtype: type[np.floating] = np.float32,
) -> Iterator[HostStep]:
    """The same in Python environments, step by step; returns are sums of numbers of type `dtype`.

    Nothing is stepped until the next step is asked for.
    """
    # Plain arrays and loops: what happens here costs every step of every Python environment.
    observation, ended = lanes.observation, np.asarray(lanes.ended)
    running_return = np.asarray(lanes.running_return, dtype)
    running_length = np.asarray(lanes.running_length)
    number, is_cut, zero, t = np.zeros(env.num_envs, np.int32), np.bool_(False), dtype(0), 0
    while (is_wanted := number < quota).any():
        action, log_prob, env_action = act(observation, t)
        observation, reward, terminated, truncated = env.step(env_action)
        mask = ~ended & is_wanted
        running_return = np.where(ended, zero, running_return + reward.astype(dtype))
        running_length = np.where(ended, np.int32(0), running_length + 1)
        ended = terminated | truncated
        if longest is not None:
            is_cut = ~ended & (running_length >= longest)
        yield HostStep(
            observation,
            action,
            log_prob,
            reward,
            terminated,
            truncated,
            mask,
            number,
            ended,
            is_cut & mask,
            running_return,
            running_length,
        )
        number = number + ((ended | is_cut) & mask)
        if is_cut.any():
            running_return = np.where(is_cut, zero, running_return)
            running_length = np.where(is_cut, np.int32(0), running_length)
        t += 1
