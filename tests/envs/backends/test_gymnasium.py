"""Python environments: made from whatever the user names, stepped, and every fault told."""

import re
import sys
from functools import partial

import gymnasium
import numpy as np
import pytest

import python_envs
import uphill
from small_runs import small_ppo
from uphill.envs.backends.gymnasium import (
    HostEnvironment,
    prepare,
    spec_of,
    suggestion,
    time_limit,
)
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.errors import UphillError


def host(env, num_envs=2, seed=0, is_async=False, **env_kwargs) -> HostEnvironment:
    choice = EnvironmentChoice(env, "gymnasium", "a test", env_kwargs, is_async)
    return make_env(choice, num_envs, (seed,))[0]


def no_action(env: HostEnvironment) -> np.ndarray:
    return np.zeros((env.num_envs, *env.action_space.shape), env.action_space.dtype)


@pytest.mark.parametrize(
    "env_id",
    [
        "CartPole-v1",
        "MountainCarContinuous-v0",
        "Acrobot-v1",
        "Blackjack-v1",
        "FrozenLake-v1",
        "Taxi-v4",
        "HalfCheetah-v5",
        "python_envs:UphillTestCounting-v0",
    ],
)
def test_any_registered_environment_is_made_and_stepped(env_id):
    env = host(env_id)
    spec = gymnasium.spec(env_id.rpartition(":")[2])
    assert env.max_episode_steps == spec.max_episode_steps
    assert env.reward_threshold == spec.reward_threshold
    env.reset()
    for _ in range(3):
        observation, reward, terminated, truncated = env.step(no_action(env))
    parts = observation if isinstance(observation, tuple) else (observation,)
    assert all(len(part) == 2 for part in parts)
    assert reward.shape == terminated.shape == truncated.shape == (2,)
    env.close()


@pytest.mark.parametrize(
    ("env", "limit", "threshold"),
    [
        ("python_envs:UphillTestLimited-v0", 7, 3.5),
        ("UphillTestLimited-v0", 7, 3.5),
        (python_envs.limited, 7, 3.5),
        (python_envs.limited_by_hand, 4, None),
        (python_envs.wrapped_old, 4, None),
        (partial(python_envs.Counting, length=3), None, None),
        (lambda: gymnasium.wrappers.TimeLimit(python_envs.limited(), 3), 3, 3.5),
        ("UphillTestOld-v0", 6, 9.0),
        ("UphillTestOldGymnasium-v0", 6, None),
    ],
)
def test_time_limit_and_threshold_are_found(env, limit, threshold):
    made = host(env)
    assert made.max_episode_steps == limit
    assert made.reward_threshold == threshold


@pytest.mark.parametrize(
    ("env", "env_kwargs"),
    [
        ("python_envs:UphillTestLimited-v0", {"length": 99}),
        (python_envs.limited_by_hand, {}),
        ("UphillTestOld-v0", {}),
        ("UphillTestOldGymnasium-v0", {}),
        (python_envs.wrapped_old, {}),
    ],
)
def test_the_time_limit_truncates_adapted_or_not(env, env_kwargs):
    made = host(env, **env_kwargs)
    made.reset()
    limit = made.max_episode_steps
    truncated = [made.step(no_action(made))[3].tolist() for _ in range(limit + 2)]
    expected = [[t == limit - 1] * 2 for t in range(limit + 2)]
    assert truncated == expected


def test_keyword_arguments_reach_the_environment():
    for env in ("UphillTestCounting-v0", python_envs.Counting):
        made = host(env, length=2)
        made.reset()
        terminated = [made.step(no_action(made))[2].tolist() for _ in range(4)]
        assert terminated == [[False] * 2, [True] * 2, [False] * 2, [False] * 2]
    assert host("CartPole-v1", max_episode_steps=9).max_episode_steps == 9
    assert host("UphillTestOld-v0", max_episode_steps=9, end=3).max_episode_steps == 9


def test_arguments_that_are_not_taken_are_named():
    for env in ("CartPole-v1", "UphillTestOld-v0", python_envs.Counting):
        with pytest.raises(UphillError, match=r"does not take gravity: .*unexpected keyword"):
            host(env, gravity=3)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ("UphillTestOld-v0", "has signatures of the old Gym .*: adapted\\.$"),
        (python_envs.OldGym, "^OldGym has signatures of the old Gym"),
        (python_envs.OldGymnasium, "adapted\\.$"),
        (python_envs.SeedOnly, "adapted\\.$"),
        (partial(python_envs.OldGym, end=3), "^OldGym has"),
    ],
)
def test_old_signatures_are_adapted_with_a_notice(env, words):
    choice = EnvironmentChoice(env, "gymnasium", "a test", {})
    made, notice = make_env(choice, 3)
    assert re.search(words, notice)
    observation = made.reset().copy()
    assert len(np.unique(observation, axis=0)) == 3
    _, reward, terminated, truncated = made.step(no_action(made))
    np.testing.assert_array_equal(reward, 1)
    assert not (terminated | truncated).any() or env is python_envs.SeedOnly


