"""Actions that are numbers within bounds."""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Shaped

from uphill.errors import UphillError
from uphill.policies.choices import flat_action
from uphill.theory.continuous import Beta, DiagonalGaussian, TanhGaussian
from uphill.theory.distributions import Distribution
from uphill.trajectory import Array, narrow

BOX_DISTRIBUTIONS = ("gaussian", "tanh-gaussian", "beta")


@dataclass(frozen=True)
class Bounded:
    """A `Box` action. The policy uses [−1, 1] in every component, whatever the bounds are.

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
    def num_log_std(self) -> int:
        return 0 if self.family == "beta" else self.num_components

    @property
    def width(self) -> int:
        return self.num_components

    @property
    def is_finite(self) -> bool:
        return False

    @property
    def log_scale(self) -> float:
        scale = self.half_range * (2 if self.family == "beta" else 1)
        return float(np.log(scale[scale > 0]).sum())

    def distribution(
        self, parameters: Float[Array, "*batch P"], log_std: Float[Array, "..."] | None
    ) -> Distribution:
        if self.family == "beta":
            # Below, the distribution is flat and its mode 0 / 0; above (where its std is 1 %
            # of the range), log B loses its digits: 1e-3 are wrong at 1,000, 2e-2 at 10,000.
            alpha, beta = jnp.split(1 + jax.nn.softplus(jnp.clip(parameters, -7.0, 1e3)), 2, -1)
            return Beta(alpha, beta)
        assert log_std is not None
        kind = TanhGaussian if self.family == "tanh-gaussian" else DiagonalGaussian
        return kind(parameters, jnp.broadcast_to(log_std, parameters.shape))

    def vector(self, action: Float[Array, "*batch K"]) -> Float[Array, "*batch K"]:
        """The action in [−1, 1], as the environment gets it but for the scale."""
        return self._unit(action, jnp)

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
        unit = self._unit(action.astype(np.float64), np)
        low, high = wide.float_low, wide.float_high
        scaled = np.clip(low * (0.5 - 0.5 * unit) + high * (0.5 + 0.5 * unit), low, high)
        if np.issubdtype(self.dtype, np.integer):
            scaled = np.clip(np.round(scaled).astype(self.dtype), wide.low, wide.high)
            scaled = np.where(unit >= 1, wide.high, np.where(unit <= -1, wide.low, scaled))
        return scaled.reshape(env_action.shape).astype(self.dtype)

    def sampled(self, action: Any, lead: tuple[int, ...]) -> np.ndarray:
        """The sample that an environment's action comes from. One that was clipped is lost: that
        of a bound is the bound itself.

        Raises:
            UphillError: if it has another shape, or is not finite.
        """
        action = flat_action(action, lead, self.shape).astype(np.float64)
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

    def _unit(self, action: Any, xp: Any) -> Any:
        """`vector`, by the module `xp`: jax.numpy, or NumPy with its 64 bits."""
        match self.family:
            case "tanh-gaussian":
                return xp.tanh(action)
            case "beta":
                return 2 * action - 1
        return xp.clip(action, -1.0, 1.0)


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


def _round_towards(direction: float, x: np.ndarray) -> np.ndarray:
    """Float64 to float32 in one direction: the nearest float32 of a bound may lie outside it."""
    near = x.astype(np.float32)
    is_behind = near < x if direction > 0 else near > x
    return np.where(is_behind, np.nextafter(near, np.float32(direction)), near)
