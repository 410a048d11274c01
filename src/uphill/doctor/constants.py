"""Policies that ignore observations: the same action at every step."""

import itertools
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from uphill.doctor.facts import ConstantPlay
from uphill.doctor.play import Guarded, Limits, play_guarded
from uphill.doctor.repeats import bounds, spread_choices
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
        ConstantPlay(name, play_guarded(env, act(action), limits, seed)) for name, action in chosen
    )


def constant_actions(space: gymnasium.Space, seed: int) -> list[tuple[str, Any]]:
    """Each choice; or the middle and the corners of a box, of many corners some; of several parts
    the first of each, the second of each and so on."""
    match space:
        case spaces.Discrete():
            return [(str(k), space.dtype.type(k)) for k in spread_choices(space, _MOST_CHOICES)]
        case spaces.Dict():
            rows = _side_by_side([constant_actions(part, seed) for part in space.values()])
            keys = tuple(space.spaces)
            return [
                (_named(keys, names), dict(zip(keys, parts, strict=True))) for names, parts in rows
            ]
        case spaces.Tuple():
            rows = _side_by_side([constant_actions(part, seed) for part in space.spaces])
            return [(f"({', '.join(names)})", parts) for names, parts in rows]
        case spaces.Box() | spaces.MultiDiscrete() | spaces.MultiBinary():
            low, high = bounds(space)
            corners = (np.where(corner, high, low) for corner in _corners(low.shape, seed))
            distinct = {
                action.tobytes(): action.astype(space.dtype)
                for action in (_middle(low, high), *corners)
            }
            return [(_shown(action), action) for action in distinct.values()]
    return []


def _side_by_side(
    of_parts: list[list[tuple[str, Any]]],
) -> list[tuple[tuple[str, ...], tuple[Any, ...]]]:
    """Names and actions of all parts; a part that has fewer begins anew."""
    if not of_parts or not all(of_parts):
        return []
    most = max(map(len, of_parts))
    rows = [[part[k % len(part)] for part in of_parts] for k in range(most)]
    return [(tuple(n for n, _ in row), tuple(x for _, x in row)) for row in rows]


def _named(keys: tuple[Any, ...], names: tuple[str, ...]) -> str:
    return f"{{{', '.join(f'{key}: {x}' for key, x in zip(keys, names, strict=True))}}}"


def _middle(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Half-way between, in the type that they have; of whole numbers exactly."""
    if low.dtype.kind not in "iu":
        return (low.astype(float) / 2 + high.astype(float) / 2).astype(low.dtype)
    pairs = zip(low.ravel().tolist(), high.ravel().tolist(), strict=True)
    return np.array([(a + b) // 2 for a, b in pairs], low.dtype).reshape(low.shape)


def _corners(shape: tuple[int, ...], seed: int) -> list[np.ndarray]:
    size = int(np.prod(shape))
    if size <= _ALL_CORNERS:
        signs = list(itertools.product([False, True], repeat=size))
    else:
        some = np.random.default_rng(seed).random((_SOME_CORNERS, size)) < 0.5
        signs = [[False] * size, [True] * size, *some]
    return [np.reshape(np.asarray(each, bool), shape) for each in signs]


def _shown(action: np.ndarray) -> str:
    numbers = [str(x) if action.dtype.kind in "biu" else f"{x:.3g}" for x in action.ravel()]
    return f"[{', '.join(among(numbers))}]"
