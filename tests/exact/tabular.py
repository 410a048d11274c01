"""Tiny decision processes, all of their histories, and exact gradients.

E[g] = Σ_h P(h) g(h) runs over every history h that a collector could return, and g is what the
library's own `make_batch` and `mean_gradient` compute from it. The oracle knows nothing of
histories: it differentiates J, which dynamic programming gives.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jax.flatten_util import ravel_pytree

from uphill.batch import Batch
from uphill.learning.advantages import make_batch
from uphill.learning.learner import Learner, joint_model, make_learner, networks_of
from uphill.learning.objective import distribution_of, mean_gradient, with_scaled_advantages
from uphill.parts import Algorithm, RunningMean
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.policy import Policy, PolicySettings
from uphill.trajectory import BLOCK, Trajectory

TABULAR = PolicySettings(hidden=())
"""A linear network on one-hot observations: a table of logits."""


@dataclass(frozen=True)
class Process:
    """`start[s]`, `transition[s, a, s']` and `reward[s, a, s']`; the last s' is termination."""

    start: np.ndarray
    transition: np.ndarray
    reward: np.ndarray
    limit: int
    """steps after which an episode is truncated"""

    @property
    def num_states(self) -> int:
        return len(self.start)

    @property
    def num_actions(self) -> int:
        return self.transition.shape[1]


def random_process(seed: int, limit: int, ends: bool, num_states: int = 2) -> Process:
    """A process with two actions; if it `ends`, how soon depends on states and actions."""
    rng = np.random.default_rng(seed)
    transition = rng.dirichlet(np.ones(num_states), size=(num_states, 2))
    stop = rng.uniform(0.1, 0.8, size=(num_states, 2, 1)) if ends else np.zeros((num_states, 2, 1))
    return Process(
        rng.dirichlet(np.ones(num_states)),
        np.concatenate([(1 - stop) * transition, stop], -1),
        rng.normal(1.0, 1.0, size=(num_states, 2, num_states + 1)),
        limit,
    )


# --- histories ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Histories:
    """Every history `h` of `N` environments, `T` rows each, with its probability."""

    probability: np.ndarray  # [H]
    rows: dict[str, np.ndarray]  # [H, T, N]
    final_observation: np.ndarray  # [H, N]


RUBBISH = {"reward": 1e3, "terminated": False, "truncated": False, "mask": False, "action": 1}


def histories(
    process: Process, policy: np.ndarray, num_rows: int, per_env: int | None, num_envs: int = 1
) -> Histories:
    """All that `num_envs` environments may do in `num_rows` steps from reset: until each has
    finished `per_env` episodes, and then rubbish that is masked out; or, with None, all along."""
    singles = list(_runs(process, policy, num_rows, per_env))
    pick = np.indices((len(singles),) * num_envs).reshape(num_envs, -1).T
    names = ("observation", *RUBBISH)
    table = {
        name: np.array([[row[name] for row in rows] for _, rows, _ in singles]) for name in names
    }
    final = np.array([last for _, _, last in singles])
    probability = np.array([p for p, _, _ in singles])
    rows = {name: np.moveaxis(x[pick], 1, 2) for name, x in table.items()}
    return Histories(probability[pick].prod(1), rows, final[pick])


def _runs(
    process: Process, policy: np.ndarray, num_rows: int, per_env: int | None
) -> Iterator[tuple[float, list[dict], int]]:
    """(probability, rows, final observation) of one environment, with next-step autoreset."""

    def extend(p: float, rows: list[dict], s: int, time: int | None, done: int) -> Iterator[tuple]:
        # `time` is that of the episode; None where the next row resets.
        if len(rows) == num_rows or done == per_env:
            filler = [{"observation": s} | RUBBISH] * (num_rows - len(rows))
            yield p, rows + filler, s
        elif time is None:
            reset = {"observation": s} | RUBBISH | {"reward": 0.0}
            for first, q in enumerate(process.start):
                yield from extend(p * q, [*rows, reset], first, 0, done)
        else:
            for row, q, after in _steps(process, policy, s, time):
                ended = row["terminated"] or row["truncated"]
                rest = (after, None if ended else time + 1, done + ended)
                yield from extend(p * q, [*rows, row], *rest)

    for first, q in enumerate(process.start):
        yield from extend(q, [], first, 0, 0)


def _steps(process: Process, policy: np.ndarray, s: int, time: int) -> Iterator[tuple]:
    for a in range(process.num_actions):
        for after, chance in enumerate(process.transition[s, a]):
            if chance == 0:
                continue
            terminated = after == process.num_states
            row = {
                "observation": s,
                "action": a,
                "reward": process.reward[s, a, after],
                "terminated": terminated,
                "truncated": time + 1 == process.limit,
                "mask": True,
            }
            yield row, policy[s, a] * chance, s if terminated else after


