"""Against Gymnasium's CartPole, from the same states with the same actions."""

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.envs.base import BatchState, CompiledEnvironment
from uphill.envs.worlds import WORLDS

NUM_ENVS = 10


def inject(state: BatchState, where: np.ndarray, observation: np.ndarray) -> BatchState:
    """`state`, but in the environments `where`: the cart and pole that Gymnasium drew."""
    old, structure = jax.tree.flatten(state.world)
    new = [jnp.where(where, x, y) for x, y in zip(observation.T, old, strict=True)]
    world = jax.tree.unflatten(structure, new)
    return BatchState(world, state.elapsed, state.ended, state.key)


def balance(observation, rng):
    return (observation[:, 2] + observation[:, 3] > 0).astype(np.int32)


def at_random(observation, rng):
    return rng.integers(0, 2, NUM_ENVS).astype(np.int32)


@pytest.mark.parametrize(
    ("env_id", "policy", "num_steps", "final"),
    [
        ("CartPole-v1", at_random, 200, "terminated"),
        ("CartPole-v0", at_random, 200, "terminated"),
        ("CartPole-v0", balance, 420, "truncated"),
    ],
)
def test_ten_environments_step_as_gymnasiums_do(env_id, policy, num_steps, final):
    rng = np.random.default_rng(0)
    # Gymnasium says that -v0 is old; its dynamics are what is wanted.
    spec = gymnasium.spec(env_id)
    theirs = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make(spec)] * NUM_ENVS)
    ours = CompiledEnvironment(WORLDS[env_id], NUM_ENVS)
    step = jax.jit(ours.step)
    observation, _ = theirs.reset(seed=3)
    state, _ = ours.reset(jax.random.key(0))
    everywhere = np.ones(NUM_ENVS, bool)
    state = inject(state, everywhere, observation)
    ended = ~everywhere
    num_ended = 0
    for _ in range(num_steps):
        action = policy(observation, rng)
        state, timestep = step(state, action)
        observation, reward, terminated, truncated, _ = theirs.step(action)
        # The step after an episode's end resets both, each to a state of its own. A pole that is
        # kept upright for long magnifies rounding, so there the states are equalled at every step.
        compared = ~ended
        state = inject(state, ended if policy is at_random else everywhere, observation)
        np.testing.assert_allclose(
            timestep.observation[compared], observation[compared], atol=1e-4, rtol=1e-4
        )
        np.testing.assert_array_equal(timestep.reward, reward)
        np.testing.assert_array_equal(timestep.terminated, terminated)
        np.testing.assert_array_equal(timestep.truncated, truncated)
        ended = terminated | truncated
        num_ended += {"terminated": terminated, "truncated": truncated}[final].sum()
    assert num_ended >= NUM_ENVS


@pytest.mark.parametrize("env_id", ["CartPole-v0", "CartPole-v1"])
def test_spaces_limits_and_thresholds_are_gymnasiums(env_id):
    spec = gymnasium.spec(env_id)
    env, world = gymnasium.make(spec), WORLDS[env_id]
    assert world.action_space == env.action_space
    np.testing.assert_array_equal(world.observation_space.low, env.observation_space.low)
    np.testing.assert_array_equal(world.observation_space.high, env.observation_space.high)
    assert world.max_episode_steps == spec.max_episode_steps
    assert world.reward_threshold == spec.reward_threshold


def test_first_states_are_uniform_close_to_rest():
    world = WORLDS["CartPole-v1"]
    states = jax.vmap(world.initial)(jax.random.split(jax.random.key(0), 4000))
    for x in jax.tree.leaves(states):
        assert x.min() >= -0.05
        assert x.max() <= 0.05
        assert x.std() == pytest.approx(0.1 / np.sqrt(12), rel=0.05)
