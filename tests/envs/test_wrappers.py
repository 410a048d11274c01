"""Wrappers, as texts and as functions."""

import pickle
from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FrameStackObservation, NormalizeReward, TransformReward

import python_envs
from counting_world import CountingWorld
from uphill.envs.alterations import Alterations
from uphill.envs.make import AnyEnvironment, choose, make_env
from uphill.envs.wrappers import is_importable, module_of, same, text_of, wrappings_of
from uphill.errors import UphillError


def made(env: Any, wrappers: Any, limit: int | None = None) -> AnyEnvironment:
    return make_env(choose(env, alterations=Alterations(limit, wrappings_of(wrappers))))[0]


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        ("FrameStackObservation:4", "FrameStackObservation:4"),
        (partial(FrameStackObservation, stack_size=4), "FrameStackObservation:stack_size=4"),
        ("FrameStackObservation:4,padding_type=zero", "FrameStackObservation:4,padding_type=zero"),
        ("python_envs:Doubled:2,offset=3", "python_envs:Doubled:2,offset=3"),
        (partial(python_envs.Doubled, factor=(1, 2)), "python_envs:Doubled:factor=(1, 2)"),
        (python_envs.Doubled, "python_envs:Doubled"),
        ("ReshapeObservation:(1,3)", "ReshapeObservation:(1,3)"),
    ],
)
def test_a_wrapper_has_a_text_that_is_one_again(wrapper: Any, text: str) -> None:
    (wrapping,) = wrappings_of(wrapper)
    assert wrapping.text == text
    assert wrappings_of([text]) == (wrapping,) == wrappings_of((wrapping,))
    assert is_importable(text)
    assert pickle.loads(pickle.dumps(wrapping)) == wrapping
    assert module_of(text) == ("python_envs" if "python_envs" in text else None)


def test_a_function_in_the_arguments_has_to_be_given_again() -> None:
    (wrapping,) = wrappings_of(partial(TransformReward, func=lambda reward: reward / 2))
    assert wrapping.text.startswith("TransformReward:func=<function test_a_function_in")
    assert not is_importable(wrapping.text)


