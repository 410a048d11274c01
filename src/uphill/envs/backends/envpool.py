"""EnvPool: C++ environments, stepped inside the compiled program through their XLA interface.

MuJoCo and DeepMind Control use float64. The interface is created and called with 64-bit types
enabled, and everything is converted at the border: with them disabled it would silently return
garbage.
"""

import warnings
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import PyTree

from uphill.errors import UphillError
from uphill.trajectory import Array, Timestep, narrow
from uphill.words import option


def names() -> list[str]:
    """Every environment that EnvPool has (imports it: some seconds)."""
    import envpool

    return envpool.list_all_envs()


def supports(env_id: str) -> bool:
    """Whether EnvPool has an environment of this name."""
    return env_id in names()


def unknown_arguments(env_id: str, env_kwargs: dict[str, Any]) -> list[str]:
    """Keyword arguments that EnvPool's version of an environment does not take."""
    import envpool

    fields = envpool.make_spec(env_id).config._fields if env_kwargs else ()
    return sorted(set(env_kwargs) - set(fields))


def make_pool(
    env_id: str,
    lane_seeds: list[int],
    env_kwargs: dict[str, Any],
    render_mode: str | None = None,
) -> Any:
    """A pool with one environment for each seed; with a render mode, one that draws.

    Raises:
        UphillError: if the environment has no such keyword argument, or refuses its value.
    """
    import envpool

    if unknown := unknown_arguments(env_id, env_kwargs):
        raise UphillError(
            f"EnvPool's {env_id} does not take {', '.join(unknown)}: use "
            f"{option('backend', 'gymnasium')} for Gymnasium's own arguments."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pool = envpool.make_gymnasium(
                env_id,
                num_envs=len(lane_seeds),
                seed=lane_seeds,
                render_mode=render_mode,
                **env_kwargs,
            )
            # Its spaces are made, and kept, when first asked for: with a warning about precision.
            _ = pool.observation_space, pool.action_space
            return pool
    except (TypeError, ValueError, RuntimeError) as error:
        given = ", ".join(f"{key}={value!r}" for key, value in env_kwargs.items())
        raise UphillError(
            f"EnvPool's {env_id} could not be made with {given or 'its defaults'}: "
            f"{str(error).splitlines()[0]}"
        ) from error


def pool_time_limit(pool: Any) -> int | None:
    """The pool's time limit in steps, or None where it has none."""
    limit = int(pool.spec.config.max_episode_steps)
    return limit if limit < 2**31 - 1 else None


def action_dtype(pool: Any) -> np.dtype:
    """The type of the pool's actions, which its `action_space` may not say. It reads whatever it is
    given as numbers of that type."""
    return np.dtype(pool.spec.action_array_spec["action"].dtype)


class EnvPoolEnvironment:
    """A pool whose `step` can be traced; its state is the pool's handle.

    The handle is the address of the pool in this process: a program that steps it can be neither
    cached on disk nor replayed from an earlier state.
    """

    def __init__(self, env_id: str, lane_seeds: list[int], env_kwargs: dict[str, Any]) -> None:
        pool = make_pool(env_id, lane_seeds, env_kwargs)
        self.num_envs = len(lane_seeds)
        self.observation_space: gymnasium.Space = pool.observation_space
        self.action_space: gymnasium.Space = pool.action_space
        self.max_episode_steps = pool_time_limit(pool)
        self.reward_threshold: float | None = pool.spec.reward_threshold
        with jax.enable_x64(True):
            self._handle, _, _, self._step = pool.xla()
        self._pool = pool

    def reset(self, key: Any = None) -> tuple[Array, PyTree]:
        """Start every environment afresh. Its random stream is EnvPool's own: no key is used."""
        with jax.enable_x64(True):
            observation = self._pool.reset()[0]
        observation = jax.tree.map(lambda x: x.astype(narrow(x.dtype)), observation)
        return jnp.asarray(self._handle), observation

    def step(self, state: Array, action: Array) -> tuple[Array, Timestep]:
        with jax.enable_x64(True):
            action = lax.convert_element_type(action, action_dtype(self._pool))
            handle, (observation, reward, terminated, truncated, _) = self._step(state, action)
            observation = jax.tree.map(narrowed_on_device, observation)
            reward = lax.convert_element_type(reward, np.float32)
        return handle, Timestep(observation, reward, terminated, truncated)

    def close(self) -> None:
        self._pool.close()


def narrowed_on_device(x: Array) -> Array:
    """The same numbers in the widest type that a compiled program uses."""
    return lax.convert_element_type(x, narrow(x.dtype))
