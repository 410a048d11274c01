"""Policies that see nothing: the same action at every step."""

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.doctor.facts import ConstantPlay
from uphill.doctor.play import Guarded, Limits, play
from uphill.doctor.repeats import bounds
from uphill.words import among

_MOST_CHOICES = 12
_ALL_CORNERS = 3
"""Components of an action, at most, for which all corners are tried."""
_SOME_CORNERS = 4


def play_constants(env: Guarded, seed: int, seconds: float) -> tuple[ConstantPlay, ...]:
    """Play with each of a few constant actions, `seconds` in all."""
    chosen = constant_actions(env.env.action_space, seed)
    limits = Limits(episodes=10, steps=3000, seconds=seconds / max(1, len(chosen)))

    def act(action: Any) -> Callable[[], Any]:
        return lambda: action

    return tuple(
        ConstantPlay(name, play(env, act(action), limits, seed)) for name, action in chosen
    )


def constant_actions(space: gymnasium.Space, seed: int) -> list[tuple[str, Any]]:
    """Each choice; or the middle and the corners of a box, of many corners some."""
    if isinstance(space, spaces.Discrete):
        last, count = space.start + space.n - 1, min(_MOST_CHOICES, int(space.n))
        chosen = np.unique(np.linspace(space.start, last, count).astype(int))
        return [(str(k), space.dtype.type(k)) for k in chosen]
    if not isinstance(space, spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        return []
    low, high = bounds(space)
    middle = ((low.astype(float) + high) / 2).astype(low.dtype)
    actions = [middle, *(np.where(corner, high, low) for corner in _corners(low.shape, seed))]
    distinct = {action.tobytes(): action.astype(space.dtype) for action in actions}
    return [(_shown(action), action) for action in distinct.values()]


def _corners(shape: tuple[int, ...], seed: int) -> list[np.ndarray]:
    size = int(np.prod(shape))
    if size <= _ALL_CORNERS:
        signs = list(itertools.product([False, True], repeat=size))
    else:
        some = np.random.default_rng(seed).random((_SOME_CORNERS, size)) < 0.5
        signs = [[False] * size, [True] * size, *some]
    return [np.reshape(np.asarray(each, bool), shape) for each in signs]


def _shown(action: np.ndarray) -> str:
    return f"[{', '.join(among([f'{x:.3g}' for x in action.ravel()]))}]"
