"""Rewards and returns divided by a running standard deviation: never shifted, so signs stay."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import DTypeLike

from uphill.theory.moments import Moments, batch_moments, merge, varies
from uphill.theory.returns import over_rows
from uphill.trajectory import Array, Scalar, divided


def discounted_running_return(
    reward: Float[Array, "T N"],
    mask: Bool[Array, "T N"],
    ended: Bool[Array, "T N"],
    gamma: Scalar,
    start: Float[Array, " N"],
    length: Int[Array, ""] | int | None = None,
) -> tuple[Float[Array, "T N"], Float[Array, " N"]]:
    """The discounted sum of an episode's rewards so far, and what the next window starts from.

    R_t = γ R_{t−1} + r_t,   R = `start` before the first row, and 0 after an episode's end

    Masked rows change nothing, and are 0.
    """

    def step(running: Float[Array, " N"], row: tuple) -> tuple:
        reward, valid, ended = row
        grown = jnp.where(valid, gamma * running + reward, running)
        return jnp.where(valid & ended, 0.0, grown), jnp.where(valid, grown, 0.0)

    carry, running = over_rows(step, jnp.asarray(start), (reward, mask, ended), length)
    return running, carry


class Scale(eqx.Module):
    """The spread of the discounted running returns seen so far, and those that still run.

    Rewards are divided by the standard deviation of R, not by their own: so the returns, from which
    values and advantages are made, get a standard deviation of about 1.

    Reference: Engstrom et al. (2020), https://arxiv.org/abs/2005.12729
    """

    moments: Moments
    running: Float[Array, " N"]
    """R after the last row; where the next rows start at a reset, it must be set to 0."""

    def seen(
        self,
        reward: Float[Array, "T N"],
        mask: Bool[Array, "T N"],
        ended: Bool[Array, "T N"],
        gamma: Scalar,
        length: Int[Array, ""] | int | None = None,
    ) -> "Scale":
        """The scale after these steps; masked ones don't count."""
        returns, running = discounted_running_return(
            reward, mask, ended, gamma, self.running, length
        )
        return Scale(merge(self.moments, batch_moments(returns[..., None], mask)), running)


def fresh_scale(num_envs: int, dtype: DTypeLike = np.float32) -> Scale:
    """A scale that has seen nothing; `dtype` is that of the rewards."""
    moments = Moments(np.zeros((), np.uint32), np.zeros(1, dtype), np.ones(1, dtype))
    return Scale(moments, np.zeros(num_envs, dtype))


def deviation(moments: Moments, epsilon: float = 1e-8) -> Float[Array, ""]:
    """√(σ² + ε) of one feature; 1 while all that was seen is the same, to rounding.

    Constant numbers say nothing about the size of later ones: divided by √ε, the first reward in a
    sparse-reward world would be ten thousand times too large.
    """
    mean, variance = jnp.asarray(moments.mean)[0], jnp.asarray(moments.variance)[0]
    has_varied = (moments.count > 0) & varies(mean, variance)
    return jnp.where(has_varied, jnp.sqrt(variance + epsilon), 1.0)


def scaled(
    x: Float[Array, "*shape"], moments: Moments, clip: Scalar = 10.0
) -> Float[Array, "*shape"]:
    """`x` in units of one feature's standard deviation; unchanged while nothing was seen.

    clip(x / σ, −c, c)
    """
    return jnp.where(moments.count > 0, jnp.clip(divided(x, deviation(moments)), -clip, clip), x)
