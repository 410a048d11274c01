"""Observations as vectors of numbers.

An `Encoding` turns (nested) observations into one feature vector. It is plain frozen data: a
checkpoint holds it, so a policy acts without an environment.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from math import prod

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Bool, Float, PyTree, Shaped

from uphill.errors import UphillError
from uphill.policies.images import Image, least_side, rows_axis, white_of
from uphill.trajectory import Array, fits_32_bits
from uphill.words import abridged, among, option

MOST_FEATURES = 2**26
"""Numbers of an observation or of an action, as a policy has them."""
_FEW = 8
"""Numbers of an observation that are shown, at most."""
_LEAST_GRID = 5
"""Pixels that a grid of choices has along a side, at least, to be looked at as an image."""
_FAR, _FARTHEST = 2**20, 2**64
"""How far from 0 numbers get an offset: float32 steps by 1/8 there, and clocks don't reach 2⁶⁴."""


@dataclass(frozen=True)
class Numbers:
    """A `Box` or `MultiBinary` leaf: its numbers, flattened."""

    shape: tuple[int, ...]
    is_scaled: bool = True
    """whether observation normalisation applies to it"""
    is_image: bool = False
    """whether it is an image, whose numbers become fractions of `white`"""
    white: int = 255
    offset: tuple[int | float, ...] = field(default=(), compare=False)
    """what is subtracted from each number before it gets 32 bits; empty where all of them fit.
    It belongs to a policy, not to the space: spaces are alike whatever was subtracted."""

    def __post_init__(self) -> None:
        if len(self.offset) not in (0, self.size):
            raise UphillError(f"offset has {len(self.offset)} numbers, and the entry {self.size}.")

    def __str__(self) -> str:
        return f"{'an image' if self.is_image else 'numbers'} of shape {self.shape}"

    @property
    def size(self) -> int:
        return prod(self.shape)

    def starting_at(self, first: np.ndarray) -> "Numbers":
        """The same, with an offset where a first observation is so far from 0 that 32 bits don't
        tell its neighbours apart: a clock must tick."""
        is_wide = first.dtype.kind in "iuf" and first.dtype.itemsize >= 4
        if not is_wide or first.dtype == np.float32:
            return self
        offset = tuple(x if _FAR <= abs(x) <= _FARTHEST else 0 for x in first.ravel().tolist())
        return replace(self, offset=offset) if any(offset) else self

    def narrowed(self, leaf: np.ndarray) -> np.ndarray:
        """The numbers less the offset, in 32 bits."""
        if self.offset:
            leaf = _difference(leaf, *_offsets(self.offset, self.shape))
        return leaf.astype(np.float32) if leaf.dtype.itemsize > 4 else leaf

    def encode(self, leaf: Shaped[Array, "*batch_and_shape"]) -> Float[Array, "*batch size"]:
        batch = leaf.shape[: leaf.ndim - len(self.shape)]
        numbers = leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
        if self.is_image:
            numbers = numbers / self.white
        return numbers.reshape(*batch, self.size)

    def checked(self, leaf: np.ndarray) -> np.ndarray:
        """The leaf as it is.

        Raises:
            UphillError: if it is not finite, or would not be in 32 bits.
        """
        if fits_32_bits(leaf):
            return leaf
        if np.isfinite(leaf).all():
            raise UphillError(
                f"The observation has {leaf.ravel()[np.abs(leaf).argmax()]}, and a policy reads "
                "numbers of 32 bits, at most 3.4e38: give it in another unit."
            )
        raise UphillError(
            "The observation has numbers that are NaN or infinite: no policy can act on them, "
            "so fix what they come from."
        )


@cache
def _offsets(
    offset: tuple[int | float, ...], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray | None]:
    """An offset in float64, and modulo 2⁶⁴ where it is whole numbers."""
    whole = None
    if all(x == int(x) for x in offset):
        whole = np.array([int(x) % 2**64 for x in offset], np.uint64).reshape(shape)
    return np.array(offset, np.float64).reshape(shape), whole


def _difference(leaf: np.ndarray, offset: np.ndarray, whole: np.ndarray | None) -> np.ndarray:
    """In float64; of whole numbers exactly, for nanoseconds since 1970 have more digits."""
    difference = np.asarray(leaf.astype(np.float64) - offset)
    if whole is None or leaf.dtype.kind == "f":
        return difference
    with np.errstate(over="ignore"):
        exact = np.asarray(leaf.astype(np.uint64) - whole).view(np.int64)
    return np.where(np.abs(difference) < 2.0**62, exact, difference)


