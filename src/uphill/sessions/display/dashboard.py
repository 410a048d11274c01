"""The picture that a terminal shows while training; every line fits its width."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.text import Text

from uphill.sessions.display.readings import (
    Curve,
    View,
    header,
    middle,
    sparkline,
)
from uphill.words import duration, number, short

ROWS = 8
"""The most seeds that have a row of their own."""
WIDEST = 100
_LABEL = 8
_PERCENT, _BAR = 8, 10


@dataclass(frozen=True)
class Dashboard:
    """Something for rich to print: how far, how fast, and how well each seed does."""

    view: View
    curve: Curve

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        now, width = time.monotonic(), min(options.max_width - 1, WIDEST)
        view = self.view
        if not view.steps:
            yield _fitting(Text(f" compiling …  {duration(now - view.started)}", "dim"), width)
            return
        yield _fitting(_header(view, now, width), width)
        for row in _rows(view, self.curve, width, console.height - 3):
            yield _fitting(row, width)


@dataclass(frozen=True)
class LastLook:
    """What stays: the last line of the picture, with the learning curve."""

    view: View
    curve: Curve

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(options.max_width - 1, WIDEST)
        table = self.curve.of_seeds()
        if self.view.known_returns and table.size:
            yield _fitting(_overall(self.view, table, width, _ends(_middles(table))), width)


def _header(view: View, now: float, width: int) -> Text:
    percent, steps, speed, left = header(view, now)
    # In a narrow terminal, what matters most: how long it will take. There is room for the longest
    # words, so that the bar keeps its length while they change.
    room = {steps: 16 + len(short(view.total, " ")), speed: 14, left: 13}
    bar = 0
    for words in ([steps, speed, left], [steps, left], [left]):
        bar = width - _PERCENT - sum(room[word] + 3 for word in words)
        if bar >= _BAR:
            break
    filled = round(max(bar, 0) * view.fraction)
    return Text.assemble(
        (f" {percent:>5}  ", "bold"),
        ("━" * filled, "cyan"),
        ("━" * (bar - filled), "bright_black"),
        ("  " if bar > 0 else "", ""),
        " · ".join(words),
    )


def _rows(view: View, curve: Curve, width: int, height: int) -> Iterator[Text]:
    table = curve.of_seeds()
    if not table.size:
        if view.known_returns:
            yield Text(f" return {number(middle(view.known_returns))}")
        return
    num_seeds = len(view.seeds)
    if num_seeds == 1 or num_seeds > min(ROWS, height):
        yield _overall(view, table, width, _ends(_middles(table)))
        if num_seeds > 1:
            yield _spread(view, width)
        return
    ends = _ends(table)
    for s, seed in enumerate(view.seeds):
        value = view.returns[s]
        # The sign of each milestone stands where the other line has the number of the curve's end.
        count = view.stars.count(s)
        stars = "★" * count if count < _LABEL else f"★ {count}"
        yield _row(f"seed {seed}", value, ("", stars), table[s], width, ends)
    yield _overall(view, table, width, ends)


def _overall(view: View, table: np.ndarray, width: int, ends: tuple[float, float]) -> Text:
    name = "return" if len(view.seeds) == 1 else "IQM"
    labels = (number(ends[0]), number(ends[1]))
    return _row(name, middle(view.known_returns), labels, _middles(table), width, ends)


def _spread(view: View, width: int) -> Text:
    """The returns of all seeds now, the smallest first: as many blocks as seeds, if they fit."""
    returns = np.sort(view.known_returns)
    labels = (number(returns[0]), number(returns[-1]))
    name, ends = f"{len(view.seeds)} seeds", (float(returns[0]), float(returns[-1]))
    return _row(name, None, labels, returns, width, ends, len(returns))


def _row(
    name: str,
    value: float | None,
    labels: tuple[str, str],
    values: np.ndarray,
    width: int,
    ends: tuple[float, float],
    widest: int = WIDEST,
) -> Text:
    shown = "" if value is None else number(value)
    low, high = labels
    has_labels = width >= 40
    rest = width - 19 - (2 * _LABEL + 2 if has_labels else 0)
    blocks = sparkline(values, min(rest, widest), *ends) if rest > 3 else ""
    return Text.assemble(
        f" {name:<9}",
        (f"{shown:>8} ", "bold"),
        (f"{low:>{_LABEL}} " if has_labels else "", "bright_black"),
        (blocks, "cyan"),
        (f" {high}" if has_labels else "", "yellow" if "★" in high else "bright_black"),
    )


def _middles(table: np.ndarray) -> np.ndarray:
    """The interquartile mean over seeds of every point."""
    ordered, cut = np.sort(table, 0), len(table) // 4
    return ordered[cut : len(table) - cut].mean(0)


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _fitting(text: Text, width: int) -> Text:
    """Never more than a line: one that wraps would make the picture jump."""
    text.no_wrap = True
    text.truncate(max(width, 1), overflow="ellipsis")
    return text
