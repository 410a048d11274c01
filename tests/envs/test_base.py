"""Batches of a compiled world: autoreset, the mask's rule, the time limit, jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from counting_world import CountingWorld
from uphill.envs.base import World
from uphill.envs.compiled import CompiledEnvironment, select_lanes


def run(actions, num_envs, key=0, max_episode_steps=4):
    env = CompiledEnvironment(CountingWorld(max_episode_steps), num_envs)
    state, first = env.reset(jax.random.key(key))
    _, timesteps = jax.lax.scan(env.step, state, jnp.asarray(actions, jnp.int32))
    return np.asarray(first), jax.tree.map(np.asarray, timesteps)


def test_a_counting_world_follows_the_protocol():
    assert isinstance(CountingWorld(), World)


def test_the_step_after_an_end_resets_ignores_its_action_and_pays_nothing():
    actions = np.zeros((6, 1))
    actions[1] = actions[2] = 1  # ends the episode, then falls on the reset
    first, steps = run(actions, 1)
    np.testing.assert_array_equal(steps.terminated[:, 0], [0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(steps.truncated[:, 0], [0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(steps.reward[:, 0], [10, 20, 0, 10, 20, 30])
    np.testing.assert_array_equal(steps.observation[:, 0, 1], [1, 2, 0, 1, 2, 3])
    tag = first[0, 0]
    fresh = steps.observation[2, 0, 0]
    assert fresh != tag
    np.testing.assert_array_equal(
        steps.observation[:, 0, 0], np.float32([tag, -tag, fresh, fresh, fresh, fresh])
    )


def test_the_time_limit_truncates_and_starts_anew():
    _, steps = run(np.zeros((10, 1)), 1)
    np.testing.assert_array_equal(steps.truncated[:, 0], [0, 0, 0, 1, 0, 0, 0, 0, 1, 0])
    assert not steps.terminated.any()
    np.testing.assert_array_equal(steps.observation[:, 0, 1], [1, 2, 3, 4, 0, 1, 2, 3, 4, 0])


def test_an_episode_may_end_for_both_reasons_at_once_as_gymnasiums_time_limit_says():
    actions = np.zeros((4, 1))
    actions[3] = 1
    _, steps = run(actions, 1)
    assert steps.terminated[3, 0]
    assert steps.truncated[3, 0]


def test_environments_reset_apart_from_each_other():
    actions = np.zeros((5, 3))
    actions[1, 1] = 1
    first, steps = run(actions, 3, max_episode_steps=100)
    np.testing.assert_array_equal(steps.observation[:, 0, 1], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(steps.observation[:, 1, 1], [1, 2, 0, 1, 2])
    np.testing.assert_array_equal(steps.observation[:, 2, 1], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(steps.observation[:, 2, 0], np.full(5, first[2, 0]))
    assert len(np.unique(first[:, 0])) == 3


def test_a_batch_can_be_vmapped_over_seeds_and_each_seed_is_as_alone():
    env = CompiledEnvironment(CountingWorld(), 2)
    actions = jax.random.bernoulli(jax.random.key(1), 0.3, (12, 2)).astype(jnp.int32)

    def rollout(key):
        state, first = env.reset(key)
        return first, jax.lax.scan(env.step, state, actions)[1]

    keys = jax.random.split(jax.random.key(5), 3)
    together = jax.jit(jax.vmap(rollout))(keys)
    for s in range(3):
        alone = rollout(keys[s])
        jax.tree.map(
            lambda a, b, s=s: np.testing.assert_array_equal(np.asarray(a)[s], b), together, alone
        )


def test_trap_17_compiled_lanes_start_apart_and_two_runs_are_identical():
    before = np.random.get_state()[1].copy()
    a, b, other = (run(np.zeros((9, 8)), 8, key) for key in (0, 0, 1))
    assert len(np.unique(a[0][:, 0])) == 8
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not set(a[0][:, 0]) & set(other[0][:, 0])
    # And after the reset in row 4 too.
    assert len(np.unique(a[1].observation[4, :, 0])) == 8
    assert not set(a[1].observation[4, :, 0]) & set(other[1].observation[4, :, 0])
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_select_chooses_along_the_leading_axis(shape):
    condition = np.array([True, False, True])
    yes, no = np.ones((3, *shape)), np.zeros((3, *shape))
    chosen = np.asarray(select_lanes(jnp.asarray(condition), yes, no))
    np.testing.assert_array_equal(chosen.reshape(3, -1).all(1), condition)
    np.testing.assert_array_equal(chosen.reshape(3, -1).any(1), condition)
