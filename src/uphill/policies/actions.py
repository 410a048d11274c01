"""Actions: how many numbers a policy must give for one, which distribution they parametrise, and
which action the environment gets for a sampled one.

A compiled program knows numbers of 32 bits (`to_environment`). Python environments, and whoever
asks a policy to act, get numbers of the action space's own type (`on_host`).

Like an `Encoding`, a kind of action is plain frozen data that a checkpoint holds.
"""

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped

from uphill.errors import UphillError
from uphill.policies.encodings import whole_numbers
from uphill.theory.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    DiagonalGaussian,
    Distribution,
    MultiCategorical,
    TanhGaussian,
)
from uphill.trajectory import Array, narrow

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
        return (action + _wrapped(self.start)).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        """The action as the environment gets it; `env_action` is what a compiled program gives."""
        return np.asarray(action + np.int64(self.start), self.dtype)

    def sampled(self, action: np.ndarray, num_axes: int) -> np.ndarray:
        """The choice that an environment's action is; `num_axes` are those of the batch.

        Raises:
            UphillError: if it is none of them.
        """
        return _counted(action, num_axes, (), (self.start,), (self.size,))


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
        action = action + jnp.broadcast_to(_wrapped(self.starts), action.shape)
        return action.reshape(*action.shape[:-1], *self.shape).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        chosen = action + np.asarray(self.starts, np.int64)
        return chosen.reshape(env_action.shape).astype(self.dtype)

    def sampled(self, action: np.ndarray, num_axes: int) -> np.ndarray:
        """`Choice.sampled`, of several."""
        return _counted(action, num_axes, self.shape, self.starts, self.sizes)


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
        return action.reshape(*action.shape[:-1], *self.shape).astype(narrow(self.dtype))

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        return env_action.astype(self.dtype)

    def sampled(self, action: np.ndarray, num_axes: int) -> np.ndarray:
        """`Choice.sampled`, of yes or no."""
        n = self.num_parameters
        return _counted(action, num_axes, self.shape, (0,) * n, (2,) * n)


@dataclass(frozen=True)
class Bounded:
    """A `Box` action. The policy sees [−1, 1] in every component, whatever the bounds are.

    What is sampled becomes a number of [−1, 1] and is scaled to [low, high] here, at the border: a
    Gaussian sample is clipped, one of the squashed Gaussian goes through tanh, and one of the Beta
    distribution is stretched from (0, 1). Its log-probability is that of the sample itself. In a
    compiled program only the part of the bounds within 32 bits is reached.
    """

    low: tuple[int | float, ...]
    high: tuple[int | float, ...]
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
        dtype = narrow(self.dtype)
        is_integer = np.issubdtype(dtype, np.integer)
        limits = np.iinfo(dtype) if is_integer else np.finfo(np.float32)
        bounds = np.array([self.low, self.high], np.float64)
        bounds = np.clip(bounds, float(limits.min), float(limits.max))
        low = jnp.broadcast_to(_round_towards(np.inf, bounds[0]), action.shape)
        high = jnp.broadcast_to(_round_towards(-np.inf, bounds[1]), action.shape)
        # Scaled by halves, since high − low may overflow; clipped again, since rounding may leave
        # the space by one unit in the last place.
        unit = self.vector(action)
        scaled = jnp.clip(low * (0.5 - 0.5 * unit) + high * (0.5 + 0.5 * unit), low, high)
        if is_integer:
            scaled = jnp.round(scaled)
        return scaled.reshape(*action.shape[:-1], *self.shape).astype(dtype)

    def on_host(self, action: np.ndarray, env_action: np.ndarray) -> np.ndarray:
        """The action as the environment gets it: scaled in 64 bits, unless 32 hold all of them."""
        wide = _wide_bounds(self)
        if wide is None:
            return env_action.astype(self.dtype, copy=False)
        unit = self._unit_on_host(action.astype(np.float64))
        low, high = wide.float_low, wide.float_high
        scaled = np.clip(low * (0.5 - 0.5 * unit) + high * (0.5 + 0.5 * unit), low, high)
        if np.issubdtype(self.dtype, np.integer):
            scaled = np.clip(np.round(scaled).astype(self.dtype), wide.low, wide.high)
            scaled = np.where(unit >= 1, wide.high, np.where(unit <= -1, wide.low, scaled))
        return scaled.reshape(env_action.shape).astype(self.dtype)

    def sampled(self, action: np.ndarray, num_axes: int) -> np.ndarray:
        """The sample that an environment's action comes from. One that was clipped is lost: that
        of a bound is the bound itself.

        Raises:
            UphillError: if it has another shape, or is not finite.
        """
        action = _flat(action, num_axes, self.shape).astype(np.float64)
        if not np.isfinite(action).all():
            raise UphillError(f"action is {action.tolist()}: give finite numbers.")
        low, half = np.asarray(self.low, np.float64), self.half_range
        unit = np.where(half > 0, (action - low) / np.where(half > 0, half, 1.0) - 1, 0.0)
        inside = np.clip(unit, -1 + 1e-7, 1 - 1e-7)
        match self.family:
            case "tanh-gaussian":
                unit = np.arctanh(inside)
            case "beta":
                unit = (inside + 1) / 2
        return unit.astype(np.float32)

    @property
    def half_range(self) -> np.ndarray:
        """Units of the environment that a unit of [−1, 1] is, for each component."""
        return 0.5 * np.asarray(self.high, np.float64) - 0.5 * np.asarray(self.low, np.float64)

    def _unit_on_host(self, action: np.ndarray) -> np.ndarray:
        """`vector` in float64."""
        match self.family:
            case "tanh-gaussian":
                return np.tanh(action)
            case "beta":
                return 2 * action - 1
        return np.clip(action, -1.0, 1.0)


