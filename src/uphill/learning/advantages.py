"""From a trajectory to weighed samples: values → returns → less the baseline → advantages."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from uphill.batch import Batch, in_blocks
from uphill.learning.learner import Learner
from uphill.parts import (
    ActionValue,
    Algorithm,
    BatchMean,
    DiscountedRewardToGo,
    LeaveOneOut,
    RunningMean,
    Steps,
    TimeMean,
    ValueFunction,
)
from uphill.policies.policy import values
from uphill.theory.means import batch_mean, leave_one_out, masked_mean, standardize, time_mean
from uphill.theory.moments import varies
from uphill.theory.returns import (
    inside_finished_episode,
    lambda_return,
    one_step_return,
    reward_to_go,
)
from uphill.theory.scaling import scaled
from uphill.trajectory import BLOCK, Array, Scalar, Trajectory

Metrics = dict[str, Float[Array, ""]]


class Seen(eqx.Module):
    """A trajectory, and what the networks say of it; None where there is no such network."""

    trajectory: Trajectory
    """with rewards scaled, if so asked"""
    features: Float[Array, "T N D"]
    value: Float[Array, "T N"] | None
    final_value: Float[Array, " N"] | None
    action_value: Float[Array, "T N"] | None


def make_batch(
    algorithm: Algorithm, learner: Learner, trajectory: Trajectory
) -> tuple[Batch, Metrics]:
    """The samples of a trajectory with their advantages."""
    seen = look_at(learner, trajectory)
    returns, target, action_target = returns_of(algorithm, seen)
    mask = counted(algorithm, trajectory)
    advantage = advantage_of(algorithm, learner, seen, returns, mask)
    scale = learner.remembered.return_deviation
    metrics = {}
    if seen.value is not None:
        # Of a learned Q it says nothing: what V and Q both learn is the return.
        known = target if action_target is not None else returns
        metrics["value/explained_variance"] = explained_variance(known, seen.value, mask)
    if action_target is not None:
        action_target = action_target / scale
    rows = (seen.features, trajectory.action, trajectory.log_prob, advantage, target / scale, mask)
    return batch_of(trajectory, (*rows, action_target)), metrics


def look_at(learner: Learner, trajectory: Trajectory) -> Seen:
    """Every observation through every network, once."""
    features = learner.actor.features(trajectory.observation)
    value, final_value = _values(learner, trajectory, features)
    action_value = _action_values(learner, trajectory, features)
    scaled_trajectory = _with_scaled_rewards(learner, trajectory)
    return Seen(scaled_trajectory, features, value, final_value, action_value)


def returns_of(
    algorithm: Algorithm, seen: Seen
) -> tuple[Float[Array, "T N"], Float[Array, "T N"], Float[Array, "T N"] | None]:
    """What the actions were followed by, what the value function learns, and what a learned action
    value does."""
    returns = algorithm.estimator(seen.trajectory, seen.value, seen.final_value)
    target = _target(algorithm, seen, returns)
    if not isinstance(algorithm.estimator, ActionValue):
        return returns, target, None
    assert seen.action_value is not None
    return seen.action_value, target, returns


def advantage_of(
    algorithm: Algorithm, learner: Learner, seen: Seen, returns: Array, mask: Array
) -> Float[Array, "T N"]:
    """Ψ: the returns less the baseline, in units of their deviation if they are normalised."""
    advantage = returns - _baseline(algorithm, learner, seen, returns, mask)
    if isinstance(algorithm.estimator, DiscountedRewardToGo):
        advantage = algorithm.estimator.weight(seen.trajectory) * advantage
    advantage = advantage / learner.remembered.return_deviation
    return standardize(advantage, mask) if algorithm.scale_advantages == "batch" else advantage


def _with_scaled_rewards(learner: Learner, trajectory: Trajectory) -> Trajectory:
    """The trajectory with rewards in units of the discounted return's deviation, if so asked."""
    scale = learner.remembered.reward_scale
    if scale is None:
        return trajectory
    reward = scaled(trajectory.reward, scale.moments)
    return eqx.tree_at(lambda t: t.reward, trajectory, reward)