@dataclass(frozen=True)
class OneHot:
    """A `Discrete` or `MultiDiscrete` leaf, or a grid of categories: a one-hot vector for each of
    its choices."""

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        if not self.shape:
            return f"one of {self.size} choices"
        return f"choices of shape {self.shape}"

    @property
    def size(self) -> int:
        return sum(self.sizes)

    @property
    def is_grid(self) -> bool:
        """Whether it is an image whose pixels are choices of one kind."""
        has_pixels = 2 <= len(self.shape) <= 4 and least_side(self.shape) >= _LEAST_GRID
        return has_pixels and len(set(self.sizes)) == 1

    def encode(self, leaf: Shaped[Array, "*batch_and_shape"]) -> Float[Array, "*batch size"]:
        batch = leaf.shape[: leaf.ndim - len(self.shape)]
        choices = leaf.reshape(*batch, len(self.sizes))
        starts = self.starts if _far_starts(self) is None else [0] * len(self.sizes)
        if self.is_grid:  # at once: it has many
            choices = choices - jnp.broadcast_to(jnp.asarray(starts), choices.shape)
            vectors = jax.nn.one_hot(choices, self.sizes[0], dtype=jnp.float32)
            return vectors.reshape(*batch, self.size)
        vectors = [
            jax.nn.one_hot(choices[..., k] - start, size, dtype=jnp.float32)
            for k, (size, start) in enumerate(zip(self.sizes, starts, strict=True))
        ]
        return jnp.concatenate(vectors, -1)

    def narrowed(self, leaf: np.ndarray) -> np.ndarray:
        """The choices in 32 bits: counted from 0 where they have more, as `encode` knows.

        Raises:
            UphillError: if bytes were declared to be categories, and one of them is not a known
            one.
        """
        if leaf.dtype == np.uint8 and _may_be_bytes(self) and (leaf >= self.sizes[0]).any():
            raise UphillError(
                f"The observation has the category {leaf.max()}, and observation_categories is "
                f"{self.sizes[0]}: categories count from 0, so give one more than the largest."
            )
        starts = _far_starts(self)
        if starts is not None:
            leaf = leaf - starts
        return leaf.astype(np.int32) if leaf.dtype.itemsize > 4 else leaf

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
        choices = ", ".join(among(list(dict.fromkeys(f"{a} to {b}" for a, b in ends))))
        shown = leaf.tolist() if leaf.size <= _FEW else "an array"
        raise UphillError(
            f"The observation is {shown}, where the environment's space has whole numbers "
            f"({choices}): give it as the environment returns it."
        )


@cache
def _may_be_bytes(encoding: OneHot) -> bool:
    """Whether it may be of an image of bytes that were said to be categories."""
    is_of_one_kind = len(set(encoding.sizes)) == 1 and not any(encoding.starts)
    return 2 <= len(encoding.shape) <= 4 and is_of_one_kind and encoding.sizes[0] < 256


@cache
def _ranges(encoding: OneHot) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last choice of each number."""
    low, size = (np.reshape(x, encoding.shape) for x in (encoding.starts, encoding.sizes))
    return low, np.asarray(low + size - 1)


@cache
def _far_starts(encoding: OneHot) -> np.ndarray | None:
    """The first choice of each number, where some choice has more than 32 bits."""
    low, high = _ranges(encoding)
    is_near = (low >= -(2**31)).all() and (high < 2**31).all()
    return None if is_near else low


@dataclass(frozen=True)
class Group:
    """A `Dict` or `Tuple`: its parts, one after the other."""

    keys: tuple[str, ...] | None
    parts: "tuple[Numbers | OneHot | Group, ...]"
    ignored: tuple[str, ...] = field(default=(), compare=False)
    """further keys that an observation may have, which are ignored"""

    def __str__(self) -> str:
        parts = [str(part) for part in self.parts]
        if self.keys is None:
            return f"a Tuple ({', '.join(parts)})"
        named = (f"{key}: {part}" for key, part in zip(self.keys, parts, strict=True))
        return f"a Dict ({', '.join(named)})"

    @property
    def size(self) -> int:
        return sum(part.size for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it, so that it does not say how many observations there are."""
        return all(isinstance(part, Group) and part.is_empty for part in self.parts)

    def children(self, tree: PyTree) -> list[PyTree]:
        return list(tree) if self.keys is None else [tree[key] for key in self.keys]

    def encode(self, tree: PyTree[Shaped[Array, "..."]]) -> Float[Array, "*batch size"]:
        parts = zip(self.parts, self.children(tree), strict=True)
        encoded = [part.encode(child) for part, child in parts if part.size]
        return jnp.concatenate(encoded, -1)


