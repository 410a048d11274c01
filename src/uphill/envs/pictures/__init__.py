"""Pictures of compiled worlds, apart from their dynamics: `render` is a function of state.

The picture of the world in `worlds/NAME.py` lies in `pictures/NAME.py`, which has a function
`draw(world, state) -> Canvas` and a number `FPS`, the pictures a second to show it at: real time,
unless that jerks.
`state` is one state whose leaves are NumPy arrays.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, UInt8

from uphill.envs.base import World
from uphill.errors import UphillError


def render(world: World, state: PyTree) -> UInt8[np.ndarray, "height width 3"]:
    """A picture of one state of a compiled world, as RGB. No display is needed.

    Raises:
        UphillError: if nobody has drawn this world.
    """
    return _picture(world).draw(world, jax.tree.map(np.asarray, state)).rgb()


def frames_per_second(world: World) -> int:
    """How many steps of a world to show in a second.

    Raises:
        UphillError: if nobody has drawn this world.
    """
    return _picture(world).FPS


def _picture(world: World) -> Any:
    """The module that draws a world."""
    name = f"{__name__}.{type(world).__module__.rpartition('.')[2]}"
    if find_spec(name) is None:
        raise UphillError(
            f"There is no picture of {type(world).__name__}: write {name.replace('.', '/')}.py "
            "with a function draw(world, state)."
        )
    return import_module(name)
