"""From a trajectory to weighed samples, against plain loops."""

import re
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
    n_step,
    trajectory_of,
    values_after,
)

from plain import a2c, ppo
from uphill.errors import UphillError
from uphill.learning import advantages
from uphill.learning.advantages import explained_variance
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    Baseline,
    BatchMean,
    DiscountedRewardToGo,
    LeaveOneOut,
    NoBaseline,
    NStep,
    RewardToGo,
    RunningMean,
    Steps,
    TDResidual,
    TimeMean,
    TotalReturn,
    ValueFunction,
)
from uphill.parts.algorithms import reinforce
from uphill.parts.value_function import ValueState
from uphill.theory.moments import Moments

GAMMA, LAM = 0.9, 0.8
make_batch = jax.jit(advantages.make_batch)
VALUE = ValueFunction(network=LINEAR)


def algorithm_of(estimator: Any, baseline: Any, sampling: Any, **changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "mean_over": "steps"} | changes
    return reinforce(estimator=estimator, baseline=baseline, sampling=sampling, **parts)


def data_of(algorithm: Any) -> tuple:
    learner = learner_of(algorithm)
    make = trajectory_of if algorithm.sampling == WINDOW else episodes_of
    return learner, make(learner)


def value_of(learner: Any, trajectory: Any) -> tuple[np.ndarray, np.ndarray]:
    """V of every observation before a step, and of the one after it."""
    if not isinstance(learner.parts.baseline, ValueState):
        zeros = np.zeros(trajectory.mask.shape)
        return zeros, zeros
    critic = learner.parts.baseline.critic
    value = np.asarray(critic(trajectory.observation))
    return value, values_after(trajectory, value, np.asarray(critic(trajectory.final_observation)))


def expected_return(estimator: Any, trajectory: Any, after: np.ndarray, learner: Any) -> np.ndarray:
    reward = np.asarray(trajectory.reward, np.float64)

    def bootstrapped(count: int) -> Any:
        return lambda n, rows, k: n_step(trajectory, after, rows[k:], n, GAMMA, count)

    def to_go(n: int, rows: np.ndarray, k: int) -> float:
        return sum(GAMMA**i * r for i, r in enumerate(reward[rows[k:], n]))

    def mixed(n: int, rows: np.ndarray, k: int) -> float:
        """(1 − λ) Σ λ^{i−1} G^(i), and λ^{m−1} for the longest."""
        longest = len(rows) - k
        every = [bootstrapped(i)(n, rows, k) for i in range(1, longest + 1)]
        weights = [(1 - LAM) * LAM**i for i in range(longest - 1)] + [LAM ** (longest - 1)]
        return float(np.dot(weights, every))

    match estimator:
        case TotalReturn():
            return by_pieces(trajectory, lambda n, rows, k: to_go(n, rows, 0))
        case RewardToGo() | DiscountedRewardToGo():
            return by_pieces(trajectory, to_go)
        case NStep():
            return by_pieces(trajectory, bootstrapped(estimator.num_steps))
        case TDResidual():
            return by_pieces(trajectory, bootstrapped(1))
        case ActionValue():
            return np.asarray(
                learner.parts.estimator.critic(trajectory.observation, trajectory.action)
            )
    return by_pieces(trajectory, mixed)


def expected_baseline(baseline: Any, trajectory: Any, returns: np.ndarray, value: Any) -> Any:
    mask = np.asarray(trajectory.mask)
    match baseline:
        case BatchMean():
            return returns[mask].mean()
        case TimeMean():
            time = by_pieces(trajectory, lambda n, rows, k: k).astype(int)
            means = {k: returns[mask & (time == k)].mean() for k in set(time[mask])}
            return by_pieces(trajectory, lambda n, rows, k: means[k])
        case LeaveOneOut():
            others = [np.delete(returns, n, 1)[np.delete(mask, n, 1)] for n in range(mask.shape[1])]
            return np.broadcast_to([x.mean() for x in others], mask.shape)
        case ValueFunction():
            return value
    return 0.0


ESTIMATORS = [
    (TotalReturn(GAMMA), NoBaseline(), QUOTA),
    (RewardToGo(GAMMA), BatchMean(), QUOTA),
    (RewardToGo(GAMMA), BatchMean(), WINDOW),
    (DiscountedRewardToGo(GAMMA), NoBaseline(), QUOTA),
    (NStep(GAMMA, 3), VALUE, QUOTA),
    (NStep(GAMMA, 3), VALUE, WINDOW),
    (TDResidual(GAMMA), VALUE, QUOTA),
    (TDResidual(GAMMA), VALUE, WINDOW),
    (GAE(GAMMA, LAM), VALUE, QUOTA),
    (GAE(GAMMA, LAM), VALUE, WINDOW),
    (ActionValue(GAMMA, LINEAR), VALUE, QUOTA),
    (RewardToGo(GAMMA), TimeMean(), QUOTA),
    (RewardToGo(GAMMA), LeaveOneOut(), QUOTA),
    (RewardToGo(GAMMA), LeaveOneOut(), WINDOW),
    (RewardToGo(GAMMA), RunningMean(), QUOTA),
]


