"""The common data types: what environments return, and what learning reads.

Everything is time-major: `T` steps, `N` environments, then the axes of one observation or action.

Autoreset is *next-step*, everywhere. The step that ends an episode returns the true final
observation. The step after it ignores its action, resets, and returns the first observation of the
next episode: it is not a transition, and `mask` is False there. So the observation that follows a
transition is always the one that the transition led to, and a truncated episode can be bootstrapped
from it without any extra buffer.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Num, PyTree, Shaped

Array = jax.Array | np.ndarray
"""An array on the device or the host: both are accepted everywhere, and have the same methods."""

Scalar = float | Num[jax.Array, ""]
"""A number, or a traced one: float settings are traced, so changing them never recompiles."""

Metrics = dict[str, Float[Array, ""]]
"""What a step or an update says of itself, by name."""

BLOCK = 32
"""Whole episodes are collected in blocks of this many steps, so less than one block is computed
beyond the end of the longest episode."""

_FLOAT32_MAX = float(np.finfo(np.float32).max)
_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32"}


def divided(x: Float[Array, "*shape"], divisor: Any) -> Float[Array, "*shape"]:
    """`x / divisor` by one number: x · (1 / divisor).

    XLA turns the one into the other in some programs and not in others; a seed learns the same bits
    alone and beside others only where there is nothing to turn.
    """
    return x * (1 / divisor)


def narrow(dtype: Any) -> np.dtype:
    """The type that a compiled program uses for numbers of type `dtype`: 32 bits at most.

    >>> narrow(np.float64), narrow(np.uint8)
    (dtype('float32'), dtype('uint8'))
    """
    name = np.dtype(dtype).name
    return np.dtype(_NARROW.get(name, name))


def fits_32_bits(x: np.ndarray) -> bool:
    """Whether all numbers are finite, and stay so in 32 bits."""
    if x.dtype.kind != "f":
        return True
    is_fine = np.isfinite(x) if x.dtype.itemsize <= 4 else np.abs(x) <= _FLOAT32_MAX
    return bool(is_fine.all())


def is_key(x: Any) -> bool:
    """Whether it is a random key of JAX, which NumPy has no type for."""
    return isinstance(x, jax.Array) and bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))


def fits_narrow(x: np.ndarray) -> bool:
    """Whether `narrow_on_host` keeps all numbers, but for what they are rounded by."""
    if x.dtype.kind == "f":
        return fits_32_bits(np.where(np.isfinite(x), x, 0))
    return bool((narrow_on_host(x) == x).all())


def narrow_on_host(x: np.ndarray) -> np.ndarray:
    """The same numbers in the widest type that the compiled program uses."""
    return np.asarray(x).astype(narrow(x.dtype), copy=False)


class Timestep(eqx.Module):
    """What `N` environments return for `N` actions."""

    observation: PyTree[Shaped[Array, "N ..."]]
    reward: Float[Array, " N"]
    terminated: Bool[Array, " N"]
    truncated: Bool[Array, " N"]


class Trajectory(eqx.Module):
    """`T` steps of `N` environments.

    `action` is as the policy sampled it, and `log_prob` is the log-probability of exactly that: the
    environment may have been given a clipped version. `length` counts the rows that were filled,
    from the first; the rest of the buffer is unused and masked out.
    """

    observation: PyTree[Shaped[Array, "T N ..."]]
    final_observation: PyTree[Shaped[Array, "N ..."]]
    action: Shaped[Array, "T N ..."]
    log_prob: Float[Array, "T N"]
    reward: Float[Array, "T N"]
    terminated: Bool[Array, "T N"]
    truncated: Bool[Array, "T N"]
    mask: Bool[Array, "T N"]
    length: Int[Array, ""] | None = None

    @property
    def axes(self) -> list[int | None]:
        """The axis of the environments in every leaf, in the order of `jax.tree.leaves`."""
        known = {"final_observation": 0, "length": None}
        leaves, _ = jax.tree.flatten_with_path(self)
        return [known.get(path[0].name, 1) for path, _ in leaves]

    @property
    def ended(self) -> Bool[Array, "T N"]:
        """The steps with which an episode ends, for whichever reason."""
        return self.terminated | self.truncated


class EpisodeStatistics(eqx.Module):
    """Sums over the episodes that ended during a collection (raw rewards, undiscounted)."""

    num_episodes: Int[Array, ""]
    return_sum: Float[Array, ""]
    length_sum: Int[Array, ""]
    return_max: Float[Array, ""]
    """the largest return, not a sum; 0 if no episode ended"""
    reached: dict[str, Int[Array, ""]]
    """by milestone of the world: the number of episodes that reached it"""
