"""Learning curves as numbers: what pictures and pages draw from `metrics.csv`."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Columns = dict[str, np.ndarray]
"""The columns of `metrics.csv`."""
LoggedPoints = tuple[np.ndarray, np.ndarray]
"""One seed's logging points: where, and what."""
Against = Literal["steps", "seconds"]

RETURN = "rollout/episode_return"
GRID = 200
_FINE = 10  # points for each that is drawn
WINDOW = 0.02
"""What curves are averaged over in pictures, as a share of the horizontal axis: logging points may
lie so close that their noise hides what they say."""
FEW = 25
"""Logging points up to which each is marked, and none is averaged with its neighbours."""


class Curves(NamedTuple):
    """A column over a run, as it is drawn."""

    x: Float[np.ndarray, " G"]
    values: Float[np.ndarray, "S G"]
    """each seed's"""
    marks: tuple[np.ndarray, ...] = ()
    """for each seed, where its logging points lie, if they are few"""

    @property
    def middle_marks(self) -> np.ndarray:
        """Where to mark the seeds' mean."""
        return min(self.marks, key=len, default=np.zeros(0))


def learning_curve(
    metrics: Columns, column: str = RETURN, against: Against = "steps", num_points: int = GRID
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (or seconds, without those of compiling) `[G]`, and each seed's curve there `[S, G]`:
    where all curves overlap. Between logging points curves are interpolated linearly. A seed
    without any number has no curve.
    """
    points = _points(metrics, column, against)
    if not points:
        return np.zeros(0), np.zeros((0, 0))
    start, end = max(x[0] for x, _ in points), min(x[-1] for x, _ in points)
    grid = np.linspace(start, max(start, end), num_points)
    return grid, _at(grid, points)


def area_under_curve(metrics: Columns, column: str = RETURN) -> Float[np.ndarray, " S"]:
    """Each seed's curve averaged over its steps, that is the area under it over the number of
    steps: this also measures how soon something was learned. A seed with fewer than two points has
    none."""
    points = _points(metrics, column, "steps")
    areas = [np.trapezoid(y, x) / (x[-1] - x[0]) for x, y in points if len(x) > 1]
    return np.array(areas, np.float64)


def smoothed(curve: Float[np.ndarray, " G"], window: float = WINDOW) -> Float[np.ndarray, " G"]:
    """The moving average over a share of the points; at both ends over the available ones."""
    kernel = np.ones(2 * round(window * len(curve) / 2) + 1)
    return np.convolve(curve, kernel, "same") / np.convolve(np.ones_like(curve), kernel, "same")


def smooth_curves(metrics: Columns, column: str = RETURN, against: Against = "steps") -> Curves:
    """`learning_curve`, averaged before it is thinned out: every logging point counts. Few points
    are joined as they are, with marks."""
    x, values = learning_curve(metrics, column, against, _FINE * (GRID - 1) + 1)
    points = _points(metrics, column, against)
    if not points or max(len(own) for own, _ in points) > FEW:
        means = [smoothed(curve)[::_FINE] for curve in values]
        return Curves(x[::_FINE], np.stack(means) if means else values)
    # Drawn through every point: a grid would cut corners.
    marks = tuple(np.unique(np.clip(own, x[0], x[-1])) for own, _ in points)
    places = np.union1d(x[::_FINE], np.concatenate(marks))
    return Curves(places, _at(places, points), marks)


def learning_seconds(metrics: Columns) -> Float[np.ndarray, " R"]:
    """Seconds of training by each row, without those of compiling: the steps of all seeds by then
    over the steps a second, which leave compiling out."""
    seconds, speed = metrics["time/seconds"], metrics.get("time/steps_per_second")
    if speed is None or "update" not in metrics or not (speed > 0).all():
        return seconds
    _, of_update = np.unique(metrics["update"], return_inverse=True)
    steps = np.bincount(of_update, metrics["steps"])[of_update]
    # Speeds are rounded, and time never runs backwards.
    return np.maximum.accumulate(np.minimum(steps / speed, seconds))


def _points(metrics: Columns, column: str, against: Against) -> list[LoggedPoints]:
    """The logging points of each seed that has any."""
    known = np.isfinite(metrics[column])
    x = metrics["steps"] if against == "steps" else learning_seconds(metrics)
    rows = [known & (metrics["seed"] == seed) for seed in np.unique(metrics["seed"])]
    return [(x[own], metrics[column][own]) for own in rows if own.any()]


def _at(places: Float[np.ndarray, " G"], points: list[LoggedPoints]) -> Float[np.ndarray, "S G"]:
    """Each seed's curve at some places: straight between its points."""
    return np.stack([np.interp(places, *own) for own in points])
