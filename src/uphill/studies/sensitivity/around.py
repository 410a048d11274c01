"""The grid around an algorithm's defaults, from the ranges that its parts declare."""

import math
from typing import Any

from uphill.parts import Algorithm
from uphill.studies.sweeps.changes import value_at
from uphill.studies.sweeps.grid import paths_of
from uphill.studies.tuning.space import Range, annotated, number_of

MOST_FIELDS = 4
_FIRST = (
    *("optimizer.learning_rate", "optimizer.max_kl", "entropy", "estimator.gamma"),
    *("estimator.lam", "baseline.optimizer.learning_rate", "surrogate.epsilon"),
)
"""Which settings vary, the first four of those that an algorithm has; then others that say a
range."""
_DIGITS = 2
_NUMBER = "sampling.num_envs"
"""What varies where too few settings are floats: how many environments make a batch."""


def grid_around(algorithm: Algorithm) -> dict[str, list[Any]]:
    """Up to four settings with three values each: the default, and two others about it."""
    known = dict(annotated(algorithm))
    order = sorted(known, key=lambda path: _FIRST.index(path) if path in _FIRST else len(_FIRST))
    grid = {
        path: values_around(known[path], value_at(algorithm, path)) for path in order[:MOST_FIELDS]
    }
    if len(grid) < MOST_FIELDS and _NUMBER in set(paths_of(algorithm)):
        number = value_at(algorithm, _NUMBER)
        grid[_NUMBER] = sorted({max(1, number // 2), number, 2 * number})
    return grid


def values_around(one: Range, default: Any) -> list[Any]:
    """The default between two values at a quarter of the range, on the scale of that; where there
    is no room on both sides of it, two at a third and two thirds of the range."""
    to, back = (math.log10, lambda x: 10.0**x) if one.is_log else (float, float)
    low, high = map(to, one.ends)
    coordinate = one.coordinate(default)
    middle = math.nan if coordinate is None else to(coordinate)
    quarter, third = (high - low) / 4, (high - low) / 3
    places = [middle - quarter, middle + quarter]
    if not (low <= places[0] and places[1] <= high):
        places = [low + third, high - third]
    found = [one.value(float(f"{back(x):.{_DIGITS}g}")) for x in places]
    return sorted([default, *found], key=lambda value: number_of(value))
