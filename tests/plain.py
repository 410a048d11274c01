"""Compositions as textbooks have them: nothing scaled, a step size that stays. What they come to
can be worked out by hand; the defaults are in `uphill.parts.algorithms`."""

from typing import Any

from benchmarks.compositions import plain_ppo as ppo

from uphill.parts import GAE, Algorithm, RMSProp, Steps, algorithms

_UNSCALED: dict[str, Any] = {"normalize_observations": False, "normalize_rewards": False}


def a2c(**changes: Any) -> Algorithm:
    parts: dict[str, Any] = {
        "sampling": Steps(num_envs=8, num_steps=16),
        "estimator": GAE(gamma=0.99, lam=1.0),
        "optimizer": RMSProp(learning_rate=7e-4),
    }
    return algorithms.a2c(**_UNSCALED | parts | changes)


def npg(**changes: Any) -> Algorithm:
    return algorithms.npg(**_UNSCALED | changes)


def trpo(**changes: Any) -> Algorithm:
    return algorithms.trpo(**_UNSCALED | changes)


ALGORITHMS = algorithms.ALGORITHMS | {"a2c": a2c, "ppo": ppo, "npg": npg, "trpo": trpo}
