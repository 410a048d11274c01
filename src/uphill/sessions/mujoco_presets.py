"""Settings for Gymnasium's MuJoCo tasks, v5: one for each algorithm, the same for every task.

What they reach is in docs/mujoco.md.
"""

from typing import Any

from uphill.parts import (
    GAE,
    Adam,
    Algorithm,
    ConstantValue,
    NaturalGradient,
    RMSProp,
    Steps,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.algorithms import a2c, npg, ppo, reinforce, trpo
from uphill.policies.policy import PolicySettings

TASKS = (
    *("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "Humanoid-v5"),
    *("Reacher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"),
)

_CALM = PolicySettings(initial_log_std=-0.5)
"""σ of 0.6 of half the range: most actions lie within the bounds, where they differ."""


def mujoco_algorithms() -> dict[str, tuple[Algorithm, int]]:
    """Each algorithm with its settings, and how long to train."""
    return {
        "ppo": (_ppo(), 1_000_000),
        "trpo": (trpo(optimizer=TrustRegion(max_kl=0.01), **_critic_of_its_own()), 1_000_000),
        "npg": (npg(optimizer=NaturalGradient(max_kl=0.01), **_critic_of_its_own()), 1_000_000),
        "a2c": (_a2c(), 1_000_000),
        "reinforce": (_reinforce(), 3_000_000),
    }


def _scaled(num_envs: int, num_steps: int, lam: float) -> dict[str, Any]:
    """Windows, and observations and rewards of scale 1."""
    return {
        "sampling": Steps(num_envs=num_envs, num_steps=num_steps),
        "estimator": GAE(gamma=0.99, lam=lam),
        "normalize_observations": True,
        "normalize_rewards": True,
        "policy": _CALM,
    }


def _ppo() -> Algorithm:
    return ppo(
        optimizer=Adam(learning_rate="linear:3e-4:2e-4"),
        num_epochs=10,
        num_minibatches=32,
        scale_advantages="none",  # rewards have a scale already
        **_scaled(64, 32, 0.95),
    )


def _a2c() -> Algorithm:
    return a2c(
        optimizer=RMSProp(learning_rate="linear:7e-4:0"), entropy=0.01, **_scaled(16, 5, 0.95)
    )


def _critic_of_its_own() -> dict[str, Any]:
    return {
        "baseline": ValueFunction(optimizer=Adam(learning_rate=1e-3), num_steps=20),
        **_scaled(16, 64, 0.95),
    }


def _reinforce() -> Algorithm:
    """Windows, completed by the mean return: an episode lasts 1,000 steps."""
    return reinforce(
        baseline=ConstantValue(),
        optimizer=Adam(learning_rate="linear:1e-3:0", max_grad_norm=None),
        mean_over="steps",
        **_scaled(16, 128, 1.0)
        | {"policy": PolicySettings(initial_log_std=-0.5, distribution="tanh-gaussian")},
    )
