"""Policy gradients, compiled end to end.

>>> import uphill
>>> run = uphill.train("CartPole-v1", uphill.ppo(), steps=500_000)  # doctest: +SKIP
>>> action = run.policy.act(observation)  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from uphill.envs.ids import register_with_gymnasium

__version__ = "0.1.0"

register_with_gymnasium()

if TYPE_CHECKING:
    from uphill import doctor as doctor
    from uphill import envs as envs
    from uphill import functional as functional
    from uphill import learning as learning
    from uphill import parts as parts
    from uphill import policies as policies
    from uphill import runs as runs
    from uphill import studies as studies
    from uphill import theory as theory
    from uphill import views as views
    from uphill.envs.make import make_env as make_env
    from uphill.errors import UphillError as UphillError
    from uphill.parts.algorithms import a2c as a2c
    from uphill.parts.algorithms import npg as npg
    from uphill.parts.algorithms import ppo as ppo
    from uphill.parts.algorithms import reinforce as reinforce
    from uphill.parts.algorithms import trpo as trpo
    from uphill.parts.algorithms import vpg as vpg
    from uphill.run import Run as Run
    from uphill.run import evaluate as evaluate
    from uphill.run import load as load
    from uphill.run import resume as resume
    from uphill.run import save as save
    from uphill.run import train as train
    from uphill.sessions.resume import restore as restore
    from uphill.studies.comparisons.compare import compare as compare
    from uphill.studies.sensitivity.study import sensitivity as sensitivity
    from uphill.studies.sweeps.sweep import sweep as sweep
    from uphill.studies.tuning.tune import tune as tune
    from uphill.studies.variance.measure import measure_variance as measure_variance
    from uphill.training.trainer import Trainer as Trainer
    from uphill.training.trainer import iterate as iterate

# Imported on first use: the command line's help must not wait for JAX.
_HOME = {
    "UphillError": "uphill.errors",
    "make_env": "uphill.envs.make",
    "reinforce": "uphill.parts.algorithms",
    "vpg": "uphill.parts.algorithms",
    "a2c": "uphill.parts.algorithms",
    "ppo": "uphill.parts.algorithms",
    "npg": "uphill.parts.algorithms",
    "trpo": "uphill.parts.algorithms",
    "Run": "uphill.run",
    "evaluate": "uphill.run",
    "Trainer": "uphill.training.trainer",
    "iterate": "uphill.training.trainer",
    "load": "uphill.run",
    "compare": "uphill.studies.comparisons.compare",
    "measure_variance": "uphill.studies.variance.measure",
    "train": "uphill.run",
    "restore": "uphill.sessions.resume",
    "resume": "uphill.run",
    "save": "uphill.run",
    "sensitivity": "uphill.studies.sensitivity.study",
    "sweep": "uphill.studies.sweeps.sweep",
    "tune": "uphill.studies.tuning.tune",
}
_ROOMS = (
    *("doctor", "envs", "functional", "learning", "parts", "policies", "runs", "studies", "theory"),
    "views",
)
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _ROOMS:
        return import_module(f"uphill.{name}")
    raise AttributeError(f"module 'uphill' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_ROOMS})
