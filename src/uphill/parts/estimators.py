"""Return estimators: how good was what followed an action?

Each answers with a number for every step of a trajectory, from which the baseline is subtracted.
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
    """An estimator answers with the return of every step, discounted by `gamma`."""

    needs_value: ClassVar[bool] = False
    """Whether it bootstraps from V: the baseline must have one then."""
    needs_episodes: ClassVar[bool] = False
    """Whether it must see an episode from its first step to its last."""
    is_learned: ClassVar[bool] = False
    """Whether it learns its own `target`, which the batch then holds."""

    gamma: eqx.AbstractVar[Scalar]

    @abstractmethod
    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        """What every action was followed by."""

    def target(self, seen: Seen, estimated: Float[Array, "T N"]) -> Float[Array, "T N"]:
        """The return that a value function learns: the estimate, unless that is learned itself."""
        return estimated

    def weight(self, seen: Seen) -> Float[Array, "T N"] | None:
        """By which every step's advantage is multiplied; None for 1."""
        return None

    def learned(self, state: PyTree, served: Served, key: PRNGKeyArray) -> PyTree:
        """The state after a batch."""
        return state


class TotalReturn(Estimator):
    """G_0, the return of the whole episode, for each of its steps: unbiased, and the noisiest.

    Also rewards that came before an action weigh it, though it could not change them.
    """

    needs_episodes: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        t = seen.trajectory
        return returns.episode_return(t.reward, t.ended, t.mask, self.gamma, t.length)


class RewardToGo(Estimator):
    """G_t, the discounted sum of the rewards that follow: unbiased, and noisy."""

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

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

    Late steps hardly count, which is seldom wanted: the others leave γ^t out.
    """

    needs_episodes: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        return to_go(seen.trajectory, self.gamma)

    def weight(self, seen: Seen) -> Float[Array, "T N"]:
        """γ^t."""
        t = seen.trajectory
        return jnp.power(self.gamma, returns.elapsed(t.mask)).astype(t.reward.dtype)


class NStep(Estimator):
    """The next `num_steps` rewards, then V: less noise than all, biased where V is wrong."""

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""
    num_steps: int = eqx.field(static=True, default=5)
    """Rewards before V stands for the rest."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)
        check_count(num_steps=self.num_steps)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        length = seen.trajectory.length
        return returns.n_step_return(*bootstrapped(seen), self.gamma, self.num_steps, length)


class TDResidual(Estimator):
    """r + γ V(s'); less V(s) it is the TD residual. The least noise, and all of V's errors."""

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        return returns.one_step_return(*bootstrapped(seen), self.gamma, seen.trajectory.length)


class GAE(Estimator):
    """The λ-return; less V it is the generalised advantage estimate.

    Less noise than the rewards alone for λ < 1, and a bias where V is wrong. Bootstraps from V
    where an episode was truncated.
    """

    needs_value: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""
    lam: Scalar = eqx.field(default=0.95, metadata=searched(0.5, 0.999, "log-to-one"))
    """λ: 0 trusts the value function after one step, 1 never does."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma, lam=self.lam)

    def __call__(self, state: PyTree, seen: Seen) -> Float[Array, "T N"]:
        length = seen.trajectory.length
        return returns.lambda_return(*bootstrapped(seen), self.gamma, self.lam, length)


def to_go(trajectory: Trajectory, gamma: Scalar) -> Float[Array, "T N"]:
    """The discounted sum of the rewards that follow every step."""
    t = trajectory
    return returns.reward_to_go(t.reward, t.ended, gamma, t.length)


def bootstrapped(seen: Seen) -> tuple[Array, Array, Array, Array, Array]:
    """What everything that bootstraps looks at; algorithms without V refuse it."""
    assert seen.value is not None
    assert seen.final_value is not None
    t = seen.trajectory
    return t.reward, t.terminated, t.truncated, seen.value, seen.final_value
