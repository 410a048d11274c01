"""Proposals of a search, by Optuna's TPE: an in-memory study, rebuilt from the finished trials.

Each proposal has its own sampler, seeded by the study and the proposal's number, so the same trials
lead to the same proposals in any process.

Reference: Bergstra et al. (2011), Algorithms for Hyper-Parameter Optimization
"""

import importlib.util
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from uphill.errors import UphillError
from uphill.studies.sweeps.grid import Setting
from uphill.studies.tuning.space import OneOf, Range, Space

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Told = Sequence[tuple[Setting, float | None]]
"""Settings that were tried, and the score of each; None if it failed."""


def check_optuna() -> None:
    """Raises:
    UphillError: if Optuna is not installed.
    """
    if importlib.util.find_spec("optuna") is None:
        raise UphillError("A search needs the package optuna: pip install 'uphill[tune]'.")


def proposals(space: Space, told: Told, number: int, seed: int) -> list[Setting]:
    """The next settings to try."""
    import optuna  # heavy, and an extra
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spread = {path: _distribution(one) for path, one in space.items()}
    study = optuna.create_study(direction="maximize")
    for setting, value in told:
        own = {path: one for path, one in space.items() if path in setting}
        params: dict[str, Any] = {path: one.coordinate(setting[path]) for path, one in own.items()}
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        trial = create_trial(
            params=params,
            distributions={path: spread[path] for path in own},
            value=value,
            state=state,
        )
        study.add_trial(trial)
    found = []
    for k in range(len(told), len(told) + number):
        study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, k), constant_liar=True)
        params = study.ask(spread).params
        found.append({path: _value(one, params[path]) for path, one in space.items()})
    return found


def _distribution(one: Range | OneOf) -> "BaseDistribution":
    from optuna import distributions  # heavy, and an extra

    if isinstance(one, OneOf):
        return distributions.CategoricalDistribution([*range(len(one.values))])
    low, high = one.ends
    if one.is_whole:
        return distributions.IntDistribution(int(low), int(high))
    return distributions.FloatDistribution(low, high, log=one.is_log)


def _value(one: Range | OneOf, coordinate: Any) -> Any:
    return one.values[coordinate] if isinstance(one, OneOf) else one.value(coordinate)


def _seed(seed: int, number: int) -> int:
    return int.from_bytes(sha256(f"{seed} {number}".encode()).digest()[:4], "big")
