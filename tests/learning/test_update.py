"""One update: from a trajectory to the next learner."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree
from steps import descent_direction
from trajectories import (
    LINEAR,
    LINEAR_POLICY,
    QUOTA,
    SMALL,
    WINDOW,
    episodes_of,
    flat,
    learner_of,
    trajectory_of,
)

from plain import ppo
from uphill.learning.advantages import make_batch
from uphill.learning.learner import joint_model
from uphill.learning.objective import mean_kl
from uphill.learning.update import minibatches_of, update
from uphill.parts import (
    SGD,
    ActionValue,
    Adam,
    KLPenalty,
    NoBaseline,
    Optax,
    Replay,
    RewardToGo,
    RunningMean,
    Steps,
    ValueFunction,
)
from uphill.parts.algorithms import reinforce, vpg
from uphill.trajectory import BLOCK

jitted = jax.jit(update)
KEY = jax.random.key(0)


def ppo_of(**changes: Any) -> Any:
    return ppo(**{"policy": SMALL, "sampling": WINDOW} | changes)


def linear_ppo(**changes: Any) -> Any:
    """Cheap to compile."""
    parts = {"policy": LINEAR_POLICY, "baseline": ValueFunction(network=LINEAR)}
    parts |= {"optimizer": SGD(learning_rate=0.5)}
    return ppo_of(**parts | changes)


def test_trap_23_every_sample_is_in_exactly_one_minibatch():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    numbered = eqx.tree_at(lambda b: b.target, batch, jnp.arange(48.0)[None])
    parts = minibatches_of(numbered, 4, jax.random.key(1))
    assert parts.mask.shape == (4, 1, 12)
    assert sorted(np.ravel(parts.target)) == list(range(48))
    again = minibatches_of(numbered, 4, jax.random.key(2))
    assert not np.array_equal(parts.target, again.target)
    # The samples stay whole: features and actions move with their number.
    order = np.ravel(parts.target).astype(int)
    np.testing.assert_array_equal(parts.features.reshape(48, 3), batch.features[0][order])


def test_trap_30_the_norm_after_clipping_is_the_bound_and_the_direction_stays():
    gradient = jnp.array([3.0, 4.0, 0.0])
    transform = SGD(learning_rate=1.0, max_grad_norm=0.5).transform()
    step, _ = transform.update(gradient, transform.init(gradient))
    np.testing.assert_allclose(step, [-0.3, -0.4, 0.0], rtol=1e-6)


def test_trap_03_masked_rows_change_nothing():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    garbage = eqx.tree_at(
        lambda t: (t.reward, t.log_prob),
        trajectory,
        (
            jnp.where(trajectory.mask, trajectory.reward, 1e6),
            jnp.where(trajectory.mask, trajectory.log_prob, -50.0),
        ),
    )
    one, _ = jitted(algorithm.at(0.0), learner, trajectory, KEY)
    two, _ = jitted(algorithm.at(0.0), learner, garbage, KEY)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert one.num_transitions == trajectory.mask.sum()


@pytest.mark.parametrize("scale", ["observations", "rewards", "returns"])
def test_until_a_scale_has_seen_something_a_batch_only_fills_it(scale: str):
    algorithm = linear_ppo(
        **{f"normalize_{scale}": True}, sampling=QUOTA, num_minibatches=1, mean_over="episodes"
    )
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    first, _ = jitted(algorithm, learner, trajectory, KEY)
    assert eqx.tree_equal(first.actor.policy, learner.actor.policy)
    assert eqx.tree_equal(first.parts.baseline, learner.parts.baseline)
    assert eqx.tree_equal(first.parts.optimizer, learner.parts.optimizer)
    if scale == "observations":
        seen = np.asarray(trajectory.observation)[np.asarray(trajectory.mask)]
        mean = first.actor.normalizer.moments.mean
        np.testing.assert_allclose(mean, seen.mean(0), atol=1e-6)
    moments = {
        "observations": lambda: first.actor.normalizer,
        "rewards": lambda: first.scales.rewards.moments,
        "returns": lambda: first.scales.returns,
    }[scale]()
    assert moments.count == trajectory.mask.sum()
    second, _ = jitted(algorithm, first, trajectory, KEY)
    assert not eqx.tree_equal(second.actor.policy, first.actor.policy)
    assert second.num_updates == 2


def test_a_batch_that_only_measures_leaves_a_running_mean_and_a_penalty_as_they_are():
    algorithm = ppo_of(
        policy=LINEAR_POLICY,
        estimator=RewardToGo(),
        baseline=RunningMean(),
        surrogate=KLPenalty(2.0),
        normalize_returns=True,
        sampling=QUOTA,
        num_minibatches=1,
    )
    learner = learner_of(algorithm)
    first, _ = jitted(algorithm, learner, episodes_of(learner), KEY)
    assert not first.parts.baseline.any()
    assert first.parts.surrogate == 2.0
    second, _ = jitted(algorithm, first, episodes_of(learner, seed=1), KEY)
    assert second.parts.baseline[1] == 1
    assert second.parts.surrogate != 2.0


def test_a_value_function_with_its_own_optimiser_learns_apart_from_the_policy():
    algorithm = vpg(policy=SMALL)
    learner = learner_of(algorithm)
    length = np.full((), BLOCK, np.int32)
    trajectory = trajectory_of(learner, num_steps=BLOCK, length=length)
    batch, _ = make_batch(algorithm, learner, trajectory)
    after, _ = jitted(algorithm, learner, trajectory, KEY)

    def error(critic):
        return jnp.where(batch.mask, (critic(batch.features) - batch.target) ** 2, 0.0).sum()

    assert error(after.parts.baseline.critic) < error(learner.parts.baseline.critic)
    assert not eqx.tree_equal(after.actor.policy, learner.actor.policy)


def test_a_learned_action_value_serves_first_and_learns_then():
    algorithm = reinforce(
        policy=LINEAR_POLICY,
        sampling=QUOTA,
        estimator=ActionValue(network=LINEAR, optimizer=SGD(0.05), num_steps=3),
    )
    learner = learner_of(algorithm)
    trajectory = episodes_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    after, metrics = jitted(algorithm, learner, trajectory, KEY)

    def error(q):
        all_errors = (q(batch.features, batch.action) - batch.estimator_target) ** 2
        return jnp.where(batch.mask, all_errors, 0.0).sum()

    assert error(after.parts.estimator.critic) < error(learner.parts.estimator.critic)
    gradient, _ = descent_direction(algorithm, (learner.actor.policy, None), batch)
    norm = optax.tree.norm(gradient)
    np.testing.assert_allclose(metrics["gradient/norm"], norm, rtol=1e-4)


def test_a_value_function_learns_from_its_memory():
    baseline = ValueFunction(
        network=LINEAR, targets="td", optimizer=SGD(0.05), num_steps=4, replay=Replay(40, 16)
    )
    algorithm = vpg(policy=LINEAR_POLICY, sampling=QUOTA, baseline=baseline)
    learner = learner_of(algorithm)
    for seed, count in ((0, 57), (1, 114)):
        before = learner.parts.baseline.critic
        learner, _ = jitted(algorithm, learner, episodes_of(learner, seed), KEY)
        critic = learner.parts.baseline.critic
        assert learner.parts.baseline.memory.count == count
        assert not eqx.tree_equal(critic, before)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(critic))


def test_the_entropy_bonus_pulls_towards_uniform():
    algorithm = reinforce(
        policy=SMALL,
        sampling=WINDOW,
        mean_over="steps",
        estimator=RewardToGo(gamma=0.0),
        entropy=1.0,
        optimizer=SGD(learning_rate=0.5),
    )
    learner = learner_of(algorithm)
    bias = jnp.array([2.0, 0.0])
    learner = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, bias)
    trajectory = trajectory_of(learner)
    still = eqx.tree_at(lambda t: t.reward, trajectory, jnp.zeros((12, 4)))
    after, before_metrics = jitted(algorithm, learner, still, KEY)
    _, after_metrics = jitted(algorithm, after, still, KEY)
    assert after_metrics["policy/entropy"] > before_metrics["policy/entropy"]


def test_schedules_are_evaluated_before_the_update():
    algorithm = ppo_of(optimizer=Adam(learning_rate="linear:1e-3:0"))
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    after, _ = jitted(algorithm.at(1.0), learner, trajectory, KEY)
    assert eqx.tree_equal(after.actor.policy, learner.actor.policy)


# --- how far the policy may move ----------------------------------------------------------------


def test_the_step_on_which_the_target_kl_is_exceeded_is_not_taken():
    """Of eight steps the first is always taken: the policy has not moved before it."""
    algorithm = linear_ppo(num_minibatches=2, target_kl=1e-7)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    after, metrics = jitted(algorithm, learner, trajectory, KEY)
    assert metrics["policy/num_steps"] == 1
    assert metrics["policy/approximate_kl"] < 1e-7  # that of the step that was taken
    batch, _ = make_batch(algorithm, learner, trajectory)
    first = jax.tree.map(lambda x: x[0], minibatches_of(batch, 2, jax.random.split(KEY, 4)[0]))
    model = joint_model(algorithm, learner)
    gradient, _ = descent_direction(algorithm, model, first)
    expected = jax.tree.map(lambda x, g: x - 0.5 * g, model, gradient)
    found = ravel_pytree(joint_model(algorithm, after))[0]
    np.testing.assert_allclose(found, ravel_pytree(expected)[0], rtol=1e-4, atol=1e-5)


def test_a_target_kl_that_is_never_reached_changes_nothing():
    learner = learner_of(linear_ppo())
    trajectory = trajectory_of(learner)
    free, _ = jitted(linear_ppo(num_minibatches=2), learner, trajectory, KEY)
    bounded = linear_ppo(num_minibatches=2, target_kl=1e6)
    found, metrics = jitted(bounded, learner, trajectory, KEY)
    assert metrics["policy/num_steps"] == 8
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(free), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_the_target_kl_bounds_epochs_over_whole_episodes_too():
    algorithm = linear_ppo(sampling=QUOTA, num_minibatches=1, num_epochs=30, target_kl=0.01)
    learner = learner_of(algorithm)
    after, metrics = jitted(algorithm, learner, episodes_of(learner), KEY)
    assert 1 < metrics["policy/num_steps"] < 30
    # The last step was taken below the limit, so the policy is not far beyond it.
    assert 0 < metrics["policy/approximate_kl"] <= 0.015
    assert not eqx.tree_equal(after.actor.policy, learner.actor.policy)


def test_the_weight_of_a_kl_penalty_is_remembered_and_used():
    settings = {"num_minibatches": 1, "num_epochs": 6, "optimizer": SGD(learning_rate=0.05)}
    algorithm = linear_ppo(surrogate=KLPenalty(1.0, target=1e-9), **settings)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    after, _ = jitted(algorithm, learner, trajectory, KEY)
    assert after.parts.surrogate == 2.0  # it moved further than so little
    # Not that of the settings counts, but what it has become.
    heavy = eqx.tree_at(lambda x: x.parts.surrogate, learner, jnp.float32(20.0))
    held, _ = jitted(algorithm, heavy, trajectory, KEY)
    batch, _ = make_batch(algorithm, learner, trajectory)
    kl, held_kl = (
        mean_kl(algorithm, learner.actor.policy, x.actor.policy, batch) for x in (after, held)
    )
    assert 0 < held_kl < 0.5 * kl
    assert held.parts.surrogate == 40.0


def test_running_means_serve_the_next_batch():
    algorithm = reinforce(
        policy=LINEAR_POLICY, sampling=WINDOW, mean_over="steps", baseline=RunningMean()
    )
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    after, _ = jitted(algorithm, learner, trajectory, KEY)
    later, _ = make_batch(algorithm, after, trajectory)
    mask = flat(batch.mask)
    mean = flat(batch.target)[mask].mean()
    np.testing.assert_allclose(
        flat(later.advantage)[mask], flat(batch.target)[mask] - mean, rtol=1e-4, atol=1e-5
    )


def test_a_batch_without_a_finished_episode_changes_no_network():
    """Nothing counts in it; but Adam would go on in the direction of the batches before."""
    window = Steps(4, 12, tail="mask")
    algorithm = reinforce(
        policy=LINEAR_POLICY, sampling=window, mean_over="steps", baseline=NoBaseline()
    )
    learner = learner_of(algorithm)
    first, _ = jitted(algorithm, learner, trajectory_of(learner), KEY)
    assert not eqx.tree_equal(first.actor.policy, learner.actor.policy)
    whole = trajectory_of(learner, seed=1)
    none = jnp.zeros_like(whole.terminated)
    endless = eqx.tree_at(lambda t: (t.terminated, t.truncated, t.mask), whole, (none, none, ~none))
    second, _ = jitted(algorithm, first, endless, KEY)
    assert eqx.tree_equal(second.actor.policy, first.actor.policy)
    assert eqx.tree_equal(second.parts.optimizer, first.parts.optimizer)
    assert second.num_transitions == first.num_transitions + endless.mask.sum()


@pytest.mark.parametrize("name", ["lamb", "novograd", "fromage"])
def test_layers_are_layers_to_an_optimiser_of_optax(name: str):
    """Some scale their steps by each layer's norm: as one vector, all would get the same."""
    algorithm = reinforce(
        policy=LINEAR_POLICY,
        sampling=WINDOW,
        mean_over="steps",
        baseline=NoBaseline(),
        optimizer=Optax(name, 0.01, max_grad_norm=None),
    )
    learner = learner_of(algorithm)
    learner = eqx.tree_at(lambda x: x.actor.policy.head.bias, learner, jnp.array([30.0, -20.0]))
    trajectory = trajectory_of(learner)
    after, _ = jitted(algorithm, learner, trajectory, KEY)
    batch, _ = make_batch(algorithm, learner, trajectory)
    model = (learner.actor.policy, None)
    gradient, _ = descent_direction(algorithm, model, batch)
    transform = getattr(optax, name)(0.01)
    step, _ = transform.update(gradient[0], transform.init(model[0]), model[0])
    expected = optax.apply_updates(model[0], step)
    for x, y in zip(jax.tree.leaves(after.actor.policy), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
