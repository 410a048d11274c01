"""What an optimiser can ask of a batch: gradient, curvature, and the outcome of a step."""

from typing import Any

import jax
from jaxtyping import Float, PyTree

from uphill.batch import Batch, averaged, mean_of
from uphill.learning.learner import Model
from uphill.learning.objective import (
    distribution_of,
    kl_between,
    mean_gradient,
    per_sample,
    with_scaled_advantages,
)
from uphill.parts import Algorithm
from uphill.parts.optimizers import Problem
from uphill.policies.policy import Policy
from uphill.theory.natural_gradient import fisher_vector_product
from uphill.trajectory import Array, Metrics


def problem_of(
    algorithm: Algorithm, parameters: PyTree, unflatten: Any, batch: Batch, old: Policy
) -> Problem:
    """The problem that a batch poses at `parameters`; `old` is the policy that sampled it."""
    batch = with_scaled_advantages(algorithm, batch)  # once: a line search looks at the same

    def gradient(parameters: PyTree) -> tuple[PyTree, Metrics]:
        slope, metrics = mean_gradient(algorithm, unflatten(parameters), batch, old)
        return algorithm.optimizer.flattened(slope)[0], metrics

    def curvature(vector: Float[Array, " P"]) -> Float[Array, " P"]:
        def block(samples: Batch) -> Array:
            def of(parameters: jax.Array) -> Any:
                return distribution_of(algorithm, unflatten(parameters)[0], samples.features)

            return fisher_vector_product(of, parameters, _kl, vector, samples.mask)

        return averaged(block, batch)

    def outcome(after: Float[Array, " P"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        models: tuple[Model, Model] = unflatten(parameters), unflatten(after)
        kl = kl_between(algorithm, models[0][0], models[1][0])

        def of(samples: Batch) -> tuple[Array, Array]:
            before, _ = per_sample(algorithm, models[0], samples, old)
            now, _ = per_sample(algorithm, models[1], samples, old)
            return now - before, kl(samples)

        return mean_of(of, batch)

    return Problem(gradient, curvature, outcome)


def _kl(old: Any, new: Any) -> Array:
    return old.kl(new)
