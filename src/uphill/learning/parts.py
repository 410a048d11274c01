"""The parts that an algorithm is composed of. Each is a choice; its fields are its settings.

    g = E[ Σ_t ∇ log π(a_t|s_t) · Ψ_t ]

Sampling says where the expectation comes from, the estimator and the baseline make Ψ, the surrogate
makes the gradient, the optimiser takes the step. Floats are traced: changing one never recompiles.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float

from uphill.errors import UphillError
from uphill.learning.schedule import Schedule
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.theory import returns, surrogates
from uphill.trajectory import Array, Scalar, Trajectory


def require(condition: bool, field: str, value: object, mend: str) -> None:
    """Raises:
    UphillError: `field` is `value`: `mend`; unless the condition holds.
    """
    if not condition:
        raise UphillError(f"{field} is {value}: {mend}.")


# --- sampling -----------------------------------------------------------------------------------


class Steps(eqx.Module):
    """A window of fixed length in every environment; episodes carry over from one to the next."""

    num_envs: int = eqx.field(static=True, default=8)
    """Environments that step together."""
    num_steps: int = eqx.field(static=True, default=128)
    """Steps of each environment in one update."""
    tail: str = eqx.field(static=True, default="cut")
    """Without a value function, what an episode that the window leaves unfinished counts for: cut
    (its return so far, biased) or mask (nothing; favours short episodes)."""

    def __check_init__(self) -> None:
        require(self.num_envs >= 1, "num_envs", self.num_envs, "use at least 1")
        require(self.num_steps >= 1, "num_steps", self.num_steps, "use at least 1")
        require(self.tail in ("cut", "mask"), "tail", repr(self.tail), "choose cut or mask")


class Episodes(eqx.Module):
    """Whole episodes from reset, so many of every environment, fixed before they run.

    Needs a time limit. Exact: no episode is left out for being long.
    """

    num_envs: int = eqx.field(static=True, default=16)
    """Environments that step together."""
    per_env: int = eqx.field(static=True, default=1)
    """Episodes of each environment in one update."""

    def __check_init__(self) -> None:
        require(self.num_envs >= 1, "num_envs", self.num_envs, "use at least 1")
        require(self.per_env >= 1, "per_env", self.per_env, "use at least 1")


# --- return estimators --------------------------------------------------------------------------


class RewardToGo(eqx.Module):
    """G_t, the discounted sum of the rewards that follow: unbiased, and noisy."""

    gamma: float = 0.99
    """Discount factor."""

    def __check_init__(self) -> None:
        _check_unit(gamma=self.gamma)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        t = trajectory
        return returns.reward_to_go(t.reward, t.ended, self.gamma, t.length)


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
        _check_unit(gamma=self.gamma, lam=self.lam)

    def __call__(
        self, trajectory: Trajectory, value: Array | None, final_value: Array | None
    ) -> Float[Array, "T N"]:
        assert value is not None
        assert final_value is not None
        t = trajectory
        return returns.lambda_return(
            t.reward, t.terminated, t.truncated, value, final_value, self.gamma, self.lam, t.length
        )


# --- baselines ----------------------------------------------------------------------------------


class NoBaseline(eqx.Module):
    """Ψ is the return itself."""


class BatchMean(eqx.Module):
    """Subtracts the mean return of the batch."""


class ValueFunction(eqx.Module):
    """Subtracts a learned V(s), fitted to the returns by least squares.

    Without an optimiser of its own it is one loss with the policy's, weighed by `coefficient`, and
    learns in the same minibatches. With one, it takes `num_steps` gradient steps on the whole batch
    after the policy's.
    """

    network: NetworkSettings = NetworkSettings()
    coefficient: float = 0.5
    """Weight of (V − G)² in the joint loss."""
    optimizer: "Adam | RMSProp | SGD | None" = None
    num_steps: int = eqx.field(static=True, default=1)
    """Gradient steps an update, with an optimiser of its own."""

    def __check_init__(self) -> None:
        _check_not_negative(coefficient=self.coefficient)
        require(self.num_steps >= 1, "num_steps", self.num_steps, "use at least 1")
        require(
            self.optimizer is not None or self.num_steps == 1,
            "num_steps",
            self.num_steps,
            "without an optimiser of its own the value function learns in the policy's steps, so "
            "use 1, or give it an optimizer",
        )


# --- surrogates ---------------------------------------------------------------------------------


class ScoreFunction(eqx.Module):
    """log π(a|s) · A: REINFORCE, VPG and A2C."""

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
        return surrogates.score_function(log_prob, advantage)

    def clips(self, log_prob: Array, old_log_prob: Array) -> Array:
        """Nothing is ever clipped."""
        return jnp.zeros_like(log_prob)


class ClippedRatio(eqx.Module):
    """min(r A, clip(r, 1 − ε, 1 + ε) A): PPO. Allows several epochs on the same batch."""

    epsilon: Schedule = eqx.field(converter=Schedule.parse, default=0.2)
    """ε, how far the new policy's probabilities may move while it still pays."""

    def __check_init__(self) -> None:
        _check_schedule(epsilon=self.epsilon)

    def __call__(self, log_prob: Array, old_log_prob: Array, advantage: Array) -> Array:
        return surrogates.clipped_ratio(log_prob, old_log_prob, advantage, self.epsilon.value)

    def clips(self, log_prob: Array, old_log_prob: Array) -> Array:
        """1 where the ratio has left [1 − ε, 1 + ε]."""
        away = jnp.abs(jnp.exp(log_prob - old_log_prob) - 1.0) > self.epsilon.value
        return away.astype(log_prob.dtype)


