"""Doing what is seen, with every kind of action: the border, from features to the environment."""

import numpy as np
import pytest
from identity import SPACES, Identity, bounds, goals_of

from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.learning.learner import take
from uphill.parts import Adam, Steps
from uphill.parts.algorithms import reinforce
from uphill.policies.policy import PolicySettings
from uphill.training.trainer import Trainer, iterate

KINDS = [(name, "gaussian") for name in SPACES] + [("box", "tanh-gaussian"), ("box", "beta")]


@pytest.mark.parametrize(("name", "distribution"), KINDS)
def test_what_is_seen_is_done(name, distribution, monkeypatch):
    monkeypatch.setitem(WORLDS, "Identity-v0", Identity(name))
    spread = {"initial_log_std": -0.7} if name == "box" else {}
    algorithm = reinforce(
        policy=PolicySettings(hidden=(16,), distribution=distribution, **spread),
        sampling=Steps(num_envs=64, num_steps=4),
        mean_over="steps",
        optimizer=Adam(learning_rate="linear:0.05:0", max_grad_norm=None),
    )
    trainer = Trainer(choose("Identity-v0"), algorithm, (0,), 30_000)
    for after, rows in iterate(trainer):
        state = after
        left_the_space = rows["bad_reward"][rows["updated"] == 1] >= 0
        assert not left_the_space.any()
    actor = take(state.learners, 0).actor
    goals = goals_of(name)
    done = np.asarray(actor.policy.action_kind.to_environment(actor(goals).mode()))
    assert all(SPACES[name].contains(action) for action in done)
    low, high = bounds(SPACES[name])
    width = np.broadcast_to(high - low, done.shape)
    np.testing.assert_array_less(np.abs(done - goals) / width, 0.15)
