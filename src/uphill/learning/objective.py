"""The objective, sample by sample, and the gradient of its masked mean."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from uphill.batch import Batch, accumulate, mean_of
from uphill.errors import UphillError
from uphill.learning.learner import Model
from uphill.parts import Algorithm, Sample
from uphill.parts.part import Part
from uphill.policies.actor import with_uniform
from uphill.policies.policy import Policy
from uphill.theory.distributions import Distribution
from uphill.theory.means import masked_sum, standardize
from uphill.theory.surrogates import approximate_kl
from uphill.trajectory import Array, Metrics


class _Sums(eqx.Module):
    """Sums over samples, in one array: separate sums would cost as much as a small network."""

    names: tuple[str, ...] = eqx.field(static=True)
    values: Float[Array, " M"]


def mean_gradient(
    algorithm: Algorithm, model: Model, batch: Batch, old: Policy
) -> tuple[PyTree, Metrics]:
    """The gradient of the loss, that is of minus the mean objective, entropy bonus and value loss
    included; and the batch means of the per-sample metrics. `old` is the behaviour policy.

    Advantages are used as they are: apply `with_scaled_advantages` first.
    """
    count = divisor = jnp.maximum(batch.mask.sum(), 1)
    if algorithm.mean_over == "episodes":
        assert algorithm.sampling.quota is not None
        divisor = algorithm.sampling.num_envs * algorithm.sampling.quota

    def total(model: Model, samples: Batch) -> tuple[Float[Array, ""], _Sums]:
        objective, told = per_sample(algorithm, model, samples, old)
        stacked = jnp.stack(list(told.values()))
        valid = jnp.broadcast_to(samples.mask, stacked.shape)
        sums = _Sums(tuple(told), jnp.where(valid, stacked, 0.0).sum(1))
        return -masked_sum(objective, samples.mask) / divisor, sums

    gradient, sums = accumulate(total, model, batch)
    return gradient, dict(zip(sums.names, sums.values / count, strict=True))


def with_scaled_advantages(algorithm: Algorithm, batch: Batch) -> Batch:
    """The batch with advantages of mean 0 and standard deviation 1, if minibatches are scaled."""
    if algorithm.scale_advantages != "minibatch":
        return batch
    advantage = standardize(batch.advantage, batch.mask)
    return eqx.tree_at(lambda b: b.advantage, batch, advantage)


def per_sample(
    algorithm: Algorithm, model: Model, samples: Batch, old: Policy
) -> tuple[Float[Array, " B"], dict[str, Float[Array, " B"]]]:
    """The objective and the metrics of each sample.

    L = surrogate + c_H · H(π(·|s)) − c_V · (V(s) − G)²
    """
    policy, networks = model
    hidden = policy.hidden(samples.features)
    distribution = with_uniform(policy.distribution(hidden, samples.features), algorithm.uniform)
    sample = Sample(
        distribution.log_prob(samples.action),
        samples.old_log_prob,
        samples.advantage,
        distribution,
        old=lambda: distribution_of(algorithm, old, samples.features),
    )
    surrogate, entropy = algorithm.surrogate(sample), distribution.entropy()
    _check_samples(surrogate, samples, algorithm.surrogate, "")
    objective = surrogate + algorithm.entropy.value * entropy
    told = {"policy/surrogate": surrogate, "policy/entropy": entropy}
    told |= _checked(algorithm.surrogate.metrics(sample), samples, algorithm.surrogate)
    if algorithm.target_kl is not None:
        told["policy/approximate_kl"] = approximate_kl(sample.log_prob, sample.old_log_prob)
    if networks is not None:
        joint = algorithm.baseline.objective
        more, metrics = joint(networks, samples.features, hidden, samples.target)
        _check_samples(more, samples, algorithm.baseline, ".objective")
        objective, told = objective + more, told | _checked(metrics, samples, algorithm.baseline)
    return objective, told


def _checked(metrics: dict[str, Any], samples: Batch, part: Part) -> dict[str, Any]:
    """The metrics of a part.

    Raises:
        UphillError: if one has not a number for each sample.
    """
    for name, x in metrics.items():
        _check_samples(x, samples, part, f"'s metric {name}")
    return metrics


def _check_samples(found: Any, samples: Batch, part: Part, what: str) -> None:
    """Raises:
    UphillError: unless a part returned a number for each sample.
    """
    wanted, shape = samples.mask.shape, getattr(found, "shape", None)
    if shape != wanted:
        told = type(found).__name__ if shape is None else f"shape {shape}"
        raise UphillError(
            f"{type(part).__name__}{what} returned {told}: return a number for each of "
            f"{wanted[0]} samples, as an array of shape {wanted}."
        )


def distribution_of(
    algorithm: Algorithm, policy: Policy, features: Float[Array, "*batch D"]
) -> Distribution:
    """What actions are drawn from in training: the policy, mixed with uniform if so configured."""
    return with_uniform(policy(features), algorithm.uniform)


def kl_between(
    algorithm: Algorithm, old: Policy, new: Policy
) -> Callable[[Batch], Float[Array, " B"]]:
    """KL(π_old ‖ π_new) at each sample's state."""

    def of(samples: Batch) -> Float[Array, " B"]:
        before = distribution_of(algorithm, old, samples.features)
        return before.kl(distribution_of(algorithm, new, samples.features))

    return of


def mean_kl(algorithm: Algorithm, old: Policy, new: Policy, batch: Batch) -> Float[Array, ""]:
    """The mean of KL(π_old ‖ π_new) over the batch."""
    return mean_of(kl_between(algorithm, old, new), batch)
