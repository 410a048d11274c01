"""What the functions of a custom compiled world return, checked by their shapes before training."""

from collections.abc import Callable
from typing import Any

import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from uphill.envs.base import MILESTONE_NAME, MOST_OWN_MILESTONES, Eventful, World
from uphill.errors import UphillError
from uphill.trajectory import narrow

_OURS = ("episode_return", "episode_length", "num_episodes")
"""Names that a milestone can't have: the column `rollout/NAME` is one of every training."""


def check_functions(world: World) -> None:
    """Trace each function of a world once, without computing anything.

    Raises:
        UphillError: if one can't be traced, or returns something of another shape or type than the
            protocol asks for; it names the function, what it returns, and what it should return.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    action = _shapes(world.action_space)
    state = _traced(world, "initial", key)
    moved = _traced(world, "transition", state, action, key)
    _check_like(world, "transition", moved, state, "a state like that of initial")
    observation = _traced(world, "observation", state)
    expected = _shapes(world.observation_space)
    _check_like(world, "observation", observation, expected, "what its space has", is_strict=False)
    _check_one(world, "reward", _traced(world, "reward", state, action, moved), "one number")
    _check_one(world, "terminated", _traced(world, "terminated", state), "one truth value", "b")
    if isinstance(world, Eventful):
        _check_milestones(world, _traced(world, "milestones", state))


def _traced(world: World, name: str, *arguments: PyTree) -> PyTree:
    function: Callable[..., Any] = getattr(world, name)
    try:
        return jax.eval_shape(function, *arguments)
    except UphillError:
        raise
    except Exception as error:  # whatever a function of the user's raises
        what = str(error).strip().partition("\n")[0]
        raise UphillError(
            f"{type(world).__name__}.{name} can't be compiled ({type(error).__name__}: {what}): "
            "write it with jax.numpy, without `if` or float() of what depends on its arguments."
        ) from error


def _check_like(
    world: World, name: str, found: PyTree, expected: PyTree, what: str, is_strict: bool = True
) -> None:
    """Raises:
    UphillError: unless all is of the same shapes, and types (of observations, their kind).
    """
    leaves = [jax.tree.leaves(x) for x in (found, expected)]
    is_alike = jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(*leaves, strict=True) if is_alike else ():
        is_alike &= a.shape == b.shape
        is_alike &= a.dtype == b.dtype if is_strict else b.dtype.kind not in "iu" or _is_whole(a)
    if not is_alike:
        raise UphillError(
            f"{type(world).__name__}.{name} returns {_told(found)}: return {what}, "
            f"{_told(expected)}."
        )


def _is_whole(x: jax.ShapeDtypeStruct) -> bool:
    return np.dtype(x.dtype).kind in "iub"


def _check_one(world: World, name: str, found: PyTree, what: str, kinds: str = "fiub") -> None:
    leaves = jax.tree.leaves(found)
    is_one = len(leaves) == 1 and leaves[0].shape == () and leaves[0] is found
    if not is_one or np.dtype(found.dtype).kind not in kinds:
        raise UphillError(f"{type(world).__name__}.{name} returns {_told(found)}: return {what}.")


def _check_milestones(world: World, found: Any) -> None:
    name = type(world).__name__
    if not isinstance(found, dict):
        raise UphillError(f"{name}.milestones returns {_told(found)}: return a dict by name.")
    if len(found) > MOST_OWN_MILESTONES:
        raise UphillError(
            f"{name}.milestones has {len(found)} names: use {MOST_OWN_MILESTONES} at most."
        )
    for milestone, reached in found.items():
        if not isinstance(milestone, str) or not MILESTONE_NAME.fullmatch(milestone):
            raise UphillError(
                f"{name}.milestones names {milestone!r}: use a name of a-z, 0-9 and _, of at most "
                "100 letters."
            )
        if milestone in _OURS:
            raise UphillError(
                f"{name}.milestones names {milestone!r}, and rollout/{milestone} is a column of "
                "every training: choose another name."
            )
        _check_one(world, "milestones", reached, f"one truth value for {milestone!r}", "b")


def _shapes(space: gymnasium.Space) -> PyTree:
    """Shapes and types of what is in a space."""
    if isinstance(space, gymnasium.spaces.Dict):
        return {name: _shapes(part) for name, part in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        return tuple(_shapes(part) for part in space.spaces)
    return jax.ShapeDtypeStruct(space.shape or (), narrow(space.dtype))


def _told(found: PyTree) -> str:
    """Shapes and types, in words."""
    if isinstance(found, dict):
        return "{" + ", ".join(f"{name!r}: {_told(x)}" for name, x in found.items()) + "}"
    if isinstance(found, tuple | list):
        return "(" + ", ".join(map(_told, found)) + ")"
    if hasattr(found, "shape"):
        return f"{found.dtype}{list(found.shape)}"
    leaves = jax.tree.leaves(found)
    return f"{type(found).__name__} of {', '.join(map(_told, leaves))}" if leaves else repr(found)
