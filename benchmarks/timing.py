"""Fair comparison of two programs: in one process, alternating, as a ratio with its spread."""

import statistics
import time
from collections.abc import Callable


def seconds(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def alternate(
    ours: Callable[[], None], other: Callable[[], None], steps: int, rounds: int = 7
) -> str:
    """Steps per second of both, and the ratio ours / other over pairs, after a warm-up of each."""
    ours()
    other()
    pairs = [(steps / seconds(ours), steps / seconds(other)) for _ in range(rounds)]
    ratios = sorted(a / b for a, b in pairs)
    mine, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
    return (
        f"{mine / 1e3:,.0f} k steps/s against {theirs / 1e3:,.0f} k; "
        f"ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
    )


def rates(run: Callable[[], int], rounds: int = 5) -> str:
    """Steps per second of a function that returns its number of steps."""
    run()
    measured = []
    for _ in range(rounds):
        start = time.perf_counter()
        steps = run()
        measured.append(steps / (time.perf_counter() - start) / 1e3)
    measured.sort()
    middle = statistics.median(measured)
    return f"{middle:,.0f} k steps/s ({measured[0]:,.0f} to {measured[-1]:,.0f})"
