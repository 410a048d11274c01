"""The baseline that remembers, against NumPy."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from trajectories import (
    LINEAR_POLICY,
    WINDOW,
    by_pieces,
    flat,
    learner_of,
    served,
    trajectory_of,
)

from uphill.errors import UphillError
from uphill.learning import advantages
from uphill.parts import (
    GAE,
    Baseline,
    ConstantValue,
    RewardToGo,
    RunningMean,
    Steps,
    ValueFunction,
)
from uphill.parts.algorithms import a2c, reinforce
from uphill.theory.means import time_mean

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


def test_a_constant_value_stands_for_what_a_window_cuts() -> None:
    """It is the mean of earlier batches' returns, which end in it unless they terminated."""
    gamma = 0.9
    parts = {"estimator": GAE(gamma, 1.0), "baseline": ConstantValue(0.5), "sampling": WINDOW}
    algorithm = reinforce_of(**parts)
    learner, mean, means = learner_of(algorithm), 0.0, []
    for seed in range(3):
        trajectory = trajectory_of(learner, seed=seed)
        reward, terminated = np.asarray(trajectory.reward), np.asarray(trajectory.terminated)

        def completed(
            n: int, rows: np.ndarray, k: int, r: Any = reward, t: Any = terminated, v: float = mean
        ) -> float:
            rest = [*r[rows[k:], n], 0.0 if t[rows[-1], n] else v]
            return float(np.dot(gamma ** np.arange(len(rest)), rest))

        mask = flat(trajectory.mask)
        expected = flat(by_pieces(trajectory, completed))[mask]
        batch, _ = make_batch(algorithm, learner, trajectory)
        np.testing.assert_allclose(flat(batch.target)[mask], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            flat(batch.advantage)[mask], expected - mean, rtol=1e-4, atol=1e-5
        )
        means.append(expected.mean())
        mean = np.average(means, weights=0.5 ** np.arange(len(means))[::-1])
        learner = served(algorithm, learner, trajectory)


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


class OfOnesOwn(Baseline):
    def __call__(self, state: Any, seen: Any, returns: Any) -> Any:
        return 0.0


class Known(OfOnesOwn):
    def value(self, state: Any, policy: Any, features: Any) -> Any:
        return features[..., 0]


class SaysSo(Known):
    has_value: ClassVar[bool] = True


class SaysOtherwise(Known):
    has_value: ClassVar[bool] = False


class SaysOnly(OfOnesOwn):
    has_value: ClassVar[bool] = True


class Constant(OfOnesOwn):
    value: Any = 3.0  # a setting, and no V


@pytest.mark.parametrize("kind", [Known, SaysSo, SaysOtherwise, ConstantValue, ValueFunction])
def test_a_baseline_that_defines_a_value_has_one(kind: type[Baseline]) -> None:
    assert kind().has_value
    a2c(baseline=kind())


@pytest.mark.parametrize("kind", [OfOnesOwn, SaysOnly, Constant, RunningMean])
def test_another_has_none_whatever_it_says(kind: type[Baseline]) -> None:
    assert not kind().has_value
    with pytest.raises(UphillError, match="it bootstraps from a value function"):
        a2c(baseline=kind())
    reinforce(baseline=kind())


class JointAlone(OfOnesOwn):
    def joint(self, state: Any) -> Any:
        return state


class SaysJoint(OfOnesOwn):
    @property
    def is_joint(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (JointAlone, "it says that it is_joint, so define joined, objective as well"),
        (SaysJoint, "it says that it is_joint, so define joint, joined, objective as well"),
    ],
)
def test_a_joint_baseline_defines_all_that_makes_it_so(kind: type[Baseline], sentence: str) -> None:
    with pytest.raises(UphillError, match=f"^baseline is {kind.__name__}: {sentence}"):
        reinforce(baseline=kind())


def test_time_goes_by_the_steps_that_were_played() -> None:
    """Two episodes of three steps; the second step of the first is left out of the mean."""
    returns = jnp.array([[5.0], [3.0], [1.0], [0.0], [7.0], [5.0], [3.0]])
    played = jnp.array([[True]] * 3 + [[False]] + [[True]] * 3)
    counted = played.at[1].set(False)
    mean = time_mean(returns, counted, per_env=2, played=played)
    np.testing.assert_allclose(mean[:, 0][np.array([0, 4])], 6.0)
    np.testing.assert_allclose(mean[:, 0][np.array([1, 5])], 5.0)  # of the second episode alone
    np.testing.assert_allclose(mean[:, 0][np.array([2, 6])], 2.0)
