"""What a Python environment returns, held against its spaces."""

import numpy as np
import pytest
from gymnasium import spaces

import python_envs
from uphill.envs.backends.checks import Checked, check_observation, failure, own_traceback
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
    with pytest.raises(UphillError, match="from step something else than"):
        stepping((np.zeros(3, np.float32), 1.0, False))
    with pytest.raises(UphillError, match="from step something else than"):
        stepping(None)


def test_reset_must_return_two():
    env = python_envs.Counting()
    env.reset = lambda **keywords: np.zeros(3, np.float32)
    with pytest.raises(UphillError, match="from reset something else than"):
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
    import gymnasium

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


def test_our_own_sentences_are_not_wrapped_again():
    error = UphillError("returned nothing.")
    assert failure("step", error) is error
