"""The whole: one choice for each part, and what can't go together."""

import equinox as eqx
import jax

from uphill.parts.baselines import (
    BatchMean,
    LeaveOneOut,
    NoBaseline,
    RunningMean,
    TimeMean,
    ValueFunction,
)
from uphill.parts.checks import (
    check_choice,
    check_count,
    check_parts,
    check_positive,
    check_probabilities,
    check_schedule,
    require,
)
from uphill.parts.estimators import (
    GAE,
    NEEDS_EPISODES,
    NEEDS_VALUE,
    ActionValue,
    DiscountedRewardToGo,
    NStep,
    RewardToGo,
    TDResidual,
    TotalReturn,
)
from uphill.parts.optimizers import (
    SGD,
    Adam,
    NaturalGradient,
    NaturalStep,
    Optax,
    RMSProp,
    TrustRegion,
)
from uphill.parts.sampling import Episodes, Steps
from uphill.parts.schedule import Schedule
from uphill.parts.surrogates import (
    HAS_RATIO,
    ClippedRatio,
    ImportanceRatio,
    KLPenalty,
    ScoreFunction,
)
from uphill.policies.policy import PolicySettings
from uphill.trajectory import Scalar


def _parse_mixture(value: "str | float | Schedule | None") -> Schedule | None:
    return None if value is None else Schedule.parse(value, "uniform_mixture")


