"""One update, against hand-made gradients."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from uphill.learning.algorithms import a2c, ppo, reinforce, vpg
from uphill.learning.gradient import Batch, accumulate
from uphill.learning.learner import make_learner
from uphill.learning.parts import SGD, Adam, ClippedRatio, RewardToGo, Steps
from uphill.learning.rollout import BLOCK
from uphill.learning.update import (
    descent_direction,
    explained_variance,
    make_batch,
    split,
    update,
)
from uphill.policies.policy import PolicySettings
from uphill.policies.spaces import Bounded, Choice, Numbers
from uphill.trajectory import Trajectory

jitted = jax.jit(update)
ENCODING, ACTIONS = Numbers((3,)), Choice(2, 0, "int64")
SMALL = PolicySettings(hidden=(8,))


def learner_of(algorithm, actions=ACTIONS):
    return jax.tree.map(jnp.asarray, make_learner(algorithm, ENCODING, actions, 0))


def trajectory_of(learner, num_steps=12, num_envs=4, seed=0, length=None):
    """Random observations and rewards, the learner's own actions, episodes of a few steps."""
    generator = np.random.default_rng(seed)
    observation = generator.normal(size=(num_steps, num_envs, 3)).astype(np.float32)
    action, log_prob, _ = learner.actor.act(observation, jax.random.key(seed))
    terminated = generator.random((num_steps, num_envs)) < 0.15
    truncated = (generator.random((num_steps, num_envs)) < 0.1) & ~terminated
    before = np.roll(terminated | truncated, 1, axis=0)
    before[0] = False
    made = Trajectory(
        observation,
        generator.normal(size=(num_envs, 3)).astype(np.float32),
        action,
        log_prob,
        np.where(before, 0, generator.normal(size=(num_steps, num_envs))).astype(np.float32),
        terminated & ~before,
        truncated & ~before,
        ~before,
        length,
    )
    return jax.tree.map(jnp.asarray, made)


def ppo_of(**changes):
    return ppo(policy=SMALL, sampling=Steps(4, 12), **changes)