Encoding = Numbers | OneHot | Group


def encoding_of(space: gymnasium.Space, categories: int | None = None) -> Encoding:
    """How to encode the observations of `space`. The numbers of byte images are brightness, or one
    of `categories` categories.

    Raises:
        UphillError: for a space that is not supported, or has no numbers; or where there are
            categories, and no image of bytes.
    """
    encoding = _encoding_of(space)
    if encoding.size == 0:
        raise UphillError(
            f"The observation space {space} has no numbers: give a policy something to see, a Box "
            "with one number that never changes if need be."
        )
    if encoding.size > MOST_FEATURES:
        raise UphillError(
            f"The observation space {abridged(space)} is {encoding.size:,} numbers for a policy "
            f"(a choice is one for each that there is), and it can see {MOST_FEATURES:,}: drop a "
            "part of it, or wrap the environment."
        )
    if categories is None:
        return encoding
    categorical = _with_categories(encoding, space, categories)
    if categorical == encoding:
        raise UphillError(
            f"observation_categories is {categories}: the observation space {space} has no image "
            "of bytes (uint8, 0 to 255) whose numbers could be categories, so leave it out."
        )
    return categorical


def _with_categories(encoding: Encoding, space: gymnasium.Space, categories: int) -> Encoding:
    match encoding:
        case Group():
            assert isinstance(space, spaces.Dict | spaces.Tuple)
            parts = space.spaces if isinstance(space, spaces.Tuple) else tuple(space.values())
            pairs = zip(encoding.parts, parts, strict=True)
            return replace(
                encoding, parts=tuple(_with_categories(*pair, categories) for pair in pairs)
            )
        case Numbers(is_image=True) if space.dtype == np.uint8:
            size = encoding.size
            return OneHot((categories,) * size, (0,) * size, encoding.shape)
    return encoding


def is_of(encoding: Encoding, space: gymnasium.Space) -> bool:
    """Whether it encodes observations of `space`, whatever it makes of their numbers: the same
    image may be one of brightness, one of categories (of bytes), or plain numbers, as older runs
    took it."""
    match encoding, space:
        case Group(keys=None), spaces.Tuple():
            parts = space.spaces
        case Group(), spaces.Dict() if encoding.keys == tuple(space.spaces):
            parts = tuple(space.values())
        case (Numbers(), spaces.Box()) if white_of(space) is not None:
            is_as_bright = not encoding.is_image or encoding.white == white_of(space)
            return encoding.shape == space.shape and is_as_bright
        case (OneHot(), spaces.Box()) if white_of(space) is not None:
            return encoding.shape == space.shape and space.dtype == np.uint8
        case _:
            return encoding == _encoding_of(space)
    return len(parts) == len(encoding.parts) and all(map(is_of, encoding.parts, parts))


def images_in(encoding: Encoding, any_of_three_axes: bool = False, start: int = 0) -> list[Image]:
    """The images among the features, which begin at `start`: grids of choices are some, too; and
    if so asked, all numbers that have three axes."""
    match encoding:
        case Group():
            found = []
            for part in encoding.parts:
                found += images_in(part, any_of_three_axes, start)
                start += part.size
            return found
        case OneHot() if encoding.is_grid:
            shape = (*encoding.shape, encoding.sizes[0])
            return [Image(start, shape, rows_axis(encoding.shape))]
        case Numbers() if encoding.is_image or (any_of_three_axes and len(encoding.shape) == 3):
            return [Image(start, encoding.shape, rows_axis(encoding.shape))]
    return []


def starting_at(encoding: Encoding, first: PyTree[np.ndarray]) -> Encoding:
    """The encoding with the offsets that a first observation (no batch of them) asks for."""
    match encoding:
        case Numbers():
            return encoding.starting_at(np.asarray(first))
        case OneHot():
            return encoding
    children = zip(encoding.parts, encoding.children(first), strict=True)
    return replace(encoding, parts=tuple(starting_at(part, child) for part, child in children))


