"""The algorithms, as compositions of parts. Read two and see what differs.

Each takes any field of `Algorithm` as a keyword, to change that part:

>>> ppo(num_epochs=4, surrogate=ClippedRatio(epsilon=0.1)).num_epochs
4
"""

from typing import Any

from uphill.parts import (
    GAE,
    Adam,
    Algorithm,
    BatchMean,
    ClippedRatio,
    Episodes,
    ImportanceRatio,
    NaturalGradient,
    RewardToGo,
    RMSProp,
    ScoreFunction,
    Steps,
    TrustRegion,
    ValueFunction,
)
from uphill.parts.changes import known


def reinforce(**changes: Any) -> Algorithm:
    """REINFORCE: whole episodes, reward-to-go, the batch's mean return as the baseline.

    Reference: Williams (1992), https://doi.org/10.1007/BF00992696
    """
    parts: dict[str, Any] = {
        "name": "reinforce",
        "sampling": Episodes(num_envs=16, per_env=1),
        "estimator": RewardToGo(gamma=0.99),
        "baseline": BatchMean(),
        "surrogate": ScoreFunction(),
        "optimizer": Adam(learning_rate=3e-3, max_grad_norm=None),
        "mean_over": "episodes",
    }
    return Algorithm(**parts | known(parts, changes))


def vpg(**changes: Any) -> Algorithm:
    """Vanilla policy gradient: REINFORCE with a learned value function as the baseline.

    Reference: Sutton et al. (2000), https://proceedings.neurips.cc/paper/1999
    """
    parts: dict[str, Any] = {
        "name": "vpg",
        "sampling": Episodes(num_envs=16, per_env=1),
        "estimator": RewardToGo(gamma=0.99),
        "baseline": ValueFunction(optimizer=Adam(learning_rate=1e-2), num_steps=5),
        "surrogate": ScoreFunction(),
        "optimizer": Adam(learning_rate=3e-3, max_grad_norm=None),
        "mean_over": "episodes",
    }
    return Algorithm(**parts | known(parts, changes))


def a2c(**changes: Any) -> Algorithm:
    """Advantage actor-critic: short windows, bootstrapped from the value function.

    Reference: Mnih et al. (2016), https://arxiv.org/abs/1602.01783
    """
    parts: dict[str, Any] = {
        "name": "a2c",
        "sampling": Steps(num_envs=16, num_steps=16),
        "estimator": GAE(gamma=0.99, lam=0.95),
        "baseline": ValueFunction(coefficient=0.5),
        "surrogate": ScoreFunction(),
        "optimizer": RMSProp(learning_rate="linear:2e-3:0"),
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Algorithm(**parts | known(parts, changes))


def ppo(**changes: Any) -> Algorithm:
    """Proximal policy optimisation: A2C with a clipped ratio, so a batch serves several epochs.

    Reference: Schulman et al. (2017), https://arxiv.org/abs/1707.06347
    """
    parts: dict[str, Any] = {
        "name": "ppo",
        "sampling": Steps(num_envs=8, num_steps=128),
        "estimator": GAE(gamma=0.99, lam=0.95),
        "baseline": ValueFunction(coefficient=0.5),
        "surrogate": ClippedRatio(epsilon=0.2),
        "optimizer": Adam(learning_rate="linear:5e-4:0"),
        "num_epochs": 10,
        "num_minibatches": 16,
        "scale_advantages": "minibatch",
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Algorithm(**parts | known(parts, changes))


def npg(**changes: Any) -> Algorithm:
    """Natural policy gradient: VPG along the natural gradient, a fixed KL divergence at a time.

    Reference: Kakade (2001), https://papers.nips.cc/paper/2073
    """
    parts: dict[str, Any] = {
        "name": "npg",
        "sampling": Steps(num_envs=16, num_steps=128),
        "estimator": GAE(gamma=0.99, lam=0.97),
        "baseline": ValueFunction(optimizer=Adam(learning_rate=3e-3), num_steps=20),
        "surrogate": ScoreFunction(),
        "optimizer": NaturalGradient(max_kl=0.01),
        "scale_advantages": "batch",
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Algorithm(**parts | known(parts, changes))


def trpo(**changes: Any) -> Algorithm:
    """Trust region policy optimisation: NPG whose step is tried on the batch before it is taken.

    Reference: Schulman et al. (2015), https://arxiv.org/abs/1502.05477
    """
    parts: dict[str, Any] = {
        "name": "trpo",
        "sampling": Steps(num_envs=16, num_steps=128),
        "estimator": GAE(gamma=0.99, lam=0.97),
        "baseline": ValueFunction(optimizer=Adam(learning_rate=3e-3), num_steps=20),
        "surrogate": ImportanceRatio(),
        "optimizer": TrustRegion(max_kl=0.01),
        "scale_advantages": "batch",
        "normalize_observations": True,
        "normalize_rewards": True,
    }
    return Algorithm(**parts | known(parts, changes))


ALGORITHMS = {
    "reinforce": reinforce,
    "vpg": vpg,
    "a2c": a2c,
    "ppo": ppo,
    "npg": npg,
    "trpo": trpo,
}


def no_algorithm(name: str) -> str:
    """The sentence about another name."""
    return f"There is no algorithm {name!r}: use one of {', '.join(ALGORITHMS)}."
