"""What is not the gradient of J, by how much, and what it is instead: by enumeration.

The numbers are those of docs/algorithms.md: `off` is ‖E[g] − ∇J‖ / ‖∇J‖ where the scale is meant to
be right, and 1 − cosine where only the direction is.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from problems import (
    EXACT,
    LINEAR,
    PATIENCE,
    RANDOM,
    TWO_SCALES,
    backup,
    layered,
    mean_gradient,
    plain,
    setting,
    true_values,
    with_action_values,
    with_values,
)
from tabular import (
    Process,
    cosine,
    exact_gradient,
    expectation,
    gradients,
    probabilities,
    random_process,
)

from uphill.batch import Batch
from uphill.learning.learner import Learner
from uphill.parts import (
    GAE,
    SGD,
    ActionValue,
    BatchMean,
    DiscountedRewardToGo,
    LeaveOneOut,
    NoBaseline,
    NStep,
    RewardToGo,
    Steps,
    TDResidual,
    TimeMean,
    TotalReturn,
    ValueFunction,
)

OWN = ValueFunction(network=LINEAR, optimizer=SGD())
SHORT = random_process(4, limit=2, ends=False)
SHORT_RANDOM = random_process(5, limit=2, ends=True)
LAYERED = layered(RANDOM)
"""so that tables can hold true values, and wrong ones"""


def off(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.linalg.norm(found - exact) / np.linalg.norm(exact))


def gradient_with(process: Process, learner: Learner, q: np.ndarray) -> np.ndarray:
    """Σ_s d(s) Σ_a ∇π(a|s) q(s, a), d(s) the number of visits expected in an episode: the policy
    gradient theorem, with any q in the place of Q."""
    pi = np.asarray(probabilities(learner.actor.policy))
    visits, now = np.zeros(process.num_states), process.start
    for _ in range(process.limit):
        visits = visits + now
        now = np.einsum("s,sa,sax->x", now, pi, process.transition)[:-1]
    weight = jnp.asarray(visits[:, None] * q)
    gradient = jax.grad(lambda policy: (probabilities(policy) * weight).sum())
    return np.asarray(ravel_pytree(gradient(learner.actor.policy))[0])


# --- baselines ----------------------------------------------------------------------------------


@pytest.mark.parametrize("estimator", [RewardToGo, TotalReturn, DiscountedRewardToGo])
def test_trap_08_the_time_mean_scales_the_gradient_by_1_minus_1_over_n(estimator: Any) -> None:
    for sampling in ((1, 1), (2, 1), (1, 2)):
        algorithm = plain(*sampling, estimator=estimator(gamma=1.0), baseline=TimeMean())
        found, exact = mean_gradient(algorithm, SHORT)
        n = sampling[0] * sampling[1]
        np.testing.assert_allclose(found, (1 - 1 / n) * exact, atol=EXACT)


def test_trap_08_baselines_of_the_same_batch_in_numbers() -> None:
    """Two episodes of random length, of two steps at most."""
    found = {
        type(baseline).__name__: off(*mean_gradient(plain(2, baseline=baseline), SHORT_RANDOM))
        for baseline in (NoBaseline(), LeaveOneOut(), BatchMean(), TimeMean())
    }
    assert found["NoBaseline"] < EXACT
    assert found["LeaveOneOut"] < EXACT
    assert found["BatchMean"] == pytest.approx(0.388, abs=5e-4)
    # A time that only one of the two reached has no other mean than its own return.
    assert found["TimeMean"] == pytest.approx(0.558, abs=5e-4)


def test_trap_08_scaling_advantages_in_numbers() -> None:
    scaled, exact = mean_gradient(plain(2, scale_advantages="batch"), TWO_SCALES)
    assert 1 - cosine(scaled, exact) == pytest.approx(0.021, abs=5e-4)


# --- estimators ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "number"),
    [
        (TDResidual(1.0), 0.187),
        (NStep(1.0, 1), 0.187),
        (NStep(1.0, 2), 0.028),
        (GAE(1.0, 0.0), 0.187),
        (GAE(1.0, 0.5), 0.099),
        (GAE(1.0, 0.95), 0.010),
        (GAE(1.0, 1.0), 0.0),
    ],
)
def test_trap_05_bootstrapping_from_a_wrong_value_function(estimator: Any, number: float) -> None:
    """E[g] is the policy gradient with q in the place of Q, where

    q_n = r + P T^{n−1} V,   T V = Σ_a π (r + P V),   q_λ = (1 − λ) Σ_n λ^{n−1} q_n
    """
    algorithm = plain(estimator=estimator, baseline=OWN)
    learner, all_of = setting(algorithm, LAYERED)
    pi = np.asarray(probabilities(learner.actor.policy))
    # Wrong by ignorance, as in the beginning: V = 0.
    learner, value = (
        with_values(learner, np.zeros(LAYERED.num_states)),
        np.zeros(LAYERED.num_states),
    )
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    q = [backup(LAYERED, value)]
    for _ in range(RANDOM.limit - 1):
        q.append(backup(LAYERED, (pi * q[-1]).sum(-1)))
    lam = getattr(estimator, "lam", None)
    if lam is None:
        expected = q[getattr(estimator, "num_steps", 1) - 1]
    else:  # from the last step on, nothing is left to bootstrap
        expected = sum((1 - lam) * lam**n * q[n] for n in range(len(q) - 1)) + (
            lam ** (len(q) - 1) * q[-1]
        )
    np.testing.assert_allclose(found, gradient_with(LAYERED, learner, expected), atol=EXACT)
    assert off(found, exact_gradient(LAYERED, learner)) == pytest.approx(number, abs=5e-4)


@pytest.mark.parametrize("baseline", [NoBaseline(), OWN])
def test_a_wrong_action_value_takes_the_place_of_the_true_one(baseline: Any) -> None:
    algorithm = plain(estimator=ActionValue(gamma=1.0, network=LINEAR), baseline=baseline)
    learner, all_of = setting(algorithm, LAYERED)
    true, _ = true_values(LAYERED, learner)
    exact = exact_gradient(LAYERED, learner)
    noise = np.random.default_rng(0).normal(size=true.shape)
    for q, number in ((true + noise, 0.426), (np.zeros_like(true), 1.0), (3 * true, 2.0)):
        wrong = with_action_values(learner, q)
        found = expectation(all_of, gradients(algorithm, wrong, all_of))
        np.testing.assert_allclose(found, gradient_with(LAYERED, learner, q), atol=EXACT)
        assert off(found, exact) == pytest.approx(number, abs=5e-4)


def test_trap_06_without_gamma_to_the_t_states_count_as_often_as_they_are_seen() -> None:
    algorithm, gamma = plain(estimator=RewardToGo(gamma=0.7)), 0.7
    learner, all_of = setting(algorithm, LAYERED)
    pi = np.asarray(probabilities(learner.actor.policy))
    q = backup(LAYERED, np.zeros(LAYERED.num_states), gamma)
    for _ in range(LAYERED.limit):
        q = backup(LAYERED, (pi * q).sum(-1), gamma)
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    np.testing.assert_allclose(found, gradient_with(LAYERED, learner, q), atol=EXACT)
    assert off(found, exact_gradient(LAYERED, learner, gamma)) == pytest.approx(0.369, abs=5e-4)


# --- sampling -----------------------------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [1, 2])
def test_a_window_that_cuts_has_the_gradient_of_the_return_within_it(num_steps: int) -> None:
    process = random_process(0, limit=3, ends=False)
    window = Steps(num_envs=1, num_steps=num_steps, tail="cut")
    algorithm = plain(sampling=window, mean_over="steps")
    learner, all_of = setting(algorithm, process)
    found = num_steps * expectation(all_of, gradients(algorithm, learner, all_of))
    within = Process(process.start, process.transition, process.reward, num_steps)
    np.testing.assert_allclose(found, exact_gradient(within, learner), atol=EXACT)
    number = {1: 0.478, 2: 0.227}[num_steps]
    assert off(found, exact_gradient(process, learner)) == pytest.approx(number, abs=5e-4)


def test_trap_28_keeping_what_finished_can_turn_the_gradient_round() -> None:
    # Only impatient episodes end within two steps.
    window = Steps(num_envs=1, num_steps=2, tail="mask")
    found, exact = mean_gradient(plain(sampling=window, mean_over="steps"), PATIENCE)
    assert cosine(found, exact) == pytest.approx(-1.0, abs=5e-4)


def test_trap_27_the_mean_over_steps_in_numbers() -> None:
    found, exact = mean_gradient(plain(mean_over="steps"), RANDOM)
    assert 1 - cosine(found, exact) == pytest.approx(0.033, abs=5e-4)


# --- negative controls: what is no form of the gradient at all -----------------------------------


def weighed_by(table: np.ndarray) -> Any:
    """Tampers with a batch: Ψ is `table[s, a]`, and nothing else."""

    def change(batch: Batch) -> Batch:
        chosen = jax.nn.one_hot(batch.action, table.shape[1])
        psi = (jnp.einsum("...s,sa->...a", batch.features, table) * chosen).sum(-1)
        return eqx.tree_at(lambda b: b.advantage, batch, psi)

    return change


def test_trap_07_negative_control_the_value_of_the_state_alone_teaches_nothing() -> None:
    learner, _ = setting(plain(), LAYERED)
    q, value = true_values(LAYERED, learner)
    found, exact = mean_gradient(plain(), LAYERED, weighed_by(np.stack([value, value], 1)))
    np.testing.assert_allclose(found, 0.0, atol=EXACT)
    assert np.linalg.norm(exact) > 0.1
    # With the action in it, it is the gradient.
    found, exact = mean_gradient(plain(), LAYERED, weighed_by(q))
    np.testing.assert_allclose(found, exact, atol=EXACT)


def test_negative_control_the_value_of_the_next_state_without_its_reward_is_another_gradient() -> (
    None
):
    # Ψ = V(s') − V(s): the TD residual of a process that pays nothing.
    learner, _ = setting(plain(), LAYERED)
    _, value = true_values(LAYERED, learner)
    unpaid = Process(LAYERED.start, LAYERED.transition, 0 * LAYERED.reward, LAYERED.limit)
    algorithm = plain(estimator=TDResidual(1.0), baseline=OWN)
    learner, all_of = setting(algorithm, unpaid)
    learner = with_values(learner, value)
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    assert off(found, exact_gradient(LAYERED, learner)) > 0.5
