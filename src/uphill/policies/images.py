"""Images: which observations are images, and where they lie among the features of a policy."""

from dataclasses import dataclass
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Float

_LEAST_SIDE, _LEAST_SIDE_OF_FLOATS = 8, 32
"""Pixels that an image has along a side, at least: what is smaller may be a table of numbers. Bytes
of three axes are an image of any size."""


@dataclass(frozen=True)
class Image:
    """An image among features: `size` of them from `start` on, in the order of its own axes.

    Its pixels are two neighbouring axes; all others (colours, frames of a stack, categories) are
    channels.
    """

    start: int
    shape: tuple[int, ...]
    rows: int
    """the axis of its height; that of its width follows"""

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def stop(self) -> int:
        return self.start + self.size

    @property
    def height(self) -> int:
        return self.shape[self.rows]

    @property
    def width(self) -> int:
        return self.shape[self.rows + 1]

    @property
    def channels(self) -> int:
        return self.size // (self.height * self.width)

    def __str__(self) -> str:
        return f"{self.height} × {self.width} × {self.channels}"

    def among(self, features: Float[jax.Array, " D"]) -> Float[jax.Array, "channels height width"]:
        """The image, of one vector of features."""
        image = features[self.start : self.stop].reshape(self.shape)
        image = jnp.moveaxis(image, (self.rows, self.rows + 1), (-2, -1))
        return image.reshape(self.channels, self.height, self.width)


def rows_axis(shape: tuple[int, ...]) -> int:
    """The axis of an image's height: pixels are the two neighbouring axes that are the longest.

    >>> [rows_axis(x) for x in ((84, 84), (84, 84, 3), (4, 84, 84), (4, 84, 84, 3))]
    [0, 0, 1, 1]
    """
    return max(range(len(shape) - 1), key=lambda k: min(shape[k], shape[k + 1]))


def can_be_image(shape: tuple[int, ...]) -> bool:
    """Whether numbers of this shape have pixels: two axes, and perhaps colours and frames."""
    return 2 <= len(shape) <= 4 and 0 not in shape


def least_side(shape: tuple[int, ...]) -> int:
    """The pixels of an image along its shorter side."""
    rows = rows_axis(shape)
    return min(shape[rows : rows + 2])


def white_of(space: spaces.Box) -> int | None:
    """The number that is white in an image of this space, 255 or 1; None where it is no image.

    An image has two to four axes: pixels, and perhaps colours, and perhaps the frames of a stack.
    Its numbers go from 0 to 255 in bytes, from 0 to 1 in flags, to one of the two in floats.
    """
    shape, kind = space.shape, space.dtype.kind
    if not can_be_image(shape) or kind not in "buf":
        return None
    high = space.high.ravel()[0]
    if (space.low != 0).any() or (space.high != high).any():
        return None
    if space.dtype == np.uint8 and high == 255:
        is_image = len(shape) == 3 or least_side(shape) >= _LEAST_SIDE
    elif kind == "b":
        is_image = least_side(shape) >= _LEAST_SIDE
    else:
        is_image = kind == "f" and high in (1, 255) and least_side(shape) >= _LEAST_SIDE_OF_FLOATS
    return int(high) if is_image else None
