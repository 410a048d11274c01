"""The processes that the tests enumerate, and the plain algorithm that they vary."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from tabular import (
    TABULAR,
    Change,
    Histories,
    Process,
    exact_gradient,
    expectation,
    gradients,
    histories,
    probabilities,
    random_process,
    tabular_learner,
    unchanged,
)

from uphill.learning.learner import Learner
from uphill.parts import Algorithm, Episodes, NoBaseline, RewardToGo
from uphill.parts.algorithms import reinforce
from uphill.policies.policy import NetworkSettings
from uphill.trajectory import BLOCK

EXACT = 1e-10
FIXED = random_process(seed=0, limit=3, ends=False)
RANDOM = random_process(seed=1, limit=3, ends=True)
LINEAR = NetworkSettings(hidden=())
"""A table, as a network."""

# Designed, so that what some algorithms leave out shows as another direction. State 0 comes first,
# state 1 second, and the choices in both are worth the same.
CHAIN = Process(
    start=np.array([1.0, 0.0]),
    transition=np.array([[[0.0, 1.0, 0.0]] * 2, [[0.0, 0.0, 1.0]] * 2]),
    reward=np.array([[[1.0] * 3, [-1.0] * 3]] * 2),
    limit=3,
)
# One step; a choice in state 1 is worth a hundred times that in state 0.
TWO_SCALES = Process(
    start=np.array([0.5, 0.5]),
    transition=np.array([[[0.0, 0.0, 1.0]] * 2] * 2),
    reward=np.array([[[0.1] * 3, [-0.1] * 3], [[10.0] * 3, [-10.0] * 3]]),
    limit=1,
)
# Action 0 goes on to two rewards in state 1; action 1 takes a smaller one, and mostly ends it.
PATIENCE = Process(
    start=np.array([1.0, 0.0]),
    transition=np.array([[[0.0, 1.0, 0.0], [0.0, 0.2, 0.8]], [[0.0, 1.0, 0.0]] * 2]),
    reward=np.array([[[0.0] * 3, [0.5] * 3], [[1.0] * 3] * 2]),
    limit=3,
)


def bandit(seed: int) -> Process:
    """Episodes of a single step, so that all returns of a batch are independent."""
    return random_process(seed, limit=1, ends=False)


def layered(process: Process) -> Process:
    """The same process with time in its state, so that a table can hold the true value function;
    the time limit becomes a termination."""
    size, limit = process.num_states, process.limit
    start = np.append(process.start, np.zeros(size * (limit - 1)))
    transition = np.zeros((size * limit, 2, size * limit + 1))
    reward = np.zeros_like(transition)
    for t in range(limit):
        now = slice(t * size, (t + 1) * size)
        then = slice((t + 1) * size, (t + 2) * size)
        if t + 1 < limit:
            transition[now, :, then] = process.transition[..., :-1]
            reward[now, :, then] = process.reward[..., :-1]
            transition[now, :, -1] = process.transition[..., -1]
            reward[now, :, -1] = process.reward[..., -1]
        else:
            transition[now, :, -1] = 1.0
            reward[now, :, -1] = (process.transition * process.reward).sum(-1)
    return Process(start, transition, reward, limit + 1)


def true_values(process: Process, learner: Learner) -> tuple[np.ndarray, np.ndarray]:
    """Q[s, a] and V[s] of the learner's policy, undiscounted."""
    pi, value = np.asarray(probabilities(learner.actor.policy)), np.zeros(process.num_states)
    for _ in range(process.limit):
        value = (pi * backup(process, value)).sum(-1)
    return backup(process, value), value


def backup(process: Process, value: np.ndarray, gamma: float = 1.0) -> np.ndarray:
    """q[s, a]: a step's reward, and then `value[s]`."""
    return (process.transition * (process.reward + gamma * np.append(value, 0.0))).sum(-1)


def with_values(learner: Learner, value: np.ndarray) -> Learner:
    """The learner whose V is the table `value[s]`."""
    head = learner.parts.baseline.critic.head
    return eqx.tree_at(
        lambda x: x.parts.baseline.critic.head, learner, _table(head, value[:, None])
    )


def with_action_values(learner: Learner, q: np.ndarray) -> Learner:
    """The learner whose Q is the table `q[s, a]`."""
    head = learner.parts.estimator.critic.network.head
    return eqx.tree_at(lambda x: x.parts.estimator.critic.network.head, learner, _table(head, q))


def _table(head: eqx.nn.Linear, table: np.ndarray) -> eqx.nn.Linear:
    entries = jnp.asarray(table.T), jnp.zeros(table.shape[1])
    return eqx.tree_at(lambda x: (x.weight, x.bias), head, entries)


def plain(num_envs: int = 1, per_env: int = 1, **changes: Any) -> Algorithm:
    """REINFORCE without a baseline, undiscounted, its sum divided by the number of episodes."""
    parts = {
        "sampling": Episodes(num_envs=num_envs, per_env=per_env),
        "estimator": RewardToGo(gamma=1.0),
        "baseline": NoBaseline(),
        "policy": TABULAR,
    }
    return reinforce(**parts | changes)


def setting(algorithm: Algorithm, process: Process) -> tuple[Learner, Histories]:
    """A learner, and every history of the algorithm's own sampling."""
    learner = tabular_learner(algorithm, process)
    sampling = algorithm.sampling
    is_episodic = isinstance(sampling, Episodes)
    num_rows = BLOCK if is_episodic else sampling.num_steps
    per_env = sampling.per_env if is_episodic else None
    pi = np.asarray(probabilities(learner.actor.policy, uniform_of(algorithm)))
    return learner, histories(process, pi, num_rows, per_env, sampling.num_envs)


def uniform_of(algorithm: Algorithm) -> float:
    mixture = algorithm.uniform_mixture
    return 0.0 if mixture is None else float(mixture.value)


def mean_gradient(
    algorithm: Algorithm, process: Process, change: Change = unchanged, gamma: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """(E[g], ∇J_γ)"""
    learner, all_of = setting(algorithm, process)
    found = expectation(all_of, gradients(algorithm, learner, all_of, change))
    return found, exact_gradient(process, learner, gamma, uniform_of(algorithm))
