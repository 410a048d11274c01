"""Line charts as SVG whose colours are the page's, light or dark, at any width.

Positions are fractions of the plot, so that the plot stretches and its text does not. The charts
are not drawn by matplotlib: the page is rendered again every few seconds, so importing it would be
too slow, and the page forbids inline styles, which it uses.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uphill.words import short

UNIT = 1000
"""Paths are drawn in a square of this many units, which the page stretches."""

Values = Float[np.ndarray, " G"]


@dataclass(frozen=True)
class Line:
    """A line, with a band around it where there is an interval. `look` is its CSS class."""

    x: Values
    y: Values
    look: str = "curve"
    low: Values | None = None
    high: Values | None = None
    marks: Float[np.ndarray, " M"] | None = None
    """places on it to mark"""


@dataclass(frozen=True)
class Dot:
    """A point worth finding again, in per cent of the plot's width and height."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in per cent of its length."""

    at: float
    label: str


@dataclass(frozen=True)
class SvgPath:
    """What an SVG path draws, and its CSS class."""

    look: str
    drawn: str


@dataclass(frozen=True)
class Chart:
    """All that the template `chart.svg` draws. Heights are counted from above, as SVG does."""

    title: str
    bands: tuple[SvgPath, ...]
    lines: tuple[SvgPath, ...]
    marks: tuple[SvgPath, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...] = ()
    level: Tick | None = None
    """a dashed line all across"""
    x_range: tuple[float, float] = (0.0, 1.0)


def line_chart(
    title: str,
    curves: Sequence[Line],
    *,
    level: tuple[float, str] | None = None,
    dots: Iterable[tuple[float, float, str]] = (),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    num_ticks: int = 5,
    is_share: bool = False,
) -> Chart:
    """The chart of some curves; `dots` are (x, y, title), `level` is a height and its name. What is
    not finite leaves a gap. Shares are counted from 0, in per cent."""
    dots = list(dots)
    shown = [part for c in curves for part in (c.y, c.low, c.high) if part is not None]
    beside = [y for _, y, _ in dots] + ([level[0]] if level else []) + ([0.0] if is_share else [])
    low, high = y_range or _limits([*shown, np.array(beside)])
    left, right = x_range or _extent([c.x for c in curves])

    def across(x: float) -> float:
        return 100 * (x - left) / (right - left)

    def down(y: float) -> float:
        return 100 * (high - y) / (high - low)

    def placed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return UNIT * (x - left) / (right - left), UNIT * (high - y) / (high - low)

    def path(x: np.ndarray, y: np.ndarray) -> str:
        return _path(*placed(x, y))

    name = _percent if is_share else short
    return Chart(
        title=title,
        bands=tuple(
            SvgPath(f"{c.look} band", _closed(path(c.x, c.low), path(c.x[::-1], c.high[::-1])))
            for c in curves
            if c.low is not None and c.high is not None
        ),
        lines=tuple(SvgPath(c.look, path(c.x, c.y)) for c in curves),
        marks=tuple(
            SvgPath(c.look, _points(*placed(c.marks, np.interp(c.marks, c.x, c.y))))
            for c in curves
            if c.marks is not None and len(c.marks)
        ),
        x_ticks=tuple(Tick(across(x), short(x)) for x in ticks(left, right, num_ticks)),
        y_ticks=tuple(Tick(down(y), name(y)) for y in ticks(low, high, num_ticks)),
        dots=tuple(Dot(across(x), down(y), name) for x, y, name in dots),
        level=None if level is None else Tick(down(level[0]), level[1]),
        x_range=(left, right),
    )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, with `most` steps between them or fewer.

    >>> ticks(0, 100_000)
    [0.0, 20000.0, 40000.0, 60000.0, 80000.0, 100000.0]
    >>> ticks(-0.1, 0.71)
    [0.0, 0.2, 0.4, 0.6]
    """
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first <= most:
            return [round(k * step, 12) for k in range(first, last + 1)]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


def _extent(parts: list[np.ndarray]) -> tuple[float, float]:
    """From the lowest to the highest value; from 0 where all are one, and to 1 where that is 0."""
    values = np.concatenate([np.zeros(0), *parts])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (0.0, 1.0)


def _limits(parts: list[np.ndarray]) -> tuple[float, float]:
    """With some air; from 0 where that is near, and never below 0 for what never is."""
    low, high = _extent(parts)
    air = 0.06 * (high - low)
    is_near_zero = 0 <= low < max(0.4 * high, air)
    return (0.0 if is_near_zero else low - air), high + air


def _path(x: np.ndarray, y: np.ndarray) -> str:
    words, pen = [], "M"
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if math.isfinite(a) and math.isfinite(b):
            words.append(f"{pen}{a:.1f} {b:.1f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def _points(x: np.ndarray, y: np.ndarray) -> str:
    """Lines of no length: round ends make dots of them, which no stretching turns into ellipses."""
    places = zip(x.tolist(), y.tolist(), strict=True)
    return "".join(f"M{a:.1f} {b:.1f}h0" for a, b in places if math.isfinite(a + b))


def _closed(there: str, back: str) -> str:
    return f"{there}{back.replace('M', 'L', 1)}Z" if there and back else ""
