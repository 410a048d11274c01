"""What a person sees while training: a live line in a terminal, a plain one elsewhere."""

import sys
import time
from typing import Any

from uphill.runs.milestones import UNTRAINED, Milestone, title


class Progress:
    """Shows return, steps per second and the time left, on stderr.

    In a terminal it is one line that changes; elsewhere a plain line every few seconds. `total` are
    the steps of one seed.
    """

    def __init__(self, total: int, quiet: bool = False, num_seeds: int = 1) -> None:
        self._stream = sys.stderr
        self._quiet, self._total, self._num_seeds = quiet, total, num_seeds
        self._every, self._last = 5.0, time.monotonic()
        self._told: set[str] = set()
        self._live: Any = None
        self._task: Any = None

    def say(self, text: str) -> None:
        """One line that stays."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, file=self._stream, flush=True)

    def start(self) -> None:
        if self._quiet or not self._stream.isatty():
            return
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self._live = RichProgress(
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            TextColumn("left"),
            console=Console(file=self._stream),
            transient=True,
        )
        self._task = self._live.add_task("compiling …", total=self._total)
        self._live.start()

    def show(self, steps: int, mean_return: float | None, steps_per_second: float) -> None:
        """Where training is: `steps` of one seed, `steps_per_second` of all seeds together."""
        shown = "return –" if mean_return is None else f"return {mean_return:.1f}"
        done, speed = f"{_short(steps)} of {_short(self._total)}", _short(steps_per_second)
        text = f"{shown} · {done} steps · {speed} steps/s"
        if self._live is not None:
            self._live.update(self._task, completed=steps, description=text)
        elif not self._quiet and time.monotonic() - self._last >= self._every:
            self._last = time.monotonic()
            left = (self._total - steps) * self._num_seeds / max(steps_per_second, 1e-9)
            print(f"{text} · {left:.0f} s left", file=self._stream, flush=True)

    def milestone(self, milestone: Milestone) -> None:
        """Tell of a milestone: of several seeds, the first that reaches it."""
        if milestone.name in self._told or milestone.name == UNTRAINED:
            return
        self._told.add(milestone.name)
        who = f" (seed index {milestone.seed_index})" if self._num_seeds > 1 else ""
        self.say(
            f"★ {_short(milestone.steps)} steps, {milestone.seconds:.1f} s: "
            f"{title(milestone.name)}, return {milestone.episode_return:.1f}{who}"
        )

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None


def _short(number: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f}"
