"""The scales of rewards and returns, against NumPy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import (
    LINEAR,
    LINEAR_POLICY,
    QUOTA,
    WINDOW,
    by_pieces,
    episodes_of,
    flat,
    learner_of,
    served,
    trajectory_of,
)

from plain import ppo
from uphill.learning import advantages
from uphill.learning.scales import Scales, fresh_scales
from uphill.learning.update import update
from uphill.parts import GAE, SGD, RewardToGo, TDResidual, ValueFunction
from uphill.parts.algorithms import reinforce, vpg

GAMMA = 0.9
make_batch = jax.jit(advantages.make_batch)


def reinforce_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "estimator": RewardToGo(GAMMA), "sampling": QUOTA}
    return reinforce(**parts | changes)


def test_what_no_part_asks_for_is_not_measured() -> None:
    empty = fresh_scales(reinforce_of())
    assert empty == Scales(None, None)
    assert empty.deviation == 1.0


def running_returns(trajectory: Any) -> np.ndarray:
    """The discounted sums of each episode's rewards so far, by plain loops."""
    reward = np.asarray(trajectory.reward, np.float64)

    def so_far(n: int, rows: np.ndarray, k: int) -> float:
        return sum(GAMMA ** (k - i) * reward[rows[i], n] for i in range(k + 1))

    return by_pieces(trajectory, so_far)[np.asarray(trajectory.mask)]


def test_trap_12_rewards_are_measured_by_the_running_return_of_valid_steps() -> None:
    algorithm = reinforce_of(normalize_rewards=True)
    learner = learner_of(algorithm)
    trajectories = [episodes_of(learner, seed) for seed in (0, 1)]
    scale = served(algorithm, learner, *trajectories).scales.rewards
    # Whole episodes begin at a reset: what still ran in the last rows does not go on.
    seen = np.concatenate([running_returns(t) for t in trajectories])
    assert scale.moments.count == len(seen)
    np.testing.assert_allclose(scale.moments.mean[0], seen.mean(), rtol=1e-4)
    np.testing.assert_allclose(scale.moments.variance[0], seen.var(), rtol=1e-4)


