"""What parts remember from one batch to the next, against NumPy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import (
    ENCODING,
    LINEAR,
    LINEAR_POLICY,
    QUOTA,
    WINDOW,
    by_pieces,
    episodes_of,
    flat,
    learner_of,
    pieces,
    trajectory_of,
)
from uphill.learning.remembered import at_a_reset, nothing_remembered, remember

from uphill.learning import advantages
from uphill.parts import (
    SGD,
    KLPenalty,
    Replay,
    RewardToGo,
    RunningMean,
    Steps,
    TDResidual,
    ValueFunction,
)
from uphill.parts.algorithms import ppo, reinforce, vpg

GAMMA = 0.9
make_batch = jax.jit(advantages.make_batch)


def remembered_of(algorithm: Any, trajectories: Any, learner: Any, kl: Any = None) -> Any:
    """What there is after these trajectories, one after the other."""
    for trajectory in trajectories:
        batch, _ = make_batch(algorithm, learner, trajectory)
        after = remember(algorithm, learner.remembered, ENCODING, trajectory, batch, kl)
        learner = eqx.tree_at(lambda x: x.remembered, learner, after, is_leaf=lambda x: x is None)
    return learner.remembered


def reinforce_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "estimator": RewardToGo(GAMMA), "sampling": QUOTA}
    return reinforce(**parts | changes)


def test_what_no_part_asks_for_is_not_remembered() -> None:
    empty = nothing_remembered(reinforce_of(), 3)
    assert empty == type(empty)(None, None, None, None, None)
    assert empty.return_deviation == 1.0


def test_a_running_mean_is_of_earlier_batches_only() -> None:
    algorithm = reinforce_of(baseline=RunningMean(decay=0.5), mean_over="steps", sampling=WINDOW)
    learner = learner_of(algorithm)
    means, weight, mean = [], 0.0, 0.0
    for seed in range(3):
        trajectory = trajectory_of(learner, seed=seed)
        batch, _ = make_batch(algorithm, learner, trajectory)
        mask = flat(batch.mask)
        returns = flat(batch.target)[mask]
        # Of this batch itself, it knows nothing.
        np.testing.assert_allclose(flat(batch.advantage)[mask], returns - mean, rtol=1e-4)
        means.append(returns.mean())
        weights = 0.5 ** np.arange(len(means))[::-1]
        mean, weight = np.average(means, weights=weights), weights.sum()
        after = remember(algorithm, learner.remembered, ENCODING, trajectory, batch, None)
        np.testing.assert_allclose(after.running_mean, [mean, weight], rtol=1e-5)
        learner = eqx.tree_at(lambda x: x.remembered, learner, after)


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
    scale = remembered_of(algorithm, trajectories, learner).reward_scale
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

    scale = remembered_of(algorithm, [window(0), window(12)], learner).reward_scale
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
    remembered = remembered_of(algorithm, trajectories, learner)
    assert remembered.return_scale.count == len(seen)
    np.testing.assert_allclose(remembered.return_deviation, seen.std(), rtol=1e-3)


@pytest.mark.parametrize("targets", ["td", "estimator"])
def test_the_scale_of_returns_does_not_feed_itself(targets: str) -> None:
    """Returns that bootstrap hold V = σ · network: measured by them, σ would grow with itself."""
    baseline = ValueFunction(network=LINEAR, targets=targets, optimizer=SGD(0.1))
    parts = {"policy": LINEAR_POLICY, "baseline": baseline, "sampling": QUOTA}
    algorithm = vpg(estimator=TDResidual(GAMMA), normalize_returns=True, **parts)
    learner = learner_of(algorithm)
    learner = eqx.tree_at(
        lambda x: x.critic, learner, jax.tree.map(lambda x: x + 7, learner.critic)
    )
    trajectories = [episodes_of(learner, seed) for seed in (0, 1)]
    plain = reinforce_of()
    batches = [make_batch(plain, learner_of(plain), trajectory)[0] for trajectory in trajectories]
    seen = np.concatenate([flat(batch.target)[flat(batch.mask)] for batch in batches])
    remembered = remembered_of(algorithm, trajectories, learner)
    np.testing.assert_allclose(remembered.return_deviation, seen.std(), rtol=1e-3)


def test_returns_that_never_varied_are_no_unit() -> None:
    """Where rewards are rare, the first batches hold none: their deviation of 0 says nothing."""
    algorithm = reinforce_of(normalize_returns=True)
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    silent = eqx.tree_at(lambda t: t.reward, trajectory, jnp.zeros_like(trajectory.reward))
    remembered = remembered_of(algorithm, [silent, silent], learner)
    assert remembered.return_scale.count == 2 * trajectory.mask.sum()
    assert remembered.return_deviation == 1.0
    assert remembered_of(algorithm, [silent, trajectory], learner).return_deviation > 0.1


def test_a_batch_without_a_finished_episode_is_no_return_of_0() -> None:
    window = Steps(4, 12, tail="mask")
    algorithm = reinforce_of(baseline=RunningMean(), sampling=window, mean_over="steps")
    learner = learner_of(algorithm)
    whole = trajectory_of(learner)
    none = jnp.zeros_like(whole.terminated)
    parts = lambda t: (t.terminated, t.truncated, t.mask)  # noqa: E731
    endless = eqx.tree_at(parts, whole, (none, none, ~none))
    seen = remembered_of(algorithm, [whole], learner).running_mean
    assert seen[1] == 1
    after = remembered_of(algorithm, [whole, endless], learner).running_mean
    np.testing.assert_array_equal(after, seen)


def test_at_a_reset_no_reward_of_open_episodes_is_left() -> None:
    algorithm = reinforce_of(normalize_rewards=True, sampling=WINDOW, mean_over="steps")
    learner = learner_of(algorithm)
    old = remembered_of(algorithm, [trajectory_of(learner)], learner)
    new = at_a_reset(old)
    assert old.reward_scale.running.any()
    assert not new.reward_scale.running.any()
    assert eqx.tree_equal(new.reward_scale.moments, old.reward_scale.moments)
    nothing = nothing_remembered(reinforce_of(), 3)
    assert at_a_reset(nothing) is nothing


def test_trap_02_a_memory_holds_what_each_transition_led_to() -> None:
    baseline = ValueFunction(network=LINEAR, targets="td", optimizer=SGD(0.1), replay=Replay(100))
    algorithm = vpg(
        policy=LINEAR_POLICY, estimator=RewardToGo(GAMMA), baseline=baseline, sampling=QUOTA
    )
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    memory = remembered_of(algorithm, [trajectory], learner).memory
    count = int(trajectory.mask.sum())
    assert memory.count == count
    rows = np.argwhere(np.asarray(trajectory.mask))
    is_last = 0
    for k, (t, n) in enumerate(rows):
        np.testing.assert_array_equal(memory.observation[k], trajectory.observation[t, n])
        is_last += t == 31
        led_to = trajectory.final_observation[n] if t == 31 else trajectory.observation[t + 1, n]
        np.testing.assert_array_equal(memory.next_observation[k], led_to)
        assert memory.terminated[k] == trajectory.terminated[t, n]
        assert memory.reward[k] == trajectory.reward[t, n]
    assert is_last == 1  # the row after it was never filled
    to_go = {
        (t, n): sum(GAMMA**i * r for i, r in enumerate(np.asarray(trajectory.reward)[piece[k:], n]))
        for n, piece in pieces(trajectory)
        for k, t in enumerate(piece)
    }
    expected = [to_go[t, n] for t, n in rows]
    np.testing.assert_allclose(memory.reward_to_go[:count], expected, rtol=1e-4, atol=1e-5)
    assert not memory.reward[count:].any()


@pytest.mark.parametrize(("kl", "factor"), [(0.0, 0.5), (0.01, 1.0), (0.1, 2.0)])
def test_the_weight_of_a_kl_penalty_adapts(kl: float, factor: float) -> None:
    algorithm = ppo(policy=LINEAR_POLICY, sampling=WINDOW, surrogate=KLPenalty(3.0, target=0.01))
    learner = learner_of(algorithm)
    assert learner.remembered.kl_coefficient == 3.0
    remembered = remembered_of(algorithm, [trajectory_of(learner)], learner, jnp.float32(kl))
    assert remembered.kl_coefficient == 3.0 * factor
