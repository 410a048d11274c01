"""Observations as vectors of numbers, their names, and whether they fit their space."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from uphill.doctor.facts import Broken
from uphill.doctor.finding import Name
from uphill.envs.leaves import ends, leaves
from uphill.policies.images import white_of

_TOLERANCE = 1e-4
"""Relative: bounds and observations are rounded differently."""


def flatten(space: gymnasium.Space, value: Any) -> Float[np.ndarray, " D"]:
    """An observation as one vector; a `Discrete` part is one number."""
    match space:
        case spaces.Dict():
            parts = [flatten(part, value[key]) for key, part in space.items()]
        case spaces.Tuple():
            parts = [flatten(part, x) for part, x in zip(space.spaces, value, strict=True)]
        case _:
            return np.asarray(value, np.float64).ravel()
    return np.concatenate(parts) if parts else np.zeros(0)


def number_names(space: gymnasium.Space, name: str = "observation") -> list[str]:
    """What `flatten`'s numbers are called."""
    return [
        name if not index else f"{name}[{', '.join(map(str, index))}]"
        for name, _, part in leaves(space, name)
        for index in np.ndindex(part.shape or ())
    ]


def is_measured(space: gymnasium.Space) -> list[bool]:
    """Which of `flatten`'s numbers are quantities that have a scale: no choices, flags, bytes or
    pixels."""
    return [
        isinstance(part, spaces.Box) and part.dtype != np.uint8 and white_of(part) is None
        for _, _, part in leaves(space, "")
        for _ in np.ndindex(part.shape or ())
    ]


def images_of_bytes(space: gymnasium.Space) -> Iterator[tuple[str, slice]]:
    """The images of bytes in a space: what they are called, and which of `flatten`'s numbers."""
    start = 0
    for name, _, part in leaves(space, "observation"):
        stop = start + int(np.prod(part.shape or (), dtype=int))
        if isinstance(part, spaces.Box) and white_of(part) == 255 and part.dtype == np.uint8:
            yield name, slice(start, stop)
        start = stop


def is_pixel(space: gymnasium.Space) -> list[bool]:
    """Which of `flatten`'s numbers are pixels, which are not examined individually."""
    return [
        isinstance(part, spaces.Box) and white_of(part) is not None
        for _, _, part in leaves(space, "")
        for _ in np.ndindex(part.shape or ())
    ]


def exact_bytes(space: gymnasium.Space, value: Any) -> bytes:
    """An observation's numbers to the last bit, whatever their type."""
    match space:
        case spaces.Dict():
            return b"".join(exact_bytes(part, value[key]) for key, part in space.items())
        case spaces.Tuple():
            pairs = zip(space.spaces, value, strict=True)
            return b"".join(exact_bytes(part, x) for part, x in pairs)
    return np.asarray(value).tobytes()


def complaint(
    space: gymnasium.Space, value: Any, name: str = "observation"
) -> tuple[Name, str] | None:
    """What is wrong with an observation: the finding's name and a clause; None if it is fine.

    Raises:
        Broken: if it has not the structure or shape of `space`, or is no number.
    """
    match space:
        case spaces.Dict():
            if not isinstance(value, dict) or set(value) != set(space.spaces):
                raise _misshapen(name, value, f"a dict with the keys {list(space.spaces)}")
            parts = [(part, value[key], f"{name}[{key!r}]") for key, part in space.items()]
        case spaces.Tuple():
            if not isinstance(value, tuple) or len(value) != len(space.spaces):
                raise _misshapen(name, value, f"a tuple of {len(space.spaces)}")
            parts = [(part, value[k], f"{name}[{k}]") for k, part in enumerate(space.spaces)]
        case _:
            return _leaf_complaint(space, value, name)
    found = (complaint(*part) for part in parts)
    return next((each for each in found if each is not None), None)


def _misshapen(name: str, value: Any, wanted: str) -> Broken:
    given = type(value).__name__
    return Broken("observation-shape", f"{name} was a {given}, but its space is {wanted}.")


def _leaf_complaint(space: gymnasium.Space, value: Any, name: str) -> tuple[Name, str] | None:
    try:
        array = np.asarray(value)
    except ValueError:
        raise Broken("observation-shape", f"{name} was no array: {value!r:.80}.") from None
    if array.shape != space.shape:
        raise Broken(
            "observation-shape",
            f"{name} had the shape {array.shape}, but its space {space} says {space.shape}.",
        )
    if array.dtype.kind not in "biuf":
        raise Broken(
            "observation-dtype",
            f"{name} was an array of {array.dtype}, but its space {space} says {space.dtype}.",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        bad = array[~np.isfinite(array)].ravel()[0] if array.ndim else array
        return "observation-not-finite", f"{name} held {bad}"
    if outside := _outside(space, array, name):
        return "observation-outside-space", outside
    assert space.dtype is not None
    # Python's own numbers have no width: what they become is no loss.
    if isinstance(value, np.ndarray | np.generic) and not _fits(array.dtype, space):
        return "observation-dtype", f"{name} was {array.dtype}, its space says {space.dtype}"
    return None


def _fits(dtype: np.dtype, space: gymnasium.Space) -> bool:
    is_integer = isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)
    return dtype == space.dtype or (is_integer and dtype.kind in "biu")


def _outside(space: gymnasium.Space, array: np.ndarray, name: str) -> str | None:
    """A clause on the first number outside of a space's bounds."""
    found = ends(space)
    if found is None:
        return None
    low, high = found
    if ((array >= low) & (array <= high)).all():
        return None
    low, high = np.broadcast_to(low, array.shape), np.broadcast_to(high, array.shape)
    bad = (array < low) | (array > high)
    if array.dtype.kind == "f":  # a whole number is in its space, or it is not
        slack = _TOLERANCE * np.maximum(1.0, np.abs(array))
        bad = (array < low - slack) | (array > high + slack)
    if not bad.any():
        return None
    index = tuple(np.argwhere(bad)[0].tolist())
    where = f"{name}[{', '.join(map(str, index))}]" if index else name
    was, least, most = (exactly(x[index]) for x in (array, low, high))
    return f"{where} was {was}, its bounds are {least} to {most}"


def exactly(x: Any) -> str:
    """A whole number with all its digits, others with six."""
    return str(x) if isinstance(x, int | np.integer) else f"{x:.6g}"
