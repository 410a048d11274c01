"""Changes to an environment before an agent acts in it, by wrappers: its own code stays as it
is."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium import spaces

from uphill.envs.wrappers import Wrapping
from uphill.errors import UphillError
from uphill.words import listed, option

_MOST_STEPS = 2**31 - 2
"""Steps are counted in 32 bits, and EnvPool takes one more than that for no limit."""


@dataclass(frozen=True)
class Alterations:
    """The requested changes, besides the environment's own arguments.

    Raises:
        UphillError: if a value makes no sense.
    """

    max_episode_steps: int | None = None
    """steps after which an episode is truncated, in place of the environment's own limit"""
    wrappers: tuple[Wrapping, ...] = ()
    """around the environment and its time limit, the innermost first"""
    drop_observations: tuple[str, ...] = ()
    """keys of a Dict observation that are left out; those of a Dict in it as `outer.inner`"""
    reset_options: dict[str, Any] | None = None
    """what every `reset` is given as its options"""

    def __post_init__(self) -> None:
        limit = self.max_episode_steps
        if limit is not None and not 1 <= limit <= _MOST_STEPS:
            raise UphillError(
                f"max_episode_steps is {limit}: use a number from 1 to {_MOST_STEPS}, or None."
            )

    @property
    def needs_gymnasium(self) -> str:
        """Why a Python environment is needed, if one is."""
        if self.wrappers:
            return "it is wrapped"
        if self.drop_observations:
            return "it leaves out observations"
        return "" if self.reset_options is None else "it is reset with options"

    def around(self, make: Callable[[], gymnasium.Env]) -> gymnasium.Env:
        """An environment with all of this; its time limit it has already."""
        env = make()
        for wrapping in self.wrappers:
            env = wrapping.around(env)
        if self.reset_options is not None:
            env = _WithOptions(env, self.reset_options)
        return LeavingOut(env, self.drop_observations) if self.drop_observations else env


class _WithOptions(gymnasium.Wrapper):
    """Every `reset` is given the same options."""

    def __init__(self, env: gymnasium.Env, options: dict[str, Any]) -> None:
        super().__init__(env)
        self._options = options

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        return self.env.reset(seed=seed, options=deepcopy(self._options) | (options or {}))


class LeavingOut(gymnasium.ObservationWrapper):
    """Some keys of Dict observations are left out."""

    def __init__(self, env: gymnasium.Env, keys: tuple[str, ...]) -> None:
        super().__init__(env)
        self._keys, space = keys, env.observation_space
        for key in keys:
            space = _space_without(space, key, key)
        self.observation_space = space

    def observation(self, observation: Any) -> Any:
        for key in self._keys:
            observation = _without(observation, key)
        return observation


def _space_without(space: gymnasium.Space, key: str, asked: str) -> gymnasium.Space:
    if not isinstance(space, spaces.Dict):
        raise UphillError(
            f"observes a {type(space).__name__}, not a Dict with a key {asked!r} to leave out: "
            f"omit {option('drop_observations', asked)}."
        )
    parts = dict(space.spaces)
    outer, _, inner = key.partition(".")
    if key in parts:
        del parts[key]
    elif inner and outer in parts:
        parts[outer] = _space_without(parts[outer], inner, asked)
    else:
        raise UphillError(
            f"has no observation {asked!r} to leave out: there "
            f"{'are' if len(parts) > 1 else 'is'} {listed(list(parts))}."
        )
    return spaces.Dict(parts)


def _without(observation: Any, key: str) -> Any:
    """What is no dictionary stays, and is refused where observations are checked."""
    if not isinstance(observation, dict):
        return observation
    outer, _, inner = key.partition(".")
    if key in observation or outer not in observation:
        return {name: x for name, x in observation.items() if name != key}
    return observation | {outer: _without(observation[outer], inner)}


UNALTERED = Alterations()
