"""Every algorithm in the five probe environments: nothing leaks over time, states or episodes."""

import numpy as np
import pytest
from probes import ACTED, STATES, Probes, best_action, observations, true_values

from plain import ALGORITHMS
from uphill.envs.make import choose
from uphill.envs.worlds import WORLDS
from uphill.learning.learner import take
from uphill.parts import (
    GAE,
    Adam,
    Episodes,
    NaturalGradient,
    RewardToGo,
    RMSProp,
    Steps,
    TrustRegion,
    ValueFunction,
)
from uphill.policies.policy import NetworkSettings, PolicySettings
from uphill.training.trainer import Trainer, iterate

GAMMA = 0.5
"""So low that a delayed reward is worth another number than one at once."""


def fading(learning_rate):
    return Adam(learning_rate=f"linear:{learning_rate}:0", max_grad_norm=None)


WHOLE = {"sampling": Episodes(num_envs=64), "estimator": RewardToGo(GAMMA)}
WINDOW = {"sampling": Steps(num_envs=32, num_steps=8), "estimator": GAE(GAMMA, lam=0.95)}
LINEAR = NetworkSettings(hidden=())
APART = ValueFunction(network=LINEAR, optimizer=fading(0.05), num_steps=20)
JOINT = ValueFunction(network=LINEAR)
CHANGES = {
    "reinforce": WHOLE | {"optimizer": fading(0.05)},
    "vpg": WHOLE | {"optimizer": fading(0.05), "baseline": APART},
    "a2c": WINDOW | {"optimizer": RMSProp("linear:0.03:0"), "baseline": JOINT},
    "ppo": WINDOW | {"optimizer": fading(0.01), "baseline": JOINT},
    "npg": WINDOW | {"optimizer": NaturalGradient("linear:0.05:0.001"), "baseline": APART},
    "trpo": WINDOW | {"optimizer": TrustRegion("linear:0.05:0.001"), "baseline": APART},
}


@pytest.mark.parametrize("is_continuous", [False, True], ids=["discrete", "continuous"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_trap_26_the_probes_have_their_values_and_choices(name, is_continuous, monkeypatch):
    monkeypatch.setitem(WORLDS, "Probes-v0", Probes(is_continuous))
    spread = {"initial_log_std": -0.7} if is_continuous else {}
    policy = PolicySettings(hidden=(), **spread)
    algorithm = ALGORITHMS[name](policy=policy, **CHANGES[name])
    trainer = Trainer(choose("Probes-v0"), algorithm, (0,), 30_000)
    *_, (state, _) = iterate(trainer)
    learner = take(state.learners, 0)
    if algorithm.baseline.has_value:
        expected = true_values(learner.actor, GAMMA)
        np.testing.assert_allclose(
            learner.parts.baseline.critic(observations()), expected, atol=0.05
        )
    mode = np.asarray(learner.actor(observations()).mode())
    for (probe, own), chosen in zip(STATES.values(), mode, strict=True):
        if probe < ACTED:
            continue
        best = best_action(probe, own)
        if is_continuous:
            assert chosen[0] == pytest.approx(best, abs=0.25)
        else:
            assert chosen == (best > 0)
