"""Which backend runs an environment, and why; what is refused."""

import importlib.util
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest

import python_envs
from counting_world import CountingWorld
from uphill.envs.alterations import Alterations
from uphill.envs.backends.envpool import EnvPoolEnvironment
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.drawing import can_draw
from uphill.envs.make import (
    EnvironmentChoice,
    choose,
    known_environments,
    lane_seed,
    make_env,
)
from uphill.envs.worlds import WORLDS
from uphill.envs.worlds.car_race import CarRace
from uphill.errors import UphillError


@pytest.fixture
def no_envpool(monkeypatch):
    find = importlib.util.find_spec

    def hide(name, *rest):
        return None if name == "envpool" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", hide)


@pytest.mark.parametrize(
    ("env", "env_kwargs", "backend", "reason"),
    [
        ("CartPole-v1", {}, "compiled", "one of Uphill's compiled worlds"),
        ("Acrobot-v1", {}, "compiled", "one of Uphill's compiled worlds"),
        ("CartPoleSwingUp-v1", {}, "compiled", "one of Uphill's compiled worlds"),
        ("CartPole-v1", {"max_episode_steps": 9}, "envpool", "EnvPool has it in C++"),
        ("CartPole-v1", {"render_mode": "rgb_array"}, "gymnasium", "version takes render_mode"),
        ("LunarLander-v3", {}, "envpool", "EnvPool has it in C++"),
        ("LunarLander-v3", {"gravity": -5.0}, "gymnasium", "does not take gravity"),
        ("Pong-v5", {}, "envpool", "EnvPool has it in C++"),
        ("UphillTestCounting-v0", {}, "gymnasium", "EnvPool does not have it"),
        ("python_envs:UphillTestCounting-v0", {}, "gymnasium", "comes from a module of yours"),
        (python_envs.Counting, {"length": 2}, "gymnasium", "it is a Python callable"),
    ],
)
def test_the_fastest_backend_that_has_it_is_chosen_and_says_why(env, env_kwargs, backend, reason):
    choice = choose(env, "auto", env_kwargs)
    assert choice.backend == backend
    assert reason in choice.reason


def test_without_envpool_gymnasium_runs_it_and_the_extra_is_named(no_envpool):
    choice = choose("LunarLander-v3")
    assert choice.backend == "gymnasium"
    assert choice.reason.startswith("EnvPool is not installed; pip install 'uphill[envpool]'")
    assert choose("CartPole-v1").backend == "compiled"
    with pytest.raises(UphillError, match="'LunarLander': did you mean LunarLander-v3"):
        choose("LunarLander")
    with pytest.raises(UphillError, match="did you mean CartPoleSwingUp-v"):
        choose("CartPoleSwingUp")
    with pytest.raises(UphillError, match=r"not installed: pip install 'uphill\[envpool"):
        choose("LunarLander-v3", "envpool")
    assert "Pong-v5" not in known_environments()


@pytest.mark.parametrize("backend", ["compiled", "envpool", "gymnasium"])
def test_a_backend_that_is_asked_for_is_taken(backend):
    choice = choose("CartPole-v1", backend)
    assert (choice.backend, choice.reason) == (backend, "you asked for it")


def test_a_world_of_ours_may_be_stepped_as_gymnasiums_environment():
    env, _ = make_env(choose("CarRace-v0", "gymnasium", {"laps": 2}))
    assert isinstance(env, HostEnvironment)
    assert (env.max_episode_steps, env.reward_threshold) == (2000, 80)
    with pytest.raises(UphillError, match="CarRace-v0 has no argument wheels"):
        choose("CarRace-v0", "gymnasium", {"wheels": 3})
    assert not any(name.startswith("uphill/") for name in known_environments())


