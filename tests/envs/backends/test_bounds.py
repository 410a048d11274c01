"""Floats outside the bounds of their space are told, once."""

import numpy as np
import pytest
from gymnasium import spaces

import python_envs
from uphill.envs.backends.bounds import BoundsWatch
from uphill.envs.backends.gymnasium import HostEnvironment
from uphill.envs.make import choose, make_env

BOX = spaces.Box(np.array([-1, 0]), np.array([1, np.inf]), dtype=np.float64)


def found(space: spaces.Space, observation: object, step: int = 0) -> str | None:
    return BoundsWatch(space).look(step, observation)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([[0, 0], [1, 1e300]], None),
        ([[1 + 1e-7, -1e-7]] * 2, None),  # rounding
        ([[0, 0], [1.5, 0]], "returned 1.5 as its observation[0], which"),
        ([[0, -3], [0, 0]], "returned -3 as its observation[1], which"),
    ],
)
def test_the_number_its_place_and_the_bounds_are_told(numbers: list, words: str | None) -> None:
    said = found(BOX, np.array(numbers, np.float64))
    assert (said is None) if words is None else (said is not None and words in said)
    nested = spaces.Dict(a=spaces.Tuple([spaces.Discrete(3), BOX]))
    inside = {"a": (np.array([0, 9]), np.array(numbers, np.float64))}
    said = found(nested, inside)
    assert (said is None) if words is None else (said and "its observation['a'][1][" in said)


@pytest.mark.parametrize(
    "space", [spaces.Box(-np.inf, np.inf, (2,), np.float64), spaces.Box(0, 9, (2,), np.int64)]
)
def test_without_bounds_and_for_whole_numbers_nothing_is_looked_at(space: spaces.Box) -> None:
    assert found(space, np.full((2, 2), 99, space.dtype)) is None


def test_after_a_while_not_every_step_is_looked_at() -> None:
    outside = np.array([[9.0, 0.0]])
    assert found(BOX, outside, step=1007) is None
    assert found(BOX, outside, step=1008) is not None


class Leaving(python_envs.Noise):
    """Leaves its space at the third step."""

    def step(self, action):
        self.t = getattr(self, "t", 0) + 1
        observation, *rest = super().step(action)
        return (np.array([0.5, 7.0]) if self.t == 3 else observation, *rest)


def test_an_environment_is_named_and_told_of_once() -> None:
    env, _ = make_env(choose(Leaving), 2)
    assert isinstance(env, HostEnvironment)
    env.reset()
    said = []
    for _ in range(10):
        for _ in range(4):
            env.step(np.zeros(2, np.int64))
        said.append(env.remark())
    (remark,) = [x for x in said if x is not None]
    assert remark.startswith("Leaving, at step 3 of each environment, returned")
    assert "returned 7 as its observation[1]" in remark
    assert "(bounds there: 0 to 1): training goes on" in remark
