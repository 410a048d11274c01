"""Distributions over actions: sample, mode, log-probability, entropy, KL divergence.

Each is batched: leading axes are whatever its parameters have. `log_prob` is of the action exactly
as sampled, before any clipping to the bounds of a space.
"""

import math
from typing import Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, PRNGKeyArray, Shaped

from uphill.trajectory import Array

_LOG_TWO_PI = math.log(2 * math.pi)


@runtime_checkable
class Distribution(Protocol):
    """What a policy gives for an observation."""

    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "*batch_and_event"]:
        """A random action from each distribution."""
        ...

    def mode(self) -> Shaped[Array, "*batch_and_event"]:
        """The most probable action of each: what a deterministic policy does."""
        ...

    def log_prob(self, action: Shaped[Array, "*batch_and_event"]) -> Float[Array, "*batch"]:
        """log π(a): a probability's logarithm, or a density's."""
        ...

    def entropy(self) -> Float[Array, "*batch"]:
        """−E[log π(a)] of each distribution."""
        ...


class Categorical(eqx.Module):
    """One of `A` actions.

    π(a) = exp(z_a) / Σ_b exp(z_b),   H = −Σ_a π(a) log π(a)
    """

    logits: Float[Array, "*batch A"]

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch"]:
        return jax.random.categorical(key, self.logits)

    def mode(self) -> Int[Array, "*batch"]:
        return self.logits.argmax(-1)

    def log_prob(self, action: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        # A comparison and a sum: on CPUs several times cheaper than a gather, and so is its
        # gradient, which would be a scatter.
        chosen = jax.nn.one_hot(action, self.logits.shape[-1], dtype=bool)
        return jnp.where(chosen, jax.nn.log_softmax(self.logits), 0.0).sum(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        log_p = jax.nn.log_softmax(self.logits)
        p = jnp.exp(log_p)
        # Selected before it is multiplied: the gradient of 0 · log 0 would be NaN.
        return -(p * jnp.where(p > 0, log_p, 0.0)).sum(-1)


class MultiCategorical(eqx.Module):
    """Several independent categorical choices; component k has `sizes[k]` actions.

    log π(a) = Σ_k log π_k(a_k)
    """

    logits: Float[Array, "*batch sum_of_sizes"]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def _parts(self) -> list[Categorical]:
        starts = [sum(self.sizes[:k]) for k in range(len(self.sizes))]
        return [
            Categorical(self.logits[..., start : start + size])
            for start, size in zip(starts, self.sizes, strict=True)
        ]

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch K"]:
        keys = jax.random.split(key, len(self.sizes))
        parts = zip(self._parts(), keys, strict=True)
        return jnp.stack([part.sample(key) for part, key in parts], -1)

    def mode(self) -> Int[Array, "*batch K"]:
        return jnp.stack([part.mode() for part in self._parts()], -1)

    def log_prob(self, action: Int[Array, "*batch K"]) -> Float[Array, "*batch"]:
        parts = enumerate(self._parts())
        return jnp.stack([part.log_prob(action[..., k]) for k, part in parts], -1).sum(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.stack([part.entropy() for part in self._parts()], -1).sum(-1)


class Bernoulli(eqx.Module):
    """`K` independent yes-or-no choices, 1 with probability sigmoid(z_k).

    log π(a) = Σ_k a_k log σ(z_k) + (1 − a_k) log σ(−z_k)
    """

    logits: Float[Array, "*batch K"]

    def sample(self, key: PRNGKeyArray) -> Int[Array, "*batch K"]:
        uniform = jax.random.uniform(key, self.logits.shape, self.logits.dtype)
        return (uniform < jax.nn.sigmoid(self.logits)).astype(jnp.int32)

    def mode(self) -> Int[Array, "*batch K"]:
        return (self.logits > 0).astype(jnp.int32)

    def log_prob(self, action: Int[Array, "*batch K"]) -> Float[Array, "*batch"]:
        signed = jnp.where(action == 1, self.logits, -self.logits)
        return jax.nn.log_sigmoid(signed).sum(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        # H = softplus(z) − z σ(z), per component
        z = self.logits
        return (jax.nn.softplus(z) - z * jax.nn.sigmoid(z)).sum(-1)


class DiagonalGaussian(eqx.Module):
    """A normal distribution with independent components; σ is a standard deviation.

    log π(a) = −½ Σ_k ((a_k − μ_k) / σ_k)² + 2 log σ_k + log 2π,   H = Σ_k log σ_k + ½ (1 + log 2π)
    """

    mean: Float[Array, "*batch D"]
    log_std: Float[Array, "*batch D"]

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*batch D"]:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.exp(self.log_std) * noise

    def mode(self) -> Float[Array, "*batch D"]:
        return self.mean

    def log_prob(self, action: Float[Array, "*batch D"]) -> Float[Array, "*batch"]:
        z = (action - self.mean) * jnp.exp(-self.log_std)
        return -0.5 * (z**2 + 2 * self.log_std + _LOG_TWO_PI).sum(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        per_component = self.log_std + 0.5 * (1 + _LOG_TWO_PI)
        return per_component.sum(-1)
