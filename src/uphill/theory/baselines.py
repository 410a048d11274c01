"""Baselines without parameters: what to subtract from a return before it weighs a gradient."""

import jax.numpy as jnp
from jaxtyping import Bool, Float

from uphill.trajectory import Array


def masked_sum(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """Σ x where the mask is True. Selecting (never multiplying) keeps a masked NaN out."""
    return jnp.where(mask, x, 0.0).sum()


def masked_mean(x: Float[Array, "*shape"], mask: Bool[Array, "*shape"]) -> Float[Array, ""]:
    """The mean of `x` where the mask is True; 0 where it never is."""
    return masked_sum(x, mask) / jnp.maximum(mask.sum(), 1)


def batch_mean(
    returns: Float[Array, "*shape"], mask: Bool[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """One number for every step: the mean return of the batch.

    b = mean(G)

    It contains the step's own return, so with n independent samples the gradient's expectation is
    (1 − 1/n) times the exact one: a bias of length, not of direction.
    """
    return jnp.broadcast_to(masked_mean(returns, mask), returns.shape)


def standardize(
    x: Float[Array, "*shape"], mask: Bool[Array, "*shape"], epsilon: float = 1e-8
) -> Float[Array, "*shape"]:
    """Zero mean and unit variance over the masked entries; masked entries become 0.

    (x − mean(x)) / (std(x) + ε),   std² = Σ (x − mean(x))² / (n − 1)

    A single entry, or constant ones, give 0 and never a NaN.
    """
    # Equal entries have a mean that is rounded: less the smallest first, they are exactly 0.
    shifted = x - jnp.where(mask, x, jnp.inf).min()
    centred = jnp.where(mask, shifted - masked_mean(shifted, mask), 0.0)
    variance = (centred**2).sum() / jnp.maximum(mask.sum() - 1, 1)
    return centred / (jnp.sqrt(variance) + epsilon)
