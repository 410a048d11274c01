"""What the display shows of training, as numbers and texts; nothing here depends on a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from uphill.words import count, duration, forecast, short

POINTS = 256
"""The most points of a learning curve that are kept: more than a terminal has columns."""
BLOCKS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Pause:
    """What training waits for."""

    what: str = ""
    """such as compiling; empty while it waits for nothing"""
    seconds: float = 0.0
    """of this pause up to now"""
    total: float = 0.0
    """of all pauses up to now, this one included"""


@dataclass(frozen=True)
class View:
    """Where training is. Replaced as a whole, so a thread may draw it at any time."""

    total: int
    """steps of one seed"""
    seeds: tuple[int, ...] = (0,)
    started: float = 0.0
    """by a clock, in seconds"""
    shown: float = 0.0
    """when the rest was true, by the same clock less all pauses"""
    steps: tuple[int, ...] = ()
    """of each seed; empty before the first updates"""
    returns: tuple[float | None, ...] = ()
    steps_per_second: float = 0.0
    """of all seeds together, of late"""
    left: float | None = 0.0
    """how many seconds the rest was then thought to take, where there was something to go by"""
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
        return done / max(self.total * len(self.steps), 1)

    def seconds_left(self, now: float, pause: Pause) -> float | None:
        """How long the rest takes. While training waits, it takes no less from one second to the
        next."""
        if self.left is None:
            return None
        return max(self.left - (now - pause.total - self.shown), 0.0)


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


def ending(view: View, now: float, pause: Pause) -> str:
    """`2 s left`, or what training waits for and how long it has: `compiling 9.5 s`."""
    if pause.what:  # before the first step several programs are one wait
        return f"{pause.what} {duration(pause.seconds if view.steps else pause.total)}"
    if not view.steps:
        return f"starting {duration(now - view.started)}"
    left = view.seconds_left(now, pause)
    return f"{'…' if left is None else forecast(left)} left"


def progress(view: View) -> tuple[str, str]:
    """`62 k of 100 k steps` and `61.2 k steps/s`; of several seeds `8 seeds × 62 k of 100 k steps`
    and `490 k steps/s in all`."""
    steps = f"{short(min(*view.steps, view.total), ' ')} of {short(view.total, ' ')} steps"
    speed = f"{short(view.steps_per_second, ' ')} steps/s"
    if len(view.seeds) == 1:
        return steps, speed
    return f"{count(len(view.steps), 'seed')} × {steps}", f"{speed} in all"
