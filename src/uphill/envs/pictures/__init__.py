"""Pictures of compiled worlds, apart from their dynamics: `render` is a function of state.

The picture of the world in `worlds/NAME.py` is in `pictures/NAME.py`, which has a function
`draw(world, state) -> Canvas` and a number `FPS`, the frame rate to show it at: real time, unless
that would stutter. `state` is one state whose leaves are NumPy arrays. A custom world draws itself
(`uphill.envs.base.Pictured`).
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, UInt8

from uphill.envs.base import Pictured, World
from uphill.errors import UphillError


def render(
    world: World, state: PyTree, width: int | None = None
) -> UInt8[np.ndarray, "height width 3"]:
    """A picture of one state of a compiled world, as RGB. No display is needed. Ours are drawn at
    any width; a world that draws itself has one size.

    Raises:
        UphillError: if there is no picture of this world.
    """
    state = jax.tree.map(np.asarray, state)
    if isinstance(world, Pictured):
        return world.picture(state)
    return _picture(world).draw(world, state).rgb(width)


def frames_per_second(world: World) -> int:
    """How many steps of a world to show in a second.

    Raises:
        UphillError: if there is no picture of this world.
    """
    return world.fps if isinstance(world, Pictured) else _picture(world).FPS


def has_picture(world: World) -> bool:
    """Whether there is a picture of this world."""
    if isinstance(world, Pictured):
        return True
    is_ours = type(world).__module__.startswith("uphill.envs.worlds.")
    return is_ours and find_spec(_module(world)) is not None


def _module(world: World) -> str:
    return f"{__name__}.{type(world).__module__.rpartition('.')[2]}"


def _picture(world: World) -> Any:
    """The module that draws a world."""
    if not has_picture(world):
        raise UphillError(
            f"There is no picture of {type(world).__name__}: give it fps, a number, and "
            "picture(state), a function to a NumPy array of bytes (height, width, 3)."
        )
    return import_module(_module(world))
