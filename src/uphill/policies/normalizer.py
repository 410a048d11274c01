"""Observation normalisation: frozen while a batch is collected and learned from, merged after."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt32

from uphill.theory.moments import Moments, batch_moments, merge
from uphill.trajectory import Array


class Normalizer(eqx.Module):
    """Scales every feature by its running mean and standard deviation.

    x̂ = clip((x − μ) / √(σ² + ε), −c, c)

    One-hot features (where `is_scaled` is False) pass unchanged. Until it has seen anything it
    passes everything unchanged, too.
    """

    moments: Moments
    is_scaled: tuple[bool, ...] = eqx.field(static=True)
    clip: float = eqx.field(static=True, default=10.0)
    epsilon: float = eqx.field(static=True, default=1e-8)

    def __call__(self, x: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        mean = jnp.broadcast_to(self.moments.mean, x.shape)
        # Multiplied, as in `divided`: what XLA makes of a division depends on the program.
        scale = jnp.broadcast_to(1 / jnp.sqrt(self.moments.variance + self.epsilon), x.shape)
        applies = jnp.broadcast_to(np.asarray(self.is_scaled) & (self.count > 0), x.shape)
        return jnp.where(applies, jnp.clip((x - mean) * scale, -self.clip, self.clip), x)

    def seen(self, x: Float[Array, "*batch D"], mask: Bool[Array, "*batch"]) -> "Normalizer":
        """The normaliser after these samples; masked ones don't count."""
        merged = merge(self.moments, batch_moments(x, mask))
        return Normalizer(merged, self.is_scaled, self.clip, self.epsilon)

    @property
    def count(self) -> UInt32[Array, ""]:
        """How many samples it has seen."""
        return self.moments.count


def fresh_normalizer(is_scaled: tuple[bool, ...]) -> Normalizer:
    """A normaliser that has seen nothing."""
    size = len(is_scaled)
    moments = Moments(
        np.zeros((), np.uint32), np.zeros(size, np.float32), np.ones(size, np.float32)
    )
    return Normalizer(moments, is_scaled)
