"""The wrappers of a Gymnasium environment, as layers."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium


def layers(env: Any) -> Iterator[Any]:
    """An environment and all that it wraps, the outermost first."""
    yield env
    while isinstance(env, gymnasium.Wrapper):
        env = env.env
        yield env


def wrapped_below(env: Any, wrapper: Callable[[Any], gymnasium.Env]) -> gymnasium.Env:
    """The environment with a wrapper below all its others."""
    *wrappers, base = layers(env)
    if not wrappers:
        return wrapper(base)
    wrappers[-1].env = wrapper(base)
    return env
