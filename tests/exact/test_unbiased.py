"""The claims: each estimator × baseline × sampling whose expectation is ∇J, by enumeration."""

from itertools import product
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    EXACT,
    FIXED,
    LINEAR,
    RANDOM,
    layered,
    mean_gradient,
    plain,
    setting,
    true_values,
    with_action_values,
    with_values,
)
from tabular import exact_gradient, expectation, gradients, random_process

from uphill.learning.learner import Learner
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    ConstantValue,
    DiscountedRewardToGo,
    ImportanceRatio,
    KLPenalty,
    LeaveOneOut,
    NoBaseline,
    NStep,
    RewardToGo,
    RunningMean,
    TDResidual,
    TotalReturn,
    ValueFunction,
)
from uphill.policies.policy import PolicySettings

OWN = ValueFunction(network=LINEAR, optimizer=SGD())
JOINT = ValueFunction(network=LINEAR, coefficient=3.0)
SCALED = ValueFunction(network=LINEAR, optimizer=SGD(), scale_targets=True)
SHARED = ValueFunction(shares_trunk=True)
BASELINES = {
    "none": NoBaseline(),
    "running mean": RunningMean(),
    "leave-one-out": LeaveOneOut(),
    "V, its own optimiser": OWN,
    "V, joint": JOINT,
    "V, shared trunk": SHARED,
}
ESTIMATORS = (TotalReturn, RewardToGo, DiscountedRewardToGo)
SAMPLINGS = {
    (1, 1): ("none", "running mean", "V, its own optimiser", "V, joint", "V, shared trunk"),
    (2, 1): ("none", "running mean", "leave-one-out", "V, joint"),
    (1, 2): ("none", "running mean", "V, its own optimiser"),
}
CLAIMS = [
    (estimator, baseline, sampling)
    for sampling, baselines in SAMPLINGS.items()
    for estimator, baseline in product(ESTIMATORS, baselines)
]


def _id(x: Any) -> str:
    return x.__name__ if isinstance(x, type) else str(x)


@pytest.mark.parametrize(("estimator", "baseline", "sampling"), CLAIMS, ids=_id)
def test_trap_07_the_expectation_is_the_gradient(
    estimator: Any, baseline: str, sampling: tuple[int, int]
) -> None:
    """Whatever a baseline holds that knows nothing of the actions; lengths fixed and random. Below
    γ = 1 where γ^t is in the weight: ∇J_γ then."""
    discounts = (1.0,) if estimator is RewardToGo else (1.0, 0.7)
    processes = (FIXED, RANDOM)
    if sampling != (1, 1):
        processes = tuple(random_process(5, limit=2, ends=ends) for ends in (False, True))
    for process, gamma in product(processes, discounts):
        algorithm = plain(*sampling, estimator=estimator(gamma=gamma), baseline=BASELINES[baseline])
        found, exact = mean_gradient(algorithm, process, gamma=gamma)
        np.testing.assert_allclose(found, exact, atol=EXACT)
        assert np.linalg.norm(exact) > 0.02


@pytest.mark.parametrize(
    "estimator", [NStep(1.0, 1), NStep(1.0, 2), TDResidual(1.0), GAE(1.0, 0.3)]
)
def test_bootstrapping_is_exact_with_the_true_value_function(estimator: Any) -> None:
    process = layered(RANDOM)
    algorithm = plain(estimator=estimator, baseline=OWN)
    learner, all_of = setting(algorithm, process)
    exact = exact_gradient(process, learner)
    true = with_values(learner, true_values(process, learner)[1])
    found = expectation(all_of, gradients(algorithm, true, all_of))
    np.testing.assert_allclose(found, exact, atol=EXACT)
    # The same V in units of the targets' deviation, by which it is multiplied.
    scaled = plain(estimator=estimator, baseline=SCALED)
    frozen = with_unit(setting(scaled, process)[0], 4.0)
    true_scaled = with_values(frozen, true_values(process, learner)[1] / np.sqrt(4.0 + 1e-8))
    found = expectation(all_of, gradients(scaled, true_scaled, all_of))
    np.testing.assert_allclose(found, exact, atol=EXACT)
    # That is a claim about V: with another one it does not hold.
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    assert np.abs(found - exact).max() > 1e-4


