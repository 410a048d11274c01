"""The three collectors: the same trajectory from each, and nothing in it that is no transition."""

from collections import deque
from functools import cache

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv

import python_envs
from counting_world import CountingWorld
from uphill.collecting.compiled import collect_episodes, collect_steps
from uphill.collecting.host import collect_on_host
from uphill.collecting.lanes import start_lanes, statistics
from uphill.envs.backends.checks import Checked
from uphill.envs.backends.envpool import EnvPoolEnvironment, make_pool
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import lane_seed
from uphill.envs.worlds.cartpole import CartPole
from uphill.parts.sampling import num_blocks
from uphill.theory.returns import lambda_return
from uphill.training.seeds import split_lanes
from uphill.trajectory import BLOCK, narrow_on_host


def random_policy(space):
    """Actions that depend on the key alone, and a log-probability that depends on what was seen.

    The environment gets the action halved, where it is continuous: as a border that clips would.
    """

    def act(observation, key):
        seen = observation.astype(jnp.float32).reshape(observation.shape[0], -1).sum(1)
        if isinstance(space, gymnasium.spaces.Discrete):
            action = jax.random.randint(key, seen.shape, 0, space.n)
            return action, seen, action
        action = jax.random.uniform(key, (*seen.shape, *space.shape), minval=-1.0)
        return action, seen, action / 2

    return act


def never_end(observation, key):
    zeros = jnp.zeros(observation.shape[0], jnp.int32)
    return zeros, zeros.astype(jnp.float32), zeros


def keys_of(*shape, seed=0):
    return jax.random.split(jax.random.key(seed), shape)


def on_host(env, policy, keys, per_env=None, lanes=None):
    """`collect_on_host`, with the keys that the compiled collectors would use."""
    flat, act = keys.reshape(-1), jax.jit(policy)
    lanes = start_lanes((), jax.tree.map(np.copy, env.reset())) if lanes is None else lanes
    return collect_on_host(
        env,
        lambda observation, t: jax.tree.map(np.asarray, act(observation, flat[t])),
        lanes,
        len(flat),
        per_env,
    )


@cache
def jitted(env, policy, per_env):
    if per_env is None:
        return jax.jit(lambda *args: collect_steps(env, policy, *args))
    return jax.jit(lambda *args: collect_episodes(env, policy, *args, per_env))


def compiled(env, policy, keys, per_env=None, lanes=None):
    """Either of the compiled collectors: keys by step, or by block and step."""
    lanes = start_lanes(*env.reset(jax.random.key(1))) if lanes is None else lanes
    collected = jitted(env, policy, per_env)(lanes, keys)
    return jax.tree.map(lambda x: x if is_key(x) else np.asarray(x), collected)


def is_key(x):
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def python_env(make, num_envs=4):
    """A host environment whose lanes are seeded 0, 1, 2, …"""
    vector = SyncVectorEnv([lambda: Checked(make())] * num_envs, copy=False)
    return HostEnvironment("test", vector, list(range(num_envs)), None, None)


def assert_same(ours, theirs, **tolerance):
    """The same trajectories where they are valid, and the same rows valid."""
    np.testing.assert_array_equal(ours.mask, theirs.mask)
    np.testing.assert_array_equal(ours.terminated & ours.mask, theirs.terminated & theirs.mask)
    np.testing.assert_array_equal(ours.truncated & ours.mask, theirs.truncated & theirs.mask)
    for name in ("observation", "action", "log_prob", "reward"):
        a, b = getattr(ours, name), getattr(theirs, name)
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        np.testing.assert_allclose(a[ours.mask], b[theirs.mask], **tolerance)


class FromGivenStates(gymnasium.Wrapper):
    """Gymnasium's CartPole, that starts its episodes in states of ours."""

    def __init__(self, starts, limit):
        spec = gymnasium.spec("CartPole-v1")
        env = gymnasium.make(spec, max_episode_steps=limit, disable_env_checker=True)
        super().__init__(env)
        self.starts = deque(starts)

    def reset(self, **keywords):
        self.env.reset(**keywords)
        self.unwrapped.state = np.asarray(self.starts.popleft(), np.float64)
        return np.float32(self.unwrapped.state), {}


def starts_of(trajectory):
    """The first observations of each lane's episodes."""
    is_first = np.vstack([np.ones_like(trajectory.mask[:1]), ~trajectory.mask[:-1]])
    firsts = [trajectory.observation[is_first[:, n], n] for n in range(is_first.shape[1])]
    final = trajectory.final_observation
    return [[*first, final[n]] for n, first in enumerate(firsts)]