class Algorithm(eqx.Module):
    """A point in the space of policy gradients: one choice for each part."""

    sampling: Steps | Episodes
    estimator: (
        TotalReturn | RewardToGo | DiscountedRewardToGo | NStep | TDResidual | GAE | ActionValue
    )
    baseline: NoBaseline | BatchMean | RunningMean | TimeMean | LeaveOneOut | ValueFunction
    surrogate: ScoreFunction | ImportanceRatio | ClippedRatio | KLPenalty
    optimizer: Adam | RMSProp | SGD | Optax | NaturalGradient | TrustRegion
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
    entropy: Schedule = eqx.field(converter=Schedule.of("entropy"), default=0.0)
    """Weight of the policy's entropy in the objective: more of it, more exploration."""
    uniform_mixture: Schedule | None = eqx.field(converter=_parse_mixture, default=None)
    """Probability with which an action is drawn from all with equal chances, whatever the policy
    says; the log-probability is the mixture's, so the gradient stays right. Not for continuous
    actions."""
    target_kl: float | None = None
    """Take no further steps on a batch once the policy has moved by 1.5 times this KL divergence;
    None for never."""
    normalize_observations: bool = eqx.field(static=True, default=False)
    """Scale observations by their running mean and deviation; the first batch only measures."""
    normalize_rewards: bool = eqx.field(static=True, default=False)
    """Divide rewards by the running deviation of the discounted return, and cut them at 10; the
    first batch only measures."""
    normalize_returns: bool = eqx.field(static=True, default=False)
    """Divide returns by the running deviation of the rewards that followed, discounted; the first
    batch only measures. For whole episodes: see normalize_rewards for windows."""
    name: str = eqx.field(static=True, default="custom")
    """What runs and figures call it."""

    def __check_init__(self) -> None:
        check_parts(self)
        check_count(num_epochs=self.num_epochs, num_minibatches=self.num_minibatches)
        check_choice(("none", "batch", "minibatch"), scale_advantages=self.scale_advantages)
        check_choice(("steps", "episodes"), mean_over=self.mean_over)
        check_schedule(entropy=self.entropy)
        if self.uniform_mixture is not None:
            check_probabilities(uniform_mixture=self.uniform_mixture)
        self._check_estimator()
        self._check_baseline()
        self._check_sampling()
        self._check_scales()
        self._check_reuse()
        self._check_natural()
        self._check_minibatches()

    def _check_estimator(self) -> None:
        """What the sampling leaves open, the estimator must be able to close."""
        name = type(self.estimator).__name__
        has_value = isinstance(self.baseline, ValueFunction)
        require(
            has_value or not isinstance(self.estimator, NEEDS_VALUE),
            "estimator",
            name,
            "it bootstraps from a value function, so use ValueFunction as the baseline or "
            "RewardToGo as the estimator",
        )
        is_window = isinstance(self.sampling, Steps)
        require(
            not (is_window and isinstance(self.estimator, NEEDS_EPISODES)),
            "estimator",
            name,
            "it must see whole episodes, which a window cuts, so use Episodes as the sampling",
        )
        require(
            not (is_window and has_value and isinstance(self.estimator, RewardToGo)),
            "estimator",
            name,
            "a value function fitted to returns that a window cuts would be wrong, so use GAE "
            "(λ = 1 is the reward-to-go, bootstrapped) or Episodes as the sampling",
        )

    def _check_baseline(self) -> None:
        baseline, is_window = self.baseline, isinstance(self.sampling, Steps)
        require(
            not (is_window and isinstance(baseline, TimeMean)),
            "baseline",
            "TimeMean",
            "a window does not begin where episodes do, so their time is not known; use Episodes "
            "as the sampling",
        )
        require(
            not (isinstance(baseline, LeaveOneOut) and self.sampling.num_envs < 2),
            "baseline",
            "LeaveOneOut",
            "with a single environment there is no other, so use num_envs of 2 or more",
        )
        if not isinstance(baseline, ValueFunction):
            return
        require(
            not (is_window and baseline.targets == "monte-carlo"),
            "targets",
            "'monte-carlo'",
            "a window cuts the rewards that follow, so use lambda, or Episodes as the sampling",
        )

    def _check_sampling(self) -> None:
        is_window = isinstance(self.sampling, Steps)
        has_value = isinstance(self.baseline, ValueFunction)
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

    def _check_scales(self) -> None:
        require(
            not (self.normalize_rewards and self.normalize_returns),
            "normalize_returns",
            True,
            "rewards that are scaled already have scaled returns, so choose one of the two",
        )
        require(
            not (self.normalize_returns and isinstance(self.sampling, Steps)),
            "normalize_returns",
            True,
            "a window cuts the rewards that follow, so use normalize_rewards, or Episodes as the "
            "sampling",
        )
        has_replay = isinstance(self.baseline, ValueFunction) and self.baseline.replay is not None
        for name in ("normalize_rewards", "normalize_returns"):
            require(
                not (has_replay and getattr(self, name)),
                name,
                True,
                "a memory would mix rewards of different scales, so leave it out, or the replay",
            )

    def _check_reuse(self) -> None:
        """Only a ratio corrects for a policy that has moved on from the one that sampled."""
        has_ratio = isinstance(self.surrogate, HAS_RATIO)
        for name, part in (("num_epochs", "epoch"), ("num_minibatches", "minibatch")):
            require(
                has_ratio or getattr(self, name) == 1,
                name,
                getattr(self, name),
                f"after the first {part} the batch is no longer the policy's own, so use 1 or "
                "ClippedRatio as the surrogate",
            )
        if self.target_kl is not None:
            check_positive(target_kl=self.target_kl)
            require(
                self.num_epochs * self.num_minibatches > 1,
                "target_kl",
                self.target_kl,
                "a single step on a batch can't be stopped, so leave it out, or use more epochs",
            )

    def _check_natural(self) -> None:
        """A natural step is one step of the policy alone, on the whole batch."""
        if not isinstance(self.optimizer, NaturalStep):
            return
        name = type(self.optimizer).__name__
        baseline = self.baseline
        require(
            not isinstance(baseline, ValueFunction) or baseline.optimizer is not None,
            "optimizer",
            name,
            "it moves the policy alone, so give the value function an optimizer of its own",
        )
        for field in ("num_epochs", "num_minibatches"):
            require(
                getattr(self, field) == 1,
                field,
                getattr(self, field),
                f"{name} takes one step on the whole batch, so use 1",
            )
        allowed = (
            (ImportanceRatio,)
            if isinstance(self.optimizer, TrustRegion)
            else (ScoreFunction, ImportanceRatio)
        )
        require(
            isinstance(self.surrogate, allowed),
            "surrogate",
            type(self.surrogate).__name__,
            f"{name} limits the step itself, so use {allowed[-1].__name__}",
        )

    def _check_minibatches(self) -> None:
        if isinstance(self.sampling, Episodes):
            require(
                self.num_minibatches == 1,
                "num_minibatches",
                self.num_minibatches,
                "episodes have no fixed number of steps to split, so use 1, or Steps as the "
                "sampling",
            )
            return
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
            lambda part: part.now(progress) if isinstance(part, Schedule) else part,
            self,
            is_leaf=lambda part: isinstance(part, Schedule),
        )
