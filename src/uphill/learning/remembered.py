"""What parts remember from one batch to the next: a running mean, a memory of transitions, the
weight of a KL penalty, the scales of rewards and returns."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from uphill.batch import Batch
from uphill.learning.value_function import Memory, empty_memory, with_transitions
from uphill.parts import Algorithm, KLPenalty, RunningMean, ValueFunction
from uphill.policies.encodings import Encoding
from uphill.theory.means import masked_mean, update_running_mean
from uphill.theory.moments import Moments, batch_moments, merge
from uphill.theory.returns import following, reward_to_go
from uphill.theory.scaling import Scale, deviation, fresh_scale
from uphill.theory.surrogates import adapted_coefficient
from uphill.trajectory import Array, Scalar, Trajectory


class Remembered(eqx.Module):
    """All of it; None where there is no such part."""

    running_mean: Float[Array, "2"] | None
    """the mean return, and the weight of what it was made from"""
    memory: Memory | None
    kl_coefficient: Float[Array, ""] | None
    reward_scale: Scale | None
    return_scale: Moments | None
    """moments of the discounted rewards that followed each action"""

    @property
    def return_deviation(self) -> Scalar:
        """σ, in units of which the networks see returns: 1 unless returns are normalised."""
        return 1.0 if self.return_scale is None else jnp.asarray(deviation(self.return_scale))


def nothing_remembered(algorithm: Algorithm, num_features: int) -> Remembered:
    """What there is before the first batch."""
    baseline, surrogate = algorithm.baseline, algorithm.surrogate
    running_mean = memory = kl_coefficient = reward_scale = return_scale = None
    if isinstance(baseline, RunningMean):
        running_mean = np.zeros(2, np.float32)
    if isinstance(baseline, ValueFunction) and baseline.replay is not None:
        memory = empty_memory(baseline.replay.capacity, num_features)
    if isinstance(surrogate, KLPenalty):
        kl_coefficient = np.asarray(surrogate.coefficient, np.float32)
    if algorithm.normalize_rewards:
        reward_scale = fresh_scale(algorithm.sampling.num_envs)
    if algorithm.normalize_returns:
        return_scale = fresh_scale(1).moments
    return Remembered(running_mean, memory, kl_coefficient, reward_scale, return_scale)


def remember(
    algorithm: Algorithm,
    old: Remembered,
    encoding: Encoding,
    trajectory: Trajectory,
    batch: Batch,
    kl: Float[Array, ""] | None,
) -> Remembered:
    """What there is after a batch, which has served by then; `kl` is how far the policy moved."""
    gamma = algorithm.estimator.gamma
    return Remembered(
        _running_mean(algorithm, old, batch),
        _memory(old.memory, encoding, trajectory, gamma),
        _kl_coefficient(algorithm, old, kl),
        _reward_scale(old.reward_scale, trajectory, gamma),
        _return_scale(old.return_scale, trajectory, gamma),
    )


def at_a_reset(old: Remembered) -> Remembered:
    """What there is when the environments begin anew: no rewards of the episodes that were open."""
    if old.reward_scale is None:
        return old
    return eqx.tree_at(
        lambda x: x.reward_scale.running, old, jnp.zeros_like(old.reward_scale.running)
    )


def _running_mean(algorithm: Algorithm, old: Remembered, batch: Batch) -> Array | None:
    if not isinstance(algorithm.baseline, RunningMean):
        return None
    assert old.running_mean is not None
    mean, weight = old.running_mean
    new = masked_mean(batch.target, batch.mask)
    seen = jnp.stack(update_running_mean(mean, weight, new, algorithm.baseline.decay))
    return jnp.where(batch.mask.any(), seen, old.running_mean)  # nothing is no return of 0


def _memory(
    old: Memory | None, encoding: Encoding, trajectory: Trajectory, gamma: Scalar
) -> Memory | None:
    if old is None:
        return None
    t = trajectory
    observation, final = encoding.encode(t.observation), encoding.encode(t.final_observation)
    after = following(observation, final, t.length)
    to_go = reward_to_go(t.reward, t.ended, gamma, t.length)
    return with_transitions(old, (observation, after, t.reward, t.terminated, to_go), t.mask)


def _kl_coefficient(
    algorithm: Algorithm, old: Remembered, kl: Array | None
) -> Float[Array, ""] | None:
    if not isinstance(algorithm.surrogate, KLPenalty):
        return None
    assert old.kl_coefficient is not None
    assert kl is not None
    return adapted_coefficient(
        jnp.asarray(old.kl_coefficient), jnp.asarray(kl), algorithm.surrogate.target.value
    )


def _reward_scale(old: Scale | None, trajectory: Trajectory, gamma: Scalar) -> Scale | None:
    if old is None:
        return None
    t = trajectory
    if t.length is not None:  # whole episodes begin at a reset
        old = Scale(old.moments, jnp.zeros_like(old.running))
    return old.seen(t.reward, t.mask, t.ended, gamma, t.length)


def _return_scale(old: Moments | None, trajectory: Trajectory, gamma: Scalar) -> Moments | None:
    if old is None:
        return None
    t = trajectory
    # Of rewards alone: returns that bootstrap from V hold the scale, which would feed itself.
    returns = reward_to_go(t.reward, t.ended, gamma, t.length)
    return merge(old, batch_moments(returns[..., None], t.mask))
