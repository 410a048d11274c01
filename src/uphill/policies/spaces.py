"""The border between Gymnasium's spaces and vectors of numbers.

An `Encoding` turns (nested) observations into one feature vector; an action description says how
many numbers a policy must give for it, which distribution they parametrise, and which action the
environment gets for a sampled one. Both are plain frozen data: a checkpoint holds them, so a policy
acts without an environment.
"""

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, PyTree, Shaped

from uphill.errors import UphillError
from uphill.theory.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
    TanhGaussian,
)
from uphill.trajectory import Array

# --- observations -------------------------------------------------------------------------------


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
            return OneHot(_ints(space.nvec), _ints(space.start), tuple(space.shape))
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


# --- actions ------------------------------------------------------------------------------------

BOX_DISTRIBUTIONS = ("gaussian", "tanh-gaussian", "beta")


@dataclass(frozen=True)
class Choice:
    """A `Discrete` action."""

    size: int
    start: int
    dtype: str

    @property
    def num_parameters(self) -> int:
        return self.size

    @property
    def can_clip(self) -> bool:
        """Whether the environment may be given another action than the one sampled."""
        return False

    @property
    def vector_size(self) -> int:
        return self.size

    def vector(self, action: Shaped[Array, "*batch"]) -> Float[Array, "*batch V"]:
        """The action as a network sees it."""
        return jax.nn.one_hot(action, self.size, dtype=jnp.float32)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return Categorical(parameters)

    def to_environment(self, action: Shaped[Array, "*batch"]) -> Shaped[Array, "*batch"]:
        return (action + self.start).astype(_narrow(self.dtype))


