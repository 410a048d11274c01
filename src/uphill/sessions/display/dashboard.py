"""The picture that a terminal shows while training; every line fits its width."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Console, ConsoleOptions
from rich.text import Text

from uphill.sessions.display.readings import (
    Curve,
    Pause,
    View,
    ending,
    progress,
    sparkline,
)
from uphill.theory.statistics import interquartile_mean
from uphill.words import count, duration, number, percent

ROWS = 8
"""The most seeds that have a row of their own."""
WIDEST = 100
_NAME, _RETURN, _STARS = 10, 9, 10
_ENDING, _BAR = 20, 8
_LEAST_CURVE = 8


@dataclass(frozen=True)
class Dashboard:
    """Something for rich to print: how far, how fast, and how well each seed does."""

    view: View
    curve: Curve
    now: float
    pause: Pause

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(options.max_width - 1, WIDEST)
        view, now = self.view, self.now
        if not view.steps:
            yield _fitting(Text(f" {ending(view, now, self.pause)}", "dim"), width)
            return
        yield _fitting(_bar(view, ending(view, now, self.pause), width), width)
        yield _fitting(_words(view, now, width), width)
        for row in _table(view, self.curve, width, console.height - 5):
            yield _fitting(row, width)


@dataclass(frozen=True)
class LastLook:
    """What stays: the learning curve, in a line."""

    view: View
    curve: Curve

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        width = min(options.max_width - 1, WIDEST)
        table = self.curve.of_seeds()
        if not self.view.known_returns or not table.size:
            return
        values, num_seeds = interquartile_mean(table, axis=0), len(self.view.seeds)
        low, high = _ends(values)
        of = "" if num_seeds == 1 else f" (interquartile mean of {num_seeds} seeds)"
        words = f"Return: {number(low)} ", f" {number(high)}, now {number(values[-1])}{of}"
        room = width - sum(map(len, words))
        blocks = sparkline(values, min(max(room, _LEAST_CURVE), 40), low, high)
        yield _fitting(Text.assemble(words[0], (blocks, "cyan"), words[1]), width)


def _bar(view: View, words: str, width: int) -> Text:
    """How much is done and how long the rest takes; heavy and light, so that it says the same
    without colour."""
    start = f" {percent(view.fraction):>5}  "
    length = width - len(start) - _ENDING - 2
    if length < _BAR:
        return Text.assemble((start, "bold"), words)
    filled = round(length * view.fraction)
    return Text.assemble(
        (start, "bold"),
        ("━" * filled, "cyan"),
        ("─" * (length - filled), "bright_black"),
        f"  {words}",
    )


def _words(view: View, now: float, width: int) -> Text:
    """How many steps, how fast, for how long: as much of it as there is room for."""
    words = [*progress(view), f"{duration(now - view.started)} so far"]
    while len(words) > 1 and len(" · ".join(words)) >= width:
        words.pop()
    return Text(f" {' · '.join(words)}")


def _table(view: View, curve: Curve, width: int, height: int) -> Iterator[Text]:
    """A row for each seed, or if they are too many for all, below the heads of the columns."""
    table = curve.of_seeds()
    if not table.size:
        if view.known_returns:
            yield Text(f" return {number(interquartile_mean(view.known_returns))}")
        return
    num_seeds = len(view.seeds)
    if num_seeds > min(ROWS, height):
        middles = interquartile_mean(table, axis=0)
        ends = _ends(middles)
        yield _heads("", ends, width)
        yield _row("IQM", interquartile_mean(view.known_returns), middles, width, ends)
        yield _spread(view, width)
        return
    ends = _ends(table)
    yield _heads("seed", ends, width)
    for s, seed in enumerate(view.seeds):
        stars = view.stars.count(s)
        shown = "★" * stars if stars < _STARS else f"★ {stars}"
        yield _row(str(seed), view.returns[s], table[s], width, ends, shown)
    if num_seeds > 1:
        middles = interquartile_mean(table, axis=0)
        yield _row("IQM", interquartile_mean(view.known_returns), middles, width, ends)


def _heads(first: str, ends: tuple[float, float], width: int) -> Text:
    low, high = map(number, ends)
    length = _curve_length(width)
    curve = f"learning curve, ▁ {low} to █ {high}"
    if len(curve) > length:
        curve = f"▁ {low} to █ {high}"
    milestones = "milestones" if length + _NAME + _RETURN + _STARS < width else ""
    text = f" {first:<{_NAME - 1}}{'return':>{_RETURN - 1}}  {curve:<{length}} {milestones}"
    return Text(text.rstrip(), "bright_black")


def _row(
    name: str,
    value: float | None,
    values: np.ndarray,
    width: int,
    ends: tuple[float, float],
    stars: str = "",
) -> Text:
    shown = "–" if value is None else number(value)
    length = _curve_length(width)
    return Text.assemble(
        f" {name:<{_NAME - 1}}",
        (f"{shown:>{_RETURN - 1}}  ", "bold"),
        (sparkline(values, length, *ends), "cyan"),
        (f" {stars}", "yellow"),
    )


def _curve_length(width: int) -> int:
    """The blocks of a curve: a narrow terminal leaves the stars out."""
    rest = width - _NAME - _RETURN - 1
    return max(rest - _STARS - 1 if rest >= _STARS + 2 * _LEAST_CURVE else rest, 1)


def _spread(view: View, width: int) -> Text:
    """The returns of all seeds now, the smallest first: as many blocks as seeds, if they fit."""
    returns = np.sort(view.known_returns)
    low, high = float(returns[0]), float(returns[-1])
    words = f"  now {number(low)} to {number(high)}"
    length = max(min(len(returns), width - _NAME - _RETURN - 1 - len(words)), 1)
    return Text.assemble(
        f" {count(len(view.seeds), 'seed'):<{_NAME + _RETURN}} ",
        (sparkline(returns, length, low, high), "cyan"),
        (words, "bright_black"),
    )


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _fitting(text: Text, width: int) -> Text:
    """Never more than a line: one that wraps would make the picture jump."""
    text.no_wrap = True
    text.truncate(max(width, 1), overflow="ellipsis")
    return text