# --- optimisers ---------------------------------------------------------------------------------


class Adam(eqx.Module):
    """Adam (Kingma & Ba, 2015), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.parse, default=3e-4)
    """Step size."""
    max_grad_norm: float | None = 0.5
    """The gradient is scaled down to this norm if it is longer; None for never."""
    b1: float = 0.9
    """Decay of the first moment."""
    b2: float = 0.999
    """Decay of the second moment."""
    eps: float = 1e-5
    """Added to the root of the second moment."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)
        _check_below_one(b1=self.b1, b2=self.b2)
        _check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.adam(self.learning_rate.value, b1=self.b1, b2=self.b2, eps=self.eps)
        return _clipped(step, self.max_grad_norm)


class RMSProp(eqx.Module):
    """RMSProp (Tieleman & Hinton, 2012), after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.parse, default=7e-4)
    """Step size."""
    max_grad_norm: float | None = 0.5
    """The gradient is scaled down to this norm if it is longer; None for never."""
    decay: float = 0.99
    """Decay of the second moment."""
    eps: float = 1e-5
    """Added to the second moment."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)
        _check_below_one(decay=self.decay)
        _check_not_negative(eps=self.eps)

    def transform(self) -> optax.GradientTransformation:
        step = optax.rmsprop(self.learning_rate.value, decay=self.decay, eps=self.eps)
        return _clipped(step, self.max_grad_norm)


class SGD(eqx.Module):
    """Plain gradient ascent, after clipping the gradient's norm."""

    learning_rate: Schedule = eqx.field(converter=Schedule.parse, default=1e-2)
    """Step size."""
    max_grad_norm: float | None = None
    """The gradient is scaled down to this norm if it is longer; None for never."""

    def __check_init__(self) -> None:
        _check_optimizer(self.learning_rate, self.max_grad_norm)

    def transform(self) -> optax.GradientTransformation:
        return _clipped(optax.sgd(self.learning_rate.value), self.max_grad_norm)


Optimizer = Adam | RMSProp | SGD


def _clipped(
    step: optax.GradientTransformation, max_grad_norm: Scalar | None
) -> optax.GradientTransformation:
    if max_grad_norm is None:
        return step
    # Optax says float; a traced number works as well, and that is what it is here.
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), step)  # pyright: ignore


def _check_optimizer(learning_rate: Schedule, max_grad_norm: Scalar | None) -> None:
    _check_schedule(learning_rate=learning_rate)
    if max_grad_norm is not None:
        is_norm = bool(0 < max_grad_norm < math.inf)
        require(is_norm, "max_grad_norm", max_grad_norm, "use a number above 0, or None")


def _check_schedule(**fields: Schedule) -> None:
    for name, schedule in fields.items():
        ends = min(schedule.value, schedule.end)
        require(bool(ends >= 0), name, schedule, "use 0 or more")


def _check_not_negative(**fields: Scalar) -> None:
    for name, value in fields.items():
        require(bool(0 <= value < math.inf), name, value, "use a number that is 0 or more")


def _check_below_one(**fields: Scalar) -> None:
    for name, value in fields.items():
        require(bool(0 <= value < 1), name, value, "use a number from 0 to below 1")


def _check_unit(**fields: Scalar) -> None:
    for name, value in fields.items():
        require(bool(0 <= value <= 1), name, value, "use a number from 0 to 1")


# --- the whole ----------------------------------------------------------------------------------


