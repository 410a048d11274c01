"""Settings for Gymnasium's MuJoCo tasks, v5: one set for each algorithm, the same for every task,
but for PPO's in four of them and for Swimmer's γ. A2C has its defaults.

Their results are in docs/mujoco.md.
"""

from typing import Any

from uphill.parts import (
    GAE,
    Adam,
    Algorithm,
    ConstantValue,
    NaturalGradient,
    Steps,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.algorithms import npg, ppo, reinforce, trpo
from uphill.policies.policy import PolicySettings

TASKS = (
    *("HalfCheetah-v5", "Hopper-v5", "Walker2d-v5", "Ant-v5", "Swimmer-v5", "Humanoid-v5"),
    *("Reacher-v5", "InvertedPendulum-v5", "InvertedDoublePendulum-v5"),
)


def mujoco_algorithms(env: str) -> dict[str, tuple[Algorithm, int]]:
    """Each algorithm with its settings for a task, and how long to train."""
    gamma = 0.9999 if env == "Swimmer-v5" else 0.99  # strokes pay together, seconds later
    windows = _short_windows(gamma)
    return {
        "ppo": (_ppo(env), 1_000_000),
        "trpo": (trpo(optimizer=TrustRegion(max_step_size=20.0), **windows), 1_000_000),
        "npg": (npg(optimizer=NaturalGradient(max_step_size=20.0), **windows), 1_000_000),
        "reinforce": (_reinforce(gamma), 3_000_000),
    }


def _ppo(env: str) -> Algorithm:
    """In four tasks others do better. A double pendulum soon shows what an action did."""
    if env == "Swimmer-v5":
        return ppo(
            sampling=Steps(num_envs=4, num_steps=1024),
            estimator=GAE(gamma=0.9999, lam=0.98),
            optimizer=Adam(learning_rate=6e-4),
        )
    if env == "InvertedDoublePendulum-v5":
        return ppo(estimator=GAE(gamma=0.98, lam=0.8))
    if env in ("Reacher-v5", "InvertedPendulum-v5"):
        return ppo()
    return ppo(
        sampling=Steps(num_envs=64, num_steps=32),
        optimizer=Adam(learning_rate="linear:3e-4:2e-4"),
        num_minibatches=32,
        scale_advantages="none",  # rewards have a scale already
    )


def _short_windows(gamma: float) -> dict[str, Any]:
    """Advantages keep their scale, so that a limit on the step size tells a signal from noise. The
    divergence alone takes steps of 0.7 to 2.4 on HalfCheetah, of 6 to 20 on Hopper, and of 40 to
    800 on InvertedPendulum once all returns are equal."""
    return {
        "sampling": Steps(num_envs=16, num_steps=64),
        "estimator": GAE(gamma=gamma, lam=0.95),
        "baseline": ValueFunction(optimizer=Adam(learning_rate=1e-3), num_steps=20),
        "scale_advantages": "none",
    }


def _reinforce(gamma: float) -> Algorithm:
    """Windows, completed by the mean return: an episode lasts 1,000 steps."""
    return reinforce(
        sampling=Steps(num_envs=16, num_steps=128),
        estimator=GAE(gamma=gamma, lam=1.0),
        baseline=ConstantValue(),
        optimizer=Adam(learning_rate="linear:1e-3:0", max_grad_norm=None),
        policy=PolicySettings(distribution="tanh-gaussian"),
        mean_over="steps",
        normalize_observations=True,
        normalize_rewards=True,
    )