def _values(learner: Learner, trajectory: Trajectory, features: Array) -> tuple:
    """V of every observation, and of those after the last step; None without a critic."""
    policy, critic = learner.actor.policy, learner.critic
    if critic is None:
        return None, None

    def of(features: Array) -> Array:
        return values(policy, critic, features)

    value = in_blocks(of, (_into_blocks(features, trajectory),), _num_blocks(trajectory))
    final_value = of(learner.actor.features(trajectory.final_observation))
    scale = learner.remembered.return_deviation
    return scale * value.reshape(trajectory.mask.shape), scale * final_value


def _action_values(learner: Learner, trajectory: Trajectory, features: Array) -> Array | None:
    """Q of every step; None without a network for it."""
    action_critic = learner.action_critic
    if action_critic is None:
        return None
    rows = tuple(_into_blocks(x, trajectory) for x in (features, trajectory.action))
    q = in_blocks(action_critic, rows, _num_blocks(trajectory))
    return learner.remembered.return_deviation * q.reshape(trajectory.mask.shape)


def _target(algorithm: Algorithm, seen: Seen, returns: Array) -> Float[Array, "T N"]:
    """What the value function learns."""
    t, baseline, gamma = seen.trajectory, algorithm.baseline, algorithm.estimator.gamma
    if not isinstance(baseline, ValueFunction) or baseline.targets == "estimator":
        return returns
    if baseline.targets == "monte-carlo":
        return reward_to_go(t.reward, t.ended, gamma, t.length)
    assert seen.value is not None
    assert seen.final_value is not None
    bootstrap = (t.reward, t.terminated, t.truncated, seen.value, seen.final_value, gamma)
    if baseline.targets == "td":
        return one_step_return(*bootstrap, t.length)
    return lambda_return(*bootstrap, baseline.lam, t.length)


def counted(algorithm: Algorithm, trajectory: Trajectory) -> Bool[Array, "T N"]:
    """The steps that the gradient is made of."""
    if isinstance(algorithm.sampling, Steps) and algorithm.sampling.tail == "mask":
        return trajectory.mask & inside_finished_episode(trajectory.ended)
    return trajectory.mask


def _baseline(
    algorithm: Algorithm, learner: Learner, seen: Seen, returns: Array, mask: Array
) -> Scalar | Float[Array, "T N"]:
    """What is subtracted from the returns."""
    match algorithm.baseline:
        case BatchMean():
            return batch_mean(returns, mask)
        case LeaveOneOut():
            return leave_one_out(returns, mask)
        case TimeMean():
            assert not isinstance(algorithm.sampling, Steps)
            length = seen.trajectory.length
            return time_mean(returns, mask, algorithm.sampling.per_env, length)
        case RunningMean():
            assert learner.remembered.running_mean is not None
            mean = learner.remembered.running_mean[0]
            return learner.remembered.return_deviation * mean
        case ValueFunction():
            assert seen.value is not None
            return seen.value
    return 0.0


def explained_variance(
    returns: Float[Array, "T N"], value: Float[Array, "T N"], mask: Bool[Array, "T N"]
) -> Float[Array, ""]:
    """How much of the returns' variance the value function knew, before it learned from them.

    1 − Var(G − V) / Var(G),   at most 1 − E[Var(G | s)] / Var(G), and 0 for a constant V

    NaN where the returns don't vary, to rounding: there is nothing to explain.
    """

    def variance(x: Array) -> Array:
        return masked_mean((x - masked_mean(x, mask)) ** 2, mask)

    total = variance(returns)
    explained = 1.0 - variance(returns - value) / total
    return jnp.where(varies(masked_mean(returns, mask), total), explained, jnp.nan)


# --- blocks -------------------------------------------------------------------------------------


def _num_blocks(trajectory: Trajectory) -> Array | None:
    return None if trajectory.length is None else trajectory.length // BLOCK


def _into_blocks(x: Array, trajectory: Trajectory) -> Array:
    """Rows of time as blocks of them, if the trajectory is only partly filled."""
    return x if trajectory.length is None else x.reshape(-1, BLOCK, *x.shape[1:])


def batch_of(trajectory: Trajectory, rows: tuple) -> Batch:
    """Time and environments as one axis of samples, in blocks that are filled or not."""
    num_envs = trajectory.mask.shape[1]
    size = trajectory.mask.size if trajectory.length is None else BLOCK * num_envs
    flat = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[2:]), rows)
    return Batch(*flat, num_blocks=_num_blocks(trajectory))
