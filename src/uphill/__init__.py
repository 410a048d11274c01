"""Policy gradients, compiled end to end.

>>> import uphill
>>> run = uphill.train("CartPole-v1", uphill.ppo(), steps=500_000)  # doctest: +SKIP
>>> action = run.policy.act(observation)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from uphill import envs as envs
    from uphill import learning as learning
    from uphill import policies as policies
    from uphill import runs as runs
    from uphill import theory as theory
    from uphill.envs.make import make_env as make_env
    from uphill.errors import UphillError as UphillError
    from uphill.learning.algorithms import a2c as a2c
    from uphill.learning.algorithms import npg as npg
    from uphill.learning.algorithms import ppo as ppo
    from uphill.learning.algorithms import reinforce as reinforce
    from uphill.learning.algorithms import trpo as trpo
    from uphill.learning.algorithms import vpg as vpg
    from uphill.runs.launch import resume as resume
    from uphill.runs.launch import train as train
    from uphill.runs.run import Run as Run
    from uphill.runs.run import evaluate as evaluate
    from uphill.runs.run import load as load
    from uphill.runs.variance import measure_variance as measure_variance

# Imported when first used: the command line's help must not wait for JAX.
_HOME = {
    "UphillError": "uphill.errors",
    "make_env": "uphill.envs.make",
    "reinforce": "uphill.learning.algorithms",
    "vpg": "uphill.learning.algorithms",
    "a2c": "uphill.learning.algorithms",
    "ppo": "uphill.learning.algorithms",
    "npg": "uphill.learning.algorithms",
    "trpo": "uphill.learning.algorithms",
    "Run": "uphill.runs.run",
    "evaluate": "uphill.runs.run",
    "load": "uphill.runs.run",
    "measure_variance": "uphill.runs.variance",
    "train": "uphill.runs.launch",
    "resume": "uphill.runs.launch",
}
_PACKAGES = ("envs", "learning", "policies", "runs", "theory")
__all__ = [
    "Run",
    "UphillError",
    "a2c",
    "evaluate",
    "load",
    "make_env",
    "measure_variance",
    "npg",
    "ppo",
    "reinforce",
    "resume",
    "train",
    "trpo",
    "vpg",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _PACKAGES:
        return import_module(f"uphill.{name}")
    raise AttributeError(f"module 'uphill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_PACKAGES})