class Plus:
    """A wrapper with a number of its own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, env: gymnasium.Env) -> gymnasium.Env:
        return TransformReward(env, lambda reward: float(reward) + self.number)

    def around(self, env: gymnasium.Env) -> gymnasium.Env:
        return self(env)


@pytest.mark.parametrize(
    ("wrapper", "text"),
    [
        (partial(python_envs.Doubled, factor=len), "python_envs:Doubled:factor=<function len>"),
        (partial(python_envs.Doubled, factor=Plus), "python_envs:Doubled:factor=<class Plus>"),
        (partial(python_envs.Doubled, factor=Plus(2)), "python_envs:Doubled:factor=<Plus>"),
        (partial(python_envs.Doubled, factor=np.float32(2)), "python_envs:Doubled:factor=<float32"),
        (partial(python_envs.Doubled, factor=np.inf), "python_envs:Doubled:factor=<float>"),
        (partial(python_envs.Doubled, factor=[np.float32(2)]), "python_envs:Doubled:factor=<list>"),
        (partial(python_envs.Doubled, factor={"a", "b"}), "python_envs:Doubled:factor=<set>"),
        (Plus(2), f"{__name__}:<Plus>"),
        (Plus(2).around, f"{__name__}:<Plus.around>"),
        (partial(Plus(2)), f"{__name__}:<Plus>"),
    ],
)
def test_what_no_text_can_say_has_to_be_given_again(wrapper: Any, text: str) -> None:
    (wrapping,) = wrappings_of(wrapper)
    assert wrapping.text.startswith(text)
    assert "0x" not in wrapping.text
    assert not is_importable(wrapping.text)
    assert same(wrapping.text, wrappings_of(wrapper)[0].text)


def test_the_innermost_comes_first_and_is_around_the_time_limit() -> None:
    env = made(python_envs.Counting, ["FrameStackObservation:2", "FlattenObservation"], 3)
    assert env.observation_space.shape == (6,)
    assert env.max_episode_steps == 3
    first = env.reset()
    observation, truncated = first, np.zeros(1, bool)
    for _ in range(3):
        observation, _, _, truncated = env.step(np.zeros(1, np.int64))
    assert truncated.all()
    assert (first.shape, observation[0, [2, 5]].tolist()) == ((1, 6), [2, 3])


@pytest.mark.parametrize("name", ["CartPole-v1", "CarRace-v0", "LunarLander-v3"])
def test_whatever_gymnasium_has_can_be_wrapped(name: str) -> None:
    choice = choose(name, alterations=Alterations(None, wrappings_of("TimeAwareObservation")))
    assert (choice.name, choice.backend, choice.reason) == (name, "gymnasium", "it is wrapped")


def test_a_threshold_is_of_the_environments_own_rewards() -> None:
    assert made("CartPole-v1", "TimeAwareObservation").reward_threshold == 475
    assert made("CartPole-v1", python_envs.Doubled).reward_threshold is None
    assert made(lambda: gymnasium.make("MountainCar-v0"), ()).reward_threshold == -110
    scaled = made(lambda: NormalizeReward(gymnasium.make("MountainCar-v0")), ())
    assert scaled.reward_threshold is None


@pytest.mark.parametrize(
    ("wrappers", "words"),
    [
        ("FrameStak:4", "no module 'FrameStak' to import"),
        ("FrameStak", "'FrameStak', which is none of Gymnasium's .*mean FrameStackObservation?"),
        ("vector", "'vector', which is none of Gymnasium's"),
        ("python_envs:Nope", "wrappers is python_envs:Nope, but the module .* has no Nope"),
        ("python_envs:__doc__", "which is a str: name what takes an environment"),
        ("FrameStackObservation:4),(3", "arguments can't be read: write numbers"),
        ("FrameStackObservation:4,**{'padding_type':'zero'}", "arguments can't be read: write num"),
        ("FrameStackObservation:4,(", "arguments can't be read: write numbers"),
        (
            "FrameStackObservation",
            r"Counting can't be wrapped in FrameS.*\(TypeError: .*stack_s",
        ),
        ("python_envs:nothing", "was wrapped in python_envs:nothing, which returned None instead"),
        (python_envs.nothing, "was wrapped in python_envs:nothing, which returned None instead"),
        ("python_envs:Doubled:1,2,3,4", "raised TypeError when it was wrapped in python_envs:Doub"),
        ("NormalizeObservation", "not needed here: normalize_observations keeps its scales"),
        ([NormalizeReward], "not needed here: normalize_rewards"),
        ("ClipAction", "not needed here: actions are within the bounds"),
        ("TimeLimit:5", "not needed here: max_episode_steps"),
        (3, "wrappers has a int: give the names of wrappers"),
    ],
)
def test_what_is_no_wrapper_is_a_sentence(wrappers: Any, words: str) -> None:
    with pytest.raises(UphillError, match=words):
        made(python_envs.Counting, wrappers)


@pytest.mark.parametrize(
    ("env", "backend", "words"),
    [
        ("CartPole-v1", "compiled", "CartPole-v1 is wrapped, which .*: leave out backend"),
        ("CartPole-v1", "envpool", "CartPole-v1 is wrapped, which .*: leave out backend"),
        ("Pong-v5", "auto", "Pong-v5 is EnvPool's alone, and it is wrapped"),
        (CountingWorld(), "auto", r"makes uphill.envs.registration.WorldEnv\(CountingWorld\(\)\)"),
        ("CartPole-v7", "auto", "no environment 'CartPole-v7'"),
    ],
)
def test_what_can_not_be_wrapped_is_a_sentence(env: Any, backend: Any, words: str) -> None:
    with pytest.raises(UphillError, match=words):
        choose(env, backend, alterations=Alterations(None, wrappings_of("FlattenObservation")))


def test_a_wrapper_is_the_same_from_whichever_module_it_is_now() -> None:
    assert same("__main__:Doubled:3", "python_envs:Doubled:3")
    assert not same("__main__:Doubled:3", "python_envs:Doubled:2")
    assert not same("FrameStackObservation:4", "python_envs:4")
    assert text_of(gymnasium.wrappers.FlattenObservation) == "FlattenObservation"
