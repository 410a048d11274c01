"""What a Python environment returns, held against its spaces."""

import sys
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

import python_envs
from uphill.envs.backends.checks import (
    Checked,
    check_environment,
    check_observation,
    failure,
    own_traceback,
)
from uphill.errors import UphillError

BOX = spaces.Box(-1, 1, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 2), np.uint8)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (BOX, np.zeros(2, np.float32)),
        (BOX, np.zeros(2, np.float64)),
        (BOX, np.full(2, 9.0)),  # outside its bounds: many environments are, and nothing breaks
        (BOX, [0.5, 1]),
        (IMAGE, np.zeros((1, 2), np.uint8)),
        (IMAGE, [[0, 255]]),
        (spaces.Discrete(3), 2),
        (spaces.Discrete(3), np.int64(0)),
        (spaces.Discrete(3, start=-1), -1),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 2])),
        (spaces.MultiBinary(2), np.array([1, 0])),
        (spaces.Dict(a=BOX, b=spaces.Discrete(2)), {"b": 1, "a": np.zeros(2)}),
        (spaces.Tuple([BOX, spaces.Discrete(2)]), (np.zeros(2), 1)),
        (spaces.Text(5), "any"),
    ],
)
def test_observations_in_their_space_pass(space, value):
    check_observation(space, value)


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (BOX, np.zeros(3), r"shape \(3,\) as its observation, but its observation space says \(2,"),
        (BOX, np.zeros((2, 1)), r"shape \(2, 1\)"),
        (BOX, 0.0, r"shape \(\)"),
        (BOX, None, r"shape \(\)"),
        (BOX, [[1], [2, 3]], "no array"),
        (BOX, np.zeros(2, complex), "dtype complex128 as its observation"),
        (BOX, np.array(["a", "b"]), "dtype <U1"),
        (BOX, [None, None], "dtype object"),
        (IMAGE, np.zeros((1, 2)), "dtype float64 .* says uint8"),
        (IMAGE, np.zeros((1, 2), np.int64), "dtype int64"),
        (spaces.Discrete(3), 1.5, "dtype float64"),
        (spaces.Discrete(3), 3, r"returned 3 as its observation, which is not in .* Discrete\(3\)"),
        (spaces.Discrete(3, start=1), 0, "returned 0"),
        (spaces.MultiDiscrete([2, 3]), np.array([1, 3]), r"returned 3 as its observation\[1\]"),
        (spaces.Dict(a=BOX), {"b": 1}, r"no dict with keys \['a'\] as its observation"),
        (spaces.Dict(a=BOX), {"a": np.zeros(1)}, r"as its observation\['a'\]"),
        (spaces.Tuple([BOX, BOX]), (np.zeros(2),), "no tuple of 2 parts"),
        (spaces.Tuple([spaces.Dict(k=BOX)]), ({"k": 1},), r"as its observation\[0\]\['k'\]"),
    ],
)
def test_observations_outside_their_space_are_refused_by_name(space, value, words):
    with pytest.raises(UphillError, match=words):
        check_observation(space, value)


def stepping(answer):
    env = python_envs.Counting()
    env.step = lambda action: answer
    checked = Checked(env)
    checked.reset(seed=0)
    return checked.step(0)


@pytest.mark.parametrize("reward", [1, 1.5, np.float32(1), np.int64(2), np.array([1.0]), True])
def test_a_reward_is_one_number(reward):
    answer = stepping((np.zeros(3, np.float32), reward, False, False, {}))
    assert np.ndim(answer[1]) == 0
    assert answer[1] == np.asarray(reward).item()


@pytest.mark.parametrize("reward", [None, "1", np.zeros(2), 1j, {}])
def test_a_reward_that_is_no_number_is_refused(reward):
    with pytest.raises(UphillError, match="as its reward, which is not one number"):
        stepping((np.zeros(3, np.float32), reward, False, False, {}))


def test_step_must_return_five_things():
    with pytest.raises(UphillError, match="returned a tuple of 3 from step instead of"):
        stepping((np.zeros(3, np.float32), 1.0, False))
    with pytest.raises(UphillError, match="returned None from step instead of"):
        stepping(None)