def test_an_environment_that_takes_no_seed_is_announced():
    class Unseeded(python_envs.OldGym):
        seed = property()

    assert "It takes no seed" in prepare(Unseeded, {}, "Unseeded").notice


def test_todays_environments_get_no_notice():
    for env in ("CartPole-v1", python_envs.AnyKeywords, python_envs.limited):
        assert prepare(env, {}, "it").notice is None
    # What a wrapper makes of an action, the environment itself could not take.
    wrapped = prepare(lambda: python_envs.Corners(python_envs.Continuous()), {}, "it")
    assert wrapped.notice is None


@pytest.mark.parametrize(
    "env", [python_envs.Noise, python_envs.AnyKeywords, python_envs.OldGymnasium, "Acrobot-v1"]
)
def test_trap_17_lanes_start_apart_and_two_runs_are_identical(env):
    before = np.random.get_state()[1].copy()

    def run(seed):
        made = host(env, 8, seed)
        rows = [made.reset().copy()]
        rows += [made.step(no_action(made))[0].copy() for _ in range(30)]
        rows.append(made.reset().copy())  # goes on with the random stream
        made.close()
        return np.stack(rows)

    same, again, other = run(0), run(0), run(1)
    np.testing.assert_array_equal(same, again)
    for row in (0, -1):
        assert len(np.unique(same[row], axis=0)) == 8
        theirs = {x.tobytes() for x in other[row]}
        assert not {x.tobytes() for x in same[row]} & theirs
    assert not {x.tobytes() for x in same[0]} & {x.tobytes() for x in same[-1]}
    np.testing.assert_array_equal(np.random.get_state()[1], before)


FAULTS = [
    ("shape", "returned an array of shape (2,) as its observation", 3),
    ("dtype", "returned an array of dtype complex64 as its observation", 3),
    ("nan observation", "returned nan in its observation (environment 0 of 2)", 3),
    ("nan reward", "returned nan in its reward (environment 0 of 2)", 3),
    ("inf reward", "returned -inf in its reward (environment 0 of 2)", 3),
    ("no reward", "returned None as its reward", 3),
    ("raise", "raised KeyError in step; its own error follows.", 3),
]


@pytest.mark.parametrize(("fault", "words", "step"), FAULTS)
def test_a_fault_names_the_environment_the_step_and_the_field(fault, words, step):
    env = host("UphillTestFaulty-v0", fault=fault)
    env.reset()
    for _ in range(step - 1):
        env.step(no_action(env))
    with pytest.raises(UphillError) as caught:
        env.step(no_action(env))
    text = str(caught.value)
    assert text.startswith(f"UphillTestFaulty-v0, at step {step} of each environment, {words}")
    assert "UphillError" not in text
    env.close()


def assert_own_traceback_only(text: str) -> None:
    assert 'return {}["wheel"]' in text
    assert text.rstrip().endswith("KeyError: 'wheel'")
    frames = [line for line in text.splitlines() if line.startswith("  File ")]
    assert len(frames) == 2
    assert all("python_envs.py" in frame for frame in frames)


def test_an_error_in_step_comes_with_its_own_traceback_and_no_frame_of_ours():
    env = host("UphillTestFaulty-v0", fault="raise")
    env.reset()
    env.step(no_action(env)), env.step(no_action(env))
    with pytest.raises(UphillError) as caught:
        env.step(no_action(env))
    assert_own_traceback_only(str(caught.value))


def test_an_error_in_reset_is_told_when_the_environment_is_made():
    with pytest.raises(UphillError) as caught:
        host("UphillTestFaulty-v0", fault="raise in reset")
    text = str(caught.value)
    assert text.startswith("UphillTestFaulty-v0 could not be made, reset and stepped; its own")
    assert text.endswith("OSError: the track is flooded")
    assert "uphill/envs" not in text


def test_an_error_in_a_later_reset_names_the_step():
    class Flooding(python_envs.Counting):
        def reset(self, **keywords):
            if self.episode == 1:
                raise OSError("the track is flooded")
            return super().reset(**keywords)

    env = host(partial(Flooding, length=1))
    env.reset()
    for _ in range(3):
        env.step(no_action(env))
    with pytest.raises(UphillError, match=r"^Flooding, at step 4 .*raised OSError in reset"):
        env.step(no_action(env))


