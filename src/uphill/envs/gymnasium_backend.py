"""Gymnasium: any Python environment, stepped from a Python loop.

An environment with the signatures of the old Gym (`step` with four values, a bare `reset`) is
adapted. What an environment returns is checked at every step, since nobody else does it.
"""

import inspect
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from jaxtyping import PyTree

from uphill.errors import UphillError

EnvironmentFactory = Callable[[], Any]


class ModernSignatures(gymnasium.Wrapper):
    """An environment written for the old Gym, behind today's signatures.

    An old `done` is a termination, unless `info["TimeLimit.truncated"]` says otherwise.
    """

    def __init__(self, env: Any) -> None:
        # Not through Wrapper's own constructor: it accepts instances of gymnasium.Env only.
        self.env = env
        self._action_space = env.action_space
        self._observation_space = env.observation_space
        self._metadata = None
        self._cached_spec = None

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        env: Any = self.env
        takes_seed = "seed" in inspect.signature(env.reset).parameters
        if seed is not None and not takes_seed and hasattr(env, "seed"):
            env.seed(seed)
        result = env.reset(seed=seed) if takes_seed else env.reset()
        is_modern = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)
        return result if is_modern else (result, {})

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        env: Any = self.env
        result = env.step(action)
        if len(result) == 5:
            return result
        observation, reward, done, info = result
        is_truncated = bool(done) and bool(info.get("TimeLimit.truncated", False))
        return observation, reward, bool(done) and not is_truncated, is_truncated, info


def has_old_signatures(env: Any) -> bool:
    """Whether an environment speaks the old Gym's language. Resets and steps it once."""
    if not isinstance(env, gymnasium.Env):
        return True
    if "seed" not in inspect.signature(env.unwrapped.reset).parameters:
        return True
    env.unwrapped.reset(seed=0)
    return len(env.unwrapped.step(env.action_space.sample())) == 4


def factory_of(
    env: str | EnvironmentFactory, env_kwargs: dict[str, Any]
) -> tuple[EnvironmentFactory, str | None]:
    """A function that makes one environment, and a notice if its signatures are adapted.

    Raises:
        UphillError: if the environment can't be made.
    """
    make = partial(gymnasium.make, env, **env_kwargs) if isinstance(env, str) else env
    if not isinstance(env, str) and env_kwargs:
        make = partial(env, **env_kwargs)
    name = env if isinstance(env, str) else getattr(env, "__name__", "the environment")
    try:
        bare = _make_bare(env, env_kwargs) if isinstance(env, str) else make()
        is_old = has_old_signatures(bare)
        getattr(bare, "close", lambda: None)()
    except gymnasium.error.DependencyNotInstalled as error:
        raise UphillError(f"{name} needs a package that is missing: {error}") from error
    except Exception as error:
        raise UphillError(
            f"{name} could not be made, reset and stepped; its own error follows.\n"
            + _own_traceback(error)
        ) from error
    if not is_old:
        return make, None
    limit = gymnasium.spec(env).max_episode_steps if isinstance(env, str) else None
    adapted = partial(_make_adapted, env, env_kwargs, limit)
    return adapted, f"{name} has the old Gym signatures (4-value step, bare reset): adapted."


def _make_bare(env_id: str, env_kwargs: dict[str, Any]) -> gymnasium.Env:
    return gymnasium.make(env_id, max_episode_steps=-1, disable_env_checker=True, **env_kwargs)


def _make_adapted(
    env: str | EnvironmentFactory, env_kwargs: dict[str, Any], limit: int | None
) -> gymnasium.Env:
    bare = _make_bare(env, env_kwargs).unwrapped if isinstance(env, str) else env(**env_kwargs)
    adapted = ModernSignatures(bare)
    return gymnasium.wrappers.TimeLimit(adapted, limit) if limit else adapted