@pytest.mark.parametrize(
    ("env", "backend", "env_kwargs", "words"),
    [
        ("LunarLander-v3", "compiled", {}, "LunarLander-v3' is not a compiled world .*CartPole-v0"),
        ("CartPole-v1", "compiled", {"a": 1}, r"no argument a \(it takes none"),
        (python_envs.Counting, "compiled", {}, "'Counting' is not a compiled world"),
        (python_envs.Counting, "envpool", {}, "EnvPool does not have 'Counting'"),
        ("UphillTestCounting-v0", "envpool", {}, "EnvPool does not have 'UphillTestCounting-v0'"),
        ("Pong-v5", "gymnasium", {}, "no environment 'Pong-v5'"),
        ("nowhere_at_all:Env-v0", "gymnasium", {}, "no module 'nowhere_at_all' to import"),
        ("nowhere_at_all:Env-v0", "auto", {}, "no module 'nowhere_at_all' to import"),
        ("python_envs:UphillTestCountin-v0", "auto", {}, "use UphillTestCounting-v0,"),
        ("CartPole", "auto", {}, "no environment 'CartPole': did you mean CartPole-v1"),
        ("Pong", "auto", {}, "did you mean .*Pong-v5"),
        ("LunarLandr-v3", "auto", {}, "did you mean LunarLander-v3"),
        ("PongNoFrameskip-v4", "auto", {}, "did you mean Pong-v5, which skips and stacks frames"),
        ("ALE/Qbert-v5", "auto", {}, "did you mean Qbert-v5, which skips and stacks frames"),
        ("Breakout-ramDeterministic-v0", "auto", {}, "did you mean Breakout-v5, which skips"),
        ("Ant-v9", "auto", {}, r"did you mean Ant-v5.* or .*\?$"),
        ("bad.py:X", "auto", {}, "'bad.py:X' names a file, .*: write it without .py, bad:X"),
        ("./bad/bad.py:X", "auto", {}, r"write it without .py, bad.bad:X\.$"),
        ("bad.X", "auto", {}, "'bad.X': an environment of a module of yours is written bad:ID"),
        ("python_envs:Counting", "auto", {}, r"gymnasium.register\('Counting-v0', Counting\), and"),
        ("Pong-v5", "auto", {"b": 1, "a": 2}, "EnvPool's Pong-v5 does not take a, b, and Gymn"),
        ("CartPoleSwingup-v1", "auto", {}, "did you mean CartPoleSwingUp-v1"),
        ("CartPoleSwingUp-v0", "auto", {"b": 1, "a": 2}, r"has no argument a, b \(it takes none\)"),
        ("", "auto", {}, "There is no environment ''"),
    ],
)
def test_what_no_backend_can_run_is_refused_with_a_sentence(env, backend, env_kwargs, words):
    with pytest.raises(UphillError, match=words) as caught:
        choose(env, backend, env_kwargs)
    assert "\n" not in str(caught.value)


def test_a_module_that_ends_the_program_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "a_script.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UphillError, match="'a_script' of 'a_script:X' ends the program") as caught:
        choose("a_script:X")
    assert str(caught.value).count("File ") == 1
    assert "if __name__ == '__main__':" in str(caught.value)


def test_an_environment_that_exists_already_is_refused():
    # Under the tests' type checker the annotation refuses it first.
    unchecked = getattr(choose, "__wrapped__", choose)
    with pytest.raises(UphillError, match="env is OrderEnforcing: give an environment's ID or a"):
        unchecked(gymnasium.make("CartPole-v1", max_episode_steps=-1), "auto", {}, False)


def test_a_world_of_ones_own_needs_no_id():
    world = CountingWorld(longest=3)
    choice = choose(world)
    assert (choice.backend, choice.name) == ("compiled", "CountingWorld")
    assert choice.reason == "it is a compiled world of yours"
    assert choose(world, "compiled").backend == "compiled"
    env, notice = make_env(world, 3)
    assert isinstance(env, CompiledEnvironment)
    assert (env.world, env.num_envs, notice) == (world, 3, None)
    tags, ts = env.reset(jax.random.key(0))[1].T
    assert len(set(tags.tolist())) == 3
    assert ts.tolist() == [0, 0, 0]
    long = make_env(choose(CarRace(), env_kwargs={"laps": 2}))[0]
    assert long.max_episode_steps == 2 * CarRace().max_episode_steps


class Unhashable(CountingWorld):
    __hash__ = None  # as with an array among its fields


class WithoutReward:
    initial = transition = terminated = observation = None
    observation_space = action_space = None
    max_episode_steps = 3


