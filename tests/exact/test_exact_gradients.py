"""Is the expectation of what the library computes the gradient of J? By enumeration."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import (
    CHAIN,
    EXACT,
    FIXED,
    LINEAR,
    PATIENCE,
    RANDOM,
    TWO_SCALES,
    bandit,
    layered,
    mean_gradient,
    plain,
    setting,
    true_values,
    with_values,
)
from tabular import (
    RUBBISH,
    TABULAR,
    Change,
    Process,
    cosine,
    exact_gradient,
    expectation,
    gradients,
    histories,
    probabilities,
    random_process,
)

from uphill.batch import Batch
from uphill.parts import (
    GAE,
    BatchMean,
    ClippedRatio,
    Episodes,
    RewardToGo,
    Steps,
    ValueFunction,
)
from uphill.parts.algorithms import reinforce, vpg
from uphill.trajectory import BLOCK


def test_the_oracle_agrees_with_the_mean_return_of_all_histories() -> None:
    for process in (FIXED, RANDOM):
        learner, all_of = setting(plain(), process)
        rewards = np.where(all_of.rows["mask"], all_of.rows["reward"], 0).sum((1, 2))
        step = 1e-6
        weight = learner.actor.policy.head.weight
        means = []
        for change in (step, -step):
            moved = eqx.tree_at(
                lambda x: x.actor.policy.head.weight,
                learner,
                weight.at[0, 0].add(change),
            )
            others = histories(process, np.asarray(probabilities(moved.actor.policy)), BLOCK, 1)
            means.append(expectation(others, rewards))
        slope = (means[0] - means[1]) / (2 * step)
        assert exact_gradient(process, learner)[0] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("process", [FIXED, RANDOM], ids=["fixed length", "random length"])
def test_trap_07_reward_to_go_is_unbiased(process: Process) -> None:
    found, exact = mean_gradient(plain(), process)
    np.testing.assert_allclose(found, exact, atol=EXACT)
    assert np.linalg.norm(exact) > 0.1


def test_trap_07_a_longer_horizon_with_three_states() -> None:
    process = random_process(seed=2, limit=4, ends=False, num_states=3)
    found, exact = mean_gradient(plain(), process)
    np.testing.assert_allclose(found, exact, atol=EXACT)


@pytest.mark.parametrize("process", [FIXED, RANDOM], ids=["fixed length", "random length"])
def test_trap_07_any_value_function_is_an_unbiased_baseline(process: Process) -> None:
    estimator, sampling = RewardToGo(gamma=1.0), Episodes(num_envs=1)
    own = ValueFunction(network=LINEAR, optimizer=vpg().baseline.optimizer)
    algorithm = vpg(sampling=sampling, estimator=estimator, baseline=own, policy=TABULAR)
    found, exact = mean_gradient(algorithm, process)
    np.testing.assert_allclose(found, exact, atol=EXACT)
    # It did something: single gradients are others than without it.
    learner, all_of = setting(algorithm, process)
    assert not np.allclose(
        gradients(algorithm, learner, all_of),
        gradients(plain(), learner, all_of),
        atol=1e-3,
    )


def test_trap_07_a_joint_value_loss_leaves_the_policys_gradient_alone() -> None:
    joint = plain(baseline=ValueFunction(network=LINEAR, coefficient=3.0))
    found, exact = mean_gradient(joint, RANDOM)
    np.testing.assert_allclose(found, exact, atol=EXACT)


def subtract(table: np.ndarray) -> Change:
    """Tampers with a batch: less `table[s, a]` for every sample."""

    def change(batch: Batch) -> Batch:
        chosen = jax.nn.one_hot(batch.action, table.shape[1])
        amount = (jnp.einsum("...s,sa->...a", batch.features, table) * chosen).sum(-1)
        return eqx.tree_at(lambda b: b.advantage, batch, batch.advantage - amount)

    return change


def test_trap_07_negative_control_a_baseline_that_sees_the_action_is_biased() -> None:
    table = np.array([[1.0, 1.0], [-2.0, -2.0]])
    found, exact = mean_gradient(plain(), RANDOM, subtract(table))
    np.testing.assert_allclose(found, exact, atol=EXACT)  # of the state alone: no harm
    table[0, 0] += 1.0
    found, exact = mean_gradient(plain(), RANDOM, subtract(table))
    assert np.abs(found - exact).max() > 1e-2


def test_trap_06_without_gamma_to_the_t_the_gradient_is_another() -> None:
    gamma = 0.7
    discounted = plain(estimator=RewardToGo(gamma=gamma))
    learner, all_of = setting(discounted, CHAIN)
    exact = exact_gradient(CHAIN, learner, gamma)
    found = expectation(all_of, gradients(discounted, learner, all_of))
    # As nearly everybody, reward-to-go leaves γ^t away: later steps weigh more than in J_γ …
    assert np.abs(found - exact).max() > 1e-2
    assert cosine(found, exact) < 0.999

    def weigh(batch: Batch) -> Batch:
        # One environment: rows are times, since every history is one episode from its start.
        t = jnp.arange(batch.advantage.size).reshape(batch.advantage.shape)
        return eqx.tree_at(lambda b: b.advantage, batch, gamma**t * batch.advantage)

    # … and that is all that is missing.
    found = expectation(all_of, gradients(discounted, learner, all_of, weigh))
    np.testing.assert_allclose(found, exact, atol=EXACT)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_trap_08_the_batch_mean_scales_the_gradient_by_1_minus_1_over_n(n: int) -> None:
    found, exact = mean_gradient(plain(num_envs=n, baseline=BatchMean()), bandit(3))
    np.testing.assert_allclose(found, (1 - 1 / n) * exact, atol=EXACT)


def test_trap_08_within_episodes_the_batch_means_bias_shrinks_with_their_number() -> None:
    process = random_process(seed=4, limit=2, ends=False)
    one, exact = mean_gradient(plain(num_envs=1, baseline=BatchMean()), process)
    two, _ = mean_gradient(plain(num_envs=2, baseline=BatchMean()), process)
    # The returns of one episode depend on each other: 1 − 1/n is no longer exact, for any n …
    assert np.abs(two - 0.5 * exact).max() > 1e-3
    assert np.abs(two - 0.75 * exact).max() > 1e-3
    # … but what is lost is what an episode loses to its own share of the mean: half of it with
    # twice as many.
    np.testing.assert_allclose(two - exact, 0.5 * (one - exact), atol=EXACT)


def test_trap_08_dividing_by_the_batchs_deviation_is_biased() -> None:
    scaled, exact = mean_gradient(plain(num_envs=2, scale_advantages="batch"), TWO_SCALES)
    centred, _ = mean_gradient(plain(num_envs=2, baseline=BatchMean()), TWO_SCALES)
    # Subtracting the mean keeps the direction; dividing by a deviation that batches of state 1 make
    # large and those of state 0 small does not.
    assert cosine(centred, exact) == pytest.approx(1, abs=1e-12)
    assert 0.8 < cosine(scaled, exact) < 0.99


def test_trap_27_the_mean_over_steps_is_the_gradient_only_if_length_is_fixed() -> None:
    found, exact = mean_gradient(plain(mean_over="steps"), FIXED)
    np.testing.assert_allclose(FIXED.limit * found, exact, atol=EXACT)
    window = Steps(num_envs=1, num_steps=FIXED.limit)
    found, exact = mean_gradient(plain(sampling=window, mean_over="steps"), FIXED)
    np.testing.assert_allclose(FIXED.limit * found, exact, atol=EXACT)

    found, exact = mean_gradient(plain(mean_over="steps"), RANDOM)
    assert cosine(found, exact) < 0.999


def test_trap_27_algorithms_that_use_the_exact_mean_say_so() -> None:
    assert reinforce().mean_over == vpg().mean_over == "episodes"


@pytest.mark.parametrize(("num_envs", "per_env"), [(1, 2), (2, 1)])
def test_trap_28_a_quota_of_episodes_fixed_in_advance_is_exact(num_envs: int, per_env: int) -> None:
    process = random_process(seed=5, limit=2, ends=True)
    found, exact = mean_gradient(plain(num_envs=num_envs, per_env=per_env), process)
    np.testing.assert_allclose(found, exact, atol=EXACT)


def test_trap_28_keeping_what_finished_within_a_window_favours_short_episodes() -> None:
    window = Steps(num_envs=1, num_steps=4, tail="mask")
    algorithm = plain(sampling=window, mean_over="steps")
    learner, all_of = setting(algorithm, PATIENCE)
    rows = all_of.rows
    ended = rows["terminated"] | rows["truncated"]
    kept = rows["mask"] & (np.cumsum(ended[:, ::-1], 1)[:, ::-1] > 0)
    # Undo the division by the number of samples, whose effect is another trap: the mean over the
    # episodes that were kept.
    single = gradients(algorithm, learner, all_of)
    sums = kept.sum((1, 2))[:, None] * single
    num_episodes = expectation(all_of, ended.sum((1, 2)))
    found = expectation(all_of, sums) / num_episodes
    exact = exact_gradient(PATIENCE, learner)
    assert np.linalg.norm(found) < 0.9 * np.linalg.norm(exact)
    _, whole = setting(plain(), PATIENCE)
    kept_length = expectation(all_of, kept.sum((1, 2))) / num_episodes
    assert kept_length < expectation(whole, whole.rows["mask"].sum((1, 2))) - 0.1

    # An unfinished tail counts for nothing: without it, the histories are the same.
    without = {name: np.where(kept, x, RUBBISH.get(name, 0)) for name, x in rows.items()}
    cut = plain(sampling=Steps(num_envs=1, num_steps=4, tail="cut"), mean_over="steps")
    only_whole = dataclasses.replace(all_of, rows=without)
    np.testing.assert_allclose(gradients(cut, learner, only_whole), single, atol=EXACT)
    assert not np.allclose(gradients(cut, learner, all_of), single, atol=1e-3)

    # In a window of two steps no patient episode finishes, and what is learned is impatience.
    algorithm = plain(sampling=Steps(num_envs=1, num_steps=2, tail="mask"), mean_over="steps")
    found, _ = mean_gradient(algorithm, PATIENCE)
    assert cosine(found, exact) < -0.5


def test_trap_10_the_first_step_of_the_clipped_ratio_is_the_policy_gradient() -> None:
    found, exact = mean_gradient(plain(surrogate=ClippedRatio(epsilon=0.1)), RANDOM)
    np.testing.assert_allclose(found, exact, atol=EXACT)


@pytest.mark.parametrize("lam", [0.0, 0.5, 1.0])
def test_trap_05_gae_is_exact_with_the_true_value_function(lam: float) -> None:
    process = layered(RANDOM)
    algorithm = plain(estimator=GAE(gamma=1.0, lam=lam), baseline=ValueFunction(network=LINEAR))
    learner, all_of = setting(algorithm, process)
    exact = exact_gradient(process, learner)
    true = with_values(learner, true_values(process, learner)[1])
    found = expectation(all_of, gradients(algorithm, true, all_of))
    np.testing.assert_allclose(found, exact, atol=EXACT)
    # With a wrong one only λ = 1 is; that is the price of less noise.
    found = expectation(all_of, gradients(algorithm, learner, all_of))
    assert np.allclose(found, exact, atol=EXACT) is (lam == 1.0)