@pytest.mark.parametrize("per_env", [None, 3])
def test_backends_agree_compiled_and_gymnasium(per_env):
    num_envs, limit = 6, 20  # short enough for both kinds of end
    env = CompiledEnvironment(CartPole(limit, 1.0), num_envs)
    keys = keys_of(90) if per_env is None else keys_of(num_blocks(3, limit), BLOCK)
    policy = random_policy(env.action_space)
    _, ours, our_finished = compiled(env, policy, keys, per_env)
    factories = [
        lambda starts=starts: Checked(FromGivenStates(starts, limit)) for starts in starts_of(ours)
    ]
    host = HostEnvironment("test", SyncVectorEnv(factories, copy=False), [0] * num_envs, 20, None)
    _, theirs, finished = on_host(host, policy, keys, per_env)
    assert (ours.mask & ours.terminated).sum() > 3
    assert (ours.mask & ours.truncated).sum() > 3
    assert_same(ours, theirs, atol=1e-4)
    jax.tree.map(np.testing.assert_array_equal, our_finished, finished)
    if per_env is None:
        np.testing.assert_allclose(ours.final_observation, theirs.final_observation, atol=1e-4)
        assert ours.length is theirs.length is None
    else:
        assert ours.length == theirs.length


@pytest.mark.parametrize(
    ("env_id", "num_steps", "per_env"),
    [
        ("LunarLander-v3", 180, None),
        ("LunarLander-v3", 2 * 250, 1),
        ("HalfCheetah-v5", 40, None),
        ("InvertedPendulum-v5", 60, None),
        ("InvertedPendulum-v5", 250, 2),
    ],
)
def test_backends_agree_envpool_in_a_scan_and_from_python(env_id, num_steps, per_env):
    seeds = [lane_seed(5, lane) for lane in range(4)]
    env = EnvPoolEnvironment(env_id, seeds, {})
    keys = keys_of(num_steps) if per_env is None else keys_of(-(-num_steps // BLOCK), BLOCK)
    policy = random_policy(env.action_space)
    _, ours, our_finished = compiled(env, policy, keys, per_env)
    host = HostEnvironment(env_id, make_pool(env_id, seeds, {}), seeds, None, None)
    _, theirs, finished = on_host(host, policy, keys, per_env)
    # The same C++ code on the same actions: equal to the bit (sums of floats are compared loosely).
    assert_same(ours, theirs, rtol=1e-6)
    np.testing.assert_array_equal(ours.reward[ours.mask], theirs.reward[theirs.mask])
    np.testing.assert_array_equal(ours.observation[ours.mask], theirs.observation[theirs.mask])
    np.testing.assert_array_equal(our_finished.num_episodes, finished.num_episodes)
    np.testing.assert_allclose(our_finished.return_sum, finished.return_sum, rtol=1e-5)
    if env_id != "HalfCheetah-v5":
        assert finished.num_episodes.sum() >= 4


def after_each_step(trajectory, x, final):
    """`x` of what followed each row."""
    after = np.concatenate([x[1:], final[None]])
    if trajectory.length is not None:
        after[trajectory.length - 1] = final
    return after


@cache
def collected_by(collector):
    """Trajectories of a counting environment, from each collector."""
    if collector == "host":
        env = python_env(lambda: python_envs.Counting(3))
        return on_host(env, never_end, keys_of(11))[1]
    if collector == "host episodes":
        env = python_env(lambda: python_envs.Counting(3))
        return on_host(env, never_end, keys_of(1, BLOCK), 3)[1]
    env = CompiledEnvironment(CountingWorld(3), 4)
    if collector == "steps":
        return compiled(env, never_end, keys_of(11))[1]
    return compiled(env, never_end, keys_of(1, BLOCK), 3)[1]


COLLECTORS = ["steps", "episodes", "host", "host episodes"]


@pytest.mark.parametrize("collector", COLLECTORS)
def test_trap_02_what_follows_an_end_is_the_true_final_observation(collector):
    trajectory = collected_by(collector)
    after = after_each_step(trajectory, trajectory.observation, trajectory.final_observation)
    before, after = trajectory.observation[trajectory.mask], after[trajectory.mask]
    ended = trajectory.ended[trajectory.mask]
    assert ended.sum() >= 8
    # Whether the episode goes on or ends: the same episode, one step later.
    np.testing.assert_array_equal(after[:, :-1], before[:, :-1])
    np.testing.assert_array_equal(after[:, -1], before[:, -1] + 1)
    np.testing.assert_array_equal(after[ended, -1], 3)


@pytest.mark.parametrize(
    ("limit", "per_env", "backend"),
    [
        (3, None, "compiled"),
        (3, 2, "compiled"),
        (BLOCK, 1, "compiled"),  # the last episode ends with the last row of a block
        (3, 2, "host"),
        (BLOCK, 1, "host"),
    ],
)
def test_trap_02_a_truncated_step_is_valued_by_its_final_observation(limit, per_env, backend):
    blocks = num_blocks(per_env or 1, limit)
    keys = keys_of(11) if per_env is None else keys_of(blocks, BLOCK)
    if backend == "host":
        env = python_env(lambda: gymnasium.wrappers.TimeLimit(python_envs.Counting(99), limit))
        trajectory = on_host(env, never_end, keys, per_env)[1]
    else:
        env = CompiledEnvironment(CountingWorld(limit), 4)
        trajectory = compiled(env, never_end, keys, per_env)[1]
    assert (trajectory.truncated & trajectory.mask).sum() == 4 * (per_env or 3)
    assert not trajectory.terminated.any()
    # V = 100 + t; only the filled blocks are valued.
    value = trajectory.observation[..., -1] + 100
    if per_env is not None:
        value[trajectory.length :] = 0
    final_value = trajectory.final_observation[..., -1] + 100
    flags = trajectory.terminated, trajectory.truncated
    targets = lambda_return(
        trajectory.reward, *flags, value, final_value, 0.5, 0.0, trajectory.length
    )
    # r + γ (100 + t + 1), at the truncated step too: never the 100 of the episode after.
    expected = trajectory.reward + 0.5 * (value + 1)
    np.testing.assert_allclose(
        np.asarray(targets)[trajectory.mask], expected[trajectory.mask], rtol=1e-5
    )


@pytest.mark.parametrize("collector", COLLECTORS)
def test_trap_03_resets_are_no_transitions(collector):
    trajectory = collected_by(collector)
    num_rows = len(trajectory.mask)
    resets = np.isin(np.arange(num_rows), [3, 7, 11, 15])  # after every three steps, one reset
    if "episodes" in collector:
        expected = ~resets & (np.arange(num_rows) < 11)
        assert int(trajectory.length) == BLOCK
    else:
        expected = ~resets
        assert trajectory.mask.sum() == 4 * (num_rows - resets[:num_rows].sum())
    np.testing.assert_array_equal(trajectory.mask, np.tile(expected[:, None], 4))
    assert (trajectory.reward[~trajectory.mask] == 0).all() or "episodes" in collector


def test_trap_03_valid_transitions_are_the_steps_that_environments_counted():
    counts = []

    class Counted(python_envs.RandomLength):
        def reset(self, **keywords):
            counts.append("reset")
            return super().reset(**keywords)

        def step(self, action):
            counts.append("step")
            return super().step(action)

    env = python_env(Counted)
    policy = random_policy(env.action_space)
    trajectory = on_host(env, policy, keys_of(60))[1]
    assert trajectory.mask.sum() == counts.count("step")
    assert trajectory.mask.size == counts.count("step") + counts.count("reset") - env.num_envs


def test_trap_25_lanes_keep_their_data_when_they_are_split_by_seed():
    env = python_env(lambda: python_envs.Counting(3), num_envs=6)
    trajectory = on_host(env, random_policy(env.action_space), keys_of(5))[1]
    np.testing.assert_array_equal(trajectory.observation[..., 0], np.tile(np.arange(6), (5, 1)))
    by_seed = split_lanes(trajectory, 2)
    for s in range(2):
        lanes = slice(3 * s, 3 * s + 3)
        one = jax.tree.map(lambda x, s=s: x[s], by_seed)
        for name in ("observation", "action", "log_prob", "reward", "terminated", "mask"):
            np.testing.assert_array_equal(
                getattr(one, name), getattr(trajectory, name)[:, lanes], err_msg=name
            )
        np.testing.assert_array_equal(one.final_observation, trajectory.final_observation[lanes])


def lengths_of(trajectory):
    """The lengths of each lane's valid episodes; each must be whole."""
    lengths = []
    for n in range(trajectory.mask.shape[1]):
        valid = trajectory.mask[:, n]
        ends = np.flatnonzero(trajectory.ended[valid, n])
        assert ends[-1] == valid.sum() - 1, "a valid tail belongs to no whole episode"
        lengths.append(np.diff(ends, prepend=-1))
    return lengths


def test_trap_28_the_quota_is_fixed_before_and_every_episode_is_kept_however_long():
    longest, per_env, num_envs = 70, 2, 256
    env = CompiledEnvironment(CountingWorld(longest, None, longest), num_envs)
    lanes = start_lanes(*env.reset(jax.random.key(1)))
    keys = keys_of(num_blocks(per_env, longest), BLOCK)
    _, trajectory, finished = compiled(env, never_end, keys, per_env, lanes)
    lengths = lengths_of(trajectory)
    assert all(len(lane) == per_env for lane in lengths)
    np.testing.assert_array_equal(finished.num_episodes, per_env)
    np.testing.assert_array_equal(finished.length_sum, np.sum(lengths, axis=1))
    drawn = np.asarray(lanes.env_state.world.length)
    np.testing.assert_array_equal([lane[0] for lane in lengths], drawn)
    # The mean length is that of the uniform distribution, within four standard errors …
    mean, error = (1 + longest) / 2, (longest / 12**0.5) / (per_env * num_envs) ** 0.5
    assert abs(np.mean(lengths) - mean) < 4 * error
    # … while the episodes that end within a fixed window of the same size are shorter.
    window = compiled(env, never_end, keys_of(40), None, lanes)[1]
    early = finished_within(window)
    assert abs(np.mean(early) - mean) > 8 * error


class Halfway(CountingWorld):
    """A world with two milestones: the second step, and one that no episode comes to."""

    def milestones(self, state):
        return {"second_step": state.t >= 2, "never": state.t > 1000}


def test_episodes_that_came_to_a_milestone_are_counted_once_each():
    env = CompiledEnvironment(Halfway(6, None, 5), 8)
    state, observation = env.reset(jax.random.key(1))
    lanes = start_lanes(state, observation, env.milestones(state))
    for per_env, keys in ((None, keys_of(40)), (3, keys_of(num_blocks(3, 6), BLOCK))):
        _, trajectory, finished = compiled(env, never_end, keys, per_env, lanes)
        for n in range(8):
            valid = trajectory.mask[:, n]
            last = trajectory.observation[valid & trajectory.ended[:, n], n, 1]
            assert finished.reached["second_step"][n] == (last + 1 >= 2).sum()
            returns = [10 * sum(range(1, int(t) + 2)) for t in last]
            assert finished.return_max[n] == max(returns)
            assert finished.return_sum[n] == sum(returns)
        assert not finished.reached["never"].any()
        total = statistics(jax.tree.map(jnp.asarray, finished))
        assert 0 < total.reached["second_step"] < total.num_episodes


def finished_within(trajectory):
    t = trajectory.observation[..., 1] + 1
    return t[trajectory.mask & trajectory.ended]


def test_trap_28_python_environments_have_quotas_too():
    env = python_env(python_envs.RandomLength, num_envs=8)
    keys = keys_of(num_blocks(4, 8), BLOCK)
    _, trajectory, finished = on_host(env, random_policy(env.action_space), keys, 4)
    lengths = lengths_of(trajectory)
    assert all(len(lane) == 4 for lane in lengths)
    assert len({lane.sum() for lane in lengths}) > 1
    np.testing.assert_array_equal(finished.length_sum, np.sum(lengths, axis=1))
    filled = int(trajectory.length)
    assert filled % BLOCK == 0
    assert not trajectory.mask[filled:].any()


@pytest.mark.parametrize("collector", ["steps", "host"])
def test_two_windows_are_one_long_window_cut_in_two(collector):
    keys, policy = keys_of(22), random_policy(gymnasium.spaces.Discrete(2))
    parts = []
    for pieces in ([keys], [keys[:11], keys[11:]]):
        if collector == "host":
            env = python_env(python_envs.RandomLength)
            collect = on_host
        else:
            env = CompiledEnvironment(CountingWorld(9, None, 9), 4)
            collect = compiled
        lanes, out = None, []
        for piece in pieces:
            lanes, trajectory, finished = collect(env, policy, piece, lanes=lanes)
            out.append((trajectory, finished))
        parts.append(out)
    [(whole, total)], [(a, first), (b, second)] = parts
    for name in ("observation", "action", "log_prob", "reward", "terminated", "truncated", "mask"):
        glued = np.concatenate([getattr(a, name), getattr(b, name)])
        np.testing.assert_array_equal(glued, getattr(whole, name), err_msg=name)
    np.testing.assert_array_equal(a.final_observation, b.observation[0])
    for name in ("num_episodes", "return_sum", "length_sum"):
        added = getattr(first, name) + getattr(second, name)
        np.testing.assert_allclose(getattr(total, name), added, err_msg=name)
    largest = np.maximum(first.return_max, second.return_max)
    np.testing.assert_allclose(total.return_max, largest)


@pytest.mark.parametrize("collector", ["steps", "host"])
def test_statistics_are_those_of_the_episodes_that_ended(collector):
    if collector == "host":
        env = python_env(python_envs.RandomLength)
        _, trajectory, finished = on_host(env, random_policy(env.action_space), keys_of(40))
    else:
        env = CompiledEnvironment(CountingWorld(9, None, 9), 4)
        _, trajectory, finished = compiled(env, random_policy(env.action_space), keys_of(40))
    returns, lengths = [], []
    for n in range(4):
        running, length = 0.0, 0
        for t in range(40):
            if trajectory.mask[t, n]:
                running, length = running + trajectory.reward[t, n], length + 1
            if trajectory.ended[t, n]:
                returns.append(running)
                lengths.append(length)
                running, length = 0.0, 0
    total = statistics(jax.tree.map(jnp.asarray, finished))
    assert total.num_episodes == len(returns)
    assert total.return_sum == pytest.approx(sum(returns))
    assert total.length_sum == sum(lengths)
    assert total.return_max == pytest.approx(max(returns))


def test_trap_18_an_environment_that_writes_into_its_observation_changes_no_rollout():
    rollouts = []
    for kind in (python_envs.Counting, python_envs.InPlace):
        env = python_env(lambda kind=kind: kind(3))
        lanes, trajectory, _ = on_host(env, random_policy(env.action_space), keys_of(9))
        before = jax.tree.map(np.copy, (trajectory, lanes.observation))
        for _ in range(3):
            env.step(np.zeros(4, int))
        # What was collected does not move when the environment goes on.
        jax.tree.map(np.testing.assert_array_equal, (trajectory, lanes.observation), before)
        rollouts.append(trajectory)
    jax.tree.map(np.testing.assert_array_equal, *rollouts)
    np.testing.assert_array_equal(rollouts[1].observation[:, 1, 2], [0, 1, 2, 3, 0, 1, 2, 3, 0])


def test_trap_18_a_vector_environment_that_reuses_its_array_changes_no_rollout():
    """As SyncVectorEnv without copies does, and EnvPool may."""

    class OneArray:
        observation_space = gymnasium.spaces.Box(-9, 99, (1,), np.float64)
        action_space = gymnasium.spaces.Discrete(2)

        def __init__(self):
            self.array = np.zeros((2, 1))

        def reset(self):
            self.array[:] = 0
            return self.array, {}

        def step(self, action):
            self.array += 1
            return self.array, np.ones(2), np.zeros(2, bool), np.zeros(2, bool), {}

        def close(self):
            pass

    env = HostEnvironment("test", OneArray(), [0, 1], None, None)
    trajectory = on_host(env, never_end, keys_of(5), lanes=start_lanes((), env.reset()))[1]
    np.testing.assert_array_equal(trajectory.observation[:, 0, 0], np.arange(5))
    np.testing.assert_array_equal(trajectory.final_observation[:, 0], 5)
    assert trajectory.observation.dtype == np.float32


def test_collectors_take_nested_observations():
    class Nested(python_envs.Counting):
        observation_space = gymnasium.spaces.Dict(
            count=python_envs.Counting.observation_space,
            pair=gymnasium.spaces.Tuple([gymnasium.spaces.Discrete(9), gymnasium.spaces.Box(0, 9)]),
        )

        def _observation(self):
            pair = (self.t, np.full(1, self.t, np.float32))
            return {"count": super()._observation(), "pair": pair}

    def act(observation, key):
        return never_end(observation["count"], key)

    env = python_env(lambda: Nested(3))
    trajectory = on_host(env, act, keys_of(6))[1]
    expected = [0, 1, 2, 3, 0, 1]
    np.testing.assert_array_equal(trajectory.observation["count"][:, 2, 2], expected)
    discrete, box = trajectory.observation["pair"]
    np.testing.assert_array_equal(discrete[:, 2], expected)
    np.testing.assert_array_equal(box[:, 2, 0], expected)
    np.testing.assert_array_equal(trajectory.final_observation["pair"][0], 2)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [("float64", "float32"), ("int64", "int32"), ("uint64", "uint32"), ("uint8", "uint8")],
)
def test_narrow_on_host_keeps_the_numbers(wide, narrow):
    x = narrow_on_host(np.array([0, 1, 200], wide))
    assert x.dtype == narrow
    np.testing.assert_array_equal(x, [0, 1, 200])