@pytest.mark.parametrize(
    ("estimator", "baseline", "sampling"),
    ESTIMATORS,
    ids=lambda part: type(part).__name__,
)
def test_advantages_are_what_plain_loops_make(estimator: Any, baseline: Any, sampling: Any) -> None:
    algorithm = algorithm_of(estimator, baseline, sampling)
    learner, trajectory = data_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory)
    value, after = value_of(learner, trajectory)
    returns = expected_return(estimator, trajectory, after, learner)
    advantage = returns - expected_baseline(baseline, trajectory, returns, value)
    if isinstance(estimator, DiscountedRewardToGo):
        advantage *= by_pieces(trajectory, lambda n, rows, k: GAMMA**k)
    mask = flat(trajectory.mask)
    np.testing.assert_array_equal(flat(batch.mask), mask)
    np.testing.assert_allclose(
        flat(batch.advantage)[mask], flat(advantage)[mask], rtol=1e-4, atol=1e-4
    )
    to_go = expected_return(RewardToGo(), trajectory, after, learner)
    if isinstance(estimator, ActionValue):
        found = flat(batch.estimator_target)[mask]
        np.testing.assert_allclose(found, flat(to_go)[mask], rtol=1e-4, atol=1e-4)
        returns = to_go
    np.testing.assert_allclose(flat(batch.target)[mask], flat(returns)[mask], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("targets", ["monte-carlo", "td", "lambda"])
def test_what_the_value_function_learns_may_be_another_return(targets: str) -> None:
    baseline = ValueFunction(network=LINEAR, targets=targets, lam=LAM)
    algorithm = algorithm_of(NStep(GAMMA, 2), baseline, QUOTA)
    learner, trajectory = data_of(algorithm)
    batch, metrics = make_batch(algorithm, learner, trajectory)
    value, after = value_of(learner, trajectory)
    same = {"monte-carlo": RewardToGo(), "td": TDResidual(), "lambda": GAE()}[targets]
    target = expected_return(same, trajectory, after, learner)
    returns = expected_return(algorithm.estimator, trajectory, after, learner)
    mask = flat(trajectory.mask)
    np.testing.assert_allclose(flat(batch.target)[mask], flat(target)[mask], rtol=1e-4, atol=1e-4)
    found = flat(batch.advantage)[mask]
    np.testing.assert_allclose(found, flat(returns - value)[mask], rtol=1e-4, atol=1e-4)
    # What the value function knew is measured against the estimator's returns.
    rest, all_of_it = flat(returns - value)[mask], flat(returns)[mask]
    np.testing.assert_allclose(
        metrics["value/explained_variance"], 1 - rest.var() / all_of_it.var(), rtol=1e-3
    )


def test_networks_see_returns_in_units_of_their_deviation() -> None:
    """V is multiplied by σ where it meets returns; targets and advantages are divided by it."""
    plain = algorithm_of(GAE(GAMMA, LAM), VALUE, QUOTA)
    algorithm = algorithm_of(GAE(GAMMA, LAM), VALUE, QUOTA, normalize_returns=True)
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    sigma = 4.0
    moments = Moments(jnp.uint32(5), jnp.zeros(1), jnp.full(1, sigma**2))
    learner = eqx.tree_at(lambda x: x.scales.returns, learner, moments)
    batch, _ = make_batch(algorithm, learner, trajectory)
    # The same by a critic whose outputs are σ times as large.
    larger = jax.tree.map(lambda x: x * sigma, learner.parts.baseline.critic)
    unscaled = eqx.tree_at(lambda x: x.parts.baseline.critic, learner_of(plain), larger)
    expected, _ = make_batch(plain, unscaled, trajectory)
    np.testing.assert_allclose(batch.advantage, expected.advantage / sigma, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(batch.target, expected.target / sigma, rtol=1e-4, atol=1e-5)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return() -> None:
    algorithm = algorithm_of(RewardToGo(GAMMA), NoBaseline(), WINDOW, normalize_rewards=True)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    raw, _ = make_batch(algorithm, learner, trajectory)  # nothing was seen: as they are
    moments = Moments(jnp.uint32(5), jnp.full(1, 3.0), jnp.full(1, 25.0))
    learner = eqx.tree_at(lambda x: x.scales.rewards.moments, learner, moments)
    batch, _ = make_batch(algorithm, learner, trajectory)
    np.testing.assert_allclose(batch.advantage, raw.advantage / 5, rtol=1e-4, atol=1e-6)


def test_the_tail_is_masked_on_request() -> None:
    masked = reinforce(
        policy=LINEAR_POLICY, sampling=type(WINDOW)(4, 12, tail="mask"), mean_over="steps"
    )
    learner = learner_of(masked)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(masked, learner, trajectory)
    mask = np.asarray(batch.mask).reshape(12, 4)
    ended = np.asarray(trajectory.ended)
    for n in range(4):
        last = np.flatnonzero(ended[:, n]).max(initial=-1)
        assert not mask[last + 1 :, n].any()
        np.testing.assert_array_equal(mask[: last + 1, n], trajectory.mask[: last + 1, n])


@pytest.mark.parametrize("make", [a2c, ppo], ids=["a2c", "ppo"])
def test_advantages_are_of_the_estimator_less_the_value(make: Any) -> None:
    algorithm = make(policy=LINEAR_POLICY, sampling=WINDOW, baseline=VALUE)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, metrics = make_batch(algorithm, learner, trajectory)
    value = learner.parts.baseline.critic(trajectory.observation).reshape(1, -1)
    np.testing.assert_allclose(batch.advantage, batch.target - value, atol=1e-5)
    assert metrics["value/explained_variance"] < 1


def test_advantages_of_a_batch_get_mean_zero_and_deviation_one() -> None:
    algorithm = algorithm_of(
        RewardToGo(GAMMA), NoBaseline(), QUOTA, scale_advantages="batch", optimizer=SGD()
    )
    learner, trajectory = data_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory)
    found = flat(batch.advantage)[flat(batch.mask)]
    np.testing.assert_allclose([found.mean(), found.std(ddof=1)], [0, 1], atol=1e-5)


def test_explained_variance_is_one_for_the_truth_and_zero_for_a_constant() -> None:
    returns = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    mask = jnp.ones((6, 3), bool)
    assert explained_variance(returns, returns, mask) == pytest.approx(1)
    assert explained_variance(returns, jnp.full((6, 3), 3.0), mask) == pytest.approx(0, abs=1e-6)
    # Where nothing varies there is nothing to explain, whatever rounding leaves.
    for constant in (0.0, -70.1, 1e6):
        assert jnp.isnan(explained_variance(jnp.full((6, 3), constant), returns, mask))


class Shaped(Baseline):
    """A baseline of one's own that returns zeros of some shape."""

    shape: tuple[int, ...] = eqx.field(static=True, default=())

    def __call__(self, state: Any, seen: Any, returns: Any) -> Any:
        return jnp.zeros(self.shape)


@pytest.mark.parametrize("shape", [(12,), (4,), (4, 12), (12, 4, 1), (12, 2)])
def test_numbers_that_would_be_spread_over_the_wrong_axis_are_refused(
    shape: tuple[int, ...],
) -> None:
    algorithm = algorithm_of(RewardToGo(), Shaped(shape), WINDOW)
    with pytest.raises(UphillError, match=rf"^Shaped returned shape {re.escape(str(shape))}: retu"):
        make_batch(algorithm, *data_of(algorithm))


class Turned(ValueFunction):
    """A value function of one's own whose target has its axes the other way round."""

    def target(self, seen: Any, returns: Any, gamma: Any) -> Any:
        return jnp.swapaxes(jnp.zeros(seen.mask.shape), 0, 1)


class Halved(Steps):
    """Windows that count each step half."""

    def counted(self, trajectory: Any) -> Any:
        return 0.5 * trajectory.mask


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"baseline": Turned(network=LINEAR)},
            r"^Turned\.target returned shape \(4, 12\): ",
        ),
        (
            {"sampling": Halved(4, 12)},
            r"^Halved\.counted returned f(loat)?32\[12,4\]: return a truth",
        ),
    ],
)
def test_what_else_custom_parts_return_has_its_shape(changes: dict[str, Any], words: str) -> None:
    parts: dict[str, Any] = {"estimator": GAE(), "baseline": VALUE, "sampling": WINDOW} | changes
    algorithm = algorithm_of(parts["estimator"], parts["baseline"], parts["sampling"])
    plain = algorithm_of(GAE(), VALUE, WINDOW)
    with pytest.raises(UphillError, match=words):
        make_batch(algorithm, *data_of(plain))


@pytest.mark.parametrize("shape", [(), (12, 4), (12, 1), (1, 4)])
def test_numbers_that_steps_or_environments_share_are_taken(shape: tuple[int, ...]) -> None:
    algorithm = algorithm_of(RewardToGo(), Shaped(shape), WINDOW)
    plain = algorithm_of(RewardToGo(), NoBaseline(), WINDOW)
    batch, _ = make_batch(algorithm, *data_of(algorithm))
    expected, _ = make_batch(plain, *data_of(plain))
    np.testing.assert_allclose(batch.advantage, expected.advantage, rtol=1e-6)
