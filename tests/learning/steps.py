"""Single steps on a batch, as the optimiser of an update takes them."""

from typing import Any

import jax

from uphill.batch import Batch
from uphill.learning.objective import mean_gradient, with_scaled_advantages
from uphill.learning.problem import problem_of
from uphill.parts import Algorithm
from uphill.parts.optimizers import Problem
from uphill.policies.policy import Policy


@jax.jit
def descent_direction(algorithm: Algorithm, model: Any, batch: Batch) -> tuple:
    """The gradient of the loss in the first step, when the policy is the one that sampled; and the
    metrics."""
    return mean_gradient(algorithm, model, with_scaled_advantages(algorithm, batch), model[0])


def problem_at(algorithm: Algorithm, policy: Policy, batch: Batch) -> tuple[Any, Any, Problem]:
    """The policy's parameters, the function that turns them back, and what a batch answers."""
    parameters, unflatten = algorithm.optimizer.flattened((policy, None))
    return parameters, unflatten, problem_of(algorithm, parameters, unflatten, batch, policy)


@jax.jit
def natural_step(algorithm: Algorithm, policy: Policy, batch: Batch) -> tuple:
    """The policy after a step of an optimiser that has no state, and the metrics."""
    parameters, unflatten, problem = problem_at(algorithm, policy, batch)
    after, _, metrics = algorithm.optimizer.step(None, parameters, problem)
    return unflatten(after)[0], metrics
