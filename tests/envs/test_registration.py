"""Compiled worlds as Gymnasium environments: Gymnasium's own checker, seeds, pictures, windows."""

import subprocess
import sys

import gymnasium
import jax
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.ids import LIMITS, register_worlds
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.errors import UphillError


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*Box observation space .*infinity:UserWarning")
@pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric and normalized:UserWarning")
def test_gymnasiums_checker_passes(name, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make(f"uphill/{name}", render_mode="rgb_array")
    check_env(env.unwrapped)
    assert env.spec.max_episode_steps == WORLDS[name].max_episode_steps
    assert env.spec.reward_threshold == WORLDS[name].reward_threshold
    env.close()


def test_an_episode_is_that_of_the_compiled_environment():
    world = WORLDS["CartPole-v1"]
    env = gymnasium.make("uphill/CartPole-v1")
    env.reset(seed=3)
    state = jax.tree.map(lambda x: x[None], env.unwrapped.state)
    compiled = CompiledEnvironment(world, 1)
    batch, _ = compiled.reset(jax.random.key(0))
    batch = type(batch)(state, batch.elapsed, batch.ended, batch.key)
    step = jax.jit(compiled.step)
    for t in range(500):
        action = t % 2
        observation, reward, terminated, truncated, info = env.step(action)
        batch, timestep = step(batch, np.full(1, action, np.int32))
        np.testing.assert_allclose(observation, timestep.observation[0], rtol=1e-5, atol=1e-6)
        assert reward == timestep.reward[0]
        assert terminated == timestep.terminated[0]
        assert info == {}
        assert not truncated
        if terminated:
            break
    assert terminated


def test_seeds_repeat_differ_and_go_on():
    env = gymnasium.make("uphill/CartPole-v1")
    first, again, other = (env.reset(seed=seed)[0] for seed in (5, 5, 2**32 - 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()
    assert (env.reset()[0] != other).all()
    assert (env.reset(seed=5)[0] == first).all()
    fresh = [gymnasium.make("uphill/CartPole-v1").reset()[0] for _ in range(2)]
    assert (fresh[0] != fresh[1]).all()


def test_pictures_follow_the_state_and_a_window_opens_and_closes(monkeypatch):
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = gymnasium.make("uphill/CartPole-v1", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    for _ in range(5):
        env.step(1)
    assert (env.render() != before).any()
    env.close()
    window = gymnasium.make("uphill/CartPole-v1", render_mode="human")
    assert window.metadata["render_fps"] == 50
    window.reset(seed=0)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    np.testing.assert_array_equal(shown, before)
    window.step(1)
    assert window.render() is None
    window.close()
    assert not pygame.display.get_init()
    window.close()


def test_the_time_limit_and_the_arguments_are_what_make_says():
    env = gymnasium.make("uphill/CartPole-v1", max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(0)[3] for _ in range(3)] == [False, False, True]
    with pytest.raises(UphillError, match=r"CartPole-v1 has no argument wind \(it takes none\)"):
        gymnasium.make("uphill/CartPole-v1", wind=1)


def test_a_worlds_arguments_pass_through_and_its_info_comes_back():
    env = gymnasium.make("uphill/CarRace-v0", track="oval", laps=2, max_episode_steps=2000)
    _, info = env.reset(seed=0)
    assert info == {
        "progress": 0.0,
        "laps": 0,
        "first_curve": False,
        "long_run": False,
        "full_lap": False,
        "crashed": False,
    }
    total, terminated = 0.0, False
    while not terminated:
        _, reward, terminated, _, info = env.step(0)  # in a circle, wider than the track
        total += reward
    assert info["crashed"]
    assert type(info["progress"]) is float
    assert total == pytest.approx(100 * info["progress"] - 20, abs=0.5)
    continuous = gymnasium.make("uphill/CarRaceContinuous-v0")
    continuous.reset(seed=0)
    continuous.step(continuous.action_space.sample())


MAKE = "gymnasium.make('{}uphill/CartPole-v1').reset(seed=0)"
IS_LIGHT = "assert 'jax' not in sys.modules and 'uphill.envs.worlds' not in sys.modules; "


@pytest.mark.parametrize(
    "code",
    [
        "import sys, uphill; assert 'numpy' not in sys.modules; import gymnasium; "
        + IS_LIGHT
        + "assert gymnasium.__spec__.loader is gymnasium.__loader__; "
        + "assert gymnasium.__loader__.get_source('gymnasium'); "
        + MAKE.format(""),
        "import importlib.util, sys, uphill; importlib.util.find_spec('gymnasium'); "
        + "hooks = len(sys.meta_path); import gymnasium; assert len(sys.meta_path) == hooks - 1; "
        + IS_LIGHT
        + "assert gymnasium.__spec__.loader is gymnasium.__loader__; "
        + MAKE.format(""),
        "import gymnasium, sys, uphill; " + IS_LIGHT + MAKE.format(""),
        "import gymnasium; " + MAKE.format("uphill:"),
        "import gymnasium; " + MAKE.format("uphill.envs.registration:"),
    ],
    ids=[
        "uphill first",
        "looked for before",
        "gymnasium first",
        "no import",
        "no import, as it was",
    ],
)
def test_importing_uphill_registers_the_worlds_and_stays_light(code):
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_what_is_registered_is_what_the_worlds_say():
    assert list(LIMITS) == list(WORLDS)
    for name, world in WORLDS.items():
        assert LIMITS[name] == (world.max_episode_steps, world.reward_threshold)


def test_registering_twice_changes_nothing_and_our_own_trainer_takes_the_name():
    before = dict(gymnasium.registry)
    register_worlds()
    assert before == gymnasium.registry
    assert choose("uphill/CartPole-v1").name == "CartPole-v1"
    assert choose("uphill/CartPole-v1").backend == "compiled"
