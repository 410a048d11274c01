"""One step of the policy along the natural gradient: NPG, and TRPO with its line search."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from uphill.batch import Batch, averaged
from uphill.learning.objective import (
    Metrics,
    distribution_of,
    mean_gradient,
    per_sample,
    with_scaled_advantages,
)
from uphill.parts import Algorithm, TrustRegion
from uphill.parts.optimizers import NaturalStep
from uphill.policies.policy import Policy
from uphill.theory.means import masked_sum
from uphill.theory.natural_gradient import (
    backtrack,
    conjugate_gradient,
    fisher_vector_product,
    natural_step_size,
)
from uphill.trajectory import Array


def natural_step(algorithm: Algorithm, policy: Policy, batch: Batch) -> tuple[Policy, Metrics]:
    """The policy after one natural step on the batch.

    θ ← θ + α x,   x = (F + cI)⁻¹ g,   α = √(2δ / xᵀ(F + cI)x)

    With `TrustRegion`, α is halved until the surrogate improves and KL(π_old ‖ π) ≤ δ.
    """
    settings = algorithm.optimizer
    assert isinstance(settings, NaturalStep)
    batch = with_scaled_advantages(algorithm, batch)  # once: the line search looks at the same
    gradient, metrics = mean_gradient(algorithm, (policy, None), batch)
    ascent = -ravel_pytree(gradient)[0]
    metrics["gradient/norm"] = jnp.sqrt(ascent @ ascent)
    direction, curved = natural_direction(algorithm, policy, batch, ascent)
    max_kl = settings.max_kl.value
    step = natural_step_size(direction, curved, max_kl) * direction
    parameters, unflatten = ravel_pytree(policy)
    if not isinstance(settings, TrustRegion):
        return unflatten(parameters + step), metrics

    def evaluate(fraction: Array) -> tuple[Array, Array]:
        return _outcome(algorithm, policy, unflatten(parameters + fraction * step), batch)

    fraction, _, _ = backtrack(evaluate, max_kl, settings.num_backtracks)
    # Where no fraction will do the step may hold anything, a NaN too.
    step = jnp.where(fraction > 0, fraction * step, 0.0)
    metrics["policy/step_fraction"] = fraction
    return unflatten(parameters + step), metrics


def natural_direction(
    algorithm: Algorithm, policy: Policy, batch: Batch, ascent: Float[Array, " P"]
) -> tuple[Float[Array, " P"], Float[Array, " P"]]:
    """x = (F + cI)⁻¹ g by conjugate gradients, and (F + cI) x; F is the mean over the batch."""
    settings = algorithm.optimizer
    assert isinstance(settings, NaturalStep)
    parameters, unflatten = ravel_pytree(policy)

    def kl(old: Any, new: Any) -> Array:
        return old.kl(new)

    def curvature(vector: Array) -> Array:
        def block(samples: Batch) -> Array:
            def of(parameters: jax.Array) -> Any:
                return distribution_of(algorithm, unflatten(parameters), samples.features)

            return fisher_vector_product(of, parameters, kl, vector, samples.mask)

        return averaged(block, batch) + settings.damping * vector

    direction, _ = conjugate_gradient(curvature, jnp.asarray(ascent), settings.num_iterations)
    return direction, curvature(direction)


def _outcome(
    algorithm: Algorithm, old: Policy, new: Policy, batch: Batch
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """How much the mean objective improves from the old policy to the new, and their mean KL."""

    def block(samples: Batch) -> tuple[Array, Array]:
        before, _ = per_sample(algorithm, (old, None), samples)
        after, _ = per_sample(algorithm, (new, None), samples)
        kl = kl_between(algorithm, old, new, samples)
        return masked_sum(after - before, samples.mask), masked_sum(kl, samples.mask)

    return averaged(block, batch)


def kl_between(
    algorithm: Algorithm, old: Policy, new: Policy, samples: Batch
) -> Float[Array, " B"]:
    """KL(π_old ‖ π_new) at each sample's state."""
    return distribution_of(algorithm, old, samples.features).kl(
        distribution_of(algorithm, new, samples.features)
    )
