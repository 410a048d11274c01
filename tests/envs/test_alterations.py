"""What is changed of an environment before anybody acts in it."""

from typing import Any

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
from uphill.envs.make import choose, make_env
from uphill.errors import UphillError

BACKENDS: list[tuple[Any, str, type]] = [
    (CountingWorld(), "compiled", CompiledEnvironment),
    ("CartPole-v1", "compiled", CompiledEnvironment),
    ("CartPole-v1", "envpool", EnvPoolEnvironment),
    ("CartPole-v1", "gymnasium", HostEnvironment),
    ("UphillTestLimited-v0", "gymnasium", HostEnvironment),  # 7 steps by itself
    ("UphillTestOld-v0", "gymnasium", HostEnvironment),
    (python_envs.Counting, "gymnasium", HostEnvironment),  # ends by itself after 5
]


def lengths_of_episodes(env: Any, steps: int) -> tuple[list[int], list[bool]]:
    """Of the first environment; and whether each was truncated."""
    actions = np.zeros(env.num_envs, np.int32)
    lengths, truncated, length = [], [], 0
    state = None if isinstance(env, HostEnvironment) else env.reset(jax.random.key(0))[0]
    if state is None:
        env.reset()
    has_ended = False
    for _ in range(steps):
        if state is None:
            _, _, is_terminated, is_truncated = env.step(actions)
        else:
            state, timestep = env.step(state, actions)
            is_terminated, is_truncated = timestep.terminated, timestep.truncated
        length = 0 if has_ended else length + 1
        has_ended = bool(is_terminated[0] | is_truncated[0])
        if has_ended:
            lengths.append(length)
            truncated.append(bool(is_truncated[0]))
    return lengths, truncated


@pytest.mark.parametrize(("env", "backend", "kind"), BACKENDS)
def test_a_time_limit_takes_the_place_of_the_environments_own(
    env: Any, backend: Any, kind: type
) -> None:
    made, _ = make_env(
        choose(
            env,
            backend if isinstance(env, str) else "auto",
            None,
            False,
            Alterations(max_episode_steps=3),
        ),
        2,
    )
    assert isinstance(made, kind)
    assert made.max_episode_steps == 3
    assert lengths_of_episodes(made, 8) == ([3, 3], [True, True])


def test_it_may_be_longer_than_the_one_that_is_registered() -> None:
    choice = choose("UphillTestLimited-v0", alterations=Alterations(1000))
    env, _ = make_env(choice)
    assert env.max_episode_steps == 1000
    assert lengths_of_episodes(env, 12) == ([5, 5], [False, False])


def test_one_that_can_not_be_is_refused() -> None:
    with pytest.raises(UphillError, match=r"limited_by_hand truncates its episodes after 4 steps"):
        make_env(choose(python_envs.limited_by_hand, alterations=Alterations(5)))
    make_env(choose(python_envs.limited_by_hand, alterations=Alterations(4)))
    for number in (0, -1, 2**31):
        with pytest.raises(UphillError, match=rf"max_episode_steps is {number}: use a number"):
            Alterations(number)
    with pytest.raises(UphillError, match="max_episode_steps is 3, and among env_kwargs it is 9"):
        choose("CartPole-v1", env_kwargs={"max_episode_steps": 9}, alterations=Alterations(3))


DROPPED = ("mission", "more.name")


def test_keys_of_observations_are_left_out() -> None:
    env, _ = make_env(choose(python_envs.Speaking, alterations=Alterations(None, (), DROPPED)), 2)
    assert env.observation_space == gymnasium.spaces.Dict(
        {
            "place": python_envs.Speaking.observation_space["place"],
            "more": gymnasium.spaces.Dict(t=gymnasium.spaces.Box(0, 9, (1,), np.float32)),
        }
    )
    assert isinstance(env, HostEnvironment)
    np.testing.assert_equal(
        env.reset(), {"place": np.zeros((2, 1)), "more": {"t": np.zeros((2, 1))}}
    )
    observation, *_ = env.step(np.zeros(2, np.int64))
    assert set(observation) == {"place", "more"}


@pytest.mark.parametrize(
    ("env", "keys", "words"),
    [
        (python_envs.Speaking, ("mision",), "has no observation 'mision' .*: there are mission, m"),
        (python_envs.Speaking, ("more.x",), "has no observation 'more.x' .*: there are name and t"),
        (python_envs.Speaking, ("place.x",), "a Box, not a Dict with a key 'place.x' to"),
        (python_envs.Counting, ("x",), "Counting observes a Box, not .*omit drop_obs"),
        (python_envs.OldGym, ("x",), "OldGym observes a Box, not a Dict with a key 'x'"),
    ],
)
def test_a_key_that_is_not_there_is_a_sentence(env: Any, keys: tuple, words: str) -> None:
    with pytest.raises(UphillError, match=words):
        make_env(choose(env, alterations=Alterations(None, (), keys)))


def test_every_reset_is_given_its_options() -> None:
    options = {"start": 40}
    altered = Alterations(None, (), DROPPED, options)
    env, _ = make_env(choose(python_envs.Speaking, alterations=altered))
    assert isinstance(env, HostEnvironment)
    places = [env.reset()["place"].item()]
    for _ in range(5):
        places.append(env.step(np.zeros(1, np.int64))[0]["place"].item())
    assert places == [40, 41, 42, 43, 40, 41]
    assert options == {"start": 40}  # which the environment takes out of what it is given
    with pytest.raises(UphillError, match="OldGym has a reset that takes no options: leave out re"):
        make_env(choose(python_envs.OldGym, alterations=Alterations(reset_options={"a": 1})))
