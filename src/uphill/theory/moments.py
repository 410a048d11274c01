"""Running mean and variance, mergeable and exact beyond 2²⁴ samples."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt32

from uphill.trajectory import Array, divided

_LARGEST_COUNT = np.uint32(2**32 - 1)


class Moments(eqx.Module):
    """How many samples were seen, and their mean and (population) variance, by feature.

    The count is an integer, since float32 stops counting at 2²⁴. At 2³² − 1 it stays there: from
    then on old samples fade, slowly.
    """

    count: UInt32[Array, ""]
    mean: Float[Array, " D"]
    variance: Float[Array, " D"]


def varies(mean: Float[Array, "*shape"], variance: Float[Array, "*shape"]) -> Array:
    """Whether numbers of this mean and variance differ by more than rounding."""
    return variance > 1e-10 * mean**2


def batch_moments(x: Float[Array, "*batch D"], mask: Bool[Array, "*batch"]) -> Moments:
    """The moments of the samples where the mask is True, in two passes.

    The second pass also corrects what rounding left in the mean: without it, numbers with a large
    offset (10⁸ in float32) would add the square of that to their variance.
    """
    axes = tuple(range(mask.ndim))
    mask_of_features = jnp.broadcast_to(mask[..., None], x.shape)
    count = jnp.sum(mask, dtype=jnp.uint32)
    divisor = jnp.maximum(count, 1).astype(x.dtype)
    mean = divided(jnp.where(mask_of_features, x, 0.0).sum(axes), divisor)
    centred = jnp.where(mask_of_features, x - jnp.broadcast_to(mean, x.shape), 0.0)
    rest = divided(centred.sum(axes), divisor)
    variance = jnp.maximum(divided((centred**2).sum(axes), divisor) - rest**2, 0.0)
    return Moments(count, mean + rest, variance)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of both sets of samples together.

    n = n_a + n_b,   δ = μ_b − μ_a,   w = n_b / n
    μ = μ_a + w δ,   σ² = (1 − w) σ_a² + w σ_b² + w (1 − w) δ²

    Reference: Chan, Golub & LeVeque (1983), https://doi.org/10.1080/00031305.1983.10483115
    """
    room = _LARGEST_COUNT - a.count
    count = a.count + jnp.minimum(b.count, room)
    total = a.count.astype(a.mean.dtype) + b.count.astype(a.mean.dtype)
    weight = b.count.astype(a.mean.dtype) / jnp.maximum(total, 1)
    delta = b.mean - a.mean
    mean = a.mean + weight * delta
    variance = (1 - weight) * a.variance + weight * b.variance + weight * (1 - weight) * delta**2
    return Moments(count, mean, variance)