def with_unit(learner: Learner, variance: float) -> Learner:
    """The learner whose targets had that variance so far."""
    return eqx.tree_at(
        lambda x: (x.parts.baseline.targets.count, x.parts.baseline.targets.variance),
        learner,
        (np.uint32(50), jnp.array([variance])),
    )


def test_a_constant_value_is_exact_where_nothing_is_cut() -> None:
    """With λ = 1 it is a baseline; bootstrapped from where a time limit cuts, it is biased."""
    algorithm = plain(estimator=GAE(1.0, 1.0), baseline=ConstantValue())
    for process, is_exact in ((layered(RANDOM), True), (RANDOM, False)):
        learner, all_of = setting(algorithm, process)
        learner = eqx.tree_at(lambda x: x.parts.baseline, learner, jnp.array([0.7, 1.0]))
        found = expectation(all_of, gradients(algorithm, learner, all_of))
        exact = exact_gradient(process, learner)
        assert np.allclose(found, exact, atol=EXACT) is is_exact


@pytest.mark.parametrize("baseline", [NoBaseline(), RunningMean(), OWN, JOINT, SHARED])
def test_the_true_action_value_is_exact_with_any_baseline(baseline: Any) -> None:
    process = layered(RANDOM)
    algorithm = plain(estimator=ActionValue(gamma=1.0, network=LINEAR), baseline=baseline)
    learner, all_of = setting(algorithm, process)
    exact = exact_gradient(process, learner)
    true = with_action_values(learner, true_values(process, learner)[0])
    found = expectation(all_of, gradients(algorithm, true, all_of))
    np.testing.assert_allclose(found, exact, atol=EXACT)
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    assert np.abs(found - exact).max() > 1e-2


def test_the_uniform_mixture_has_the_gradient_of_the_policy_that_acts() -> None:
    mixed = plain(uniform_mixture=0.3)
    for process in (FIXED, RANDOM):
        found, exact = mean_gradient(mixed, process)
        np.testing.assert_allclose(found, exact, atol=EXACT)
        _, unmixed = mean_gradient(plain(), process)
        assert np.abs(found - unmixed).max() > 1e-2


@pytest.mark.parametrize("surrogate", [ImportanceRatio(), KLPenalty(coefficient=5.0)])
def test_trap_10_every_ratio_begins_at_the_policy_gradient(surrogate: Any) -> None:
    found, exact = mean_gradient(plain(surrogate=surrogate), RANDOM)
    np.testing.assert_allclose(found, exact, atol=EXACT)


def test_on_a_shared_trunk_only_the_value_loss_is_added_to_the_policys_gradient() -> None:
    policy = PolicySettings(hidden=(2,))
    for coefficient in (0.0, 0.5):
        baseline = ValueFunction(shares_trunk=True, coefficient=coefficient)
        found, exact = mean_gradient(plain(baseline=baseline, policy=policy), RANDOM)
        num_trunk = 2 * RANDOM.num_states + 2
        np.testing.assert_allclose(found[num_trunk:], exact[num_trunk:], atol=EXACT)
        is_all = np.allclose(found[:num_trunk], exact[:num_trunk], atol=EXACT)
        assert is_all is (coefficient == 0.0)


@pytest.mark.parametrize("name", ["normalize_returns", "normalize_rewards"])
def test_units_of_a_frozen_deviation_only_scale_the_gradient(name: str) -> None:
    algorithm = plain(baseline=OWN, **{name: True})
    learner, all_of = setting(algorithm, RANDOM)

    def moments(learner: Learner) -> tuple:
        seen = learner.scales.returns or learner.scales.rewards.moments
        return seen.count, seen.variance

    learner = eqx.tree_at(moments, learner, (np.uint32(50), jnp.array([4.0])))
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    exact = exact_gradient(RANDOM, learner) / np.sqrt(4.0 + 1e-8)
    np.testing.assert_allclose(found, exact, atol=EXACT)