class _Bounds(NamedTuple):
    low: np.ndarray
    high: np.ndarray
    float_low: np.ndarray
    """in float64, and not below"""
    float_high: np.ndarray


@cache
def _wide_bounds(kind: Bounded) -> _Bounds | None:
    """The bounds of actions that 32 bits can't hold: of 64, or whole numbers that float32 skips."""
    dtype = np.dtype(kind.dtype)
    is_integer = dtype.kind in "iu"
    is_far = is_integer and max(map(abs, (*kind.low, *kind.high))) > 2**24
    if dtype.itemsize <= 4 and not is_far:
        return None
    low, high = np.array(kind.low, dtype), np.array(kind.high, dtype)
    near_low, near_high = low.astype(np.float64), high.astype(np.float64)
    if is_integer:
        # Float64 has 53 bits: the nearest number of a bound that has more may lie outside it.
        near_low, near_high = (
            np.where(np.abs(x) > 2.0**53, np.nextafter(x, 0.0), x) for x in (near_low, near_high)
        )
    return _Bounds(low, high, near_low, near_high)


ActionKind = Choice | Choices | Switches | Bounded


def action_kind_of(space: gymnasium.Space, distribution: str = "gaussian") -> ActionKind:
    """What kind of action `space` asks for; `distribution` is the one over a Box.

    Raises:
        UphillError: for a space that is not supported or has no choice, or a Box without finite
            bounds.
    """
    if 0 in (space.shape or ()):
        raise UphillError(
            f"The action space {space} has no numbers: give a policy something to choose, even if "
            "it is Discrete(1)."
        )
    dtype = np.dtype(space.dtype).name if space.dtype is not None else ""
    match space:
        case spaces.Discrete():
            return Choice(int(space.n), int(space.start), dtype)
        case spaces.MultiDiscrete():
            return Choices(
                whole_numbers(space.nvec), whole_numbers(space.start), tuple(space.shape), dtype
            )
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


def _flat(action: np.ndarray, num_axes: int, shape: tuple[int, ...]) -> np.ndarray:
    """An action with one axis for its components, after `num_axes` of a batch.

    Raises:
        UphillError: if it has another shape.
    """
    if action.dtype.kind not in "biuf" or action.shape[num_axes:] != shape:
        raise UphillError(
            f"action has shape {action.shape}, and the environment's has {shape}: give one for "
            "each observation, in the numbers that act returns."
        )
    return action.reshape(*action.shape[:num_axes], prod(shape))


def _counted(
    action: np.ndarray,
    num_axes: int,
    shape: tuple[int, ...],
    starts: tuple[int, ...],
    sizes: tuple[int, ...],
) -> np.ndarray:
    """Choices, counted from 0.

    Raises:
        UphillError: if one is none of the choices that there are.
    """
    chosen = _flat(action, num_axes, shape) - np.asarray(starts, np.int64)
    is_one = (chosen >= 0) & (chosen < np.asarray(sizes)) & (chosen == np.floor(chosen))
    if not is_one.all():
        raise UphillError(
            f"action is {action.tolist()}, which is no choice of the environment's: give actions "
            "as act returns them."
        )
    chosen = chosen.astype(np.int32)
    return chosen if shape else chosen[..., 0]


def _wrapped(x: int | tuple[int, ...]) -> np.ndarray:
    """In 32 bits, right or not: what has more is made on the host."""
    return np.asarray(x, np.int64).astype(np.int32)


def _round_towards(direction: float, x: np.ndarray) -> np.ndarray:
    """Float64 to float32 in one direction: the nearest float32 of a bound may lie outside it."""
    near = x.astype(np.float32)
    is_behind = near < x if direction > 0 else near > x
    return np.where(is_behind, np.nextafter(near, np.float32(direction)), near)
