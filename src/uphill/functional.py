"""Training as pure functions, for `jax.jit`, `jax.vmap` and `jax.lax.scan`.

>>> import jax, jax.numpy as jnp
>>> import uphill
>>> from uphill.functional import stack, start, step
>>> from uphill.parts import Adam, Steps
>>> def algorithm(learning_rate):
...     return uphill.ppo(sampling=Steps(4, 16), optimizer=Adam(learning_rate))
>>> states = stack([start("CartPole-v1", algorithm(0.0), seed) for seed in range(3)])
>>> @jax.jit
... @jax.vmap
... def train(learning_rate, state):
...     one = lambda state, _: step("CartPole-v1", algorithm(learning_rate), state)
...     return jax.lax.scan(one, state, length=2)
>>> states, metrics = train(jnp.array([1e-4, 3e-4, 1e-3]), states)
>>> metrics["return_sum"].shape, states.learner.num_updates.tolist()
((3, 2), [2, 2, 2])

In a compiled world, a trainer repeats the same function, so it learns the same up to rounding.
Create states outside `vmap`: initial weights come from NumPy.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from uphill.collecting.lanes import Keys, Lanes
from uphill.envs.base import World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.worlds import WORLDS, make_world
from uphill.errors import UphillError
from uphill.learning.learner import Learner, make_learner
from uphill.parts import Algorithm
from uphill.policies.actions import action_kind_of
from uphill.policies.encodings import encoding_of
from uphill.policies.own_network import NetworkFactory
from uphill.training.seeds import seed_keys
from uphill.training.step import collect_and_learn, first_lanes
from uphill.trajectory import Array
from uphill.words import listed


class State(eqx.Module):
    """Everything that the rest of the training depends on."""

    learner: Learner
    lanes: Lanes | None
    """the environments; None where every update starts its own"""
    key: Keys


def start(
    world: World | str, algorithm: Algorithm, seed: int = 0, network: NetworkFactory | None = None
) -> State:
    """The state before the first update. `world` is a compiled world, or its name.

    Raises:
        UphillError: if there is no such world, or the algorithm does not fit its spaces.
    """
    env = _environment(world, algorithm)
    policy = algorithm.policy
    kind = action_kind_of(env.action_space, policy.distribution, policy.action_bounds)
    encoding = encoding_of(env.observation_space, algorithm.observation_categories)
    learner = make_learner(algorithm, encoding, kind, seed, network)
    key = seed_keys((seed,))[0]
    return State(learner, first_lanes(env, algorithm.sampling, key), key)


def step(
    world: World | str,
    algorithm: Algorithm,
    state: State,
    num_steps: Array | int | None = None,
) -> tuple[State, dict[str, Array]]:
    """The state after one update, and the update's metrics.

    Any float of the algorithm may be traced. `num_steps` are the transitions of the whole training
    run, over which schedules run. Metrics are those of a logging point, but as sums: `return_sum`
    and `length_sum` over the `num_episodes` that ended, `num_transitions`; and `bad_reward`,
    `bad_observation` (the first step with a number that is not finite, or −1) and `bad_learner`:
    nothing stops here, so keep the previous state if one of them, or `gradient/norm`, says so.

    Raises:
        UphillError: if the algorithm has a schedule, and `num_steps` is None.
    """
    if num_steps is None:
        _check_constant(algorithm)
    env = _environment(world, algorithm)
    learner, lanes, _, metrics = collect_and_learn(
        env, algorithm, 1 if num_steps is None else num_steps, state.learner, state.lanes, state.key
    )
    return State(learner, lanes, state.key), metrics


def stack(states: Sequence[State]) -> State:
    """Several states as one, with a leading axis, for `jax.vmap` or `jax.lax.map`."""

    def one(*leaves: Any) -> Array:
        return jnp.stack(leaves) if isinstance(leaves[0], jax.Array) else np.stack(leaves)

    return jax.tree.map(one, *states)


def _environment(world: World | str, algorithm: Algorithm) -> CompiledEnvironment:
    if isinstance(world, str) and world not in WORLDS:
        raise UphillError(
            f"world is {world!r}, and only compiled worlds are pure functions: use one of "
            f"{', '.join(WORLDS)}, a custom world, or a Trainer."
        )
    return CompiledEnvironment(make_world(world, {}), algorithm.sampling.num_envs)


def _check_constant(algorithm: Algorithm) -> None:
    if algorithm.varying:
        raise UphillError(
            f"num_steps is None, and {listed(algorithm.varying)} of the algorithm changes during "
            "training: give step the transitions of the whole training."
        )
