"""Environments written for the old Gym: `step` with four values, a bare `reset`, `seed()`."""

import inspect
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from uphill.envs.backends.checks import check_observation, check_reset, check_step, is_true
from uphill.envs.backends.layers import wrapped_below
from uphill.errors import UphillError

_SLIP = (
    "did not return (observation, info) from reset, though its step returns five values, as in "
    "Gymnasium: return both from reset; info may be {}."
)


class ModernSignatures(gymnasium.Env):
    """An environment written for the old Gym, behind today's signatures.

    An old `done` is a termination, unless `info["TimeLimit.truncated"]` says otherwise.
    """

    def __init__(self, env: Any) -> None:
        self.env = env
        self.action_space = modern_space(env.action_space)
        self.observation_space = modern_space(env.observation_space)
        self.metadata = getattr(env, "metadata", None) or {}
        self.render_mode = getattr(env, "render_mode", None)
        spec = getattr(env, "spec", None)
        self.spec = spec if isinstance(spec, EnvSpec) else None
        self._takes_seed = accepts(env.reset, "seed")
        self._takes_options = accepts(env.reset, "options")
        self._is_bare = False

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        keywords: dict[str, Any] = {"seed": seed} if self._takes_seed else {}
        if self._takes_options:
            keywords["options"] = options
        if seed is not None and not self._takes_seed:
            self._seed(seed)
        result = self.env.reset(**keywords)
        self._is_bare = not is_modern_reset(result, self.observation_space)
        return (result, {}) if self._is_bare else result

    def _seed(self, seed: int) -> None:
        if hasattr(self.env, "seed"):
            self.env.seed(seed)
        elif isinstance(self.env, gymnasium.Env):
            self.env.np_random = np.random.default_rng(seed)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict]:
        result = self.env.step(action)
        if not isinstance(result, tuple) or len(result) != 4:
            check_step(result)
            if self._is_bare:
                raise UphillError(_SLIP)
            return result
        observation, reward, done, info = result
        is_truncated = isinstance(info, dict) and bool(info.get("TimeLimit.truncated", False))
        if is_truncated and is_true("done", done):
            return observation, reward, False, True, {}
        return observation, reward, is_true("done", done), False, {}

    @property
    def draws(self) -> bool:
        """Whether pictures are asked for as they were then: `render(mode="rgb_array")`."""
        return accepts(getattr(self.env, "render", lambda: None), "mode")

    def render(self) -> Any:
        return self.env.render(mode="rgb_array") if self.draws else self.env.render()

    def close(self) -> None:
        getattr(self.env, "close", lambda: None)()


def has_old_signatures(env: Any) -> bool:
    """Whether an environment speaks the old Gym's language. May reset it and step it once.

    Raises:
        UphillError: if what it returns is of no language.
    """
    if not isinstance(env, gymnasium.Env):
        return True
    base: gymnasium.Env = env.unwrapped
    if not (accepts(base.reset, "seed") and accepts(base.reset, "options")):
        return True
    first = base.reset(seed=0)
    if first is None:
        check_reset(first)
    is_old_reset = not is_modern_reset(first, base.observation_space)
    result = base.step(base.action_space.sample())
    if isinstance(result, tuple) and len(result) == 4:
        return True
    check_step(result)
    if is_old_reset:
        raise UphillError(_SLIP)
    return False


def takes_seeds(env: Any) -> bool:
    """Whether there is any way to seed an environment."""
    return isinstance(env, gymnasium.Env) or accepts(env.reset, "seed") or hasattr(env, "seed")


def adapt(env: Any) -> gymnasium.Env:
    """An old environment behind today's signatures; wrappers around it stay around it."""
    return wrapped_below(env, ModernSignatures)


def is_modern_reset(result: Any, space: Any) -> bool:
    """Whether `reset` returned (observation, info), and not an observation of two parts."""
    if not isinstance(result, tuple) or len(result) != 2:
        return False
    return isinstance(result[1], dict) or not _is_in(modern_space(space), result)


def _is_in(space: gymnasium.Space, value: Any) -> bool:
    try:
        check_observation(space, value)
    except UphillError:
        return False
    return True


def accepts(function: Callable, keyword: str) -> bool:
    """Whether a function takes a keyword argument of this name."""
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return takes_any or keyword in parameters


def modern_space(space: Any) -> gymnasium.Space:
    """The old Gym's space (of another package, so known by its name only) as Gymnasium's.

    Raises:
        UphillError: for a kind of space that has no counterpart.
    """
    if isinstance(space, gymnasium.Space):
        return space
    match type(space).__name__:
        case "Box":
            return spaces.Box(space.low, space.high, dtype=space.dtype.type)
        case "Discrete":
            return spaces.Discrete(int(space.n), start=int(getattr(space, "start", 0)))
        case "MultiDiscrete":
            return spaces.MultiDiscrete(space.nvec)
        case "MultiBinary":
            return spaces.MultiBinary(space.n)
        case "Dict":
            return spaces.Dict({key: modern_space(x) for key, x in space.spaces.items()})
        case "Tuple":
            return spaces.Tuple([modern_space(x) for x in space.spaces])
        case name:
            raise UphillError(
                f"has a space of type {name}: use Gymnasium's Box, Discrete, MultiDiscrete, "
                "MultiBinary, Dict or Tuple."
            )
