"""Evaluation: so many whole episodes of the final policy, fixed before they run.

Each environment has a quota: taking whichever episodes end first would favour short ones. Half of
the environments take the distribution's mode, the other half samples; one program runs both.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree

from uphill.envs.base import CompiledEnvironment
from uphill.envs.gymnasium_backend import HostEnvironment
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.errors import UphillError
from uphill.learning.learner import Actor, take
from uphill.learning.seeds import over_seeds, seed_keys
from uphill.runs.statistics import summarize
from uphill.trajectory import Array

LONGEST = 100_000
"""Steps after which an episode of an environment without a time limit is cut off."""
_MOST_ENVS = {"compiled": 256, "envpool": 100, "gymnasium": 10}
_EVALUATION_SEED = 2**31 - 1  # far from the seeds people train with

Returns = Float[np.ndarray, "2 S episodes"]


class Evaluator:
    """Environments for so many episodes of each seed; what is compiled serves every evaluation."""

    def __init__(self, choice: EnvironmentChoice, num_seeds: int, episodes: int) -> None:
        half = min(episodes, _MOST_ENVS[choice.backend])
        self.name, self.num_seeds = choice.name, num_seeds
        self._deterministic = np.arange(2 * half) < half
        quota = np.tile(np.diff(np.linspace(0, episodes, half + 1).astype(int)), 2)
        self._quota = quota.astype(np.int32)
        self._env, _ = make_env(choice, 2 * half, (_EVALUATION_SEED,))
        seeds = range(_EVALUATION_SEED, _EVALUATION_SEED + num_seeds)
        self._keys = seed_keys(tuple(seeds))
        self._run: Callable[[tuple, Actor, Array], Array] | None = None
        self.compile_seconds = 0.0

    def compile(self, actors: Actor) -> None:
        """Compile for actors of these shapes, which `returns` does at its first call otherwise.

        For a compiled world all is one program. Others compile what they call when they call it.
        """
        actors = jax.device_get(actors)  # on no particular device: any others will fit then
        started = time.perf_counter()
        env = self._env
        limit = int(self._quota.max()) * ((env.max_episode_steps or LONGEST) + 1)
        if not isinstance(env, CompiledEnvironment):
            self._run = self._seed_by_seed(limit)
            return

        def run(shared: tuple, actor: Actor, key: PRNGKeyArray) -> Array:
            return _episodes(env, actor, key, *shared, limit=limit)

        program = jax.jit(over_seeds(run, self.num_seeds))
        self._run = program.lower(self._shared, actors, self._keys).compile()
        self.compile_seconds += time.perf_counter() - started

    def returns(self, actors: Actor) -> Returns:
        """Undiscounted returns of whole episodes: deterministic ones, then stochastic ones.

        Raises:
            UphillError: if the environment returned a reward that is not finite.
        """
        actors = jax.device_get(actors)
        if self._run is None:
            self.compile(actors)
        assert self._run is not None
        grid = np.asarray(self._run(self._shared, actors, self._keys))
        valid = np.arange(grid.shape[-1]) < self._quota[:, None]
        if not np.isfinite(grid[:, valid]).all():
            raise UphillError(
                f"{self.name} returned a reward or observation that is NaN or infinite in an "
                "evaluation: mend the environment."
            )
        halves = (self._deterministic, ~self._deterministic)
        return np.stack([grid[:, lanes][:, valid[lanes]] for lanes in halves]).astype(np.float64)

    def close(self) -> None:
        """Stop the environments."""
        if not isinstance(self._env, CompiledEnvironment):
            self._env.close()

    @property
    def _shared(self) -> tuple:
        return self._deterministic, self._quota

    def _seed_by_seed(self, limit: int) -> Callable[[tuple, Actor, Array], np.ndarray]:
        """All seeds' returns `[S, N, Q]`, where the environments can't be part of a program."""
        env = self._env
        is_host = isinstance(env, HostEnvironment)
        one: Any = _episodes_on_host if is_host else _episodes_in_pool(limit)

        def each(shared: tuple, actors: Actor, keys: Array) -> np.ndarray:
            return np.stack(
                [np.asarray(one(env, take(actors, s), key, *shared)) for s, key in enumerate(keys)]
            )

        return each


def evaluate_actors(
    choice: EnvironmentChoice, actors: Actor, num_seeds: int, episodes: int
) -> Returns:
    """Undiscounted returns of whole episodes: deterministic ones, then stochastic ones."""
    evaluator = Evaluator(choice, num_seeds, episodes)
    try:
        return evaluator.returns(actors)
    finally:
        evaluator.close()


def _act(
    actor: Actor, observation: PyTree, key: PRNGKeyArray, deterministic: Bool[Array, " N"]
) -> Array:
    distribution = actor(observation)
    sampled, mode = distribution.sample(key), distribution.mode()
    action = jax.vmap(jnp.where)(deterministic, mode, sampled)
    return actor.policy.action_kind.to_environment(action)


def _episodes(
    env: Any,
    actor: Actor,
    key: PRNGKeyArray,
    deterministic: Array,
    quota: Array,
    *,
    limit: int,
    start: tuple | None = None,
) -> Float[Array, "N Q"]:
    """The returns of each environment's first episodes."""
    key_reset, key_act = jax.random.split(key)
    state, observation = env.reset(key_reset) if start is None else start
    num_envs, most = len(quota), limit

    def unfinished(carry: tuple) -> Array:
        t, _, _, _, _, done, _ = carry
        return (done < quota).any() & (t < most)

    def step(carry: tuple) -> tuple:
        t, state, observation, ended, running, done, returns = carry
        action = _act(actor, observation, jax.random.fold_in(key_act, t), deterministic)
        state, timestep = env.step(state, action)
        running = jnp.where(ended, 0.0, running + timestep.reward)
        ended = timestep.terminated | timestep.truncated
        # Unfinished episodes keep their slot up to date, so a cut-off one counts what it has.
        slot = jnp.minimum(done, returns.shape[1] - 1)
        current = jnp.arange(returns.shape[1])[None] == slot[:, None]
        fresh = current & (done < quota)[:, None]
        returns = jnp.where(fresh, jnp.broadcast_to(running[:, None], returns.shape), returns)
        return t + 1, state, timestep.observation, ended, running, done + ended, returns

    zeros = jnp.zeros(num_envs, jnp.float32)
    returns = jnp.zeros((num_envs, _most_episodes(limit, env)), jnp.float32)
    carry = (0, state, observation, zeros > 0, zeros, zeros.astype(jnp.int32), returns)
    return jax.lax.while_loop(unfinished, step, carry)[-1]


