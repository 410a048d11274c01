"""How long the rest takes: trainings by a clock of their own, and what was said on the way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from uphill.sessions.display import Pause, Progress
from uphill.sessions.display.pace import MARKS, Pace

TOTAL = 100_000


@dataclass
class Day:
    """A training as the clock sees it: `speeds` gives the steps a second of each seed at a time,
    `pauses` are what it waits for: (from, to, what)."""

    speeds: Callable[[float], Sequence[float]]
    pauses: Sequence[tuple[float, float, str]] = ()
    chunk: float = 0.3

    def pause_at(self, now: float) -> Pause:
        total = sum(max(min(now, end) - start, 0) for start, end, _ in self.pauses)
        for start, end, what in self.pauses:
            if start <= now < end:
                return Pause(what, now - start, total)
        return Pause(total=total)


STEADY = Day(lambda now: [2_000.0])
CASES = {
    "steady": STEADY,
    "compiles twice": Day(lambda now: [2_000.0], [(0.5, 4.0, "compiling"), (4.5, 14.0, "compil")]),
    "compiles in the middle": Day(lambda now: [2_000.0], [(20.0, 32.0, "compiling")]),
    "several programs, one after the other": Day(
        lambda now: [2_000.0], [(t, t + 2.0, "compiling") for t in (0.2, 2.5, 5.0, 9.0, 13.0)]
    ),
    # The evaluation at the end is being compiled on the same cores.
    "slow at first": Day(lambda now: [700.0 if now < 7.5 else 2_000.0], [(0.5, 3.0, "compiling")]),
    "seeds of their own pace": Day(lambda now: [3_000.0, 1_500.0, 2_200.0]),
    "slow updates": Day(lambda now: [2_000.0], [(0.0, 2.0, "compiling")], chunk=3.0),
    "noise": Day(lambda now: [1_900.0 + 200 * (int(10 * now) % 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_time_left_is_true_within_a_fifth_from_the_tenth_second_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, now = CASES[name], 0.0
    monkeypatch.setattr("uphill.sessions.display.progress.time.monotonic", lambda: now)
    num_seeds = len(day.speeds(0.0))
    progress = Progress(TOTAL, quiet=True, seeds=range(num_seeds))
    progress.start([0] * num_seeds, lambda: day.pause_at(now))
    steps, said, shown_at = [0.0] * num_seeds, [], 0.0
    tick = 0.05
    while min(steps) < TOTAL:
        pause = day.pause_at(now)
        if not pause.what:
            steps = [s + tick * v for s, v in zip(steps, day.speeds(now), strict=True)]
            if now - pause.total - shown_at >= day.chunk:
                shown_at = now - pause.total
                progress.show([int(s) for s in steps], [None] * num_seeds)
            left = progress._view.seconds_left(now, pause)
            if now >= 10.0 and left is not None:
                said.append((now, left))
        now += tick
    assert len(said) > 400  # said most of the time, and not only where it is easy
    for when, left in said:
        waits = sum(max(end - max(when, start), 0) for start, end, _ in day.pauses)
        truth = now - when - waits  # nobody can know of a pause to come
        assert left == pytest.approx(truth, rel=0.2, abs=1.0), when


def test_evaluations_to_come_are_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("uphill.sessions.display.progress.time.monotonic", lambda: now)
    progress = Progress(TOTAL, quiet=True)
    progress.start([0])
    now = 10.0
    progress.show([TOTAL // 2], [None], ahead=7.0)
    assert progress._view.left == 17


def test_a_run_that_goes_on_is_judged_by_what_it_does_now() -> None:
    pace = Pace().add(100.0, [50_000]).add(101.0, [51_000])
    assert pace.speeds == (1_000.0,)
    assert pace.seconds_left(61_000) == 10.0
    assert pace.seconds_left(51_000) == 0.0
    assert Pace().add(0.0, [0]).seconds_left(10) is None
    assert Pace().add(0.0, [0]).add(1.0, [0]).seconds_left(10) is None
    # The first update may be slow: it is no measure yet.
    assert Pace().add(0.0, [0]).add(0.5, [10]).seconds_left(100) is None
    assert Pace().add(0.0, [0]).add(3.0, [10]).seconds_left(100) == 27.0
    # A seed that stopped is not waited for.
    alone = Pace().add(0.0, [0, 0]).add(3.0, [10, 10]).add(4.0, [20]).add(6.0, [40])
    assert alone.seconds_left(100) == 6.0


def test_however_often_it_is_asked_little_is_kept() -> None:
    pace = Pace()
    for k in range(20_000):
        pace = pace.add(0.01 * k, [k])
        assert len(pace.marks) <= 2 * MARKS
    assert pace.speeds[0] == pytest.approx(100.0)
