"""What is shown of a training, as numbers and as texts; nothing here knows a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from uphill.words import forecast, percent, short

POINTS = 256
"""The most points of a learning curve that are kept: more than a terminal has columns."""
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class View:
    """Where training is. Replaced as a whole, so a thread may draw it at any time."""

    total: int
    """steps of one seed"""
    seeds: tuple[int, ...] = (0,)
    started: float = 0.0
    """all times are those of one clock, in seconds"""
    shown: float = 0.0
    """when the rest was true"""
    steps: tuple[int, ...] = ()
    """of each seed; empty before the first updates"""
    returns: tuple[float | None, ...] = ()
    steps_per_second: float = 0.0
    """of all seeds together"""
    stars: tuple[int, ...] = ()
    """for each milestone, the index of the seed that reached it"""

    @property
    def known_returns(self) -> list[float]:
        """The returns of the seeds that have ended an episode."""
        return [x for x in self.returns if x is not None]

    @property
    def fraction(self) -> float:
        """How much of the training is done."""
        done = sum(min(steps, self.total) for steps in self.steps)
        return done / max(self.total * len(self.seeds), 1)

    def seconds_left(self, now: float) -> float:
        """How long the rest takes at the speed so far."""
        rest = sum(max(self.total - steps, 0) for steps in self.steps)
        return max(rest / max(self.steps_per_second, 1e-9) - (now - self.shown), 0.0)


@dataclass(frozen=True)
class Curve:
    """Learning curves of bounded length: where there are too many points, each becomes the mean of
    two neighbours."""

    values: tuple[Float[np.ndarray, " S"], ...] = ()
    per_value: int = 1
    """points that each value stands for"""
    pending: tuple[Float[np.ndarray, " S"], ...] = field(default=())
    """points that are not a value yet"""

    def add(self, returns: Sequence[float | None]) -> "Curve":
        """With one more point. A seed in which no episode ended is where it was."""
        point = np.array([np.nan if x is None else x for x in returns], np.float64)
        known = (*self.values[-1:], *self.pending)
        if known:
            point = np.where(np.isnan(point), known[-1], point)
        pending = (*self.pending, point)
        if len(pending) < self.per_value:
            return replace(self, pending=pending)
        values = (*self.values, _mean(pending))
        if len(values) < POINTS:
            return replace(self, values=values, pending=())
        halved = tuple(_mean(values[k : k + 2]) for k in range(0, POINTS, 2))
        return Curve(halved, 2 * self.per_value)

    def of_seeds(self) -> Float[np.ndarray, "S points"]:
        """A curve for each seed, from where every seed has ended an episode."""
        values = (*self.values, _mean(self.pending)) if self.pending else self.values
        table = np.stack(values, 1) if values else np.zeros((0, 0))
        return table[:, ~np.isnan(table).any(0)]


def _mean(points: Sequence[Float[np.ndarray, " S"]]) -> Float[np.ndarray, " S"]:
    return np.stack(points).mean(0)


def middle(values: Sequence[float] | np.ndarray) -> float:
    """The interquartile mean of some numbers, as `statistics` defines it; without SciPy, whose
    import training would have to wait for."""
    ordered, cut = np.sort(np.asarray(values, np.float64)), len(values) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def resample(values: Float[np.ndarray, " points"], width: int) -> Float[np.ndarray, " width"]:
    """`width` numbers in place of however many: means of neighbours, or what lies between them."""
    if len(values) <= width:
        places = np.linspace(0, len(values) - 1, width)
        return np.interp(places, np.arange(len(values)), values)
    edges = np.arange(width + 1) * len(values) // width
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


def sparkline(values: Float[np.ndarray, " points"], width: int, low: float, high: float) -> str:
    """A curve as `width` blocks, the lowest at `low` and the highest at `high`.

    >>> sparkline(np.arange(8.0), 8, 0.0, 7.0)
    '▁▂▃▄▅▆▇█'
    """
    share = (resample(values, width) - low) / max(high - low, 1e-12)
    if high <= low:
        share = np.full(width, 0.4)
    heights = np.clip((share * len(BLOCKS)).astype(int), 0, len(BLOCKS) - 1)
    return "".join(BLOCKS[height] for height in heights)


def header(view: View, now: float) -> list[str]:
    """`62 %`, `62 k of 100 k steps`, `61.2 k steps/s`, `2 s left`."""
    return [
        percent(view.fraction),
        f"{short(min(*view.steps, view.total), ' ')} of {short(view.total, ' ')} steps",
        f"{short(view.steps_per_second, ' ')} steps/s",
        f"{forecast(view.seconds_left(now))} left",
    ]
