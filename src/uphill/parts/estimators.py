"""Return estimators: how good was the outcome of an action?

Each returns a target for every step of a trajectory, from which the baseline is subtracted.
The formulas are in `theory/returns.py`; the learned one is in `action_value.py`.
"""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.parts.checks import DISCOUNTS, check_count, check_unit, require, searched
from uphill.parts.part import StatefulPart
from uphill.parts.seen import Seen, Served
from uphill.theory import returns
from uphill.trajectory import Array, Scalar, Trajectory


class Estimator(StatefulPart):
    """An estimator returns the target G of every step, from which the baseline is subtracted.

    So its result is a return, not an advantage: `GAE` returns A + V, the λ-return.
    """

    needs_value: ClassVar[bool] = False
    """Whether it bootstraps from V, so that the baseline must have one."""
    needs_episodes: ClassVar[bool] = False
    """Whether it must see an episode from its first step to its last."""
    is_learned: ClassVar[bool] = False
    """Whether it is learned, from its own `target`, which the batch then holds."""

    gamma: eqx.AbstractVar[Scalar]

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    @abstractmethod
    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        """G, the discounted return of every step, in the unit of the trajectory's rewards."""

    def target(self, seen: Seen, estimated: Float[Array, "T N"]) -> Float[Array, "T N"]:
        """The return that value functions learn, in the unit of `estimated`, its own result.

        By default it is `estimated` itself: V learns the G that the baseline is subtracted from. An
        estimator whose G is learned (`is_learned`), such as `ActionValue`, returns what that is
        fitted to, Σ_k γ^k r_{t+k}. The batch then holds `estimator_target = target / σ`, where σ is
        the standard deviation of the returns (1 unless `normalize_returns`). An off-policy
        estimator may return another target, too.
        """
        return estimated

    def weight(self, seen: Seen) -> Float[Array, "T N"] | None:
        """The factor by which each step's advantage is multiplied; None for 1."""
        return None

    def learned(self, state: PyTree, served: Served, key: PRNGKeyArray) -> PyTree:
        """The state after a batch."""
        return state


class TotalReturn(Estimator):
    """G_0, the return of the whole episode, for each of its steps: unbiased, and the noisiest.

    Rewards from before an action count towards it, although it could not influence them.
    """

    needs_episodes: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        t = seen.trajectory
        return returns.episode_return(t.reward, t.ended, t.mask, self.gamma, t.length)


class RewardToGo(Estimator):
    """G_t, the discounted sum of the rewards that follow: unbiased, but noisy."""

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        return to_go(seen.trajectory, self.gamma)

    def check(self, algorithm: Any) -> None:
        is_cut = not algorithm.sampling.has_whole_episodes
        require(
            not (is_cut and algorithm.baseline.has_value),
            "estimator",
            "RewardToGo",
            "a value function fitted to returns that a window cuts would be wrong, so use GAE "
            "(λ = 1 is the reward-to-go, bootstrapped) or Episodes as the sampling",
        )


class DiscountedRewardToGo(Estimator):
    """G_t, with step t of an episode weighed by γ^t: the exact gradient of the discounted return.

    Late steps hardly count, which is rarely wanted: the other estimators leave γ^t out.
    """

    needs_episodes: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        return to_go(seen.trajectory, self.gamma)

    def weight(self, seen: Seen) -> Float[Array, "T N"]:
        """γ^t."""
        t = seen.trajectory
        return jnp.power(self.gamma, returns.elapsed(t.mask, t.length)).astype(t.reward.dtype)


class NStep(Estimator):
    """The next `num_steps` rewards, then V: less noisy than all rewards, biased where V is
    wrong."""

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""
    num_steps: int = eqx.field(static=True, default=5)
    """Number of rewards before bootstrapping from V."""

    def __check_init__(self) -> None:
        check_count(num_steps=self.num_steps)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        length = seen.trajectory.length
        return returns.n_step_return(*bootstrapped(seen), self.gamma, self.num_steps, length)


class TDResidual(Estimator):
    """r + γ V(s'); minus V(s) it is the TD residual. It has the least noise, and the most bias from
    V."""

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        return returns.one_step_return(*bootstrapped(seen), self.gamma, seen.trajectory.length)


class GAE(Estimator):
    """The λ-return; minus V it is the generalised advantage estimate (GAE).

    With λ < 1 it is less noisy than the rewards alone, and biased where V is wrong. Bootstraps from
    V where an episode was truncated.
    """

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""
    lam: Scalar = eqx.field(default=0.95, metadata=searched(0.5, 0.999, "log-to-one"))
    """λ: 0 bootstraps from V after one step, 1 only at a truncation or the end of the batch."""

    def __check_init__(self) -> None:
        check_unit(lam=self.lam)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        length = seen.trajectory.length
        return returns.lambda_return(*bootstrapped(seen), self.gamma, self.lam, length)


def to_go(trajectory: Trajectory, gamma: Scalar) -> Float[Array, "T N"]:
    """The discounted sum of the rewards that follow every step."""
    t = trajectory
    return returns.reward_to_go(t.reward, t.ended, gamma, t.length)


def bootstrapped(seen: Seen) -> tuple[Array, Array, Array, Array, Array]:
    """The arguments of every bootstrapped return; algorithms without V are refused before."""
    assert seen.value is not None
    assert seen.final_value is not None
    t = seen.trajectory
    return t.reward, t.terminated, t.truncated, seen.value, seen.final_value
