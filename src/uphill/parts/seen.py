"""What the parts are given: a trajectory with the networks' outputs, and a batch after the policy's
step."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from jaxtyping import Bool, Float, PyTree, Shaped

from uphill.batch import Batch, in_blocks
from uphill.policies.actor import with_uniform
from uphill.policies.policy import Policy
from uphill.trajectory import BLOCK, Array, Scalar, Trajectory


@dataclass(frozen=True)
class Seen:
    """A trajectory with the networks' outputs for it, before advantages are computed."""

    trajectory: Trajectory
    """with scaled rewards, if that is enabled"""
    features: Float[Array, "T N D"]
    """observations as the networks see them"""
    mask: Bool[Array, "T N"]
    """the steps that enter the gradient"""
    policy: Policy
    """the current policy; in the first epoch, the behaviour policy"""
    uniform: Scalar | None = None
    """probability of drawing the action uniformly"""
    quota: int | None = None
    """whole episodes of each environment; None for a window"""
    deviation: Scalar = 1.0
    """σ, the unit of the returns that the networks see; 1 unless returns are normalised"""
    value: Float[Array, "T N"] | None = None
    """V of every observation, if the baseline has one"""
    final_value: Float[Array, " N"] | None = None
    """V of the observation after the last step"""

    def valued(self, value: Float[Array, "T N"], final_value: Float[Array, " N"]) -> "Seen":
        """A copy that holds the baseline's values."""
        return replace(self, value=value, final_value=final_value)

    @cached_property
    def log_prob(self) -> Float[Array, "T N"]:
        """log π(a|s) of every step under the current policy; computed on demand."""

        def of(features: Array, action: Array) -> Array:
            return with_uniform(self.policy(features), self.uniform).log_prob(action)

        return self.every(of, self.features, self.trajectory.action)

    def every(
        self, function: Callable[..., Array], *rows: Shaped[Array, "T N ..."]
    ) -> Float[Array, "T N"]:
        """`function(*rows)` of every step; of a trajectory that is only partly filled, only the
        filled blocks are computed."""
        t = self.trajectory
        if t.length is None:
            return function(*rows)
        blocks = tuple(x.reshape(-1, BLOCK, *x.shape[1:]) for x in rows)
        return in_blocks(function, blocks, t.length // BLOCK).reshape(t.mask.shape)


@dataclass(frozen=True)
class Served:
    """A batch that the policy has learned from, for the other parts to learn from."""

    trajectory: Trajectory
    """as it was collected"""
    batch: Batch
    gamma: Scalar
    """the estimator's discount factor"""
    encode: Callable[[PyTree], Array]
    """from observations to vectors of numbers"""
    normalized: Callable[[Array], Array]
    """encoded observations as the networks see them"""
