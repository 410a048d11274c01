"""EnvPool inside a compiled program against EnvPool stepped from Python."""

import sys

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.envs.backends import envpool as envpool_backend
from uphill.envs.backends.envpool import EnvPoolEnvironment, make_pool, narrowed_on_device
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.base import Environment
from uphill.envs.make import lane_seed
from uphill.errors import UphillError

NUM_ENVS = 4
SEEDS = [lane_seed(0, lane) for lane in range(NUM_ENVS)]


def sampled(space: gymnasium.Space, num_steps: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    if isinstance(space, gymnasium.spaces.Discrete):
        return rng.integers(0, space.n, (num_steps, NUM_ENVS)).astype(np.int32)
    shape = (num_steps, NUM_ENVS, *space.shape)
    return rng.uniform(space.low, space.high, shape).astype(np.float32)


def in_scan(env: EnvPoolEnvironment, actions: np.ndarray):
    state, first = env.reset()
    rollout = jax.jit(lambda state, actions: jax.lax.scan(env.step, state, actions)[1])
    return first, jax.tree.map(np.asarray, rollout(state, jnp.asarray(actions)))


@pytest.mark.parametrize(
    ("env_id", "dtype", "num_steps"),
    [
        ("LunarLander-v3", np.float32, 250),
        ("HalfCheetah-v5", np.float64, 60),
        ("InvertedPendulum-v5", np.float64, 120),
    ],
)
def test_a_scan_over_a_pool_is_the_pool_stepped_from_python(env_id, dtype, num_steps):
    env = EnvPoolEnvironment(env_id, SEEDS, {})
    actions = sampled(env.action_space, num_steps)
    first, steps = in_scan(env, actions)
    pool = make_pool(env_id, SEEDS, {})
    observation, _ = pool.reset()
    assert observation.dtype == dtype
    np.testing.assert_array_equal(first, observation.astype(np.float32))
    num_ended = 0
    for t in range(num_steps):
        action = actions[t].astype(env.action_space.dtype)
        observation, reward, terminated, truncated, _ = pool.step(action)
        # The same C++ code on the same numbers: equal to the bit, once narrowed.
        np.testing.assert_array_equal(steps.observation[t], observation.astype(np.float32))
        np.testing.assert_array_equal(steps.reward[t], reward.astype(np.float32))
        np.testing.assert_array_equal(steps.terminated[t], terminated)
        np.testing.assert_array_equal(steps.truncated[t], truncated)
        num_ended += (terminated | truncated).sum()
    assert steps.observation.dtype == np.float32
    assert np.isfinite(steps.observation).all()
    assert np.abs(steps.reward).max() < 1e3
    assert num_ended >= (0 if env_id.startswith("HalfCheetah") else NUM_ENVS)
    env.close()


def test_the_step_after_an_end_is_a_reset_without_reward():
    env = EnvPoolEnvironment("CartPole-v1", SEEDS, {})
    _, steps = in_scan(env, sampled(env.action_space, 100))
    ended = steps.terminated | steps.truncated
    assert ended.sum() > 5
    after = np.roll(ended, 1, axis=0)
    after[0] = False
    assert (steps.reward[after] == 0).all()
    assert (steps.reward[~after] == 1).all()
    # The final observation is the true one: off the track or leaning too far. Then a fresh one.
    x, _, angle, _ = np.moveaxis(steps.observation[ended], -1, 0)
    assert ((np.abs(x) > 2.4) | (np.abs(angle) > np.radians(12))).all()
    assert (np.abs(steps.observation[after]) <= 0.05).all()


def test_the_time_limit_truncates():
    env = EnvPoolEnvironment("Pendulum-v1", SEEDS, {"max_episode_steps": 5})
    assert env.max_episode_steps == 5
    _, steps = in_scan(env, sampled(env.action_space, 12))
    assert not steps.terminated.any()
    expected = np.isin(np.arange(12), [4, 10])
    np.testing.assert_array_equal(steps.truncated, np.tile(expected[:, None], NUM_ENVS))


@pytest.mark.parametrize("env_id", ["LunarLander-v3", "HalfCheetah-v5"])
def test_trap_17_lanes_start_apart_and_two_runs_are_identical(env_id):
    before = np.random.get_state()[1].copy()
    runs = []
    for seed in (0, 0, 1):
        env = EnvPoolEnvironment(env_id, [lane_seed(seed, i) for i in range(8)], {})
        first = np.asarray(env.reset()[1])
        runs.append((first, np.asarray(env.reset()[1])))
        env.close()
    same, again, other = runs
    np.testing.assert_array_equal(same, again)
    for episode in (0, 1):
        assert len(np.unique(same[episode], axis=0)) == 8
        rows = {row.tobytes() for row in same[episode]}
        assert not rows & {row.tobytes() for row in other[episode]}
    assert not {row.tobytes() for row in same[0]} & {row.tobytes() for row in same[1]}
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_what_a_pool_says_of_itself():
    env = EnvPoolEnvironment("LunarLander-v3", SEEDS, {})
    assert isinstance(env, Environment)
    assert env.num_envs == NUM_ENVS
    assert env.max_episode_steps == 1000
    assert env.reward_threshold == 200.0
    assert env.action_space == gymnasium.spaces.Discrete(4)
    assert env.observation_space.shape == (8,)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "HalfCheetah-v5", "Pendulum-v1"])
def test_a_pool_steps_from_the_host_too(env_id):
    """As on systems where its XLA interface does not exist."""
    pool = make_pool(env_id, SEEDS, {})
    env = HostEnvironment(env_id, pool, SEEDS, 100, None)
    assert env.observation_space == pool.observation_space
    assert env.action_space == pool.action_space
    observation = env.reset()
    assert observation.shape == (NUM_ENVS, *env.observation_space.shape)
    for action in sampled(env.action_space, 5):
        observation, reward, terminated, truncated = env.step(action)
    assert observation.shape == (NUM_ENVS, *env.observation_space.shape)
    assert reward.shape == terminated.shape == truncated.shape == (NUM_ENVS,)
    second = env.reset()
    assert not np.array_equal(second, observation)
    env.close()


def test_arguments_that_a_pool_does_not_take_are_named():
    with pytest.raises(UphillError, match=r"EnvPool's LunarLander-v3 does not take gravity"):
        make_pool("LunarLander-v3", SEEDS, {"gravity": -5.0, "max_episode_steps": 9})
    with pytest.raises(UphillError, match=r"could not be made with max_episode_steps='nine'"):
        make_pool("LunarLander-v3", SEEDS, {"max_episode_steps": "nine"})


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("float64", "float32"), ("int64", "int32"), ("uint64", "uint32"), ("uint8", "uint8")],
)
def test_narrow_keeps_the_numbers(wide, narrow):
    with jax.enable_x64(True):
        x = narrowed_on_device(jnp.asarray([0, 1, 200], wide))
    assert x.dtype == narrow
    np.testing.assert_array_equal(np.asarray(x), [0, 1, 200])


def test_envpool_is_imported_only_when_it_is_used():
    import subprocess

    code = "import sys, uphill.envs.make; sys.exit('envpool' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_names_and_support():
    assert "LunarLander-v3" in envpool_backend.names()
    assert envpool_backend.supports("HalfCheetah-v5")
    assert not envpool_backend.supports("Nothing-v0")
