"""Baselines: what to subtract from a return before it weighs an action's score.

Their formulas are in `theory/means.py`; the learned one is in `value_function.py`.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.parts.checks import check_below_one, require
from uphill.parts.part import Setup, StatefulPart
from uphill.parts.seen import Seen, Served
from uphill.policies.policy import Policy
from uphill.theory.means import (
    batch_mean,
    leave_one_out,
    masked_mean,
    time_mean,
    update_running_mean,
)
from uphill.trajectory import Array, Scalar

PerSample = Float[Array, " B"]


class Baseline(StatefulPart):
    """A baseline answers with a number for every step, and may learn from every batch.

    One that defines `value` may be bootstrapped from. One that defines `joint` lends networks to
    the steps that the policy's optimiser takes, where `objective` says what they are to learn.
    """

    needs_episodes: ClassVar[bool] = False
    """Whether it must see an episode from its first step to its last."""
    has_value: ClassVar[bool] = False
    """Whether it knows V(s): it does if it defines `value`, whatever it says itself."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        cls.has_value = callable(cls.value) and cls.value is not Baseline.value

    @abstractmethod
    def __call__(
        self, state: PyTree, seen: Seen, returns: Float[Array, "T N"]
    ) -> Scalar | Float[Array, "T N"]:
        """b, which is subtracted from the returns: Ψ = G − b.

        `returns` are those of the estimator, one for each step. b is in the same unit as they are:
        that of the rewards, or of the scaled rewards with `normalize_rewards`. It is a number for
        each step, or a single one for all.
        """

    def value(
        self, state: PyTree, policy: Policy, features: Float[Array, "*batch D"]
    ) -> Float[Array, "*batch"]:
        """V(s), in units of the returns' standard deviation, for a baseline that knows it."""
        raise NotImplementedError

    def target(self, seen: Seen, returns: Float[Array, "T N"], gamma: Scalar) -> Array:
        """The target that the baseline learns, in the unit of `returns`.

        The batch holds it scaled: `batch.target = target / (σ · unit)`, where σ is the standard
        deviation of the returns (1 unless `normalize_returns`) and `unit` is `self.unit(state)`.
        By default it is `returns`, which are the estimator's `target`.
        """
        return returns

    def unit(self, state: PyTree) -> Scalar:
        """What it divides its target by, for networks that see numbers of about 1."""
        return 1.0

    def counts(self, state: PyTree) -> list[Array]:
        """Samples that this unit was made from: while there are none, a batch only measures."""
        return []

    @property
    def is_joint(self) -> bool:
        """Whether it has networks that learn in the steps of the policy's optimiser."""
        return type(self).joint is not Baseline.joint

    def joint(self, state: PyTree) -> PyTree:
        """Those networks."""
        return None

    def joined(self, state: PyTree, networks: PyTree) -> PyTree:
        """The state with those networks as they have become."""
        raise NotImplementedError

    def objective(
        self, networks: PyTree, features: Array, hidden: Array, target: PerSample
    ) -> tuple[PerSample, dict[str, PerSample]]:
        """What they add to the objective of each sample, and its metrics; `hidden` is what the
        policy's trunk makes of the features."""
        raise NotImplementedError

    def learned(self, state: PyTree, served: Served, key: PRNGKeyArray) -> PyTree:
        """The state after a batch."""
        return state

    def check_whole(self) -> None:
        """Raises:
        UphillError: if it is joint, and does not define all that makes it so.
        """
        kind, methods = type(self), ("joint", "joined", "objective")
        missing = [x for x in methods if getattr(kind, x) is getattr(Baseline, x)]
        require(
            not (self.is_joint and missing),
            "baseline",
            kind.__name__,
            f"it says that it is_joint, so define {', '.join(missing)} as well",
        )


class NoBaseline(Baseline):
    """Ψ is the return itself."""

    def __call__(self, state: PyTree, seen: Seen, returns: Array) -> Scalar:
        return 0.0


class BatchMean(Baseline):
    """Subtracts the mean return of the batch."""

    def __call__(self, state: PyTree, seen: Seen, returns: Array) -> Float[Array, "T N"]:
        return batch_mean(returns, seen.mask)


class PastMean(Baseline):
    """Remembers the mean return of the batches before this one."""

    decay: Scalar = 0.9
    """Weight of the past mean when a new batch comes."""

    def __check_init__(self) -> None:
        check_below_one(decay=self.decay)

    def init(self, setup: Setup, generator: np.random.Generator) -> Float[np.ndarray, "2"]:
        """The mean, and the weight of what it was made from."""
        return np.zeros(2, np.float32)

    def learned(self, state: Array, served: Served, key: PRNGKeyArray) -> Float[Array, "2"]:
        batch, (mean, weight) = served.batch, state
        new = masked_mean(batch.target, batch.mask)
        after = jnp.stack(update_running_mean(mean, weight, new, self.decay))
        return jnp.where(batch.mask.any(), after, state)  # nothing is no return of 0


class RunningMean(PastMean):
    """Subtracts the mean return of the batches before this one: unbiased, and a little late."""

    def __call__(self, state: Array, seen: Seen, returns: Array) -> Scalar:
        return seen.deviation * state[0]


class ConstantValue(PastMean):
    """V(s) is the same for every state: the mean return of the batches before this one. It is
    subtracted, and stands for what comes after a cut: REINFORCE in windows, with GAE of λ = 1.

    Half of what Tianshou calls return standardisation; the other half is normalize_rewards.

    Reference: Weng et al. (2022), https://jmlr.org/papers/v23/21-1127.html
    """

    def value(
        self, state: Array, policy: Policy, features: Float[Array, "*batch D"]
    ) -> Float[Array, "*batch"]:
        return jnp.full(features.shape[:-1], state[0])

    def __call__(self, state: Array, seen: Seen, returns: Array) -> Float[Array, "T N"]:
        assert seen.value is not None
        return seen.value


class TimeMean(Baseline):
    """Subtracts the mean return of the batch's episodes at the same time step."""

    needs_episodes: ClassVar[bool] = True

    def __call__(self, state: PyTree, seen: Seen, returns: Array) -> Float[Array, "T N"]:
        t = seen.trajectory
        return time_mean(returns, seen.mask, seen.quota, t.length, played=t.mask)


class LeaveOneOut(Baseline):
    """Subtracts the mean return of the other environments: unbiased.

    Reference: Kool et al. (2019), https://openreview.net/forum?id=r1lgTGL5DE
    """

    def __call__(self, state: PyTree, seen: Seen, returns: Array) -> Float[Array, "T N"]:
        return leave_one_out(returns, seen.mask)

    def check(self, algorithm: Any) -> None:
        require(
            algorithm.sampling.num_envs > 1,
            "baseline",
            "LeaveOneOut",
            "with a single environment there is no other, so use num_envs of 2 or more",
        )