# --- gradients ----------------------------------------------------------------------------------


def tabular_learner(algorithm: Algorithm, process: Process, seed: int = 0) -> Learner:
    """A learner in float64 whose tables are random: those of the critics, too, and whatever mean
    it remembers. Of a baseline none of that may matter."""
    encoding = encoding_of(spaces.Discrete(process.num_states))
    action_kind = action_kind_of(spaces.Discrete(process.num_actions))
    learner = make_learner(algorithm, encoding, action_kind, seed)
    rng = np.random.default_rng(seed)

    def tables(x: Learner) -> list:
        policy, *critics = networks_of(algorithm, x)
        mean = x.parts.baseline if isinstance(algorithm.baseline, RunningMean) else None
        return [table for table in (policy, *critics, mean) if table is not None]

    random = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), tables(learner))
    return eqx.tree_at(tables, learner, random)


@jax.jit
def probabilities(policy: Policy, uniform: float = 0.0) -> jax.Array:
    """π[s, a], from the tables and without the library's code."""

    def affine(layer: eqx.nn.Linear, x: jax.Array) -> jax.Array:
        product = x @ layer.weight.T
        return product + jnp.broadcast_to(layer.bias, product.shape)

    first = [*policy.trunk.layers, policy.head][0]
    hidden = jnp.eye(first.weight.shape[1])
    for layer in policy.trunk.layers:
        hidden = jnp.tanh(affine(layer, hidden))
    pi = jax.nn.softmax(affine(policy.head, hidden))
    return (1 - uniform) * pi + uniform / pi.shape[-1]


@partial(jax.jit, static_argnames="limit")
def _gradient(
    policy: Policy, process: tuple, gamma: float, uniform: float, limit: int
) -> jax.Array:
    start, transition, reward = process

    def performance(policy: Policy) -> jax.Array:
        pi, value = probabilities(policy, uniform), jnp.zeros(reward.shape[-1])
        for _ in range(limit):
            following = reward + gamma * jnp.broadcast_to(value, reward.shape)
            q = (transition * following).sum(-1)
            value = jnp.append((pi * q).sum(-1), 0.0)
        return (start * value[:-1]).sum()

    return ravel_pytree(jax.grad(performance)(policy))[0]


def exact_gradient(
    process: Process, learner: Learner, gamma: float = 1.0, uniform: float = 0.0
) -> np.ndarray:
    """∇J_γ with respect to the policy's tables, by dynamic programming and autodiff."""
    arrays = (process.start, process.transition, process.reward)
    return np.asarray(_gradient(learner.actor.policy, arrays, gamma, uniform, process.limit))


Change = Callable[[Batch], Batch]


def unchanged(batch: Batch) -> Batch:
    return batch


def gradients(
    algorithm: Algorithm, learner: Learner, all_of: Histories, change: Change = unchanged
) -> np.ndarray:
    """g(h) for every history: the direction in which the library would move the policy's tables.

    `change` may tamper with the batch, for controls.
    """
    rows, final = all_of.rows, all_of.final_observation
    missing = _round_up(len(final)) - len(final)

    def padded(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x, np.repeat(x[:1], missing, 0)])

    rows = {name: padded(x) for name, x in rows.items()}
    found = _gradients(algorithm, learner, rows, padded(final), change)
    return np.asarray(found)[: len(final)]


def _round_up(size: int) -> int:
    """To 256, 4096, …: processes of similar size share a compiled program."""
    return max(256, 16 ** math.ceil(math.log(size, 16)))


@partial(jax.jit, static_argnames="change")
def _gradients(
    algorithm: Algorithm,
    learner: Learner,
    rows: dict[str, jax.Array],
    final: jax.Array,
    change: Change,
) -> jax.Array:
    num_rows = rows["mask"].shape[1]
    length = jnp.int32(num_rows) if num_rows % BLOCK == 0 else None
    evaluated = algorithm.at(0.0)

    def one(rows: dict[str, jax.Array], final: jax.Array) -> jax.Array:
        features = learner.actor.features(rows["observation"])
        distribution = distribution_of(evaluated, learner.actor.policy, features)
        log_prob = distribution.log_prob(rows["action"])
        trajectory = Trajectory(**rows, final_observation=final, log_prob=log_prob, length=length)
        batch = change(make_batch(evaluated, learner, trajectory)[0])
        batch, model = with_scaled_advantages(evaluated, batch), joint_model(evaluated, learner)
        loss_gradient, _ = mean_gradient(evaluated, model, batch, learner.actor.policy)
        return -ravel_pytree(loss_gradient[0])[0]

    return jax.vmap(one)(rows, final)


def expectation(all_of: Histories, x: np.ndarray) -> np.ndarray:
    """Σ_h P(h) x(h)."""
    np.testing.assert_allclose(all_of.probability.sum(), 1.0, atol=1e-12)
    return all_of.probability @ x


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
