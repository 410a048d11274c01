"""The objective, sample by sample, and the gradient of its masked mean: the one place where a mean
over samples is taken."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, PyTree

from uphill.batch import Batch, accumulate
from uphill.parts import Algorithm, ClippedRatio, Episodes, KLPenalty, ValueFunction
from uphill.policies.actor import with_uniform
from uphill.policies.policy import Critic, Policy
from uphill.theory.distributions import Distribution
from uphill.theory.means import masked_sum, standardize
from uphill.theory.surrogates import approximate_kl
from uphill.trajectory import Array, Scalar

Metrics = dict[str, Float[Array, ""]]
Model = tuple[Policy, Critic | None]


def descent_direction(
    algorithm: Algorithm, model: Model, batch: Batch, old: Policy | None = None
) -> tuple[PyTree, Metrics]:
    """The loss's gradient: minus that of the objective, entropy bonus and value loss included.

    `old` is the policy that sampled, which only a KL penalty asks for.
    """
    return mean_gradient(algorithm, model, with_scaled_advantages(algorithm, batch), old)


def mean_gradient(
    algorithm: Algorithm, model: Model, batch: Batch, old: Policy | None = None
) -> tuple[PyTree, Metrics]:
    """`descent_direction` with the advantages as they are."""
    count = jnp.maximum(batch.mask.sum(), 1)
    divisor = count
    if algorithm.mean_over == "episodes":
        assert isinstance(algorithm.sampling, Episodes)
        divisor = algorithm.sampling.num_envs * algorithm.sampling.per_env

    def total(model: Model, samples: Batch) -> tuple[Float[Array, ""], Float[Array, " M"]]:
        objective, diagnostics = per_sample(algorithm, model, samples, old)
        # One array, and one sum of it: a sum for each would cost as much as a small network.
        stacked = jnp.stack(list(diagnostics.values()))
        valid = jnp.broadcast_to(samples.mask, stacked.shape)
        sums = jnp.where(valid, stacked, 0.0).sum(1)
        return -masked_sum(objective, samples.mask) / divisor, sums

    gradient, sums = accumulate(total, model, batch)
    return gradient, dict(zip(diagnostics_of(algorithm, model), sums / count, strict=True))


def with_scaled_advantages(algorithm: Algorithm, batch: Batch) -> Batch:
    """The batch with advantages of mean 0 and deviation 1, if every minibatch is to have such."""
    if algorithm.scale_advantages != "minibatch":
        return batch
    advantage = standardize(batch.advantage, batch.mask)
    return eqx.tree_at(lambda b: b.advantage, batch, advantage)


def diagnostics_of(algorithm: Algorithm, model: Model) -> tuple[str, ...]:
    """The names of what `per_sample` tells besides the objective."""
    return (
        "policy/surrogate",
        "policy/entropy",
        *(["policy/clip_fraction"] if isinstance(algorithm.surrogate, ClippedRatio) else []),
        *(["policy/approximate_kl"] if algorithm.target_kl is not None else []),
        *(["value/loss"] if model[1] is not None else []),
    )


def per_sample(
    algorithm: Algorithm, model: Model, samples: Batch, old: Policy | None = None
) -> tuple[Float[Array, " B"], dict[str, Float[Array, " B"]]]:
    """What each sample adds to the objective, and its diagnostics.

    L = surrogate + c_H · H(π(·|s)) − c_V · (V(s) − G)²
    """
    policy, critic = model
    hidden = policy.hidden(samples.features)
    distribution = with_uniform(
        policy.distribution(hidden, samples.features), uniform_share(algorithm)
    )
    log_prob, old_log_prob = distribution.log_prob(samples.action), samples.old_log_prob
    known = (log_prob, old_log_prob, samples.advantage)
    if isinstance(algorithm.surrogate, KLPenalty):
        assert old is not None
        kl = distribution_of(algorithm, old, samples.features).kl(distribution)
        surrogate = algorithm.surrogate(*known, kl)
    else:
        surrogate = algorithm.surrogate(*known)
    entropy = distribution.entropy()
    objective = surrogate + algorithm.entropy.value * entropy
    diagnostics = {"policy/surrogate": surrogate, "policy/entropy": entropy}
    if isinstance(algorithm.surrogate, ClippedRatio):
        diagnostics["policy/clip_fraction"] = algorithm.surrogate.clips(log_prob, old_log_prob)
    if algorithm.target_kl is not None:
        diagnostics["policy/approximate_kl"] = approximate_kl(log_prob, old_log_prob)
    if critic is not None:
        assert isinstance(algorithm.baseline, ValueFunction)
        error = (critic(samples.features, hidden) - samples.target) ** 2
        objective = objective - algorithm.baseline.coefficient * error
        diagnostics["value/loss"] = error
    return objective, diagnostics


def distribution_of(
    algorithm: Algorithm, policy: Policy, features: Float[Array, "*batch D"]
) -> Distribution:
    """What actions are drawn from while training: the policy, with what is mixed in."""
    return with_uniform(policy(features), uniform_share(algorithm))


def uniform_share(algorithm: Algorithm) -> Scalar | None:
    """The probability with which an action is drawn from all alike."""
    return None if algorithm.uniform_mixture is None else algorithm.uniform_mixture.value
