"""The recent speed of training, and how long the rest takes at that speed."""

from collections.abc import Sequence
from dataclasses import dataclass

LEAST, SHARE = 1.0, 0.2
"""Of late: the last fifth of the time so far, and never less than a second."""
MARKS = 50
"""The approximate number of marks in that time, however often one is offered."""


@dataclass(frozen=True)
class Mark:
    """Where training was."""

    seconds: float
    """of training; what it waited for is not counted"""
    steps: tuple[int, ...]
    """of each seed"""


@dataclass(frozen=True)
class Pace:
    """The way of late: its first mark is the last one before that time, its last one is now.

    The start of a training says little of its rest: other programs are still being compiled on the
    same cores then, and episodes are short.
    """

    start: float = 0.0
    marks: tuple[Mark, ...] = ()

    def add(self, seconds: float, steps: Sequence[int]) -> "Pace":
        """With the place where training is now."""
        new = Mark(seconds, tuple(steps))
        if not self.marks or len(steps) != len(self.marks[-1].steps):  # a seed has stopped
            return Pace(seconds, (new,))
        length = max(LEAST, SHARE * (seconds - self.start))
        kept = self.marks
        if len(kept) > 2 and kept[-1].seconds - kept[-2].seconds < length / MARKS:
            kept = kept[:-1]  # so near to the one before that it only says where training was
        first = max((k for k, m in enumerate(kept) if m.seconds <= seconds - length), default=0)
        return Pace(self.start, (*kept[first:], new))

    @property
    def speeds(self) -> tuple[float, ...]:
        """Steps a second of each seed; none before there are two marks."""
        if len(self.marks) < 2:
            return ()
        old, new = self.marks[0], self.marks[-1]
        seconds = max(new.seconds - old.seconds, 1e-9)
        return tuple((b - a) / seconds for a, b in zip(old.steps, new.steps, strict=True))

    def seconds_left(self, total: int) -> float | None:
        """How long it takes until the last seed has `total` steps: seeds learn side by side, and
        an update takes as long for the last one as for all. None in the first second: the first
        updates are no measure."""
        if self.marks[-1].seconds - self.start < LEAST:
            return None
        rests = [max(total - steps, 0) for steps in self.marks[-1].steps]
        speeds = self.speeds or (0.0,) * len(rests)
        behind = [(rest, speed) for rest, speed in zip(rests, speeds, strict=True) if rest]
        if not all(speed for _, speed in behind):
            return None
        return max((rest / speed for rest, speed in behind), default=0.0)
