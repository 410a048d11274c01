"""Against Gymnasium's Acrobot, from the same states with the same actions."""

import numpy as np
import pytest

from gymnasium_parity import (
    assert_uniform,
    at_random,
    check_episodes,
    check_spec,
    check_transitions,
    first_states,
)
from uphill.envs.worlds.acrobot import VELOCITY_LIMIT_1, VELOCITY_LIMIT_2, Acrobot


def pump(states, rng):
    """Torque along the first link's turning: adds energy until the tip is up."""
    return np.where(states[:, 2] > 0, 0, 2).astype(np.int32)


def test_episodes_of_random_actions_are_gymnasiums() -> None:
    ends = check_episodes("Acrobot-v1", at_random(Acrobot.action_space), 510)
    assert ends["truncated"] > 5


def test_episodes_that_get_there_are_gymnasiums() -> None:
    assert check_episodes("Acrobot-v1", pump, 250)["terminated"] > 10


def test_steps_from_anywhere_are_gymnasiums_wrapping_and_clipping_included() -> None:
    rng = np.random.default_rng(0)
    limit = np.array([np.pi, np.pi, VELOCITY_LIMIT_1, VELOCITY_LIMIT_2])
    states = np.float32(rng.uniform(-limit, limit, (1000, 4)))
    moved = check_transitions("Acrobot-v1", states, rng.integers(0, 3, 1000))
    assert (np.abs(moved[:, 2]) == VELOCITY_LIMIT_1).sum() > 10
    assert (np.abs(moved[:, 3]) == VELOCITY_LIMIT_2).sum() > 10
    assert (np.abs(moved[:, 1] - states[:, 1]) > np.pi).sum() > 100


def test_spaces_limit_and_threshold_are_gymnasiums() -> None:
    check_spec("Acrobot-v1")


@pytest.mark.parametrize("number", range(4))
def test_first_states_hang_close_to_rest(number: int) -> None:
    assert_uniform(first_states("Acrobot-v1")[number], -0.1, 0.1)
