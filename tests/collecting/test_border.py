"""Numbers of 64 bits on their way between Python environments and the compiled program."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

import python_envs
import uphill
from uphill.collecting.border import AsSeen, encoding_of_env
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.errors import UphillError
from uphill.parts import NetworkSettings, PolicySettings, Steps, ValueFunction
from uphill.policies.encodings import encoding_of, narrowed


def host(env, num_envs=2):
    return make_env(EnvironmentChoice(env, "gymnasium", "a test", {}), num_envs, (0,))[0]


def train(env, path: Path, **keywords):
    algorithm = uphill.ppo(
        sampling=Steps(2, 8),
        policy=PolicySettings(hidden=(4,)),
        baseline=ValueFunction(network=NetworkSettings(hidden=(4,))),
        num_epochs=1,
        num_minibatches=1,
    )
    keywords = {"steps": 64, "episodes": 2, "quiet": True, "out": path} | keywords
    return uphill.train(env, algorithm, **keywords)


def test_a_clock_ticks_for_whoever_sees_it_through_the_border():
    env = host(python_envs.Clock)
    seen = AsSeen(env, encoding_of_env(env))
    assert seen.encoding.offset == (1_700_000_000_000, 3_000_000_000)
    np.testing.assert_array_equal(seen.reset(), [[0, 0], [0, 0]])
    for t in range(1, 4):
        observation, *_ = seen.step(np.zeros(2, np.int32))
        assert observation.dtype == np.float32
        np.testing.assert_array_equal(observation, [[t, 0], [t, 0]])


def test_to_look_at_the_first_observation_changes_nothing():
    def play(is_peeked):
        env = host(python_envs.Noise, 3)
        if is_peeked:
            np.testing.assert_array_equal(env.peek(), env.peek())
        seen = [env.reset().copy()]
        seen += [env.step(np.zeros(3, int))[0].copy() for _ in range(20)]
        return [*seen, env.reset().copy()]

    np.testing.assert_array_equal(play(True), play(False))


@pytest.mark.parametrize("field", ["observation", "reward"])
def test_what_32_bits_cannot_hold_is_named_with_its_place(field):
    class Huge(python_envs.Counting):
        observation_space = spaces.Dict(far=spaces.Box(-np.inf, np.inf, (3,), np.float64))

        def step(self, action):
            observation, reward, *rest = super().step(action)
            return (observation, 1e39 if field == "reward" else reward, *rest)

        def _observation(self):
            is_huge = field == "observation" and self.t == 1
            return {"far": np.array([0.0, 0.0, 1e39 if is_huge else 1e38])}

    env = host(Huge)
    env.reset()
    place = "reward" if field == "reward" else r"observation\['far'\]\[2\]"
    with pytest.raises(
        UphillError, match=rf"^Huge, at step 1 .* 1e\+39 as its {place}, but float32"
    ):
        env.step(np.zeros(2, int))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_choices_have_the_type_of_their_space(dtype):
    given = []

    class Choosing(python_envs.Counting):
        action_space = spaces.Discrete(5, dtype=dtype)

        def step(self, action):
            given.append(action)
            return super().step(action)

    env = host(Choosing)
    env.reset()
    env.step(np.array([4, 1], np.int32))
    assert given[-2:] == [4, 1]
    assert {type(x) for x in given} == {dtype}


def test_a_training_keeps_its_offset_where_it_goes_on_and_acts(tmp_path: Path, monkeypatch):
    run = train(python_envs.Clock, tmp_path / "run")
    offset = (1_700_000_000_000, 3_000_000_000)
    found = json.loads((run.path / "checkpoint" / "latest.json").read_text())
    assert found["facts"]["encoding"]["offset"] == list(offset)
    monkeypatch.setattr(python_envs.Clock, "started", 1_800_000_000_000)
    trained = [
        uphill.load(run.path),
        uphill.resume(run.path, env=python_envs.Clock, steps=128, quiet=True),
        train(python_envs.Clock, tmp_path / "other", init_from=run.path),
    ]
    for other in trained:
        encoding = other.policy.actor.encoding
        assert encoding.offset == offset
        assert encoding == encoding_of(python_envs.Clock.observation_space)
        now = np.array([1_700_000_000_007, 3_000_000_000])
        np.testing.assert_array_equal(encoding.encode(narrowed(encoding, now)), [7, 0])
        assert other.policy.act(now) in (0, 1)


def test_amounts_of_64_bits_are_paid_in_training_evaluation_and_by_the_policy(tmp_path: Path):
    paid = []

    def bank():
        return python_envs.Bank(paid)

    run = train(bank, tmp_path / "run")
    assert len(paid) > 64
    assert {x.dtype for x in paid} == {np.dtype(np.int64)}
    amounts = np.array(paid)
    assert ((amounts >= 0) & (amounts <= 10**12)).all()
    assert (amounts > 2**33).any()
    acted = run.policy.act(np.zeros(1, np.float32))
    assert acted.dtype == np.int64
    assert acted > 2**33


@pytest.mark.parametrize("ending", ["raises", "exits"])
def test_what_was_learned_before_an_environment_ended_it_is_saved(tmp_path: Path, ending):
    steps = []

    class Ending(python_envs.Counting):
        def step(self, action):
            steps.append(action)
            if len(steps) > 100 and ending == "raises":
                raise OSError("the engine broke")
            if len(steps) > 100:
                sys.exit(0)
            return super().step(action)

    words = "raised OSError in step" if ending == "raises" else "ended the program in step"
    with pytest.raises(UphillError, match=words) as caught:
        train(Ending, tmp_path / "run", steps=1000)
    assert str(tmp_path / "run") in str(caught.value).splitlines()[-1]
    facts = json.loads((tmp_path / "run" / "checkpoint" / "latest.json").read_text())["facts"]
    assert facts["num_transitions"][0] > 16
