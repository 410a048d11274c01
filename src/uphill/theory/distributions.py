"""Distributions over actions: sample, mode, log-probability, entropy, KL divergence.

Each is batched: leading axes are whatever its parameters have. `log_prob` is of the action exactly
as sampled, before any clipping to the bounds of a space.
"""

import math
from typing import Any, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray, Shaped

from uphill.trajectory import Array, Scalar


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

    def kl(self, other: Any) -> Float[Array, "*batch"]:
        """KL(self ‖ other) = E[log π(a) − log π′(a)] with a ~ π, exactly; π′, the other one, is of
        the same type and shape."""
        ...


@runtime_checkable
class FiniteDistribution(Distribution, Protocol):
    """A distribution over finitely many actions: only of these is there a uniform one."""

    def mixed_with_uniform(self, epsilon: Scalar) -> Distribution:
        """(1 − ε) π + ε / A, a distribution of the same type. Where an action has several
        components, each is mixed for itself."""
        ...


class Categorical(eqx.Module):
    """One of `A` actions.

    π(a) = exp(z_a) / Σ_b exp(z_b),   H = −Σ_a π(a) log π(a)
    """

    logits: Float[Array, "*batch A"]

    def probabilities(self) -> Float[Array, "*batch A"]:
        """π(a) of each action."""
        return jax.nn.softmax(self.logits)

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

    def kl(self, other: "Categorical") -> Float[Array, "*batch"]:
        log_p, log_q = jax.nn.log_softmax(self.logits), jax.nn.log_softmax(other.logits)
        p = jnp.exp(log_p)
        return (p * jnp.where(p > 0, log_p - log_q, 0.0)).sum(-1)

    def mixed_with_uniform(self, epsilon: Scalar) -> "Categorical":
        log_p = jax.nn.log_softmax(self.logits)
        return Categorical(_log_mixture(log_p, epsilon, log_p.shape[-1]))


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

    def probabilities(self) -> tuple[Float[Array, "..."], ...]:
        """π_k(a) of each action of each component."""
        return tuple(part.probabilities() for part in self._parts())

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

    def kl(self, other: "MultiCategorical") -> Float[Array, "*batch"]:
        pairs = zip(self._parts(), other._parts(), strict=True)
        return jnp.stack([part.kl(of_other) for part, of_other in pairs], -1).sum(-1)

    def mixed_with_uniform(self, epsilon: Scalar) -> "MultiCategorical":
        mixed = [part.mixed_with_uniform(epsilon).logits for part in self._parts()]
        return MultiCategorical(jnp.concatenate(mixed, -1), self.sizes)


class Bernoulli(eqx.Module):
    """`K` independent yes-or-no choices, 1 with probability sigmoid(z_k).

    log π(a) = Σ_k a_k log σ(z_k) + (1 − a_k) log σ(−z_k)
    """

    logits: Float[Array, "*batch K"]

    def probabilities(self) -> Float[Array, "*batch K"]:
        """The probability that each component is 1."""
        return jax.nn.sigmoid(self.logits)

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

    def kl(self, other: "Bernoulli") -> Float[Array, "*batch"]:
        # Both outcomes of each component, so that nothing is lost when both are almost certain.
        def half(z: Array, w: Array) -> Array:
            return jax.nn.sigmoid(z) * (jax.nn.log_sigmoid(z) - jax.nn.log_sigmoid(w))

        z, w = self.logits, other.logits
        return (half(z, w) + half(-z, -w)).sum(-1)

    def mixed_with_uniform(self, epsilon: Scalar) -> "Bernoulli":
        one, zero = (
            _log_mixture(jax.nn.log_sigmoid(z), epsilon, 2) for z in (self.logits, -self.logits)
        )
        return Bernoulli(one - zero)


class Product(eqx.Module):
    """Several independent distributions, side by side: an action is a part of each.

    log π(a) = Σ_k log π_k(a_k),   H = Σ_k H_k,   KL = Σ_k KL_k

    An action is one row of numbers: `widths[k]` of them belong to part k (0: one number without an
    axis, as of a single choice). Where some are not whole, all are floats; whole ones stay exact.
    """

    parts: "tuple[Any, ...]"
    widths: tuple[int, ...] = eqx.field(static=True)

    def of_parts(self, action: Shaped[Array, "*batch K"]) -> list[Shaped[Array, "..."]]:
        """The part of an action that each distribution is of."""
        whole = (Categorical, MultiCategorical, Bernoulli)
        pairs = zip(self.parts, columns(action, self.widths), strict=True)
        return [x.astype(jnp.int32) if isinstance(part, whole) else x for part, x in pairs]

    def _joined(self, of_parts: list[Shaped[Array, "..."]]) -> Shaped[Array, "*batch K"]:
        rows = [x if w else x[..., None] for x, w in zip(of_parts, self.widths, strict=True)]
        dtype = jnp.result_type(*rows)
        return jnp.concatenate([row.astype(dtype) for row in rows], -1)

    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "*batch K"]:
        keys = jax.random.split(key, len(self.parts))
        return self._joined([part.sample(k) for part, k in zip(self.parts, keys, strict=True)])

    def mode(self) -> Shaped[Array, "*batch K"]:
        return self._joined([part.mode() for part in self.parts])

    def log_prob(self, action: Shaped[Array, "*batch K"]) -> Float[Array, "*batch"]:
        pairs = zip(self.parts, self.of_parts(action), strict=True)
        return jnp.stack([part.log_prob(x) for part, x in pairs], -1).sum(-1)

    def entropy(self) -> Float[Array, "*batch"]:
        return jnp.stack([part.entropy() for part in self.parts], -1).sum(-1)

    def kl(self, other: "Product") -> Float[Array, "*batch"]:
        pairs = zip(self.parts, other.parts, strict=True)
        return jnp.stack([part.kl(of_other) for part, of_other in pairs], -1).sum(-1)

    def mixed_with_uniform(self, epsilon: Scalar) -> "Product":
        """Only where every part is of finitely many actions."""
        return Product(tuple(x.mixed_with_uniform(epsilon) for x in self.parts), self.widths)


def columns(row: Any, widths: tuple[int, ...]) -> list[Any]:
    """Rows of numbers, split along the last axis; a part of width 0 is one number."""
    ends = np.cumsum([max(width, 1) for width in widths]).tolist()
    starts = [0, *ends[:-1]]
    parts = zip(starts, ends, widths, strict=True)
    return [row[..., a:b] if width else row[..., a] for a, b, width in parts]


def _log_mixture(
    log_p: Float[Array, "*batch"], epsilon: Scalar, num_actions: int
) -> Float[Array, "*batch"]:
    """log((1 − ε) p + ε / A), also where p underflows and for ε = 0."""
    kept = jnp.log1p(-epsilon) + log_p
    uniform = jnp.broadcast_to(jnp.log(epsilon) - math.log(num_actions), kept.shape)
    # An impossible action that ε = 0 leaves impossible: its gradient would be NaN.
    possible = jnp.maximum(kept, uniform) > -jnp.inf
    mixture = jnp.logaddexp(jnp.where(possible, kept, 0.0), uniform)
    return jnp.where(possible, mixture, -jnp.inf).astype(log_p.dtype)