@dataclass(frozen=True)
class Choices:
    """A `MultiDiscrete` action: several choices at once."""

    sizes: tuple[int, ...]
    starts: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: str

    @property
    def num_parameters(self) -> int:
        return sum(self.sizes)

    @property
    def can_clip(self) -> bool:
        return False

    @property
    def vector_size(self) -> int:
        return sum(self.sizes)

    def vector(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch V"]:
        parts = enumerate(self.sizes)
        vectors = [jax.nn.one_hot(action[..., k], size, dtype=jnp.float32) for k, size in parts]
        return jnp.concatenate(vectors, -1)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return MultiCategorical(parameters, self.sizes)

    def to_environment(self, action: Shaped[Array, "*batch K"]) -> Shaped[Array, "..."]:
        action = action + jnp.broadcast_to(np.asarray(self.starts, np.int32), action.shape)
        return action.reshape(*action.shape[:-1], *self.shape).astype(_narrow(self.dtype))


@dataclass(frozen=True)
class Switches:
    """A `MultiBinary` action: several yes-or-no choices at once."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def num_parameters(self) -> int:
        return prod(self.shape)

    @property
    def can_clip(self) -> bool:
        return False

    @property
    def vector_size(self) -> int:
        return prod(self.shape)

    def vector(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch V"]:
        return action.astype(jnp.float32)

    def distribution(self, parameters: Float[Array, "*batch P"], _: Any) -> Distribution:
        return Bernoulli(parameters)

    def to_environment(self, action: Shaped[Array, "*batch K"]) -> Shaped[Array, "..."]:
        return action.reshape(*action.shape[:-1], *self.shape).astype(_narrow(self.dtype))


@dataclass(frozen=True)
class Bounded:
    """A `Box` action. The policy sees [−1, 1] in every component, whatever the bounds are.

    What is sampled becomes a number of [−1, 1] and is scaled to [low, high] here, at the border: a
    Gaussian sample is clipped, one of the squashed Gaussian goes through tanh, and one of the Beta
    distribution is stretched from (0, 1). Its log-probability is that of the sample itself. Of
    bounds beyond 32 bits, only the part within is reached.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    shape: tuple[int, ...]
    dtype: str
    family: str = "gaussian"
    """which distribution: one of `BOX_DISTRIBUTIONS`"""

    @property
    def num_components(self) -> int:
        return len(self.low)

    @property
    def num_parameters(self) -> int:
        return self.num_components * (2 if self.family == "beta" else 1)

    @property
    def can_clip(self) -> bool:
        return self.family == "gaussian"

    @property
    def vector_size(self) -> int:
        return self.num_components

    @property
    def has_log_std(self) -> bool:
        """Whether the distribution has a σ beside the network's numbers."""
        return self.family != "beta"

    def distribution(
        self, parameters: Float[Array, "*batch P"], log_std: Float[Array, "..."] | None
    ) -> Distribution:
        if self.family == "beta":
            # Below, the distribution is flat and its mode 0 / 0; above (where its deviation is 1 %
            # of the range), log B loses its digits: 1e-3 are wrong at 1,000, 2e-2 at 10,000.
            alpha, beta = jnp.split(1 + jax.nn.softplus(jnp.clip(parameters, -7.0, 1e3)), 2, -1)
            return Beta(alpha, beta)
        assert log_std is not None
        kind = TanhGaussian if self.family == "tanh-gaussian" else DiagonalGaussian
        return kind(parameters, jnp.broadcast_to(log_std, parameters.shape))

    def vector(self, action: Float[Array, "*batch K"]) -> Float[Array, "*batch K"]:
        """The action in [−1, 1], as the environment gets it but for the scale."""
        match self.family:
            case "tanh-gaussian":
                return jnp.tanh(action)
            case "beta":
                return 2 * action - 1
        return jnp.clip(action, -1.0, 1.0)

    def clipped(self, action: Float[Array, "*batch K"]) -> Float[Array, "*batch"]:
        """The fraction of an action's components that are clipped on the way to the environment."""
        outside = (jnp.abs(action) > 1) & self.can_clip
        return outside.mean(-1, dtype=action.dtype)

    def to_environment(self, action: Float[Array, "*batch K"]) -> Shaped[Array, "..."]:
        dtype = _narrow(self.dtype)
        is_integer = np.issubdtype(dtype, np.integer)
        limits = np.iinfo(dtype) if is_integer else np.finfo(np.float32)
        bounds = np.clip([self.low, self.high], float(limits.min), float(limits.max))
        low = jnp.broadcast_to(_round_towards(np.inf, bounds[0]), action.shape)
        high = jnp.broadcast_to(_round_towards(-np.inf, bounds[1]), action.shape)
        # Scaled by halves, since high − low may overflow; clipped again, since rounding may leave
        # the space by one unit in the last place.
        unit = self.vector(action)
        scaled = jnp.clip(low * (0.5 - 0.5 * unit) + high * (0.5 + 0.5 * unit), low, high)
        if is_integer:
            scaled = jnp.round(scaled)
        return scaled.reshape(*action.shape[:-1], *self.shape).astype(dtype)


ActionKind = Choice | Choices | Switches | Bounded


def action_kind_of(space: gymnasium.Space, distribution: str = "gaussian") -> ActionKind:
    """What kind of action `space` asks for; `distribution` is the one over a Box.

    Raises:
        UphillError: for a space that is not supported, or a Box without finite bounds.
    """
    dtype = np.dtype(space.dtype).name if space.dtype is not None else ""
    match space:
        case spaces.Discrete():
            return Choice(int(space.n), int(space.start), dtype)
        case spaces.MultiDiscrete():
            return Choices(_ints(space.nvec), _ints(space.start), tuple(space.shape), dtype)
        case spaces.MultiBinary():
            return Switches(tuple(space.shape), dtype)
        case spaces.Box():
            if not np.isfinite([space.low, space.high]).all():
                raise UphillError(
                    f"The action space {space} has infinite bounds: wrap the environment in "
                    "gymnasium.wrappers.RescaleAction or declare finite ones."
                )
            low, high = space.low.ravel().tolist(), space.high.ravel().tolist()
            return Bounded(tuple(low), tuple(high), tuple(space.shape), dtype, distribution)
    raise UphillError(
        f"The action space {space} is not supported: use Discrete, MultiDiscrete, MultiBinary "
        "or Box with finite bounds."
    )


def _round_towards(direction: float, x: np.ndarray) -> np.ndarray:
    """Float64 to float32 in one direction: the nearest float32 of a bound may lie outside it."""
    near = x.astype(np.float32)
    is_behind = near < x if direction > 0 else near > x
    return np.where(is_behind, np.nextafter(near, np.float32(direction)), near)


def _narrow(dtype: str) -> np.dtype:
    """The type that stands for `dtype` in a compiled program: 32 bits where 64 are off."""
    return jax.dtypes.canonicalize_dtype(dtype)


def _ints(array: np.ndarray) -> tuple[int, ...]:
    return tuple(int(x) for x in np.ravel(array))
