"""Learners and trajectories small enough to check by hand, and what plain loops make of them."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from uphill.learning.advantages import make_batch
from uphill.learning.learner import Learner, make_learner
from uphill.learning.update import learned
from uphill.parts import Algorithm, Episodes, Steps
from uphill.parts.part import Setup
from uphill.policies.actions import Choice
from uphill.policies.encodings import Numbers
from uphill.policies.policy import NetworkSettings, PolicySettings, make_policy
from uphill.trajectory import BLOCK, Trajectory

ENCODING, ACTIONS = Numbers((3,)), Choice(2, 0, "int64")
SMALL = PolicySettings(hidden=(8,))
LINEAR, LINEAR_POLICY = NetworkSettings(hidden=()), PolicySettings(hidden=())
WINDOW, QUOTA = Steps(4, 12), Episodes(3, per_env=2)


SETUP = Setup(
    ENCODING, ACTIONS, 4, make_policy(LINEAR_POLICY, ENCODING, ACTIONS, np.random.default_rng(0))
)


def learner_of(algorithm: Algorithm, actions: Any = ACTIONS) -> Learner:
    return jax.tree.map(jnp.asarray, make_learner(algorithm, ENCODING, actions, 0))


def trajectory_of(
    learner: Learner,
    num_steps: int = 12,
    num_envs: int = 4,
    seed: int = 0,
    length: Any = None,
    uniform: float | None = None,
) -> Trajectory:
    """Random observations and rewards, the learner's own actions, episodes of a few steps."""
    generator = np.random.default_rng(seed)
    observation = generator.normal(size=(num_steps, num_envs, 3)).astype(np.float32)
    action, log_prob, _ = learner.actor.act(observation, jax.random.key(seed), uniform)
    terminated = generator.random((num_steps, num_envs)) < 0.15
    truncated = (generator.random((num_steps, num_envs)) < 0.1) & ~terminated
    before = np.roll(terminated | truncated, 1, axis=0)
    before[0] = False
    made = Trajectory(
        observation,
        generator.normal(size=(num_envs, 3)).astype(np.float32),
        action,
        log_prob,
        np.where(before, 0, generator.normal(size=(num_steps, num_envs))).astype(np.float32),
        terminated & ~before,
        truncated & ~before,
        ~before,
        length,
    )
    return jax.tree.map(jnp.asarray, made)


# Of three environments, the lengths of two episodes each. Every one but the first environment's
# second, which the time limit cuts in the very last row of the block, terminates.
LENGTHS = ((12, 19), (3, 7), (1, 15))


def episodes_of(learner: Learner, seed: int = 0) -> Trajectory:
    """Two whole episodes of each of three environments in one block, and another block that was
    never filled. What is masked out holds garbage."""
    whole = trajectory_of(learner, 2 * BLOCK, 3, seed)
    mask = np.zeros((2 * BLOCK, 3), bool)
    terminated, truncated = np.ones((2, *mask.shape), bool)
    for n, lengths in enumerate(LENGTHS):
        start = 0
        for length in lengths:
            end = start + length
            mask[start:end, n] = True
            terminated[start:end, n] = truncated[start:end, n] = False
            terminated[end - 1, n] = end != BLOCK
            truncated[end - 1, n] = end == BLOCK
            start = end + 1  # the reset
    reward = np.where(mask, whole.reward, 1e6).astype(np.float32)
    flags = (jnp.asarray(x) for x in (reward, terminated, truncated, mask))
    observation = jnp.where(np.arange(2 * BLOCK)[:, None, None] < BLOCK, whole.observation, 7.0)
    fixed = (observation, whole.final_observation, whole.action, whole.log_prob)
    return Trajectory(*fixed, *flags, length=jnp.int32(BLOCK))


def served(algorithm: Algorithm, learner: Learner, *trajectories: Trajectory) -> Learner:
    """The learner after these trajectories have served, one after the other: parts have learned,
    scales have seen; the policy has not moved."""
    for trajectory in trajectories:
        batch, _ = make_batch(algorithm, learner, trajectory)
        parts = learned(algorithm, learner, learner, trajectory, batch, jax.random.key(0))
        scales = learner.scales.seen(trajectory, algorithm.estimator.gamma)
        counters = learner.num_updates, learner.num_transitions, learner.num_wraps
        learner = Learner(learner.actor, parts, scales, *counters)
    return learner


def flat(x: Any) -> np.ndarray:
    """Rows of time and environments as the samples of a batch."""
    return np.asarray(x).reshape(-1, *np.shape(x)[2:])


def pieces(trajectory: Trajectory) -> Iterator[tuple[int, np.ndarray]]:
    """Each environment's stretches of transitions without an episode's end between them."""
    mask, ended = np.asarray(trajectory.mask), np.asarray(trajectory.ended)
    for n in range(mask.shape[1]):
        rows: list[int] = []
        for t in range(mask.shape[0]):
            if mask[t, n]:
                rows.append(t)
            if rows and (not mask[t, n] or ended[t, n] or t == mask.shape[0] - 1):
                yield n, np.array(rows)
                rows = []


def values_after(trajectory: Trajectory, value: np.ndarray, final: np.ndarray) -> np.ndarray:
    """V of the observation that each step led to."""
    after = np.concatenate([value[1:], final[None]])
    if trajectory.length is not None:
        after[int(trajectory.length) - 1] = final
    return after


def n_step(
    trajectory: Trajectory, after: np.ndarray, rows: np.ndarray, n: int, gamma: float, count: int
) -> float:
    """`count` rewards from the first of `rows` on, then V, unless the episode terminated."""
    used = rows[:count]
    reward, last = np.asarray(trajectory.reward)[used, n], used[-1]
    rest = 0.0 if trajectory.terminated[last, n] else after[last, n]
    return sum(gamma**k * r for k, r in enumerate(reward)) + gamma ** len(used) * rest


def by_pieces(trajectory: Trajectory, of: Any) -> np.ndarray:
    """`of(n, rows, k)` for the k-th row of every piece; 0 where nothing is valid."""
    found = np.zeros(trajectory.mask.shape)
    for n, rows in pieces(trajectory):
        for k, t in enumerate(rows):
            found[t, n] = of(n, rows, k)
    return found
