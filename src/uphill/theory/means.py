"""Masked means over a batch: of all steps, by time step, of the other environments."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from uphill.theory.returns import elapsed
from uphill.trajectory import Array, Scalar, divided


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


def time_mean(
    returns: Float[Array, "T N"],
    mask: Bool[Array, "T N"],
    per_env: int | None = None,
    length: Int[Array, ""] | int | None = None,
    played: Bool[Array, "T N"] | None = None,
) -> Float[Array, "T N"]:
    """For each step the mean return over all episodes of the batch at the same time within them.

    b_t = mean_i(G_t^(i)),   over the episodes i that lasted until t

    For data that start at a reset. `per_env=1` says that no environment plays more than one
    episode, which is cheaper. Like `batch_mean` it contains the step's own return; a time that only
    one episode reached has no other, and its advantage is 0. `played` are the steps by which time
    goes, where `mask` leaves out some that were played.
    """
    valid = jnp.where(mask, returns, 0.0)
    if per_env == 1:  # time is the row
        mean = valid.sum(1) / jnp.maximum(mask.sum(1), 1)
        return jnp.broadcast_to(mean[:, None], returns.shape)
    time = elapsed(mask if played is None else played, length)

    def total(x: Array) -> Array:
        return jax.ops.segment_sum(x.ravel(), time.ravel(), returns.shape[0])

    mean = total(valid) / jnp.maximum(total(jnp.asarray(mask, valid.dtype)), 1)
    return mean[time]


def leave_one_out(returns: Float[Array, "T N"], mask: Bool[Array, "T N"]) -> Float[Array, "T N"]:
    """For each step the mean return over the steps of all other environments; 0 without any.

    b_j = Σ_{i≠j} Σ_t G_t^(i) / Σ_{i≠j} n_i

    Environments are independent of each other, so this baseline knows nothing of the actions that
    it judges, and the gradient stays unbiased.

    Reference: Kool et al. (2019), https://openreview.net/forum?id=r1lgTGL5DE
    """
    total = jnp.where(mask, returns, 0.0).sum(0)
    count = jnp.asarray(mask).sum(0)
    mean = (total.sum() - total) / jnp.maximum(count.sum() - count, 1)
    return jnp.broadcast_to(mean[None], returns.shape)


def update_running_mean(
    mean: Float[Array, "*shape"],
    weight: Float[Array, ""],
    batch_mean: Float[Array, "*shape"],
    decay: Scalar,
) -> tuple[Float[Array, "*shape"], Float[Array, ""]]:
    """The next (mean, weight) of a running mean in which earlier batches fade.

    w ← d w + 1,   m ← m + (x − m) / w,   so that   m_n = Σ_k d^{n−k} x_k / Σ_k d^{n−k}

    It starts at weight 0, where the first batch counts fully: an exponential moving average without
    the bias of its start. A decay of 1 gives the mean of all batches, 0 the last one.

    >>> update_running_mean(jnp.zeros(()), jnp.zeros(()), jnp.array(5.0), 0.9)[0].item()
    5.0
    """
    weight = decay * weight + 1
    return mean + divided(batch_mean - mean, weight), weight


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
    return divided(centred, jnp.sqrt(variance) + epsilon)
