"""Environments with the old Gym's signatures."""

from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import python_envs
from uphill.envs.backends.old_gym import (
    ModernSignatures,
    accepts,
    adapt,
    has_old_signatures,
    modern_space,
)
from uphill.errors import UphillError


@pytest.mark.parametrize(
    ("make", "is_old"),
    [
        (python_envs.OldGym, True),
        (python_envs.OldGymnasium, True),
        (python_envs.wrapped_old, True),
        (python_envs.SeedOnly, True),
        (python_envs.Noise, False),
        (python_envs.AnyKeywords, False),
        (python_envs.limited, False),
        (lambda: python_envs.Corners(python_envs.Continuous()), False),
        (lambda: gymnasium.make("CartPole-v1"), False),
    ],
)
def test_old_signatures_are_recognised(make, is_old):
    assert has_old_signatures(make()) is is_old


def test_an_adapted_environment_speaks_todays_language_and_is_seeded():
    env = ModernSignatures(python_envs.OldGym(end=2))
    first, info = env.reset(seed=7)
    again, _ = env.reset(seed=7)
    other, _ = env.reset(seed=8)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert info == {}
    assert env.step(0)[1:] == (1.0, False, False, {})
    assert env.step(0)[1:] == (1.0, True, False, {})


def test_todays_random_generator_is_seeded_where_reset_takes_no_seed():
    env = ModernSignatures(python_envs.OldGymnasium())
    np.testing.assert_array_equal(env.reset(seed=3)[0], env.reset(seed=3)[0])
    assert not np.array_equal(env.reset(seed=3)[0], env.reset(seed=4)[0])


@pytest.mark.parametrize(
    ("done", "info", "terminated", "truncated"),
    [
        (False, {}, False, False),
        (True, {}, True, False),
        (True, None, True, False),
        (True, {"TimeLimit.truncated": True}, False, True),
        (True, {"TimeLimit.truncated": False}, True, False),
        (False, {"TimeLimit.truncated": True}, False, False),
    ],
)
def test_an_old_done_is_a_termination_unless_its_time_limit_says_otherwise(
    done, info, terminated, truncated
):
    old = python_envs.OldGym()
    old.step = lambda action: (np.zeros(2, np.float32), 1.0, done, info)
    assert ModernSignatures(old).step(0)[2:4] == (terminated, truncated)


def test_wrappers_stay_around_an_adapted_environment():
    env = adapt(gymnasium.wrappers.RescaleObservation(python_envs.wrapped_old(), 5, 6))
    assert isinstance(env, gymnasium.wrappers.RescaleObservation)
    observation, _ = env.reset(seed=0)
    assert (observation >= 5).all()
    truncated = [env.step(0)[3] for _ in range(4)]
    assert truncated == [False, False, False, True]


def test_spaces_of_the_old_package_become_gymnasiums():
    def old(kind, **fields):
        return type(kind, (SimpleNamespace,), {})(**fields)

    low, high = np.float32([0, -np.inf]), np.float32([1, 2])
    box = old("Box", low=low, high=high, dtype=np.dtype(np.float32))
    discrete = old("Discrete", n=3)
    shifted = old("Discrete", n=3, start=-1)
    many = old("MultiDiscrete", nvec=np.array([2, 3]))
    bits = old("MultiBinary", n=4)
    nested = old("Dict", spaces={"a": box, "b": old("Tuple", spaces=(discrete, bits))})
    assert modern_space(nested) == spaces.Dict(
        a=spaces.Box(low, high, dtype=np.float32),
        b=spaces.Tuple([spaces.Discrete(3), spaces.MultiBinary(4)]),
    )
    assert modern_space(shifted) == spaces.Discrete(3, start=-1)
    assert modern_space(many) == spaces.MultiDiscrete([2, 3])
    with pytest.raises(UphillError, match="a space of type Graph: use"):
        modern_space(old("Graph"))


@pytest.mark.parametrize("info", [None, "text", [1], {}])
def test_a_reset_is_todays_whatever_is_in_info(info):
    class Modern(python_envs.Noise):
        def reset(self, **keywords):
            return super().reset(**keywords)[0], info

    assert has_old_signatures(Modern()) is False


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)]), (0, 1)),
        (spaces.Box(0, 1, (2,)), (0.5, 0.5)),
    ],
)
def test_an_observation_of_two_parts_is_no_pair_with_info(space, observation):
    class Two(python_envs.OldGym):
        observation_space = space

        def reset(self):
            return observation

    assert adapt(Two()).reset(seed=0) == (observation, {})


@pytest.mark.parametrize("base", [python_envs.Noise, python_envs.SeedOnly])
def test_a_reset_without_info_beside_a_step_of_five_is_a_slip(base):
    class Slip(base):
        def reset(self, **keywords):
            return super().reset(**keywords)[0]

    class OldSlip(Slip):
        def reset(self):
            return super().reset(seed=0)

    with pytest.raises(UphillError, match=r"^did not return .* from reset, .*five"):
        has_old_signatures(Slip())
    adapted = adapt(OldSlip())
    adapted.reset(seed=0)
    with pytest.raises(UphillError, match=r"^did not return .* from reset, .*five"):
        adapted.step(0)


@pytest.mark.parametrize("answer", [None, 1.0, (np.zeros(2), 1.0, False)])
def test_a_step_of_no_language_is_named(answer):
    env = python_envs.Noise()
    env.step = lambda action: answer
    with pytest.raises(UphillError, match=r"^returned (None|a float|a tuple of 3) from step"):
        has_old_signatures(env)


@pytest.mark.parametrize("done", [None, "no", np.array([True, False])])
def test_an_old_done_is_one_truth_value(done):
    old = python_envs.OldGym()
    old.step = lambda action: (np.zeros(2, np.float32), 1.0, done, {})
    with pytest.raises(UphillError, match="as done, which is neither"):
        ModernSignatures(old).step(0)


def test_accepts():
    assert accepts(lambda seed: 0, "seed")
    assert accepts(lambda **keywords: 0, "seed")
    assert not accepts(lambda *values: 0, "seed")
