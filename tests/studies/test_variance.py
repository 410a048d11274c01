"""Variance and bias of estimators: the statistics, the gradients, the command's result."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from small_runs import train_small
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.learning.advantages import make_batch
from uphill.learning.objective import mean_gradient
from uphill.parts import Episodes
from uphill.policies.policy import PolicySettings
from uphill.studies.variance import measure as module
from uphill.studies.variance.gradients import Fitted, entries, fitting, gradients, reference
from uphill.studies.variance.measure import (
    length_by_chance,
    measure_variance,
    resampled,
    squared_length,
    variance,
    with_interval,
)
from uphill.training.trainer import Trainer

SMALL = PolicySettings(hidden=(4,))


def interval_of(statistic, g):
    return with_interval(statistic(g, resampled(len(g))))


def test_the_variance_of_vectors_is_the_trace_of_their_covariance():
    g = np.random.default_rng(0).normal(size=(200, 5)) * [1, 2, 3, 4, 5] + 7
    found, (low, high) = interval_of(variance, g)
    assert found == pytest.approx(np.trace(np.cov(g.T)))
    assert low < found < high
    assert 0.7 * found < low
    assert high < 1.4 * found


def test_intervals_of_the_variance_hold_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(1)
    hits = 0
    for _ in range(60):
        _, (low, high) = interval_of(variance, generator.normal(size=(100, 3)))
        hits += low <= 3.0 <= high
    assert hits >= 50


def test_what_chance_alone_gives_is_seldom_exceeded_without_a_bias():
    generator = np.random.default_rng(3)
    once, exceeded = np.ones((1, 40)), 0
    for _ in range(200):
        g = generator.normal(size=(40, 4)) * [1, 2, 3, 9]
        exceeded += np.sqrt(max(squared_length(g, once)[0], 0)) > length_by_chance(g)
    assert 1 <= exceeded <= 24  # 10 are expected
    # It is the noise's length, not the bias's; without noise there is none.
    g = generator.normal(size=(400, 3))
    assert length_by_chance(g + 7) == pytest.approx(length_by_chance(g))
    assert length_by_chance(10 * g) == pytest.approx(10 * length_by_chance(g))
    assert length_by_chance(np.ones((40, 3))) == 0


def test_the_squared_length_leaves_the_noise_out():
    generator = np.random.default_rng(2)
    once = np.ones((1, 50))
    noise = [squared_length(generator.normal(size=(50, 10)), once)[0] for _ in range(100)]
    assert abs(np.mean(noise)) < 4 * np.std(noise) / 10
    assert min(noise) < 0
    # A plain squared mean would say 10 / 50.
    found, (low, high) = interval_of(squared_length, generator.normal(size=(400, 10)) + 1)
    assert low < 10 < high
    assert found == pytest.approx(10, rel=0.1)


def test_the_statistics_of_resampled_batches_are_those_of_the_batches_written_out():
    generator = np.random.default_rng(3)
    a, b = generator.normal(1, size=(2, 12, 3)) * [[[1.0]], [[2.0]]]
    weights = resampled(12)
    assert (weights[0] == 1).all()
    assert (weights.sum(1) == 12).all()
    ratios = variance(a, weights) / variance(b, weights)
    lengths = squared_length(a, weights)
    for row in range(20):
        drawn = np.repeat(np.arange(12), weights[row].astype(int))
        of_a, of_b = (np.trace(np.cov(g[drawn].T)) for g in (a, b))
        assert ratios[row] == pytest.approx(of_a / of_b)
        products = [a[k] @ a[i] for k in drawn for i in drawn if k != i]
        assert lengths[row] == pytest.approx(np.mean(products))
    assert with_interval(ratios)[1] == list(np.percentile(ratios[1:], [2.5, 97.5]))


def test_intervals_of_a_ratio_know_that_both_parts_see_the_same_batches():
    generator = np.random.default_rng(4)
    hits, widths, apart = 0, [], []
    for _ in range(100):
        common, own = generator.normal(size=(2, 80, 3))
        weights = resampled(80)
        # tr Cov is 3 (1 + 1/4) over 3 · 4: the truth is 5/16.
        ratio = variance(common + own / 2, weights) / variance(2 * common, weights)
        found, (low, high) = with_interval(ratio)
        hits += low <= 5 / 16 <= high
        widths.append((high - low) / found)
        numerator, (low, high) = interval_of(variance, common + own / 2)
        apart.append((high - low) / numerator)
    assert 87 <= hits <= 99
    assert np.mean(widths) < 0.8 * np.mean(apart)


def test_all_gradients_at_once_are_those_of_each_algorithm_alone():
    table = entries(0.9, num_envs=3)
    base = fitting(0.9, 3, SMALL)
    trainer = Trainer(choose("CartPole-v1", "compiled", {}, False), base, (0,), 1)
    learner = jax.tree.map(lambda x: jnp.asarray(x[0]), trainer.start().learners)
    fitted = Fitted(learner, jnp.array([3.0, 1.0]))
    trajectory = jax.jit(trainer.episodes)(learner.actor, jax.random.key(5))
    found = jax.jit(lambda fitted, t: gradients(table, fitted, t, (1,)))(fitted, trajectory)
    assert found.shape[0] == 2 * len(table)

    @jax.jit
    def alone(algorithm, learner, trajectory):
        batch, _ = make_batch(algorithm, learner, trajectory)
        policy = learner.actor.policy
        descent, _ = mean_gradient(algorithm, (policy, None), batch, policy)
        return -ravel_pytree(descent)[0]

    wanted = {
        ("20-step", "value function"),
        ("action value", "value function"),
        ("γ^t reward-to-go", "value function"),
        ("reward-to-go", "running mean"),
    }
    assert wanted < {entry[:2] for entry in table}
    for k, entry in enumerate(table):
        if entry[:2] in wanted:
            expected = alone(entry.algorithm, fitted.learner_of(entry), trajectory)
            np.testing.assert_allclose(found[k], expected, rtol=2e-4, atol=2e-4)

    # With a single environment: the mean over one episode, not over three.
    first = jax.tree.map(lambda x: x[:, :1], trajectory.mask)
    few = eqx.tree_at(lambda t: t.mask, trajectory, trajectory.mask & (jnp.arange(3) < 1)[None])
    plain = next(k for k, e in enumerate(table) if e[:2] == ("reward-to-go", "none"))
    expected = 3 * alone(table[plain].algorithm, fitted.learner_of(table[plain]), few)
    np.testing.assert_allclose(found[len(table) + plain], expected, rtol=2e-4, atol=2e-4)
    assert first.any()


def test_the_reference_is_unbiased_with_and_without_a_discount():
    for gamma, name in ((1.0, "reward-to-go"), (0.9, "γ^t reward-to-go")):
        table = entries(gamma, 4)
        assert table[reference(table)][:2] == (name, "value function")
        assert len({entry[:2] for entry in table}) == len(table)
        assert all(isinstance(entry.algorithm.sampling, Episodes) for entry in table)


@pytest.fixture
def _quick(monkeypatch):
    monkeypatch.setattr(module, "FIT_BATCHES", 8)


@pytest.mark.usefixtures("_quick")
def test_what_is_measured_at_a_run_is_written_beside_it(tmp_path):
    run = train_small(tmp_path / "run")
    result = measure_variance("CartPole-v1", run=run.path, envs=4, batches=64, quiet=True)
    assert json.loads((run.path / "variance.json").read_text()) == result
    assert (run.path / "variance.png").read_bytes()[:4] == b"\x89PNG"
    rows = {(row["estimator"], row["baseline"]): row for row in result["estimators"]}
    total, to_go = rows["total return", "none"], rows["reward-to-go", "none"]
    assert to_go["relative_variance"] == 1
    assert to_go["relative_variance_ci95"] == [1, 1]
    assert total["variance"] > to_go["variance"]
    td = rows["TD residual", "value function"]
    assert td["variance_ci95"][1] < to_go["variance_ci95"][0]
    for row in rows.values():
        low, high = row["variance_ci95"]
        assert 0 < low <= row["variance"] <= high
        assert row["bias_ci95"][0] <= row["bias_ci95"][1]
    # What the theory says is unbiased is not found to be biased.
    for name in (
        ("total return", "none"),
        ("reward-to-go", "none"),
        ("reward-to-go", "leave-one-out"),
    ):
        assert rows[name]["bias_ci95"][0] < 0.05
        assert rows[name]["bias_by_chance"] > 0
    assert td["bias"] > td["bias_by_chance"]
    own = result["estimators"][result["reference"]]
    assert own["bias"] == 0
    assert own["bias_ci95"] == [0, 0]
    assert own["cosine"] == pytest.approx(1)
    sizes = sorted({row["rollouts"] for row in result["rollouts"]})
    assert sizes == [1, 4, 16, 64]
    falling = [row["variance"] for row in result["rollouts"] if row["baseline"] == "none"]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.usefixtures("_quick")
def test_python_environments_can_be_measured_too(tmp_path):
    result = measure_variance(
        "CartPole-v0",
        backend="gymnasium",
        envs=2,
        batches=32,
        gamma=0.9,
        out=tmp_path,
        quiet=True,
    )
    assert result["steps"] > 0
    assert {row["rollouts"] for row in result["rollouts"]} == {1, 2}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"batches": 3}, "batches is 3: use at least 32"),
        ({"envs": 1}, "envs is 1: use at least 2"),
        ({"gamma": 1.5}, "gamma is 1.5: use a number from 0 to 1"),
    ],
)
def test_wrong_numbers_are_refused(arguments, sentence):
    with pytest.raises(UphillError, match=sentence):
        measure_variance("CartPole-v1", quiet=True, **arguments)


def test_the_cosine_with_a_gradient_of_zero_is_zero():
    x, zero = np.array([3.0, 4.0]), np.zeros(2)
    found = [module.cosine(x, y) for y in (2 * x, -x, np.array([4.0, -3.0]))]
    np.testing.assert_allclose(found, [1, -1, 0], atol=1e-15)
    assert (module.cosine(x, zero), module.cosine(zero, x)) == (0, 0)


def test_what_can_not_be_changed_about_a_runs_environment_is_refused(tmp_path):
    run = train_small(tmp_path / "run")
    with pytest.raises(UphillError, match="stays as it was in training: leave out env"):
        measure_variance("CartPole-v1", run=run.path, env_kwargs={"length": 2}, quiet=True)
    with pytest.raises(UphillError, match="stays as it was in training: leave out backend"):
        measure_variance("CartPole-v1", run=run.path, backend="gymnasium", quiet=True)
    with pytest.raises(UphillError, match="leave out drop_observations"):
        measure_variance("CartPole-v1", run=run.path, drop_observations=["x"], quiet=True)


def test_a_run_of_another_environment_is_refused(tmp_path):
    run = train_small(tmp_path / "run")
    with pytest.raises(UphillError, match="was trained on CartPole-v1: name that"):
        measure_variance("CartPole-v0", run=run.path, quiet=True)
