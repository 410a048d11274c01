"""The scales of rewards and returns, if these are normalised."""

import equinox as eqx
import jax.numpy as jnp

from uphill.parts import Algorithm
from uphill.theory.moments import Moments, batch_moments, merge
from uphill.theory.returns import reward_to_go
from uphill.theory.scaling import Scale, deviation, fresh_scale, scaled
from uphill.trajectory import Array, Scalar, Trajectory


class Scales(eqx.Module):
    """The statistics that rewards and returns are divided by; None where they are not
    normalised."""

    rewards: Scale | None
    returns: Moments | None
    """moments of the discounted rewards that followed each action"""

    @property
    def deviation(self) -> Scalar:
        """σ, the unit of the returns that the networks see; 1 unless returns are normalised."""
        return 1.0 if self.returns is None else jnp.asarray(deviation(self.returns))

    @property
    def unit(self) -> Scalar:
        """The factor from the networks' values to the units of the raw rewards."""
        if self.rewards is None:
            return self.deviation
        return self.deviation * jnp.asarray(deviation(self.rewards.moments))

    @property
    def counts(self) -> list[Array]:
        """The number of samples behind each scale."""
        rewards = [] if self.rewards is None else [self.rewards.moments.count]
        return rewards if self.returns is None else [*rewards, self.returns.count]

    def applied(self, trajectory: Trajectory) -> Trajectory:
        """The trajectory with rewards in units of the return's standard deviation, if rewards are
        normalised."""
        if self.rewards is None:
            return trajectory
        reward = scaled(trajectory.reward, self.rewards.moments)
        return eqx.tree_at(lambda t: t.reward, trajectory, reward)

    def seen(self, trajectory: Trajectory, gamma: Scalar) -> "Scales":
        """The scales after a trajectory."""
        t, rewards, returns = trajectory, self.rewards, self.returns
        if rewards is not None:
            if t.length is not None:  # whole episodes begin at a reset
                rewards = Scale(rewards.moments, jnp.zeros_like(rewards.running))
            rewards = rewards.seen(t.reward, t.mask, t.ended, gamma, t.length)
        if returns is not None:
            # From rewards only: returns that bootstrap from V contain the scale, which would feed
            # back.
            to_go = reward_to_go(t.reward, t.ended, gamma, t.length)
            returns = merge(returns, batch_moments(to_go[..., None], t.mask))
        return Scales(rewards, returns)

    def at_a_reset(self) -> "Scales":
        """The scales after a reset of the environments: the running sums of open episodes are
        dropped."""
        if self.rewards is None:
            return self
        return eqx.tree_at(lambda x: x.rewards.running, self, jnp.zeros_like(self.rewards.running))


def fresh_scales(algorithm: Algorithm) -> Scales:
    """Scales that have seen nothing."""
    return Scales(
        fresh_scale(algorithm.sampling.num_envs) if algorithm.normalize_rewards else None,
        fresh_scale(1).moments if algorithm.normalize_returns else None,
    )
