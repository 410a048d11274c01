"""Ends trials early if earlier ones were better at that point: the median rule.

Reference: Golovin et al. (2017), Google Vizier, section 3.2, https://doi.org/10.1145/3097983.3098043
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uphill.policies.trained import TrainedPolicy
from uphill.runs.metrics import read_metrics
from uphill.runs.sweeps import SavedSweep
from uphill.sessions.callback import LoggedRow, OnPoint
from uphill.views.curves import RETURN, learning_curve
from uphill.views.sweeps import SettingRow

TrialCurve = tuple[Float[np.ndarray, " G"], Float[np.ndarray, " G"]]
FEWEST = 4
"""Trials that must have come to their end before any is judged by them."""
FIRST_SHARE = 1 / 3
"""Of the steps: until then a trial may learn as slowly as it likes."""


@dataclass(frozen=True)
class Pruner:
    """Ends a trial at a logging point where its return, a mean over seeds, is below the median of
    what earlier trials had at as many steps. An `on_point`, called before the user's."""

    steps: Float[np.ndarray, " G"]
    medians: Float[np.ndarray, " G"]
    first: float
    """steps before which no trial ends"""
    own: OnPoint | None = None

    def __call__(self, rows: list[LoggedRow], policies: list[TrainedPolicy]) -> Any:
        answer = None if self.own is None else self.own(rows, policies)
        if not self.is_behind(rows):
            return answer
        metrics = answer[0] if isinstance(answer, tuple) else answer
        return (metrics, True) if isinstance(metrics, dict) else True

    def is_behind(self, rows: Sequence[LoggedRow]) -> bool:
        """Whether the trial should end at this point; a point at which no episode ended is
        ignored."""
        steps = min(row["steps"] for row in rows)
        returns = [row[RETURN] for row in rows if row[RETURN] is not None]
        if steps < self.first or not returns:
            return False
        return bool(np.mean(returns) < np.interp(steps, self.steps, self.medians))


def curve_of(sweep: SavedSweep, row: SettingRow, steps: int) -> TrialCurve | None:
    """The returns of a trial, a mean over seeds, by steps; None of one that did not come to its
    end, or showed no return."""
    if not row.is_known or row.steps < steps:
        return None
    x, seeds = learning_curve(read_metrics(sweep.path / row.run))
    return (x, seeds.mean(0)) if len(x) else None


def pruner_of(
    earlier: Iterable[TrialCurve | None], steps: int, own: OnPoint | None
) -> Pruner | None:
    """What ends a trial, by the curves of earlier ones; None if those are few."""
    curves = [curve for curve in earlier if curve is not None]
    if len(curves) < FEWEST:
        return None
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    medians = np.median([np.interp(grid, x, curve) for x, curve in curves], 0)
    return Pruner(grid, medians, FIRST_SHARE * steps, own)