def test_reset_must_return_two():
    env = python_envs.Counting()
    env.reset = lambda **keywords: np.zeros(3, np.float32)
    with pytest.raises(UphillError, match="returned a ndarray from reset instead of"):
        Checked(env).reset()


def test_an_error_is_shown_with_its_own_frames_and_causes_only():
    env = Checked(python_envs.Faulty("raise from"))
    env.reset(seed=0)
    env.step(0), env.step(0)
    with pytest.raises(UphillError) as caught:
        env.step(0)
    text = str(caught.value)
    assert text.startswith("raised OSError in step; its own error follows.\nTraceback")
    assert 'raise OSError("the engine broke") from error' in text
    assert text.index("KeyError: 'wheel'") < text.index("direct cause")
    assert text.endswith("OSError: the engine broke")
    assert "uphill" not in text.replace(str(python_envs.__file__), "")


def test_frames_of_gymnasium_are_left_out_too():
    def act():
        env = gymnasium.wrappers.TimeLimit(python_envs.Faulty("raise"), 10)
        env.reset(seed=0)
        for _ in range(3):
            env.step(0)

    with pytest.raises(KeyError) as caught:
        act()
    text = own_traceback(caught.value)
    assert text.count("  File ") == 4  # here, act, step, _drive: not TimeLimit's
    assert "time_limit" not in text


@pytest.mark.parametrize("answer", [None, (np.zeros(3), 1.0, False)])
def test_a_wrong_return_that_a_wrapper_stumbles_over_is_named(answer):
    env = python_envs.Counting()
    checked = Checked(gymnasium.wrappers.TimeLimit(env, 9))
    checked.reset(seed=0)
    env.step = lambda action: answer
    with pytest.raises(UphillError, match=r"^did not return .* from step: .*unpack.*\.$"):
        checked.step(0)


def test_an_own_unpacking_that_fails_is_an_own_error():
    env = python_envs.Counting()

    def step(action):
        a, b = None
        return a, b

    env.step = step
    with pytest.raises(UphillError, match=r"^raised TypeError in step"):
        Checked(env).step(0)


def test_our_own_sentences_are_not_wrapped_again():
    error = UphillError("returned nothing.")
    assert failure("step", error) is error


FAR = spaces.Box(-(2**40), 2**40, (2,), np.int64)


@pytest.mark.parametrize(
    ("space", "value", "words"),
    [
        (
            spaces.Box(-128, 127, (1,), np.int8),
            np.array([200]),
            r"200 as its observation\[0\].*127",
        ),
        (
            spaces.Box(0, 9, (2,), np.uint8),
            np.uint8([3, 10]),
            r"10 as its observation\[1\].*0 to 9",
        ),
        (IMAGE, [[0, 256]], r"256 as its observation\[0, 1\]"),
        (IMAGE, [[-1, 0]], "-1 as its"),
        (IMAGE, [[0, 2**70]], "1180591620717411303424 as its"),
        (spaces.Box(0, 9, (2,), np.int32), np.array([2**40 + 5, 0]), "1099511627781 as its"),
        (FAR, np.array([0, -(2**40) - 1]), "there: -1099511627776 to 1099511627776"),
        (spaces.MultiBinary(3), np.array([7, 0, 300]), r"7 as its observation\[0\].*there: 0 to 1"),
        (spaces.Box(0, 1, (1,), bool), [2], r"2 as its observation\[0\]"),
        (spaces.Discrete(3, dtype=np.uint8), 256, "256 as its observation"),
        (spaces.Dict(a=spaces.Tuple([IMAGE])), {"a": ([[0, 300]],)}, r"\['a'\]\[0\]\[0, 1\]"),
        (
            BOX,
            np.array([0, 1e39]),
            r"1e\+39 as its observation\[1\], but float32 holds .* 3\.4e\+38",
        ),
        (spaces.Box(-1, 1, (1,), np.float16), [1e5], "100000.0 as its"),
    ],
)
def test_numbers_that_would_become_others_are_refused_with_their_place_and_bounds(
    space, value, words
):
    with pytest.raises(UphillError, match=words):
        check_observation(space, value)
    if isinstance(space, spaces.Box):  # those have the shortest way through
        with pytest.raises(UphillError, match=words):
            answering(space, value)


