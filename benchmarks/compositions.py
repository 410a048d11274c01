"""Fixed settings for measurements, independent of the current defaults."""

from typing import Any

from uphill.parts import Adam, Algorithm
from uphill.parts.algorithms import ppo


def plain_ppo(**changes: Any) -> Algorithm:
    """PPO in windows of 8 × 128, 4 epochs × 4 minibatches, only advantages scaled: as in Rejax and
    CleanRL's first script."""
    plain: dict[str, Any] = {
        "optimizer": Adam(learning_rate=3e-4),
        "num_epochs": 4,
        "num_minibatches": 4,
        "normalize_observations": False,
        "normalize_rewards": False,
    }
    return ppo(**plain | changes)