class HostEnvironment:
    """A Gymnasium vector environment (or an EnvPool pool), stepped from Python.

    `reset` and `step` return NumPy arrays that the environment may overwrite at its next step:
    copy what you keep.
    """

    def __init__(
        self,
        name: str,
        vector: Any,
        lane_seeds: list[int],
        max_episode_steps: int | None,
        reward_threshold: float | None,
    ) -> None:
        self.name = name
        self.num_envs = len(lane_seeds)
        self.max_episode_steps = max_episode_steps
        self.reward_threshold = reward_threshold
        is_vector = isinstance(vector, VectorEnv)
        self.observation_space: gymnasium.Space = (
            vector.single_observation_space if is_vector else vector.observation_space
        )
        self.action_space: gymnasium.Space = (
            vector.single_action_space if is_vector else vector.action_space
        )
        self._vector = vector
        self._seeds: list[int] | None = lane_seeds if is_vector else None
        self._num_steps = 0

    def reset(self) -> PyTree[np.ndarray]:
        """First observations. The seeds are given once: after that the random streams go on."""
        keywords = {} if self._seeds is None else {"seed": self._seeds}
        self._seeds = None
        observation = self._guarded("reset", lambda: self._vector.reset(**keywords))[0]
        self._check_observation(observation)
        return observation

    def step(
        self, action: np.ndarray
    ) -> tuple[PyTree[np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
        """Observation, reward, terminated, truncated."""
        self._num_steps += 1
        observation, reward, terminated, truncated, _ = self._guarded(
            "step", lambda: self._vector.step(action)
        )
        if not np.isfinite(reward).all():
            raise self._complaint("reward", reward)
        self._check_observation(observation)
        return observation, reward, terminated, truncated

    def close(self) -> None:
        self._vector.close()

    def _guarded(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:
            raise UphillError(
                f"{self.name} raised {type(error).__name__} in {what}, at step {self._num_steps} "
                "of each environment; its own error follows.\n" + _own_traceback(error)
            ) from error

    def _check_observation(self, observation: PyTree, path: str = "observation") -> None:
        if isinstance(observation, dict):
            for key, part in observation.items():
                self._check_observation(part, f"{path}[{key!r}]")
        elif isinstance(observation, tuple):
            for k, part in enumerate(observation):
                self._check_observation(part, f"{path}[{k}]")
        elif observation.dtype.kind == "f" and not np.isfinite(observation).all():
            raise self._complaint(path, observation)

    def _complaint(self, field: str, array: np.ndarray) -> UphillError:
        bad = ~np.isfinite(array.reshape(self.num_envs, -1)).all(-1)
        value = array.ravel()[~np.isfinite(array.ravel())][0]
        return UphillError(
            f"{self.name} returned {value} in its {field} at step {self._num_steps} "
            f"(environment {int(bad.argmax())} of {self.num_envs}): mend the environment."
        )


class CheckedSpaces(gymnasium.Wrapper):
    """Refuses observations that leave their space's shape or dtype, which a vector environment
    would cast or broadcast without a word."""

    def reset(self, **keywords: Any) -> tuple[Any, dict]:
        observation, info = self.env.reset(**keywords)
        check_against(self.observation_space, observation, "observation")
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        result = self.env.step(action)
        check_against(self.observation_space, result[0], "observation")
        return result


def check_against(space: gymnasium.Space, value: Any, path: str) -> None:
    """Raises:
    UphillError: if `value` has not the structure, shape and kind of number of `space`.
    """
    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise UphillError(f"the {path} should be a dict with keys {list(space.spaces)}.")
        for key, part in space.spaces.items():
            check_against(part, value[key], f"{path}[{key!r}]")
    elif isinstance(space, gymnasium.spaces.Tuple):
        if not isinstance(value, tuple) or len(value) != len(space.spaces):
            raise UphillError(f"the {path} should be a tuple of {len(space.spaces)} parts.")
        for k, part in enumerate(space.spaces):
            check_against(part, value[k], f"{path}[{k}]")
    elif isinstance(value, np.ndarray | np.generic):
        if value.shape != space.shape:
            raise UphillError(
                f"the {path} has shape {value.shape}, but the observation space says {space.shape}."
            )
        if not np.can_cast(value.dtype, np.dtype(space.dtype), "same_kind"):
            raise UphillError(
                f"the {path} has dtype {value.dtype}, but the observation space says {space.dtype}."
            )
    elif np.shape(value) != space.shape:
        raise UphillError(
            f"the {path} has shape {np.shape(value)}, but the observation space says {space.shape}."
        )


def make_vector(factory: EnvironmentFactory, num_envs: int, is_async: bool) -> VectorEnv:
    """`num_envs` environments that step together.

    Asynchronous ones run in processes of their own, started by spawn: a fork would copy JAX's
    threads half alive.
    """
    factories = [partial(_checked, factory)] * num_envs
    if is_async:
        return AsyncVectorEnv(factories, context="spawn")
    return SyncVectorEnv(factories, copy=False)


def _checked(factory: EnvironmentFactory) -> gymnasium.Env:
    return CheckedSpaces(factory())


def _own_traceback(error: BaseException) -> str:
    """The traceback from the environment's own code on."""
    frames = traceback.extract_tb(error.__traceback__)
    skip = ("uphill/envs", "gymnasium/vector", "gymnasium/wrappers", "gymnasium/core")
    own = [f for f in frames if not any(s in f.filename.replace("\\", "/") for s in skip)]
    lines = traceback.format_list(own) + traceback.format_exception_only(error)
    return "".join(lines).rstrip()