def answering(space, observation, terminated=False, truncated=False, info=None):
    """What `Checked` makes of a step."""
    env = python_envs.Counting()
    env.observation_space = space
    env.step = lambda action: (observation, 1.0, terminated, truncated, info)
    return Checked(env).step(0)


@pytest.mark.parametrize(
    ("space", "value"),
    [
        (spaces.Box(0, 255, (3,), np.uint8), [1, 2, 255]),
        (spaces.Box(0, 255, (3,), np.uint8), (1, 2, True)),
        (spaces.Box(0, 2**64 - 1, (1,), np.uint64), [2**64 - 1]),
        (spaces.Box(0, 1, (2,), bool), [0, 1]),
        (spaces.Box(0, 1, (2,), bool), [False, True]),
        (spaces.MultiBinary(2), [True, 0]),
        (spaces.MultiDiscrete([2, 3], dtype=np.uint8), [1, 2]),
        (spaces.Discrete(3, dtype=np.uint8), 2),
        (spaces.Discrete(3), True),
        (BOX, [1, 0]),
    ],
)
def test_plain_numbers_get_the_type_of_their_space(space, value):
    whole = spaces.Dict(x=spaces.Tuple([space]))
    found = answering(whole, {"x": (value,)})[0]["x"][0]
    assert found.dtype == space.dtype
    np.testing.assert_array_equal(found, np.asarray(value))


@pytest.mark.parametrize("info", [None, [], "text", {"x": 2**70}, {"f": lambda: 0}, {0: {"a": ()}}])
def test_nothing_in_info_is_looked_at(info):
    env = python_envs.Counting()
    env.reset = lambda **keywords: (np.zeros(3, np.float32), info)
    assert Checked(env).reset()[1] == {}
    assert answering(env.observation_space, np.zeros(3, np.float32), info=info)[4] == {}


@pytest.mark.parametrize("value", [True, np.bool_(True), 1, np.array([True]), np.array(1.0)])
def test_a_flag_is_one_truth_value(value):
    _, _, terminated, truncated, _ = answering(BOX, np.zeros(2, np.float32), value, value)
    assert terminated is truncated is True


@pytest.mark.parametrize("value", [None, "no", np.array([False, True]), np.nan, 2, {}])
def test_what_is_neither_true_nor_false_is_refused_by_name(value):
    for name in ("terminated", "truncated"):
        with pytest.raises(UphillError, match=f"as {name}, which is neither True nor False"):
            answering(BOX, np.zeros(2, np.float32), **{name: value})


def test_a_space_that_is_replaced_in_reset_is_told():
    class Growing(python_envs.Counting):
        def reset(self, **keywords):
            self.observation_space = spaces.Box(0, 1, (self.episode + 3,), np.float32)
            return super().reset(**keywords)

    with pytest.raises(UphillError, match=r"replaced its observation_space in reset .*__init__"):
        Checked(Growing()).reset(seed=0)


def test_actions_that_are_replaced_are_told():
    class Choosing(python_envs.Counting):
        def step(self, action):
            self.action_space = spaces.Discrete(self.t + 2)
            return super().step(action)

    env = Checked(Choosing())
    env.reset(seed=0)
    env.step(0)
    env.reset()
    env.step(0)
    env.step(0)
    with pytest.raises(UphillError, match=r"its action_space \(Discrete\(2\) became Discrete\(3\)"):
        env.reset()


@pytest.mark.parametrize("where", ["reset", "step"])
def test_an_environment_that_ends_the_program_is_told(where):
    env = python_envs.Counting()
    setattr(env, where, lambda *values, **keywords: sys.exit(0))
    with pytest.raises(UphillError, match=f"ended the program in {where}, with sys.exit"):
        Checked(env).reset(seed=0) if where == "reset" else Checked(env).step(0)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (None, "returned None instead of an environment"),
        ((python_envs.Counting(), {}), "returned a tuple of 2 instead of an environment"),
        (SimpleNamespace(reset=0, step=0), "has no observation_space and no action_space"),
    ],
)
def test_what_is_no_environment_is_named(made, words):
    with pytest.raises(UphillError, match=words):
        check_environment(made)
