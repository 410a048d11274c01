"""The baseline that remembers, against NumPy."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from trajectories import LINEAR_POLICY, WINDOW, flat, learner_of, served, trajectory_of

from uphill.learning import advantages
from uphill.parts import RewardToGo, RunningMean, Steps
from uphill.parts.algorithms import reinforce

make_batch = jax.jit(advantages.make_batch)


def reinforce_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "estimator": RewardToGo(0.9), "mean_over": "steps"}
    return reinforce(**parts | changes)


def test_a_running_mean_is_of_earlier_batches_only() -> None:
    algorithm = reinforce_of(baseline=RunningMean(decay=0.5), sampling=WINDOW)
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
        learner = served(algorithm, learner, trajectory)
        np.testing.assert_allclose(learner.parts.baseline, [mean, weight], rtol=1e-5)


def test_a_batch_without_a_finished_episode_is_no_return_of_0() -> None:
    window = Steps(4, 12, tail="mask")
    algorithm = reinforce_of(baseline=RunningMean(), sampling=window)
    learner = learner_of(algorithm)
    whole = trajectory_of(learner)
    none = jnp.zeros_like(whole.terminated)

    def parts(t: Any) -> tuple:
        return t.terminated, t.truncated, t.mask

    endless = eqx.tree_at(parts, whole, (none, none, ~none))
    seen = served(algorithm, learner, whole).parts.baseline
    assert seen[1] == 1
    after = served(algorithm, learner, whole, endless).parts.baseline
    np.testing.assert_array_equal(after, seen)
