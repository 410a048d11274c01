"""Against Gymnasium's CartPole, from the same states with the same actions."""

import numpy as np
import pytest

from gymnasium_parity import assert_uniform, at_random, check_episodes, check_spec, first_states
from uphill.envs.worlds.cartpole import CartPole


def balance(states, rng):
    return (states[:, 2] + states[:, 3] > 0).astype(np.int32)


@pytest.mark.parametrize(
    ("env_id", "policy", "num_steps", "final"),
    [
        ("CartPole-v1", at_random(CartPole.action_space), 210, "terminated"),
        ("CartPole-v0", at_random(CartPole.action_space), 210, "terminated"),
        ("CartPole-v0", balance, 420, "truncated"),
    ],
    ids=["v1-random", "v0-random", "v0-balance"],
)
def test_episodes_are_gymnasiums(env_id, policy, num_steps, final) -> None:
    assert check_episodes(env_id, policy, num_steps)[final] >= 10


@pytest.mark.parametrize("env_id", ["CartPole-v0", "CartPole-v1"])
def test_spaces_limits_and_thresholds_are_gymnasiums(env_id: str) -> None:
    check_spec(env_id)


def test_first_states_are_uniform_close_to_rest() -> None:
    for values in first_states("CartPole-v1"):
        assert_uniform(values, -0.05, 0.05)