def test_an_error_in_the_constructor_shows_where_it_came_from():
    class Broken(python_envs.Counting):
        def __init__(self):
            self.wheel = {}["wheel"]

    with pytest.raises(UphillError, match="Broken could not be made") as caught:
        host(Broken)
    assert 'self.wheel = {}["wheel"]' in str(caught.value)


def test_an_environment_has_served_though_its_close_raises(tmp_path):
    class Sticky(python_envs.Counting):
        def close(self):
            raise OSError("device gone")

    env = host(Sticky)
    env.close()
    given = {"steps": 32, "episodes": 2, "quiet": True, "out": tmp_path / "run"}
    assert uphill.train(Sticky, small_ppo(), **given).evaluation is not None


def test_parts_of_size_zero_are_nothing_to_see(tmp_path):
    class Empty(python_envs.Counting):
        observation_space = gymnasium.spaces.Dict(
            none=gymnasium.spaces.Box(0, 1, (0,)), some=gymnasium.spaces.Box(0, 1, (2,))
        )

        def reset(self, **keywords):
            super().reset(**keywords)
            return self.seen(), {}

        def step(self, action):
            return self.seen(), *super().step(action)[1:]

        def seen(self):
            return {"none": np.zeros(0, np.float32), "some": np.zeros(2, np.float32)}

    given = {"steps": 32, "episodes": 2, "quiet": True, "out": tmp_path / "run"}
    run = uphill.train(Empty, small_ppo(), seeds=2, **given)
    assert run.policy.actor.encoding.size == 2


def test_environments_that_differ_from_each_other_are_refused():
    sizes = iter([1, 1, 1, 2, 3])

    def varying():
        env = python_envs.Noise()
        env.observation_space = gymnasium.spaces.Box(0, 1, (next(sizes),), np.float64)
        env.reset = lambda **keywords: (np.zeros(env.observation_space.shape), {})
        env.step = lambda action: (np.zeros(env.observation_space.shape), 0.0, False, False, {})
        return env

    with pytest.raises(UphillError, match=r"^varying raised RuntimeError in making it"):
        host(varying)


def test_a_missing_extra_gives_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for name in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(UphillError, match=r"^LunarLander-v3 needs .*pip install .*\[box2d"):
        host("LunarLander-v3")


def test_a_missing_module_of_the_environment_is_named(monkeypatch):
    spec = gymnasium.envs.registration.EnvSpec("UphillTestNowhere-v0", "uphill_test_nowhere:Env")
    monkeypatch.setitem(gymnasium.registry, "UphillTestNowhere-v0", spec)
    with pytest.raises(UphillError, match="needs the Python module 'uphill_test_nowhere'"):
        host("UphillTestNowhere-v0")


def test_a_module_that_does_not_exist_or_does_not_import_is_told(tmp_path, monkeypatch):
    with pytest.raises(UphillError, match=r"There is no module 'no_such' to import for"):
        spec_of("no_such.part:Env-v0")
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "uphill_test_broken.py").write_text("import uphill_test_absent\n")
    with pytest.raises(UphillError, match="could not be imported; its own error") as caught:
        spec_of("uphill_test_broken:Env-v0")
    assert "No module named 'uphill_test_absent'" in str(caught.value)
    (tmp_path / "uphill_test_empty.py").write_text("")
    with pytest.raises(UphillError, match="no environment 'Env-v0' in the module 'uphill_test_em"):
        spec_of("uphill_test_empty:Env-v0")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("CartPole", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v7", "CartPole-v1"),
        ("LunarLander-v2", "LunarLander-v3"),
        ("HalfCheeta-v5", "HalfCheetah-v5"),
    ],
)
def test_an_unknown_environment_suggests_the_near_ones(name, near):
    with pytest.raises(UphillError, match=f"no environment '{name}': did you mean .*{near}"):
        spec_of(name)


def test_nothing_near_points_to_the_list():
    assert suggestion("qqqqqqqq") == "`uphill envs` lists what exists."
    assert "Pong-v5" in suggestion("Pong-v4", ("Pong-v5",))


def test_time_limits_are_those_of_wrappers():
    assert time_limit(python_envs.Counting()) is None
    assert time_limit(gymnasium.make("CartPole-v1")) == 500
    assert time_limit(gymnasium.make("CartPole-v1").unwrapped) is None


def test_environments_that_are_one_are_refused() -> None:
    one = python_envs.Counting()
    with pytest.raises(UphillError, match=r"the same environment twice.* new one at every call"):
        host(lambda: one)
    with pytest.raises(UphillError, match="made the same environment twice"):
        host(lambda: gymnasium.wrappers.TimeLimit(one, 5))
    assert host(lambda: one, num_envs=1).num_envs == 1
    assert host(python_envs.Counting).num_envs == 2