def ignoring(encoding: Encoding, keys: tuple[str, ...]) -> Encoding:
    """The encoding of observations that may also have `keys`, which are ignored; those of a nested
    Dict as `outer.inner`."""
    for key in keys:
        encoding = _ignoring(encoding, key)
    return encoding


def _ignoring(encoding: Encoding, key: str) -> Encoding:
    if not isinstance(encoding, Group) or encoding.keys is None:
        return encoding
    outer, _, inner = key.partition(".")
    if not inner or outer not in encoding.keys:
        return replace(encoding, ignored=tuple(dict.fromkeys([*encoding.ignored, key])))
    k = encoding.keys.index(outer)
    changed = _ignoring(encoding.parts[k], inner)
    return replace(encoding, parts=(*encoding.parts[:k], changed, *encoding.parts[k + 1 :]))


def narrowed(encoding: Encoding, observation: PyTree[np.ndarray]) -> PyTree[np.ndarray]:
    """What a compiled program gets of an environment's observation: numbers of 32 bits at most."""
    if not isinstance(encoding, Group):
        return encoding.narrowed(observation)
    children = zip(encoding.parts, encoding.children(observation), strict=True)
    parts = tuple(narrowed(part, child) for part, child in children)
    return parts if encoding.keys is None else dict(zip(encoding.keys, parts, strict=True))


def strangers(
    encoding: Encoding, observation: PyTree[Shaped[Array, "..."]]
) -> list[Bool[Array, "..."]]:
    """For each byte image that was declared to hold categories, which values are unknown
    categories: a compiled program can't refuse them as `narrowed` does."""
    match encoding:
        case Group():
            pairs = zip(encoding.parts, encoding.children(observation), strict=True)
            return [found for part, child in pairs for found in strangers(part, child)]
        case OneHot() if observation.dtype == np.uint8 and _may_be_bytes(encoding):
            return [observation >= encoding.sizes[0]]
    return []


def _encoding_of(space: gymnasium.Space, place: tuple[str | int, ...] = ()) -> Encoding:
    match space:
        case spaces.Box():
            white = white_of(space)
            if white is None:
                return Numbers(tuple(space.shape))
            return Numbers(tuple(space.shape), is_scaled=False, is_image=True, white=white)
        case spaces.MultiBinary():
            return Numbers(tuple(space.shape), is_scaled=False)
        case spaces.Discrete():
            return OneHot((int(space.n),), (int(space.start),), ())
        case spaces.MultiDiscrete():
            return OneHot(whole_numbers(space.nvec), whole_numbers(space.start), tuple(space.shape))
        case spaces.Dict():
            keys = dict_keys(space, "observation")
            parts = (_encoding_of(space[key], (*place, key)) for key in keys)
            return Group(keys, tuple(parts))
        case spaces.Tuple():
            parts = (_encoding_of(x, (*place, k)) for k, x in enumerate(space.spaces))
            return Group(None, tuple(parts))
    keys = [key for key in place if isinstance(key, str)]
    if keys and len(keys) == len(place):
        where, key = "".join(f"[{key!r}]" for key in keys), ".".join(keys)
        raise UphillError(
            f"The observation space {type(space).__name__} of observation{where} is not supported: "
            "use Box, "
            "Discrete, MultiDiscrete or MultiBinary, or leave it out, "
            f"{option('drop_observations', key)}."
        )
    raise UphillError(
        f"The observation space {space} is not supported: use Box, Discrete, MultiDiscrete, "
        "MultiBinary, or a Dict or Tuple of these."
    )


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
                if not (isinstance(part, Group) and part.is_empty)
            }
        except (LookupError, TypeError, ValueError):
            shapes = set()
        if len(shapes) != 1:
            raise UphillError(
                f"The observation does not have the parts {encoding.keys or len(encoding.parts)} "
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


def dict_keys(space: gymnasium.Space, what: str) -> tuple[str, ...]:
    """The keys of a Dict of observations or actions, which is `what`.

    Raises:
        UphillError: if one is not a string; a checkpoint stores keys as strings.
    """
    assert isinstance(space, spaces.Dict)
    for key in space.spaces:
        if not isinstance(key, str):
            raise UphillError(
                f"The {what} space {space} has the key {key!r}, which is not a string: use "
                f"strings as keys, such as {str(key)!r}."
            )
    return tuple(space.spaces)


def whole_numbers(array: np.ndarray) -> tuple[int, ...]:
    """An array's entries as Python's own whole numbers, one after the other."""
    return tuple(int(x) for x in np.ravel(array))
