"""Line charts as SVG whose colours are the page's, light or dark, at any width.

Positions are shares of the plot, so that it stretches and its text does not. Drawn here and not by
matplotlib, whose import and inline styles a page that is rendered anew every few seconds, and that
forbids inline styles, can't have.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from uphill.words import short

UNIT = 1000
"""Paths are drawn in a square of so many units, which the page stretches."""

Values = Float[np.ndarray, " G"]


@dataclass(frozen=True)
class Line:
    """A line, with a band around it where there is an interval. `look` is its CSS class."""

    x: Values
    y: Values
    look: str = "curve"
    low: Values | None = None
    high: Values | None = None


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
class Stroke:
    """What an SVG path draws, and its CSS class."""

    look: str
    drawn: str


@dataclass(frozen=True)
class Chart:
    """All that the template `chart.svg` draws. Heights are counted from above, as SVG does."""

    title: str
    bands: tuple[Stroke, ...]
    lines: tuple[Stroke, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    dots: tuple[Dot, ...] = ()
    threshold: Tick | None = None
    x_range: tuple[float, float] = (0.0, 1.0)


def line_chart(
    title: str,
    curves: Sequence[Line],
    *,
    threshold: float | None = None,
    dots: Iterable[tuple[float, float, str]] = (),
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    num_ticks: int = 5,
) -> Chart:
    """The chart of some curves; `dots` are (x, y, title). What is not finite leaves a gap."""
    dots = list(dots)
    shown = [part for c in curves for part in (c.y, c.low, c.high) if part is not None]
    marks = [np.array([y for _, y, _ in dots]), np.array([] if threshold is None else [threshold])]
    low, high = y_range or _limits(shown + marks)
    left, right = x_range or _extent([c.x for c in curves])

    def across(x: float) -> float:
        return 100 * (x - left) / (right - left)

    def down(y: float) -> float:
        return 100 * (high - y) / (high - low)

    def path(x: np.ndarray, y: np.ndarray) -> str:
        return _path(UNIT * (x - left) / (right - left), UNIT * (high - y) / (high - low))

    return Chart(
        title=title,
        bands=tuple(
            Stroke(f"{c.look} band", _closed(path(c.x, c.low), path(c.x[::-1], c.high[::-1])))
            for c in curves
            if c.low is not None and c.high is not None
        ),
        lines=tuple(Stroke(c.look, path(c.x, c.y)) for c in curves),
        x_ticks=tuple(Tick(across(x), short(x)) for x in ticks(left, right, num_ticks)),
        y_ticks=tuple(Tick(down(y), short(y)) for y in ticks(low, high, num_ticks)),
        dots=tuple(Dot(across(x), down(y), name) for x, y, name in dots),
        threshold=None if threshold is None else Tick(down(threshold), short(threshold)),
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


def _extent(parts: list[np.ndarray]) -> tuple[float, float]:
    values = np.concatenate([np.zeros(0), *parts])
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _limits(parts: list[np.ndarray]) -> tuple[float, float]:
    """From the lowest to the highest value, with some air; from 0 where that is near."""
    low, high = _extent(parts)
    air = 0.06 * (high - low)
    is_near_zero = 0 <= low < 0.4 * high
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


def _closed(there: str, back: str) -> str:
    return f"{there}{back.replace('M', 'L', 1)}Z" if there and back else ""
