"""The parts of a space that have no parts themselves: what they are called, and their bounds."""

from collections.abc import Iterator
from typing import Any

import gymnasium
from gymnasium import spaces

PartPath = tuple[Any, ...]
"""Keys and numbers that lead to a part of what is in a space"""


def leaves(
    space: gymnasium.Space, name: str, path: PartPath = ()
) -> Iterator[tuple[str, PartPath, gymnasium.Space]]:
    """Each of them, with its name and its place."""
    match space:
        case spaces.Dict() | spaces.Tuple():
            is_dict = isinstance(space, spaces.Dict)
            for key, part in space.items() if is_dict else enumerate(space.spaces):
                yield from leaves(part, f"{name}[{key!r}]", (*path, key))
        case _:
            yield name, path, space


def ends(space: gymnasium.Space) -> tuple[Any, Any] | None:
    """The least and the greatest of each of its numbers; None for one without numbers."""
    match space:
        case spaces.Discrete():
            return space.start, space.start + space.n - 1
        case spaces.MultiDiscrete():
            return space.start, space.start + space.nvec - 1
        case spaces.MultiBinary():
            return 0, 1
        case spaces.Box() if space.dtype.kind == "b":
            return 0, 1
        case spaces.Box():
            return space.low, space.high
    return None
