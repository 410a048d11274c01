"""Surrogates: the objectives whose gradient is followed.

Each is per sample: the mean over samples is taken in `learning/objective.py`. Their formulas are in
`theory/surrogates.py`.
"""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PyTree

from uphill.parts.checks import DIVERGENCES, check_positive, check_schedule, searched
from uphill.parts.part import Setup, StatefulPart
from uphill.parts.schedule import Schedule
from uphill.theory import surrogates
from uphill.theory.distributions import Distribution
from uphill.trajectory import Array, Scalar


@dataclass(frozen=True)
class Sample:
    """What a surrogate sees of every sample: the action's log-probability under the current policy
    (the one being improved) and under the behaviour policy, and its advantage."""

    log_prob: Float[Array, " B"]
    old_log_prob: Float[Array, " B"]
    advantage: Float[Array, " B"]
    distribution: Distribution
    """over all actions, under the current policy"""
    old: Callable[[], Distribution]
    """the same under the behaviour policy"""

    @property
    def ratio(self) -> Float[Array, " B"]:
        """π(a|s) / π_old(a|s)."""
        return jnp.exp(self.log_prob - self.old_log_prob)

    @cached_property
    def kl(self) -> Float[Array, " B"]:
        """KL(π_old ‖ π) between the whole distributions at every sample's state; computed on
        demand."""
        return self.old().kl(self.distribution)


class Surrogate(StatefulPart):
    """A surrogate returns each sample's contribution to the objective."""

    is_ratio: ClassVar[bool] = False
    """Whether it stays valid once the policy differs from the behaviour policy. If not, a batch
    serves a single step."""
    limits_step: ClassVar[bool] = False
    """Whether it keeps the policy near the behaviour policy, as natural optimisers do."""

    @abstractmethod
    def __call__(self, sample: Sample) -> Float[Array, " B"]:
        """Each sample's contribution to the objective."""

    def metrics(self, sample: Sample) -> dict[str, Float[Array, " B"]]:
        """Further per-sample metrics by name ('group/name'); their mean is logged."""
        return {}

    def now(self, state: PyTree) -> "Surrogate":
        """The surrogate with the settings that its state holds."""
        return self

    def learned(self, state: PyTree, moved: Callable[[], Array]) -> PyTree:
        """The state after a batch; `moved()` is the mean KL(π_old ‖ π) over all steps on that
        batch, computed on demand."""
        return state


class ScoreFunction(Surrogate):
    """log π(a|s) · A: REINFORCE, VPG and A2C."""

    def __call__(self, sample: Sample) -> Float[Array, " B"]:
        return surrogates.score_function(sample.log_prob, sample.advantage)


class ImportanceRatio(Surrogate):
    """r A, with r = π(a|s) / π_old(a|s): also valid for a policy that has moved on, as long as it
    is near. TRPO's line search evaluates it."""

    is_ratio: ClassVar[bool] = True

    def __call__(self, sample: Sample) -> Float[Array, " B"]:
        return surrogates.importance_ratio(sample.log_prob, sample.old_log_prob, sample.advantage)


class ClippedRatio(Surrogate):
    """min(r A, clip(r, 1 − ε, 1 + ε) A): PPO. Allows several epochs on the same batch."""

    is_ratio: ClassVar[bool] = True
    limits_step: ClassVar[bool] = True

    epsilon: Schedule = eqx.field(
        converter=Schedule.of("epsilon"), default=0.2, metadata=searched(0.05, 0.4)
    )
    """Clip range ε: moving the ratio out of [1 − ε, 1 + ε] earns nothing."""

    def __check_init__(self) -> None:
        check_schedule(epsilon=self.epsilon)

    def __call__(self, sample: Sample) -> Float[Array, " B"]:
        known = (sample.log_prob, sample.old_log_prob, sample.advantage)
        return surrogates.clipped_ratio(*known, self.epsilon.value)

    def metrics(self, sample: Sample) -> dict[str, Float[Array, " B"]]:
        """1 where the ratio has left [1 − ε, 1 + ε]."""
        away = jnp.abs(sample.ratio - 1.0) > self.epsilon.value
        return {"policy/clip_fraction": away.astype(sample.log_prob.dtype)}


class KLPenalty(Surrogate):
    """r A − β KL(π_old ‖ π): PPO's other form. β doubles or halves after each batch, to keep the
    divergence near `target`.

    Reference: Schulman et al. (2017), section 4, https://arxiv.org/abs/1707.06347
    """

    is_ratio: ClassVar[bool] = True
    limits_step: ClassVar[bool] = True

    coefficient: Scalar = 1.0
    """β before the first batch."""
    target: Schedule = eqx.field(
        converter=Schedule.of("target"), default=0.01, metadata=DIVERGENCES
    )
    """Target KL divergence between the old policy and the new one."""

    def __check_init__(self) -> None:
        check_positive(coefficient=self.coefficient)
        check_schedule(target=self.target)

    def init(self, setup: Setup, generator: np.random.Generator) -> Float[np.ndarray, ""]:
        """β."""
        return np.asarray(self.coefficient, np.float32)

    def now(self, state: Array) -> "KLPenalty":
        return eqx.tree_at(lambda part: part.coefficient, self, state)

    def __call__(self, sample: Sample) -> Float[Array, " B"]:
        known = (sample.log_prob, sample.old_log_prob, sample.advantage)
        return surrogates.kl_penalized(*known, sample.kl, self.coefficient)

    def learned(self, state: Array, moved: Callable[[], Array]) -> Float[Array, ""]:
        beta = jnp.asarray(state)
        return surrogates.adapted_coefficient(beta, jnp.asarray(moved()), self.target.value)
