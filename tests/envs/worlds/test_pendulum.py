"""Against Gymnasium's Pendulum, from the same states with the same actions."""

import numpy as np

from gymnasium_parity import (
    assert_uniform,
    at_random,
    check_episodes,
    check_spec,
    check_transitions,
    first_states,
)
from uphill.envs.worlds.pendulum import Pendulum


def whirl(states, rng):
    """Full torque along the turning: many whole turns, and velocity at its limit."""
    return np.where(states[:, 1:] > 0, 2.0, -2.0).astype(np.float32)


def test_episodes_of_random_actions_are_gymnasiums() -> None:
    ends = check_episodes("Pendulum-v1", at_random(Pendulum.action_space), 410)
    assert ends == {"terminated": 0, "truncated": 20}


def test_episodes_of_whole_turns_are_gymnasiums() -> None:
    assert check_episodes("Pendulum-v1", whirl, 210)["truncated"] == 10


def test_steps_from_anywhere_are_gymnasiums_with_any_torque() -> None:
    rng = np.random.default_rng(0)
    states = np.float32(rng.uniform([-80, -8], [80, 8], (1000, 2)))
    moved = check_transitions("Pendulum-v1", states, np.float32(rng.uniform(-4, 4, (1000, 1))))
    assert (np.abs(moved[:, 1]) == 8).sum() > 10


def test_spaces_limit_and_threshold_are_gymnasiums() -> None:
    check_spec("Pendulum-v1")


def test_first_states_have_any_angle() -> None:
    angle, velocity = first_states("Pendulum-v1")
    assert_uniform(angle, -np.pi, np.pi)
    assert_uniform(velocity, -1.0, 1.0)
