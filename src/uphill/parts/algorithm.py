"""The whole algorithm: one choice for each part. `composition.py` checks that they fit together."""

import equinox as eqx
import jax
import wadler_lindig

from uphill.parts.baselines import Baseline
from uphill.parts.checks import one_of, searched
from uphill.parts.composition import ADVANTAGE_SCALES, MEANS_OVER, check_composition
from uphill.parts.estimators import Estimator
from uphill.parts.from_optax import as_optimizer
from uphill.parts.optimizers import Optimizer
from uphill.parts.sampling import Sampling
from uphill.parts.schedule import Constant, Schedule
from uphill.parts.surrogates import Surrogate
from uphill.policies.policy import PolicySettings
from uphill.trajectory import Scalar


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
    scale_advantages: str = eqx.field(
        static=True, default="none", metadata=one_of(*ADVANTAGE_SCALES)
    )
    """Shift and scale advantages to mean 0 and standard deviation 1: none, batch or minibatch.
    (Biased: the divisor is computed from the same batch.)"""
    mean_over: str = eqx.field(static=True, default="steps", metadata=one_of(*MEANS_OVER))
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
    def varying(self) -> list[str]:
        """The paths of the settings that change during training."""
        leaves = jax.tree.leaves_with_path(self, is_leaf=lambda part: isinstance(part, Schedule))
        return [
            ".".join(key.name for key in path)
            for path, part in leaves
            if isinstance(part, Schedule) and not isinstance(part, Constant)
        ]

    @property
    def uniform(self) -> Scalar | None:
        """The probability of drawing an action uniformly."""
        return None if self.uniform_mixture is None else self.uniform_mixture.value

    def __repr__(self) -> str:
        """With all its settings, as its parts have."""
        return wadler_lindig.pformat(self, hide_defaults=False)

    def __check_init__(self) -> None:
        check_composition(self)
