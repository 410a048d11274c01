"""Against Gymnasium's MountainCar and MountainCarContinuous, from the same states."""

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
from uphill.envs.worlds.mountain_car import MountainCar, MountainCarContinuous

DISCRETE, CONTINUOUS = "MountainCar-v0", "MountainCarContinuous-v0"


def swing(states, rng):
    """Pushes along the movement, which gets there."""
    return np.where(states[:, 1] < 0, 0, 2).astype(np.int32)


def swing_continuously(states, rng):
    return np.where(states[:, 1:] < 0, -1.0, 1.0).astype(np.float32)


@pytest.mark.parametrize(
    ("env_id", "policy", "num_steps", "final"),
    [
        (DISCRETE, at_random(MountainCar.action_space), 410, "truncated"),
        (DISCRETE, swing, 300, "terminated"),
        (CONTINUOUS, at_random(MountainCarContinuous.action_space), 1010, "truncated"),
        (CONTINUOUS, swing_continuously, 200, "terminated"),
    ],
    ids=["random", "swing", "continuous-random", "continuous-swing"],
)
def test_episodes_are_gymnasiums(env_id, policy, num_steps, final) -> None:
    assert check_episodes(env_id, policy, num_steps)[final] >= 10


@pytest.mark.parametrize("env_id", [DISCRETE, CONTINUOUS])
def test_steps_from_anywhere_are_gymnasiums_at_the_wall_and_the_goal_too(env_id: str) -> None:
    rng = np.random.default_rng(0)
    states = np.float32(rng.uniform([-1.2, -0.07], [0.6, 0.07], (2000, 2)))
    # The engine takes what is in its range; the reward counts what was asked for.
    asked = np.float32(rng.uniform(-3, 3, (2000, 1)))
    actions = rng.integers(0, 3, 2000) if env_id == DISCRETE else asked
    moved = check_transitions(env_id, states, actions)
    at_wall = np.isclose(moved[:, 0], -1.2, atol=1e-7)
    assert at_wall.sum() > 10
    assert (moved[at_wall, 1] == 0).all()
    assert np.isclose(moved[:, 0], 0.6, atol=1e-7).sum() > 10
    assert ((moved[:, 0] > 0.5) & (moved[:, 1] < 0)).sum() > 10


@pytest.mark.parametrize("env_id", [DISCRETE, CONTINUOUS])
def test_spaces_limit_and_threshold_are_gymnasiums(env_id: str) -> None:
    check_spec(env_id)


@pytest.mark.parametrize("env_id", [DISCRETE, CONTINUOUS])
def test_first_states_rest_near_the_bottom(env_id: str) -> None:
    position, velocity = first_states(env_id)
    assert_uniform(position, -0.6, -0.4)
    assert (velocity == 0).all()
