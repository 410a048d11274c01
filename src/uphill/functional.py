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
from jax.core import Tracer

from uphill.collecting.lanes import Keys, Lanes
from uphill.envs.base import World
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import looks_like_world
from uphill.envs.worlds import WORLDS, make_world
from uphill.errors import UphillError
from uphill.learning.learner import Learner, make_learner
from uphill.parts import Algorithm
from uphill.policies.actions import ActionKind
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.training.checks import check_algorithm
from uphill.training.seeds import seed_keys
from uphill.training.spaces import action_kind_for, encoding_for
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
        UphillError: if there is no such world or seed, or the algorithm does not fit its spaces.
    """
    env = _environment(world, algorithm)
    if not (isinstance(seed, int | np.integer) and 0 <= seed < 2**32):
        raise UphillError(f"seed is {seed!r}: use a number from 0 to {2**32 - 1}.")
    encoding, kind = _spaces(env, algorithm)
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
        UphillError: if the algorithm has a schedule and `num_steps` is None, or an argument is
            something else.
    """
    env = _environment(world, algorithm)
    if num_steps is None:
        _check_constant(algorithm)
    if not isinstance(state, State):
        raise UphillError(f"state is {type(state).__name__!r}: give what start or step returned.")
    actor = state.learner.actor
    if (actor.encoding, actor.policy.action_kind) != _spaces(env, algorithm):
        raise UphillError("state is that of another world: give one that was started with this.")
    has_lanes = not algorithm.sampling.has_whole_episodes
    if (state.lanes is not None) != has_lanes or (has_lanes and _num_envs(state) != env.num_envs):
        raise UphillError(
            "state is that of another sampling: give one that was started with this algorithm."
        )
    _check_num_steps(num_steps)
    learner, lanes, _, metrics = collect_and_learn(
        env, algorithm, 1 if num_steps is None else num_steps, state.learner, state.lanes, state.key
    )
    return State(learner, lanes, state.key), metrics


def stack(states: Sequence[State]) -> State:
    """Several states as one, with a leading axis, for `jax.vmap` or `jax.lax.map`.

    Raises:
        UphillError: if there is none, or they are of algorithms or worlds of different kinds.
    """
    if len({jax.tree.structure(state) for state in states}) != 1:
        raise UphillError(
            "states is empty, or its states have different structures: give some of one world, "
            "whose algorithms differ only in floats."
        )

    def one(*leaves: Any) -> Array:
        return jnp.stack(leaves) if isinstance(leaves[0], jax.Array) else np.stack(leaves)

    return jax.tree.map(one, *states)


def _environment(world: World | str, algorithm: Algorithm) -> CompiledEnvironment:
    check_algorithm(algorithm)
    if isinstance(world, str) and world not in WORLDS:
        raise UphillError(
            f"world is {world!r}, and only compiled worlds are pure functions: use one of "
            f"{', '.join(WORLDS)}, a custom world, or a Trainer."
        )
    if not isinstance(world, str) and not looks_like_world(world):
        raise UphillError(f"world is {world!r}: give a compiled world, or its name.")
    return CompiledEnvironment(make_world(world, {}), algorithm.sampling.num_envs)


def _spaces(env: CompiledEnvironment, algorithm: Algorithm) -> tuple[Encoding, ActionKind]:
    return encoding_for(env, algorithm, (), None), action_kind_for(env, algorithm)


def _num_envs(state: State) -> int:
    assert state.lanes is not None
    return jax.tree.leaves(state.lanes.observation)[0].shape[0]


def _check_num_steps(num_steps: Any) -> None:
    """Raises:
    UphillError: unless it is None, a whole number of at least 1, or a traced one.
    """
    if num_steps is None or isinstance(num_steps, Tracer):
        return
    is_number = not isinstance(num_steps, bool | str) and np.ndim(num_steps) == 0
    if not is_number or not np.isfinite(num_steps) or float(num_steps) < 1:
        raise UphillError(f"num_steps is {num_steps!r}: use a number of at least 1.")


def _check_constant(algorithm: Algorithm) -> None:
    if algorithm.varying:
        raise UphillError(
            f"num_steps is None, and {listed(algorithm.varying)} of the algorithm changes during "
            "training: give step the transitions of the whole training."
        )
