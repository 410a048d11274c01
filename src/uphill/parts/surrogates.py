"""Surrogates: the function of the policy whose gradient is followed.

Each is per sample. Their formulas are in `theory/surrogates.py`.
"""

import equinox as eqx
import jax.numpy as jnp

from uphill.parts.checks import check_positive, check_schedule
from uphill.parts.schedule import Schedule
from uphill.theory import surrogates
from uphill.trajectory import Array


class ScoreFunction(eqx.Module):
    """log π(a|s) · A: REINFORCE, VPG and A2C."""

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
        return surrogates.score_function(log_prob, advantage)


class ImportanceRatio(eqx.Module):
    """r A, with r = π(a|s) / π_old(a|s): right also for a policy that has moved on, while it is
    near. What TRPO's line search looks at."""

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
        return surrogates.importance_ratio(log_prob, old_log_prob, advantage)


class ClippedRatio(eqx.Module):
    """min(r A, clip(r, 1 − ε, 1 + ε) A): PPO. Allows several epochs on the same batch."""

    epsilon: Schedule = eqx.field(converter=Schedule.of("epsilon"), default=0.2)
    """ε, how far the new policy's probabilities may move while it still pays."""

    def __check_init__(self) -> None:
        check_schedule(epsilon=self.epsilon)

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
        return surrogates.clipped_ratio(log_prob, old_log_prob, advantage, self.epsilon.value)

    def clips(self, log_prob: Array, old_log_prob: Array) -> Array:
        """1 where the ratio has left [1 − ε, 1 + ε]."""
        away = jnp.abs(jnp.exp(log_prob - old_log_prob) - 1.0) > self.epsilon.value
        return away.astype(log_prob.dtype)


class KLPenalty(eqx.Module):
    """r A − β KL(π_old ‖ π): PPO's other form. β doubles or halves after each batch, to keep the
    divergence near `target`.

    Reference: Schulman et al. (2017), section 4, https://arxiv.org/abs/1707.06347
    """

    coefficient: float = 1.0
    """β before the first batch."""
    target: Schedule = eqx.field(converter=Schedule.of("target"), default=0.01)
    """KL divergence between the old policy and the new one that β aims at."""

    def __check_init__(self) -> None:
        check_positive(coefficient=self.coefficient)
        check_schedule(target=self.target)

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array, kl: Array) -> Array:
        """`kl` is the divergence at each sample's state, of the whole distributions."""
        return surrogates.kl_penalized(log_prob, old_log_prob, advantage, kl, self.coefficient)


HAS_RATIO = (ImportanceRatio, ClippedRatio, KLPenalty)
"""Surrogates that stay right when the policy has moved on from the one that sampled."""