def test_trap_12_in_windows_the_running_return_goes_on() -> None:
    algorithm = reinforce_of(normalize_rewards=True, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    whole = trajectory_of(learner, num_steps=24)
    rows = ("observation", "action", "log_prob", "reward", "terminated", "truncated", "mask")

    def window(start: int) -> Any:
        parts = [getattr(whole, name)[start : start + 12] for name in rows]
        return type(whole)(parts[0], whole.final_observation, *parts[1:])

    scale = served(algorithm, learner, window(0), window(12)).scales.rewards
    seen = running_returns(whole)
    np.testing.assert_allclose(scale.moments.variance[0], seen.var(), rtol=1e-4)


def test_returns_are_measured_before_they_are_scaled() -> None:
    algorithm = reinforce_of(normalize_returns=True)
    learner = learner_of(algorithm)
    trajectories = [episodes_of(learner, seed) for seed in (0, 1)]
    plain = reinforce_of()
    returns = []
    for trajectory in trajectories:
        batch, _ = make_batch(plain, learner_of(plain), trajectory)
        returns.append(flat(batch.target)[flat(batch.mask)])
    seen = np.concatenate(returns)
    scales = served(algorithm, learner, *trajectories).scales
    assert scales.returns.count == len(seen)
    np.testing.assert_allclose(scales.deviation, seen.std(), rtol=1e-3)


@pytest.mark.parametrize("targets", ["td", "estimator"])
def test_the_scale_of_returns_does_not_feed_itself(targets: str) -> None:
    """Returns that bootstrap hold V = σ · network: measured by them, σ would grow with itself."""
    baseline = ValueFunction(network=LINEAR, targets=targets, optimizer=SGD(0.1))
    parts = {"policy": LINEAR_POLICY, "baseline": baseline, "sampling": QUOTA}
    algorithm = vpg(estimator=TDResidual(GAMMA), normalize_returns=True, **parts)
    learner = learner_of(algorithm)
    wrong = jax.tree.map(lambda x: x + 7, learner.parts.baseline.critic)
    learner = eqx.tree_at(lambda x: x.parts.baseline.critic, learner, wrong)
    trajectories = [episodes_of(learner, seed) for seed in (0, 1)]
    plain = reinforce_of()
    batches = [make_batch(plain, learner_of(plain), trajectory)[0] for trajectory in trajectories]
    seen = np.concatenate([flat(batch.target)[flat(batch.mask)] for batch in batches])
    scales = served(algorithm, learner, *trajectories).scales
    np.testing.assert_allclose(scales.deviation, seen.std(), rtol=1e-3)


def test_targets_are_measured_as_they_bootstrap_and_the_network_sees_them_in_that_unit() -> None:
    """σ is NumPy's deviation of all targets so far; V is σ times the network; the advantage is in
    units of the rewards."""
    baseline = ValueFunction(network=LINEAR, optimizer=SGD(0.1), scale_targets=True)
    parts = {"policy": LINEAR_POLICY, "sampling": WINDOW, "mean_over": "steps"}
    algorithm = vpg(estimator=GAE(GAMMA, 0.8), baseline=baseline, **parts)
    learner = learner_of(algorithm)
    trajectories = [trajectory_of(learner, seed=seed) for seed in (0, 1, 2)]
    unscaled = eqx.tree_at(lambda a: a.baseline, algorithm, ValueFunction(network=LINEAR))
    seen: list[np.ndarray] = []
    for trajectory in trajectories:
        sigma = np.concatenate(seen).std() if seen else 1.0
        np.testing.assert_allclose(baseline.unit(learner.parts.baseline), sigma, rtol=1e-4)
        batch, _ = make_batch(algorithm, learner, trajectory)
        plain, _ = make_batch(unscaled, louder(unscaled, learner, sigma), trajectory)
        mask = flat(batch.mask)
        pairs = ((batch.advantage, plain.advantage), (sigma * batch.target, plain.target))
        for found, expected in pairs:
            found, expected = flat(found)[mask], flat(expected)[mask]
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        seen.append(flat(plain.target)[mask])
        learner = served(algorithm, learner, trajectory)


def louder(unscaled: Any, learner: Any, sigma: float) -> Any:
    """A learner without a scale, whose network says `sigma` times as much."""
    head = jax.tree.map(lambda x: sigma * x, learner.parts.baseline.critic.head)
    critic = eqx.tree_at(lambda x: x.head, learner.parts.baseline.critic, head)
    return eqx.tree_at(lambda x: x.parts.baseline.critic, learner_of(unscaled), critic)


def test_the_first_batch_only_measures_the_targets() -> None:
    baseline = ValueFunction(network=LINEAR, scale_targets=True)
    parts = {"policy": LINEAR_POLICY, "sampling": WINDOW, "num_minibatches": 1}
    algorithm = ppo(baseline=baseline, **parts)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    step = jax.jit(update)
    first, _ = step(algorithm, learner, trajectory, jax.random.key(0))
    assert eqx.tree_equal(first.actor.policy, learner.actor.policy)
    assert eqx.tree_equal(first.parts.baseline.critic, learner.parts.baseline.critic)
    assert first.parts.baseline.targets.count == trajectory.mask.sum()
    second, _ = step(algorithm, first, trajectory, jax.random.key(0))
    assert not eqx.tree_equal(second.actor.policy, first.actor.policy)


def test_returns_that_never_varied_are_no_unit() -> None:
    """Where rewards are rare, the first batches hold none: their deviation of 0 says nothing."""
    algorithm = reinforce_of(normalize_returns=True)
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    silent = eqx.tree_at(lambda t: t.reward, trajectory, jnp.zeros_like(trajectory.reward))
    scales = served(algorithm, learner, silent, silent).scales
    assert scales.returns.count == 2 * trajectory.mask.sum()
    assert scales.deviation == 1.0
    assert served(algorithm, learner, silent, trajectory).scales.deviation > 0.1


def test_at_a_reset_no_reward_of_open_episodes_is_left() -> None:
    algorithm = reinforce_of(normalize_rewards=True, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    old = served(algorithm, learner, trajectory_of(learner)).scales
    new = old.at_a_reset()
    assert old.rewards.running.any()
    assert not new.rewards.running.any()
    assert eqx.tree_equal(new.rewards.moments, old.rewards.moments)
    nothing = fresh_scales(reinforce_of())
    assert nothing.at_a_reset() is nothing