@pytest.mark.parametrize(
    ("env", "backend", "env_kwargs", "words"),
    [
        (
            CountingWorld,
            "auto",
            {},
            r"CountingWorld, the class of .*: give a world, Counting.*\(\)",
        ),
        (WithoutReward(), "auto", {}, "a compiled world without reward_threshold, reward: add"),
        (
            CountingWorld(max_episode_steps=None),
            "auto",
            {},
            "CountingWorld, a compiled world whose max_episode_steps is None: give it a whole",
        ),
        (CountingWorld(max_episode_steps=0), "auto", {}, "max_episode_steps is 0: give it a"),
        (Unhashable(), "auto", {}, "Unhashable, a compiled world that can't be hashed .* tuples"),
        (
            CountingWorld(),
            "gymnasium",
            {},
            "'gymnasium', but CountingWorld is a compiled world: le",
        ),
        (CountingWorld(), "auto", {"b": 1}, r"CountingWorld has no argument b \(it takes none\)"),
    ],
)
def test_what_is_no_whole_world_is_refused_with_a_sentence(env, backend, env_kwargs, words):
    unchecked = getattr(choose, "__wrapped__", choose)
    with pytest.raises(UphillError, match=words):
        unchecked(env, backend, env_kwargs, False)


@pytest.mark.parametrize(
    ("env", "name"),
    [
        ("CartPole-v1", "CartPole-v1"),
        (python_envs.Counting, "Counting"),
        (python_envs.limited, "limited"),
        (partial(python_envs.limited), "limited"),
    ],
)
def test_every_choice_has_a_name(env, name):
    assert EnvironmentChoice(env, "gymnasium", "", {}).name == name


@pytest.mark.parametrize(
    ("env_id", "backend", "kind", "num_envs"),
    [
        ("CartPole-v1", "compiled", CompiledEnvironment, 3),
        ("CartPole-v1", "envpool", EnvPoolEnvironment, 6),
        ("CartPole-v1", "gymnasium", HostEnvironment, 6),
    ],
)
def test_all_backends_agree_on_the_environment(env_id, backend, kind, num_envs):
    env, notice = make_env(choose(env_id, backend), 3, (0, 1))
    assert type(env) is kind
    assert notice is None
    assert env.num_envs == num_envs
    assert env.max_episode_steps == 500
    assert env.reward_threshold == 475.0
    assert env.action_space.n == 2
    assert env.observation_space.shape == (4,)


def test_where_envpool_has_no_xla_interface_it_is_stepped_from_the_host(monkeypatch):
    monkeypatch.setattr("sys.platform", "darwin")
    env, _ = make_env(choose("Pendulum-v1", "envpool"), 3)
    monkeypatch.undo()
    assert type(env) is HostEnvironment
    assert env.max_episode_steps == 200
    assert env.reset().shape == (3, 3)


def test_known_environments_name_their_backend_here():
    known = known_environments()
    assert {known[name] for name in WORLDS} == {"compiled"}
    assert known["LunarLander-v3"] == "envpool"
    assert known["phys2d/CartPole-v1"] == "envpool"
    assert list(known) == sorted(known)
    assert set(known_environments("lunarlander")) >= {"LunarLander-v3"}
    assert known_environments("no such thing") == {}
    assert not {"Ant-v2", "GymV26Environment-v0"} & set(known)  # which only say where they went


def test_trap_17_seeds_of_lanes_are_apart_and_fit_32_bits():
    before = np.random.get_state()[1].copy()
    seeds = [lane_seed(s, lane, at) for s in range(20) for lane in range(64) for at in (0, 7)]
    assert len(set(seeds)) == len(seeds)
    assert min(seeds) >= 0
    assert max(seeds) < 2**31
    assert lane_seed(3, 5) == lane_seed(3, 5, 0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@pytest.mark.parametrize(
    ("env_kwargs", "alterations", "limit"),
    [
        ({"max_episode_steps": 300}, Alterations(), 300),
        ({"laps": 2, "render_mode": "rgb_array"}, Alterations(), 2000),
        ({"laps": 2}, Alterations(40), 40),
    ],
)
def test_a_world_through_gymnasium_takes_what_gymnasiums_make_takes(env_kwargs, alterations, limit):
    choice = choose("CarRace-v0", "gymnasium", env_kwargs, alterations=alterations)
    env, _ = make_env(choice)
    assert env.max_episode_steps == limit


def in_colour():
    return gymnasium.make("CartPole-v1", render_mode="rgb_array")


@pytest.mark.parametrize(
    ("env", "is_drawn"),
    [
        (in_colour, True),
        (lambda: in_colour(), True),
        (partial(gymnasium.make, "CartPole-v1", render_mode="rgb_array"), True),
        (python_envs.Counting, False),
        (partial(python_envs.Counting, 3), False),
    ],
)
def test_a_function_may_make_what_draws_itself(env, is_drawn):
    assert can_draw(choose(env)) == is_drawn