class Algorithm(eqx.Module):
    """A point in the space of policy gradients: one choice for each part."""

    sampling: Steps | Episodes
    estimator: RewardToGo | GAE
    baseline: NoBaseline | BatchMean | ValueFunction
    surrogate: ScoreFunction | ClippedRatio
    optimizer: Adam | RMSProp | SGD
    policy: PolicySettings = PolicySettings()
    num_epochs: int = eqx.field(static=True, default=1)
    """Passes over each batch; more than one needs a ratio as the surrogate."""
    num_minibatches: int = eqx.field(static=True, default=1)
    """Parts that a batch is split into, with a step of the optimiser for each."""
    scale_advantages: str = eqx.field(static=True, default="none")
    """Shift and scale advantages to mean 0 and deviation 1: none, batch or minibatch. (Biased: it
    divides by a number that the batch itself gave.)"""
    mean_over: str = eqx.field(static=True, default="steps")
    """What the sum of gradients is divided by: steps, or episodes (the exact gradient of J)."""
    entropy: Schedule = eqx.field(converter=Schedule.parse, default=0.0)
    """Weight of the policy's entropy in the objective: more of it, more exploration."""
    normalize_observations: bool = eqx.field(static=True, default=False)
    """Scale observations by their running mean and deviation; the first batch only measures."""
    name: str = eqx.field(static=True, default="custom")
    """What runs and figures call it."""

    def __check_init__(self) -> None:
        require(self.num_epochs >= 1, "num_epochs", self.num_epochs, "use at least 1")
        require(
            self.scale_advantages in ("none", "batch", "minibatch"),
            "scale_advantages",
            repr(self.scale_advantages),
            "choose none, batch or minibatch",
        )
        require(
            self.mean_over in ("steps", "episodes"),
            "mean_over",
            repr(self.mean_over),
            "choose steps or episodes",
        )
        self._check_returns()
        self._check_reuse()
        self._check_minibatches(isinstance(self.sampling, Episodes))

    def _check_returns(self) -> None:
        """What the sampling leaves open, the estimator must be able to close."""
        has_value = isinstance(self.baseline, ValueFunction)
        is_window = isinstance(self.sampling, Steps)
        require(
            has_value or not isinstance(self.estimator, GAE),
            "estimator",
            "GAE",
            "it bootstraps from a value function, so use ValueFunction as the baseline or "
            "RewardToGo as the estimator",
        )
        require(
            not (is_window and has_value and isinstance(self.estimator, RewardToGo)),
            "estimator",
            "RewardToGo",
            "a value function fitted to returns that a window cuts would be wrong, so use GAE "
            "(λ = 1 is the reward-to-go, bootstrapped) or Episodes as the sampling",
        )
        require(
            not (has_value and isinstance(self.sampling, Steps) and self.sampling.tail == "mask"),
            "tail",
            "'mask'",
            "a value function completes what the window cuts, so leave it out",
        )
        require(
            not is_window or self.mean_over == "steps",
            "mean_over",
            repr(self.mean_over),
            "a window of fixed length holds no fixed number of episodes, so use steps, or Episodes "
            "as the sampling",
        )

    def _check_reuse(self) -> None:
        """Only a ratio corrects for a policy that has moved on from the one that sampled."""
        has_ratio = isinstance(self.surrogate, ClippedRatio)
        for name, part in (("num_epochs", "epoch"), ("num_minibatches", "minibatch")):
            require(
                has_ratio or getattr(self, name) == 1,
                name,
                getattr(self, name),
                f"after the first {part} the batch is no longer the policy's own, so use 1 or "
                "ClippedRatio as the surrogate",
            )

    def _check_minibatches(self, is_episodic: bool) -> None:
        require(
            self.num_minibatches >= 1, "num_minibatches", self.num_minibatches, "use at least 1"
        )
        if is_episodic:
            require(
                self.num_minibatches == 1,
                "num_minibatches",
                self.num_minibatches,
                "episodes have no fixed number of steps to split, so use 1, or Steps as the "
                "sampling",
            )
            return
        if not isinstance(self.sampling, Steps):
            return  # no sampling at all: `uphill.train` says so, as of every other part
        size = self.sampling.num_envs * self.sampling.num_steps
        divisors = [k for k in range(1, size + 1) if size % k == 0]
        near = min(divisors, key=lambda k: abs(k - self.num_minibatches))
        require(
            size % self.num_minibatches == 0,
            "num_minibatches",
            self.num_minibatches,
            f"it does not divide the batch of {self.sampling.num_envs} environments × "
            f"{self.sampling.num_steps} steps = {size}; use {near}, or change one of these",
        )

    def at(self, progress: Scalar) -> "Algorithm":
        """The algorithm with every schedule evaluated: its settings when `progress` is done."""

        return jax.tree.map(
            lambda part: part.at(progress) if isinstance(part, Schedule) else part,
            self,
            is_leaf=lambda part: isinstance(part, Schedule),
        )
