"""The whole algorithm: one choice for each part, and the checks that they fit together."""

import equinox as eqx
import jax

from uphill.parts.baselines import Baseline
from uphill.parts.checks import (
    check_choice,
    check_count,
    check_parts,
    check_positive,
    check_probabilities,
    check_schedule,
    check_static,
    choices,
    require,
    searched,
)
from uphill.parts.estimators import Estimator
from uphill.parts.optimizers import Optimizer, as_optimizer
from uphill.parts.sampling import Sampling
from uphill.parts.schedule import Schedule
from uphill.parts.surrogates import Surrogate
from uphill.policies.policy import PolicySettings
from uphill.trajectory import Scalar

_SCALES = ("none", "batch", "minibatch")
_MEANS = ("steps", "episodes")


def _parse_mixture(value: "str | Scalar | Schedule | None") -> Schedule | None:
    return None if value is None else Schedule.parse(value, "uniform_mixture")


class Algorithm(eqx.Module):
    """A point in the space of policy gradients: one choice for each part."""

    sampling: Sampling
    estimator: Estimator
    baseline: Baseline
    surrogate: Surrogate
    optimizer: Optimizer = eqx.field(converter=as_optimizer)
    policy: PolicySettings = PolicySettings()
    num_epochs: int = eqx.field(static=True, default=1)
    """Passes over each batch; more than one needs a ratio as the surrogate."""
    num_minibatches: int = eqx.field(static=True, default=1)
    """Number of parts that a batch is split into, with one optimiser step for each."""
    recompute_advantages: bool = eqx.field(static=True, default=False)
    """Recompute advantages and targets before each epoch, with the current networks; needs several
    epochs."""
    scale_advantages: str = eqx.field(static=True, default="none", metadata=choices(*_SCALES))
    """Shift and scale advantages to mean 0 and standard deviation 1: none, batch or minibatch.
    (Biased: the divisor is computed from the same batch.)"""
    mean_over: str = eqx.field(static=True, default="steps", metadata=choices(*_MEANS))
    """What the sum of gradients is divided by: steps, or episodes (the exact gradient of J)."""
    entropy: Schedule = eqx.field(
        converter=Schedule.of("entropy"), default=0.0, metadata=searched(0.0, 0.05)
    )
    """Entropy coefficient: the weight of the policy's entropy in the objective; more means more
    exploration."""
    uniform_mixture: Schedule | None = eqx.field(converter=_parse_mixture, default=None)
    """Probability of drawing the action uniformly instead of from the policy. The log-probability
    is that of the mixture, so the gradient stays correct. Not for continuous actions."""
    target_kl: Scalar | None = None
    """Take no further steps on a batch once the policy has moved by 1.5 times this KL divergence;
    None for never."""
    normalize_observations: bool = eqx.field(static=True, default=False)
    """Normalise observations by their running mean and standard deviation; the first batch only
    updates these."""
    observation_categories: int | None = eqx.field(static=True, default=None)
    """Treat the values of byte images as this many categories, counted from 0, rather than as
    brightness: 11 for MiniGrid."""
    normalize_rewards: bool = eqx.field(static=True, default=False)
    """Divide rewards by the running standard deviation of the discounted return, and clip them at
    ±10; the first batch only updates it."""
    normalize_returns: bool = eqx.field(static=True, default=False)
    """Divide returns by the running standard deviation of the discounted reward-to-go; the first
    batch only updates it. For whole episodes: use normalize_rewards for windows."""
    name: str = eqx.field(static=True, default="custom")
    """Its name in runs and figures."""

    def at(self, progress: Scalar) -> "Algorithm":
        """The algorithm with every schedule evaluated: its settings when `progress` is done."""
        return jax.tree.map(
            lambda part: part.now(progress) if isinstance(part, Schedule) else part,
            self,
            is_leaf=lambda part: isinstance(part, Schedule),
        )

    @property
    def uniform(self) -> Scalar | None:
        """The probability of drawing an action uniformly."""
        return None if self.uniform_mixture is None else self.uniform_mixture.value

    def __check_init__(self) -> None:
        check_parts(self)
        check_count(num_epochs=self.num_epochs, num_minibatches=self.num_minibatches)
        check_choice(_SCALES, scale_advantages=self.scale_advantages)
        check_choice(_MEANS, mean_over=self.mean_over)
        check_schedule(entropy=self.entropy)
        if self.observation_categories is not None:
            check_count(observation_categories=self.observation_categories)
            require(
                self.observation_categories > 1,
                "observation_categories",
                self.observation_categories,
                "a single category carries no information, so use at least 2",
            )
        if self.uniform_mixture is not None:
            check_probabilities(uniform_mixture=self.uniform_mixture)
        self._check_needs()
        self._check_scales()
        self._check_reuse()
        self._check_whole_batch()
        for part in (self.sampling, self.estimator, self.baseline, self.surrogate, self.optimizer):
            check_static(part)
            part.check(self)
        self._check_minibatches()

    def _check_needs(self) -> None:
        """What the parts declare that they need from each other."""
        estimator, baseline, sampling = self.estimator, self.baseline, self.sampling
        baseline.check_whole()
        check_count(num_envs=sampling.num_envs)
        if sampling.quota is None:
            check_count(window=sampling.num_rows(None))
        else:
            check_count(quota=sampling.quota)
        require(
            baseline.has_value or not estimator.needs_value,
            "estimator",
            type(estimator).__name__,
            "it bootstraps from a value function, so use ValueFunction as the baseline or "
            "RewardToGo as the estimator",
        )
        if self.sampling.has_whole_episodes:
            return
        require(
            not estimator.needs_episodes,
            "estimator",
            type(estimator).__name__,
            "it must see whole episodes, which a window cuts, so use Episodes as the sampling",
        )
        require(
            not baseline.needs_episodes,
            "baseline",
            type(baseline).__name__,
            "a window does not begin where episodes do, so their time is not known; use Episodes "
            "as the sampling",
        )
        require(
            self.mean_over == "steps",
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
            "normalized rewards already give normalized returns, so choose one of the two",
        )
        require(
            self.sampling.has_whole_episodes or not self.normalize_returns,
            "normalize_returns",
            True,
            "a window cuts off later rewards, so use normalize_rewards, or Episodes as the "
            "sampling",
        )

    def _check_reuse(self) -> None:
        """Only a ratio corrects for a policy that differs from the behaviour policy."""
        for name, part in (("num_epochs", "epoch"), ("num_minibatches", "minibatch")):
            require(
                self.surrogate.is_ratio or getattr(self, name) == 1,
                name,
                getattr(self, name),
                f"after the first {part} the batch is no longer the policy's own, so use 1 or "
                "ClippedRatio as the surrogate",
            )
        require(
            self.num_epochs > 1 or not self.recompute_advantages,
            "recompute_advantages",
            True,
            "a single epoch already uses new advantages, so leave it out, or use more epochs",
        )
        if self.target_kl is not None:
            check_positive(target_kl=self.target_kl)
            require(
                not self.optimizer.needs_whole_batch,
                "target_kl",
                self.target_kl,
                f"{type(self.optimizer).__name__} takes one step, and bounds it itself, so leave "
                "it out, and set the optimizer's max_kl",
            )
            require(
                self.num_epochs * self.num_minibatches > 1,
                "target_kl",
                self.target_kl,
                "a single step on a batch can't be stopped, so leave it out, or use more epochs",
            )

    def _check_whole_batch(self) -> None:
        """The requirements of an optimiser that takes one step on the whole batch."""
        if not self.optimizer.needs_whole_batch:
            return
        name = type(self.optimizer).__name__
        require(
            not self.baseline.is_joint,
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

    def _check_minibatches(self) -> None:
        if self.num_minibatches == 1:
            return
        require(
            not self.sampling.has_whole_episodes,
            "num_minibatches",
            self.num_minibatches,
            "episodes have no fixed number of steps to split, so use 1, or Steps as the sampling",
        )
        size = self.sampling.most_transitions(None)
        near = _near_divisor(size, self.num_minibatches)
        require(
            size % self.num_minibatches == 0,
            "num_minibatches",
            self.num_minibatches,
            f"it does not divide the batch of {self.sampling.num_envs} environments × "
            f"{size // self.sampling.num_envs} steps = {size}; use {near}, or change one of these",
        )


def _near_divisor(size: int, number: int) -> int:
    """The divisor of `size` that is nearest to a number; 1, if the search takes too long."""
    start = min(size, number)
    around = ((start - d, start + d) for d in range(min(start, 10**5)))
    return next((k for pair in around for k in pair if size % k == 0), 1)
