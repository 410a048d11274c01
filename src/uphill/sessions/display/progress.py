"""Progress during training: a live picture in a terminal, a plain line elsewhere."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from uphill.runs.milestones import UNTRAINED, Milestone, title
from uphill.sessions.display.pace import Pace
from uphill.sessions.display.readings import Curve, Pause, View, ending, progress
from uphill.theory.statistics import interquartile_mean
from uphill.words import duration, for_terminal, number, wrapped

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
        self._pause: Callable[[], Pause] = Pause
        self._live: Any = None
        self._is_over = threading.Event()
        self._view = View(total, tuple(seeds), started=time.monotonic())
        self._pace, self._curve = Pace(), Curve()
        self._reached: dict[str, set[int]] = {}

    def say(self, text: str, star: str = "") -> None:
        """One line that stays, behind a star if it has one."""
        line = f"{star} {text}" if star else text
        if self._quiet:
            return
        if self._live is None:
            self._line(line)
            return
        from rich.text import Text

        width = self._live.console.width
        shown = Text.assemble((star, "yellow"), wrapped(line, width).removeprefix(star))
        self._live.console.print(shown, highlight=False, soft_wrap=True)

    def start(self, steps: Sequence[int] = (), pause: Callable[[], Pause] = Pause) -> None:
        """Begin to draw: a picture where there is a terminal that can, else lines. `steps` are
        those that each seed has already; `pause` says what training waits for, whenever it is
        asked."""
        self._pause = pause
        if steps:
            self._pace = self._pace.add(time.monotonic() - pause().total, steps)
        self._begin(self._picture, self.tell)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show what comes after training, such as evaluating, and its seconds."""
        started = time.monotonic()

        def words() -> str:
            return f"{what} {duration(time.monotonic() - started)}"

        def picture() -> Any:
            from rich.text import Text

            return Text(f" {words()}", "dim")

        if not self._begin(picture, lambda: self._line(words())):
            self.say(f"{what.capitalize()} …")
        try:
            yield
        finally:
            self._end()

    @contextmanager
    def rows(self, lines: Callable[[], Iterable[str]]) -> Iterator[None]:
        """Show lines that change, such as one for each task."""

        def picture() -> Any:
            from rich.text import Text

            return Text("\n".join(lines()), "dim", no_wrap=True, overflow="ellipsis")

        def tell() -> None:
            for line in lines():
                self._line(line)

        self._begin(picture, tell)
        try:
            yield
        finally:
            self._end()

    def _begin(self, picture: Callable[[], Any], tell: Callable[[], None]) -> bool:
        """Begin to draw a live picture, or to print lines; whether it is a picture."""
        if self._quiet:
            return False
        console = self._able_console()
        if console is None:
            self._is_over = is_over = threading.Event()
            thread = threading.Thread(
                target=_repeat, args=(tell, is_over), name="uphill-display", daemon=True
            )
            thread.start()
            return False
        from rich.live import Live

        self._live = Live(
            get_renderable=picture,
            console=console,
            refresh_per_second=REFRESHES,
            transient=True,
            redirect_stdout=sys.stdout.isatty(),  # a pipe shall get what is printed to it
        )
        self._live.start()
        return True

    def _end(self) -> Any:
        """Leave the terminal as it was; what drew in it, if anything did."""
        self._is_over.set()
        live, self._live = self._live, None
        if live is not None:
            live.stop()
        return live

    def _able_console(self) -> "Console | None":
        """A terminal that can change what it shows, if there is one."""
        if not (self._console or self._stream.isatty()):
            return None
        from rich.console import Console

        console = self._console or Console(file=self._stream)
        return None if console.is_dumb_terminal or console.options.ascii_only else console

    def _picture(self) -> Any:
        from uphill.sessions.display.dashboard import Dashboard

        return Dashboard(self._view, self._curve, time.monotonic(), self._pause())

    def tell(self) -> None:
        """A plain line about where training is."""
        self._line(_plain(self._view, time.monotonic(), self._pause()))

    def _line(self, text: str) -> None:
        """In one piece, since threads print lines, too."""
        print(f"{for_terminal(text, self._stream)}\n", end="", file=self._stream, flush=True)

    def show(
        self, steps: Sequence[int], returns: Sequence[float | None], ahead: float = 0.0
    ) -> None:
        """Where training is: the steps of each seed that goes on, and the mean return of each one's
        last episodes (None before the first). `ahead` are seconds of pauses that are known of."""
        now = time.monotonic() - self._pause().total
        self._pace = self._pace.add(now, steps)
        left = self._pace.seconds_left(self._view.total)
        self._view = replace(
            self._view,
            steps=tuple(steps),
            returns=tuple(returns),
            steps_per_second=sum(self._pace.speeds),
            left=None if left is None else left + ahead,
            shown=now,
        )

    def point(self, returns: Sequence[float | None]) -> None:
        """A point of the learning curve: each seed's mean return of a logging window."""
        self._curve = self._curve.add(returns)

    def recall(
        self, points: Iterable[Sequence[float | None]], milestones: Iterable[Milestone]
    ) -> None:
        """Take in what a run reached before it was resumed, without printing it."""
        for returns in points:
            self.point(returns)
        for milestone in milestones:
            self._mark(milestone)

    def milestones(self, new: Iterable[Milestone], is_tuned: bool = False) -> None:
        """Print, in order, when the first seed and when the last one reaches a milestone, so that
        the number of lines doesn't grow with the number of seeds. The start of training is not
        reported. `is_tuned` marks a run that started from another run's policy."""
        for milestone in sorted(new, key=lambda m: (m.seconds, m.steps)):
            self._milestone(milestone, is_tuned)

    def _milestone(self, milestone: Milestone, is_tuned: bool) -> None:
        seeds, count = self._view.seeds, self._mark(milestone)
        if milestone.name == UNTRAINED or count not in (1, len(seeds)):
            return
        when = f"{milestone.steps:,} steps · {duration(milestone.seconds)}"
        if count > 1:
            self.say(f"{when} · all {count} seeds: {title(milestone.name, is_tuned)}", "★")
            return
        who = f"seed {seeds[milestone.seed_index]}"
        reached = f"{title(milestone.name, is_tuned)} (return {number(milestone.episode_return)})"
        self.say(f"{when} · {who}: {reached}", "★")

    def _mark(self, milestone: Milestone) -> int:
        """How many seeds have come to it by now."""
        reached = self._reached.setdefault(milestone.name, set())
        reached.add(milestone.seed_index)
        if milestone.name != UNTRAINED:
            self._view = replace(self._view, stars=(*self._view.stars, milestone.seed_index))
        return len(reached)

    def stop(self) -> None:
        """Leave the terminal as it was; a last look at the learning curve stays."""
        live = self._end()
        if live is None:
            return
        from uphill.sessions.display.dashboard import LastLook

        live.console.print(LastLook(self._view, self._curve))


def _repeat(tell: Callable[[], None], is_over: threading.Event) -> None:
    while not is_over.wait(EVERY):
        tell()


def _plain(view: View, now: float, pause: Pause) -> str:
    """`return 87.3 · 6 k of 1 M steps · 1 k steps/s · 994 s left`."""
    if not view.steps:
        return ending(view, now, pause)
    known = view.known_returns
    shown = f"return {number(interquartile_mean(known))}" if known else "return –"
    return " · ".join([shown, *progress(view), ending(view, now, pause)])