def _most_episodes(limit: int, env: Any) -> int:
    return limit // ((env.max_episode_steps or LONGEST) + 1)


def _episodes_in_pool(limit: int) -> Any:
    @partial(jax.jit, static_argnums=0)
    def run(env: Any, start: tuple, actor: Actor, key: PRNGKeyArray, *shared: Array) -> Array:
        return _episodes(env, actor, key, *shared, limit=limit, start=start)

    return lambda env, actor, key, *shared: run(env, env.reset(), actor, key, *shared)


@jax.jit
def _act_at(
    actor: Actor, observation: PyTree, key: PRNGKeyArray, t: Array, deterministic: Array
) -> Array:
    return _act(actor, observation, jax.random.fold_in(key, t), deterministic)


def _episodes_on_host(
    env: HostEnvironment, actor: Actor, key: PRNGKeyArray, deterministic: Array, quota: Array
) -> Float[np.ndarray, "N Q"]:
    observation = env.reset()
    returns = np.zeros((env.num_envs, quota.max()), np.float64)
    done, ended = np.zeros(env.num_envs, int), np.zeros(env.num_envs, bool)
    running, t = np.zeros(env.num_envs), 0
    while (done < quota).any() and t < quota.max() * LONGEST:
        action = np.asarray(_act_at(actor, observation, key, np.int32(t), deterministic))
        observation, reward, terminated, truncated = env.step(action)
        running = np.where(ended, 0.0, running + reward)
        ended = terminated | truncated
        lanes = np.flatnonzero(done < quota)
        returns[lanes, done[lanes]] = running[lanes]
        done, t = done + ended, t + 1
    return returns


def report(returns: Returns) -> dict[str, Any]:
    """The contents of `evaluation.json`."""
    return {
        "episodes": returns.shape[2],
        "interval_over": "seeds" if returns.shape[1] > 1 else "episodes",
        "deterministic": summarize(returns[0]),
        "stochastic": summarize(returns[1]),
    }
