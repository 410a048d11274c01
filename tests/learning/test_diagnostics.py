"""What is measured about an update, against brute force."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from steps import descent_direction
from trajectories import LINEAR, LINEAR_POLICY, WINDOW, episodes_of, learner_of, trajectory_of

from plain import ppo
from uphill.learning import advantages, diagnostics, objective
from uphill.learning.diagnostics import clipped_actions, num_groups
from uphill.parts import Episodes, NoBaseline, RewardToGo, Steps, ValueFunction
from uphill.parts.algorithms import reinforce
from uphill.policies.actions import Bounded
from uphill.theory.means import standardize

make_batch, mean_kl = jax.jit(advantages.make_batch), jax.jit(objective.mean_kl)
gradient_snr, measure = jax.jit(diagnostics.gradient_snr), jax.jit(diagnostics.measure)


def reinforce_of(**changes: Any) -> Any:
    parts = {"policy": LINEAR_POLICY, "baseline": NoBaseline(), "mean_over": "steps"}
    return reinforce(**{"sampling": WINDOW} | parts | changes)


def test_kl_is_the_mean_over_the_valid_samples() -> None:
    algorithm = reinforce_of(sampling=Episodes(3, per_env=2))
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, episodes_of(learner))
    old = learner.actor.policy
    new = eqx.tree_at(lambda p: p.head.bias, old, jnp.array([1.0, -1.0]))
    p, q = (np.asarray(jax.nn.softmax(x(batch.features).logits)) for x in (old, new))
    kl = (p * np.log(p / q)).sum(-1)[np.asarray(batch.mask)]
    np.testing.assert_allclose(mean_kl(algorithm, old, new, batch), kl.mean(), rtol=1e-4)
    # That of the policies with what is mixed in, since these are what acts.
    mixing = reinforce_of(uniform_mixture=0.5)
    p, q = 0.5 * p + 0.25, 0.5 * q + 0.25
    kl = (p * np.log(p / q)).sum(-1)[np.asarray(batch.mask)]
    np.testing.assert_allclose(mean_kl(mixing, old, new, batch), kl.mean(), rtol=1e-3)


def test_clipped_actions_are_a_fraction_of_components() -> None:
    kind = Bounded((-1.0, -1.0), (1.0, 1.0), (2,), "float32")
    algorithm = reinforce_of()
    learner = learner_of(algorithm, kind)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    outside = np.abs(np.asarray(trajectory.action))[np.asarray(trajectory.mask)] > 1
    assert 0 < outside.mean() < 1
    np.testing.assert_allclose(clipped_actions(kind, batch), outside.mean(), rtol=1e-5)
    measured = measure(algorithm, learner, trajectory, learner.actor.policy)
    np.testing.assert_allclose(measured["policy/clipped_actions"], outside.mean(), rtol=1e-5)
    squashed = Bounded((-1.0,), (1.0,), (1,), "float32", "tanh-gaussian")
    learner = learner_of(algorithm, squashed)
    measured = measure(algorithm, learner, trajectory_of(learner), learner.actor.policy)
    assert "policy/clipped_actions" not in measured


@pytest.mark.parametrize(
    ("num_envs", "groups"), [(1, 1), (2, 2), (3, 3), (7, 7), (8, 8), (11, 1), (12, 6), (256, 8)]
)
def test_environments_are_split_into_up_to_eight_equal_groups(num_envs: int, groups: int) -> None:
    assert num_groups(num_envs) == groups


def brute_force(gradients: np.ndarray) -> float:
    k, mean = len(gradients), gradients.mean(0)
    noise = ((gradients - mean) ** 2).sum() / (k * (k - 1))
    return (mean @ mean - noise) / noise


def envs_of(batch: Any, num_envs: int, chosen: list[int]) -> Any:
    """A batch of some of the environments."""

    def part(x: Any) -> Any:
        by_env = x.reshape(x.shape[0], -1, num_envs, *x.shape[2:])[:, :, np.array(chosen)]
        return by_env.reshape(x.shape[0], -1, *x.shape[2:])

    rows = eqx.tree_at(lambda b: b.num_blocks, batch, None, is_leaf=lambda x: x is None)
    return eqx.tree_at(
        lambda b: b.num_blocks,
        jax.tree.map(part, rows),
        batch.num_blocks,
        is_leaf=lambda x: x is None,
    )


def snr_of(algorithm: Any, learner: Any, batch: Any, groups: list[list[int]]) -> float:
    """From one gradient for each group of environments."""
    policy, num_envs = learner.actor.policy, algorithm.sampling.num_envs
    gradients = [
        ravel_pytree(
            descent_direction(algorithm, (policy, None), envs_of(batch, num_envs, group))[0][0]
        )[0]
        for group in groups
    ]
    return brute_force(np.array(gradients, np.float64))


def test_snr_is_that_of_the_gradients_of_disjoint_groups() -> None:
    algorithm = reinforce_of(sampling=Steps(12, 9), estimator=RewardToGo(0.5))
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner, 9, 12))
    found = gradient_snr(algorithm, learner.actor.policy, batch)
    groups = [[2 * g, 2 * g + 1] for g in range(6)]
    np.testing.assert_allclose(found, snr_of(algorithm, learner, batch, groups), rtol=1e-3)


def test_snr_of_whole_episodes_leaves_out_what_was_never_filled() -> None:
    algorithm = reinforce_of(sampling=Episodes(3, per_env=2), mean_over="episodes")
    steps = reinforce_of(sampling=Episodes(3, per_env=2))
    learner = learner_of(steps)
    batch, _ = make_batch(steps, learner, episodes_of(learner))
    found = gradient_snr(steps, learner.actor.policy, batch)
    np.testing.assert_allclose(found, snr_of(steps, learner, batch, [[0], [1], [2]]), rtol=1e-3)
    # Divided by a number of episodes, the gradients have another length and another ratio.
    found = gradient_snr(algorithm, learner.actor.policy, batch)
    expected = snr_of(algorithm, learner, batch, [[0], [1], [2]])
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_snr_scales_advantages_by_the_whole_batch_as_the_update_does() -> None:
    baseline = ValueFunction(network=LINEAR)
    algorithm = ppo(policy=LINEAR_POLICY, sampling=WINDOW, baseline=baseline)
    plain = ppo(policy=LINEAR_POLICY, sampling=WINDOW, baseline=baseline, scale_advantages="none")
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    found = gradient_snr(algorithm, learner.actor.policy, batch)
    scaled = standardize(batch.advantage, batch.mask)
    by_hand = eqx.tree_at(lambda b: b.advantage, batch, scaled)
    expected = snr_of(plain, learner, by_hand, [[0], [1], [2], [3]])
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_snr_falls_with_noise() -> None:
    """The first action is the better one; what is added to its reward says nothing."""
    algorithm = reinforce_of(sampling=Steps(8, 64), estimator=RewardToGo(0.0))
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner, 64, 8)
    signal = 1.0 - trajectory.action
    noise = np.random.default_rng(1).normal(size=signal.shape)
    found = []
    for size in (0.0, 1.0, 10.0):
        reward = jnp.asarray(signal + size * noise, jnp.float32)
        noisy = eqx.tree_at(lambda t: t.reward, trajectory, reward)
        batch, _ = make_batch(algorithm, learner, noisy)
        found.append(float(gradient_snr(algorithm, learner.actor.policy, batch)))
    assert found[0] > 2 * found[1]
    assert found[1] > 2 * abs(found[2])


def test_a_single_environment_has_no_groups() -> None:
    algorithm = reinforce_of(sampling=Steps(1, 12))
    learner = learner_of(algorithm)
    measured = measure(algorithm, learner, trajectory_of(learner, 12, 1), learner.actor.policy)
    assert measured == {"policy/kl": 0.0}  # to itself
