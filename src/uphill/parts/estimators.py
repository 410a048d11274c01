"""Return estimators: how good was what followed an action?

Each answers with a number for every step of a trajectory, from which the baseline is subtracted.
`value` is V of every observation before a step, `final_value` of those after the last; both are
None without a value function. The formulas are in `theory/returns.py`.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from uphill.parts.checks import check_count, check_parts, check_unit
from uphill.parts.optimizers import SGD, Adam, Optax, RMSProp
from uphill.policies.policy import NetworkSettings
from uphill.theory import returns
from uphill.trajectory import Array, Scalar, Trajectory


class TotalReturn(eqx.Module):
    """G_0, the return of the whole episode, for each of its steps: unbiased, and the noisiest.

    Also rewards that came before an action weigh it, though it could not change them.
    """

    gamma: float = 0.99
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        t = trajectory
        return returns.episode_return(t.reward, t.ended, t.mask, self.gamma, t.length)


class RewardToGo(eqx.Module):
    """G_t, the discounted sum of the rewards that follow: unbiased, and noisy."""

    gamma: float = 0.99
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        return _to_go(trajectory, self.gamma)


class DiscountedRewardToGo(eqx.Module):
    """G_t, with step t of an episode weighed by γ^t: the exact gradient of the discounted return.

    Late steps hardly count, which is seldom wanted: the others leave γ^t out.
    """

    gamma: float = 0.99
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        return _to_go(trajectory, self.gamma)

    def weight(self, trajectory: Trajectory) -> Float[Array, "T N"]:
        """γ^t, by which a step's advantage is multiplied."""
        return jnp.power(self.gamma, returns.elapsed(trajectory.mask)).astype(
            trajectory.reward.dtype
        )


class NStep(eqx.Module):
    """The next `num_steps` rewards, then V: less noise than all, biased where V is wrong."""

    gamma: float = 0.99
    """Discount factor."""
    num_steps: int = eqx.field(static=True, default=5)
    """Rewards before V stands for the rest."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)
        check_count(num_steps=self.num_steps)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        data, length = _bootstrapped(trajectory, value, final_value), trajectory.length
        return returns.n_step_return(*data, self.gamma, self.num_steps, length)


class TDResidual(eqx.Module):
    """r + γ V(s'); less V(s) it is the TD residual. The least noise, and all of V's errors."""

    gamma: float = 0.99
    """Discount factor."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        data = _bootstrapped(trajectory, value, final_value)
        return returns.one_step_return(*data, self.gamma, trajectory.length)


class GAE(eqx.Module):
    """The λ-return; less V it is the generalised advantage estimate.

    Less noise than the rewards alone for λ < 1, and a bias where V is wrong. Bootstraps from V
    where an episode was truncated.
    """

    gamma: float = 0.99
    """Discount factor."""
    lam: float = 0.95
    """λ: 0 trusts the value function after one step, 1 never does."""

    def __check_init__(self) -> None:
        check_unit(gamma=self.gamma, lam=self.lam)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        data, length = _bootstrapped(trajectory, value, final_value), trajectory.length
        return returns.lambda_return(*data, self.gamma, self.lam, length)


class ActionValue(eqx.Module):
    """A learned Q(s, a), fitted to the reward-to-go: little noise, and biased where Q is wrong.

    With `ValueFunction` as the baseline the advantage is Q(s, a) − V(s), both learned.
    """

    gamma: float = 0.99
    """Discount factor."""
    network: NetworkSettings = NetworkSettings()
    optimizer: Adam | RMSProp | SGD | Optax = Adam(learning_rate=1e-2)
    num_steps: int = eqx.field(static=True, default=5)
    """Gradient steps an update, on the whole batch, after it has served the policy."""

    def __check_init__(self) -> None:
        check_parts(self)
        check_unit(gamma=self.gamma)
        check_count(num_steps=self.num_steps)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        """What Q is fitted to."""
        return _to_go(trajectory, self.gamma)


def _to_go(trajectory: Trajectory, gamma: Scalar) -> Float[Array, "T N"]:
    t = trajectory
    return returns.reward_to_go(t.reward, t.ended, gamma, t.length)


def _bootstrapped(
    trajectory: Trajectory, value: Array | None, final_value: Array | None
) -> tuple[Array, Array, Array, Array, Array]:
    """What every estimator that bootstraps looks at; algorithms without V refuse them."""
    assert value is not None
    assert final_value is not None
    t = trajectory
    return t.reward, t.terminated, t.truncated, value, final_value


NEEDS_VALUE = (NStep, TDResidual, GAE)
"""Estimators that bootstrap from a value function."""
NEEDS_EPISODES = (TotalReturn, DiscountedRewardToGo, ActionValue)
"""Estimators that must see an episode from its first step to its last."""