def test_the_gradient_is_the_mean_of_score_times_advantage():
    """Trap 29: a mean of products, not a product of means; no broadcast of (T,) against (T, 1)."""
    algorithm = reinforce(policy=SMALL, sampling=Steps(4, 12), mean_over="steps")
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(algorithm, learner, trajectory)
    gradient, _ = descent_direction(algorithm, (learner.actor.policy, None), batch)

    returns = np.zeros((13, 4))
    ended = np.asarray(trajectory.ended)
    for t in reversed(range(12)):
        returns[t] = np.asarray(trajectory.reward)[t] + 0.99 * ~ended[t] * returns[t + 1]
    mask = np.asarray(trajectory.mask)
    advantage = np.where(mask, returns[:-1] - returns[:-1][mask].mean(), 0)

    def loss(policy):
        total = 0.0
        for t in range(12):
            for n in range(4):
                log_p = jax.nn.log_softmax(policy(trajectory.observation[t, n]).logits)
                total += log_p[trajectory.action[t, n]] * advantage[t, n]
        return -total / mask.sum()

    expected = jax.grad(loss)(learner.actor.policy)
    for a, b in zip(jax.tree.leaves(gradient[0]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_trap_15_the_value_loss_is_not_clipped():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    far = eqx.tree_at(lambda b: b.target, batch, batch.target + 100.0)
    gradient, metrics = descent_direction(algorithm, (learner.actor.policy, learner.critic), far)

    def loss(critic):
        error = (critic(far.features) - far.target) ** 2
        return 0.5 * jnp.where(far.mask, error, 0.0).sum() / far.mask.sum()

    expected = jax.grad(loss)(learner.critic)
    for a, b in zip(jax.tree.leaves(gradient[1]), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
    assert metrics["value/loss"] > 5000


def test_trap_10_the_ratio_is_one_before_the_first_step_though_actions_were_clipped():
    kind = Bounded((-0.1,), (0.1,), (1,), "float32")
    algorithm = ppo_of()
    learner = learner_of(algorithm, kind)
    trajectory = trajectory_of(learner)
    assert (jnp.abs(trajectory.action) > 1).any()
    batch, _ = make_batch(algorithm, learner, trajectory)
    _, metrics = descent_direction(algorithm, (learner.actor.policy, learner.critic), batch)
    assert metrics["policy/clip_fraction"] == 0
    assert abs(metrics["policy/kl"]) < 1e-6


def test_trap_09_constant_advantages_give_no_gradient():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    flat = eqx.tree_at(lambda b: b.advantage, batch, jnp.full_like(batch.advantage, 7.0))
    gradient, _ = descent_direction(algorithm, (learner.actor.policy, learner.critic), flat)
    assert optax.tree.norm(gradient[0]) < 1e-6


def test_trap_23_every_sample_is_in_exactly_one_minibatch():
    algorithm = ppo_of()
    learner = learner_of(algorithm)
    batch, _ = make_batch(algorithm, learner, trajectory_of(learner))
    numbered = eqx.tree_at(lambda b: b.target, batch, jnp.arange(48.0)[None])
    parts = split(numbered, 4, jax.random.key(1))
    assert parts.mask.shape == (4, 1, 12)
    assert sorted(np.ravel(parts.target)) == list(range(48))
    again = split(numbered, 4, jax.random.key(2))
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
    key = jax.random.key(0)
    one, _ = jitted(algorithm.at(0.0), learner, trajectory, key)
    two, _ = jitted(algorithm.at(0.0), learner, garbage, key)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert one.num_transitions == trajectory.mask.sum()


def test_the_tail_is_masked_on_request():
    masked = reinforce(policy=SMALL, sampling=Steps(4, 12, tail="mask"), mean_over="steps")
    learner = learner_of(masked)
    trajectory = trajectory_of(learner)
    batch, _ = make_batch(masked, learner, trajectory)
    mask = np.asarray(batch.mask).reshape(12, 4)
    ended = np.asarray(trajectory.ended)
    for n in range(4):
        last = np.flatnonzero(ended[:, n]).max(initial=-1)
        assert not mask[last + 1 :, n].any()
        np.testing.assert_array_equal(mask[: last + 1, n], trajectory.mask[: last + 1, n])


def test_a_partly_filled_buffer_gives_the_gradient_of_its_filled_part():
    algorithm = reinforce(policy=SMALL)
    learner = learner_of(algorithm)
    full = trajectory_of(learner, num_steps=3 * BLOCK, length=np.full((), 3 * BLOCK, np.int32))
    noise = trajectory_of(learner, num_steps=2 * BLOCK, seed=1)
    longer = jax.tree.map(
        lambda a, b: jnp.concatenate([a, b]),
        (full.observation, full.action, full.log_prob, full.reward),
        (noise.observation, noise.action, noise.log_prob, noise.reward),
    )
    flags = [
        jnp.concatenate([x, y & False])
        for x, y in (
            (full.terminated, noise.terminated),
            (full.truncated, noise.truncated),
            (full.mask, noise.mask),
        )
    ]
    padded = Trajectory(longer[0], full.final_observation, *longer[1:], *flags, length=full.length)
    gradients = []
    for trajectory in (full, padded):
        batch, _ = make_batch(algorithm, learner, trajectory)
        gradients.append(descent_direction(algorithm, (learner.actor.policy, None), batch)[0])
    for a, b in zip(*map(jax.tree.leaves, gradients), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_accumulated_blocks_sum_to_the_whole():
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.normal(size=(3, 5, 2)), jnp.float32)
    rest = [jnp.zeros((3, 5)) for _ in range(4)]
    batch = Batch(x, *rest, mask=jnp.ones((3, 5), bool), num_blocks=jnp.int32(2))

    def total(w, samples):
        return ((samples.features @ w) ** 2).sum(), samples.features.sum()

    w = jnp.array([1.0, -2.0])
    gradient, aux = accumulate(total, w, batch)
    expected = jax.grad(lambda w: ((x[:2] @ w) ** 2).sum())(w)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
    np.testing.assert_allclose(aux, x[:2].sum(), rtol=1e-5)


def test_until_the_normaliser_has_seen_something_a_batch_only_fills_it():
    algorithm = ppo_of(normalize_observations=True)
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    first, _ = jitted(algorithm, learner, trajectory, jax.random.key(0))
    assert eqx.tree_equal(first.actor.policy, learner.actor.policy)
    assert eqx.tree_equal(first.optimizer_state, learner.optimizer_state)
    assert first.actor.normalizer.count == trajectory.mask.sum()
    seen = np.asarray(trajectory.observation)[np.asarray(trajectory.mask)]
    np.testing.assert_allclose(first.actor.normalizer.moments.mean, seen.mean(0), atol=1e-6)
    second, _ = jitted(algorithm, first, trajectory, jax.random.key(0))
    assert not eqx.tree_equal(second.actor.policy, first.actor.policy)
    assert second.num_updates == 2


def test_a_value_function_with_its_own_optimiser_learns_apart_from_the_policy():
    algorithm = vpg(policy=SMALL)
    learner = learner_of(algorithm)
    length = np.full((), BLOCK, np.int32)
    trajectory = trajectory_of(learner, num_steps=BLOCK, length=length)
    batch, _ = make_batch(algorithm, learner, trajectory)
    after, _ = jitted(algorithm, learner, trajectory, jax.random.key(0))

    def error(critic):
        return jnp.where(batch.mask, (critic(batch.features) - batch.target) ** 2, 0.0).sum()

    assert error(after.critic) < error(learner.critic)
    assert not eqx.tree_equal(after.actor.policy, learner.actor.policy)


@pytest.mark.parametrize("make", [a2c, ppo], ids=["a2c", "ppo"])
def test_advantages_are_of_the_estimator_less_the_value(make):
    algorithm = make(policy=SMALL, sampling=Steps(4, 12))
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    batch, metrics = make_batch(algorithm, learner, trajectory)
    value = learner.critic(trajectory.observation).reshape(1, -1)
    np.testing.assert_allclose(batch.advantage, batch.target - value, atol=1e-5)
    assert metrics["value/explained_variance"] < 1


def test_explained_variance_is_one_for_the_truth_and_zero_for_a_constant():
    returns = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    mask = jnp.ones((6, 3), bool)
    assert explained_variance(returns, returns, mask) == pytest.approx(1)
    assert explained_variance(returns, jnp.full((6, 3), 3.0), mask) == pytest.approx(0, abs=1e-6)


def test_the_entropy_bonus_pulls_towards_uniform():
    algorithm = reinforce(
        policy=SMALL,
        sampling=Steps(4, 12),
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
    after, before_metrics = jitted(algorithm, learner, still, jax.random.key(0))
    _, after_metrics = jitted(algorithm, after, still, jax.random.key(0))
    assert after_metrics["policy/entropy"] > before_metrics["policy/entropy"]


def test_a_ratio_far_from_one_counts_as_clipped():
    surrogate = ClippedRatio(epsilon=0.2)
    log_prob = jnp.log(jnp.array([1.0, 1.19, 1.21, 0.79]))
    np.testing.assert_array_equal(surrogate.clips(log_prob, jnp.zeros(4)), [0, 0, 1, 1])


def test_schedules_are_evaluated_before_the_update():
    algorithm = ppo_of(optimizer=Adam(learning_rate="linear:1e-3:0"))
    learner = learner_of(algorithm)
    trajectory = trajectory_of(learner)
    after, _ = jitted(algorithm.at(1.0), learner, trajectory, jax.random.key(0))
    assert eqx.tree_equal(after.actor.policy, learner.actor.policy)
