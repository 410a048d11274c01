"""Observations as vectors of numbers.

An `Encoding` turns (nested) observations into one feature vector. It is plain frozen data: a
checkpoint holds it, so a policy acts without an environment.
"""

from dataclasses import dataclass
from functools import cache
from math import prod

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, PyTree, Shaped

from uphill.errors import UphillError
from uphill.trajectory import Array


@dataclass(frozen=True)
class Numbers:
    """A `Box` or `MultiBinary` leaf: its numbers, flattened."""

    shape: tuple[int, ...]
    is_scaled: bool = True
    """whether observation normalisation applies to it"""
    is_image: bool = False
    """whether it is an image of bytes, which become fractions of 255"""

    @property
    def size(self) -> int:
        return prod(self.shape)

    def encode(self, leaf: Shaped[Array, "*batch_and_shape"]) -> Float[Array, "*batch size"]:
        batch = leaf.shape[: leaf.ndim - len(self.shape)]
        numbers = leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
        if self.is_image:
            numbers = numbers / 255
        return numbers.reshape(*batch, self.size)

    def checked(self, leaf: np.ndarray) -> np.ndarray:
        """The leaf as it is.

        Raises:
            UphillError: if it is not finite.
        """
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            raise UphillError(
                "The observation has numbers that are NaN or infinite: no policy can act on them, "
                "so mend what they come from."
            )
        return leaf


@dataclass(frozen=True)
class OneHot:
    """A `Discrete` or `MultiDiscrete` leaf: a one-hot vector for each of its choices."""

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return sum(self.sizes)

    def encode(self, leaf: Shaped[Array, "*batch_and_shape"]) -> Float[Array, "*batch size"]:
        batch = leaf.shape[: leaf.ndim - len(self.shape)]
        choices = leaf.reshape(*batch, len(self.sizes))
        vectors = [
            jax.nn.one_hot(choices[..., k] - start, size, dtype=jnp.float32)
            for k, (size, start) in enumerate(zip(self.sizes, self.starts, strict=True))
        ]
        return jnp.concatenate(vectors, -1)

    def checked(self, leaf: np.ndarray) -> np.ndarray:
        """The leaf as whole numbers; one of another shape, which `batch_shape` refuses, as it is.

        Raises:
            UphillError: if a number is none of its choices.
        """
        if leaf.shape[leaf.ndim - len(self.shape) :] != self.shape:
            return leaf
        low, high = _ranges(self)
        # NaN is in no range; and only what is in range can be made a whole number.
        if ((leaf >= low) & (leaf <= high)).all():
            whole = leaf.astype(np.int64, copy=False)
            if leaf.dtype.kind != "f" or (whole == leaf).all():
                return whole
        ends = zip(low.ravel().tolist(), high.ravel().tolist(), strict=True)
        choices = ", ".join(f"{first} to {last}" for first, last in ends)
        raise UphillError(
            f"The observation is {leaf.tolist()}, where the environment's space has whole numbers "
            f"({choices}): give it as the environment returns it."
        )


@cache
def _ranges(encoding: OneHot) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last choice of each number."""
    low, size = (np.reshape(x, encoding.shape) for x in (encoding.starts, encoding.sizes))
    return low, np.asarray(low + size - 1)


@dataclass(frozen=True)
class Group:
    """A `Dict` or `Tuple`: its parts, one after the other."""

    keys: tuple[str, ...] | None
    parts: "tuple[Numbers | OneHot | Group, ...]"

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    def children(self, tree: PyTree) -> list[PyTree]:
        return list(tree) if self.keys is None else [tree[key] for key in self.keys]

    def encode(self, tree: PyTree[Shaped[Array, "..."]]) -> Float[Array, "*batch size"]:
        encoded = [
            part.encode(child) for part, child in zip(self.parts, self.children(tree), strict=True)
        ]
        return jnp.concatenate(encoded, -1)


Encoding = Numbers | OneHot | Group


def encoding_of(space: gymnasium.Space) -> Encoding:
    """How to encode the observations of `space`.

    Raises:
        UphillError: for a space that is not supported.
    """
    match space:
        case spaces.Box():
            is_image = _is_image(space)
            return Numbers(tuple(space.shape), is_scaled=not is_image, is_image=is_image)
        case spaces.MultiBinary():
            return Numbers(tuple(space.shape), is_scaled=False)
        case spaces.Discrete():
            return OneHot((int(space.n),), (int(space.start),), ())
        case spaces.MultiDiscrete():
            return OneHot(whole_numbers(space.nvec), whole_numbers(space.start), tuple(space.shape))
        case spaces.Dict():
            return Group(tuple(space.spaces), tuple(encoding_of(s) for s in space.values()))
        case spaces.Tuple():
            return Group(None, tuple(encoding_of(s) for s in space.spaces))
    raise UphillError(
        f"The observation space {space} is not supported: use Box, Discrete, MultiDiscrete, "
        "MultiBinary, or a Dict or Tuple of these."
    )


def _is_image(space: spaces.Box) -> bool:
    is_full = bool((space.low == 0).all() and (space.high == 255).all())
    return space.dtype == np.uint8 and len(space.shape) == 3 and is_full


def scaled_features(encoding: Encoding) -> tuple[bool, ...]:
    """For each feature, whether observation normalisation applies to it: one-hot ones and images
    stay as they are."""
    match encoding:
        case Numbers():
            return (encoding.is_scaled,) * encoding.size
        case OneHot():
            return (False,) * encoding.size
        case Group():
            return tuple(flag for part in encoding.parts for flag in scaled_features(part))


def batch_shape(encoding: Encoding, observation: PyTree) -> tuple[int, ...]:
    """The leading axes of an observation: `()` for a single one.

    Raises:
        UphillError: if the observation does not have the space's structure and shape.
    """
    if isinstance(encoding, Group):
        try:
            children = encoding.children(observation)
            shapes = {
                batch_shape(part, child)
                for part, child in zip(encoding.parts, children, strict=True)
            }
        except (LookupError, TypeError, ValueError):
            shapes = set()
        if len(shapes) != 1:
            raise UphillError(
                f"The observation has not the parts {encoding.keys or len(encoding.parts)} "
                "of the environment's space: give it as the environment returns it."
            )
        return shapes.pop()
    shape = np.shape(observation)
    lead = len(shape) - len(encoding.shape)
    if lead < 0 or shape[lead:] != encoding.shape:
        raise UphillError(
            f"The observation has shape {shape}, but the environment's has {encoding.shape}: "
            "give one observation, or several stacked along leading axes."
        )
    return shape[:lead]


def whole_numbers(array: np.ndarray) -> tuple[int, ...]:
    """An array's entries as Python's own whole numbers, one after the other."""
    return tuple(int(x) for x in np.ravel(array))
