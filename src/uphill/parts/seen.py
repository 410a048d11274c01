"""What parts get to see: a trajectory with what networks say of it, and a batch that has served."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import jax.numpy as jnp
from jaxtyping import Bool, Float, PyTree, Shaped

from uphill.batch import Batch, in_blocks
from uphill.policies.actor import with_uniform
from uphill.policies.policy import Policy
from uphill.theory.moments import Moments
from uphill.theory.scaling import deviation
from uphill.trajectory import BLOCK, Array, Scalar, Trajectory


@dataclass(frozen=True)
class Seen:
    """A trajectory, and what the networks say of it, before any advantage is known."""

    trajectory: Trajectory
    """with rewards scaled, if so asked"""
    features: Float[Array, "T N D"]
    """observations as the networks see them"""
    mask: Bool[Array, "T N"]
    """the steps that the gradient is made of"""
    policy: Policy
    """the current one: in the first epoch that which sampled"""
    uniform: Scalar | None = None
    """probability with which an action is drawn from all alike"""
    quota: int | None = None
    """whole episodes of each environment; None for a window"""
    returns_so_far: Moments | None = None
    """of earlier batches, where returns are normalised"""
    value: Float[Array, "T N"] | None = None
    """V of every observation, by a baseline that has one"""
    final_value: Float[Array, " N"] | None = None
    """V of what the last step led to"""

    def valued(self, value: Float[Array, "T N"], final_value: Float[Array, " N"]) -> "Seen":
        """The same with what the baseline's V says."""
        return replace(self, value=value, final_value=final_value)

    @property
    def deviation(self) -> Scalar:
        """σ, in units of which networks see returns; 1 unless returns are normalised."""
        if self.returns_so_far is None:
            return 1.0
        return jnp.asarray(deviation(self.returns_so_far))

    @cached_property
    def log_prob(self) -> Float[Array, "T N"]:
        """log π(a|s) of every step under the current policy; computed if it is asked for."""

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
    """A batch that the policy has learned from: now the other parts learn."""

    trajectory: Trajectory
    """as it was collected"""
    batch: Batch
    gamma: Scalar
    """the estimator's discount factor"""
    encode: Callable[[PyTree], Array]
    """from observations to vectors of numbers"""
    normalized: Callable[[Array], Array]
    """encoded observations as the networks see them"""
