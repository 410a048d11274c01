"""What a person sees while training: a live picture in a terminal, a plain line elsewhere."""

import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uphill.runs.milestones import UNTRAINED, Milestone, title
from uphill.sessions.display.readings import Curve, View, header, middle
from uphill.words import duration, number

if TYPE_CHECKING:
    from rich.console import Console

EVERY = 5.0
"""Seconds between two plain lines."""
REFRESHES = 5
"""Pictures a second in a terminal."""


class Progress:
    """Shows how far training is, how fast and how well, on stderr.

    In a terminal it is a picture that changes (`dashboard`); elsewhere a plain line every few
    seconds. `total` are the steps of one seed, `seeds` their numbers. What is shown is taken in
    here, which costs microseconds, and drawn by a thread.
    """

    def __init__(
        self,
        total: int,
        quiet: bool = False,
        seeds: Sequence[int] = (0,),
        console: "Console | None" = None,
    ) -> None:
        self._stream = sys.stderr
        self._quiet, self._console = quiet, console
        self._started = self._last = time.monotonic()
        self._live: Any = None
        self._view = View(total, tuple(seeds), started=self._started)
        self._curve = Curve()
        self._reached: dict[str, set[int]] = {}

    def say(self, text: str) -> None:
        """One line that stays."""
        self._print(text)

    def start(self) -> None:
        """Begin to draw, where there is a terminal that can."""
        if self._quiet or not (self._console or self._stream.isatty()):
            return
        from rich.console import Console
        from rich.live import Live

        from uphill.sessions.display.dashboard import Dashboard

        console = self._console or Console(file=self._stream)
        if console.is_dumb_terminal or console.options.ascii_only:
            return
        self._live = Live(
            get_renderable=lambda: Dashboard(self._view, self._curve),
            console=console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # a pipe shall get what is printed to it
        )
        self._live.start()

    def show(
        self, steps: Sequence[int], returns: Sequence[float | None], steps_per_second: float
    ) -> None:
        """Where training is: the steps of each seed, the mean return of its last episodes (None
        before the first), and the speed of all seeds together."""
        now = time.monotonic()
        self._view = replace(
            self._view,
            steps=tuple(steps),
            returns=tuple(returns),
            steps_per_second=steps_per_second,
            shown=now,
        )
        if self._live is None and not self._quiet and now - self._last >= EVERY:
            self._last = now
            print(_plain(self._view, now), file=self._stream, flush=True)

    def point(self, returns: Sequence[float | None]) -> None:
        """A point of the learning curve: each seed's mean return of a logging window."""
        self._curve = self._curve.add(returns)

    def recall(
        self, points: Iterable[Sequence[float | None]], milestones: Iterable[Milestone]
    ) -> None:
        """Take in what a run came to before it was resumed, and tell nothing of it."""
        for returns in points:
            self.point(returns)
        for milestone in milestones:
            self._mark(milestone)

    def milestone(self, milestone: Milestone, is_tuned: bool = False) -> None:
        """Tell when the first seed and when the last one comes to a milestone: so many lines stay,
        however many seeds there are. How a training began is no news. `is_tuned` is one that began
        with another run's policy."""
        seeds, count = self._view.seeds, self._mark(milestone)
        if milestone.name == UNTRAINED or count not in (1, len(seeds)):
            return
        when = f"{milestone.steps:,} steps · {duration(milestone.seconds)}"
        if count > 1:
            self._print(f"{when} · all {count} seeds: {title(milestone.name, is_tuned)}", "★")
            return
        who = f"seed {seeds[milestone.seed_index]}"
        reached = f"{title(milestone.name, is_tuned)} (return {number(milestone.episode_return)})"
        self._print(f"{when} · {who}: {reached}", "★")

    def _mark(self, milestone: Milestone) -> int:
        """How many seeds have come to it by now."""
        reached = self._reached.setdefault(milestone.name, set())
        reached.add(milestone.seed_index)
        if milestone.name != UNTRAINED:
            self._view = replace(self._view, stars=(*self._view.stars, milestone.seed_index))
        return len(reached)

    def stop(self) -> None:
        """Leave the terminal as it was; a last look at the learning curve stays."""
        if self._live is None:
            return
        from uphill.sessions.display.dashboard import LastLook

        live, self._live = self._live, None
        live.stop()
        live.console.print(LastLook(self._view, self._curve))

    def _print(self, text: str, star: str = "") -> None:
        line = f"{star} {text}" if star else text
        if self._quiet:
            return
        if self._live is None:
            print(line, file=self._stream, flush=True)
            return
        from rich.text import Text

        shown = Text.assemble((star, "yellow"), line.removeprefix(star))
        self._live.console.print(shown, highlight=False, soft_wrap=not star)


def _plain(view: View, now: float) -> str:
    """`return 87.3 · 6 k of 1 M steps · 1 k steps/s · 994 s left`."""
    known = view.known_returns
    shown = f"return {number(middle(known))}" if known else "return –"
    return " · ".join([shown, *header(view, now)[1:]])
