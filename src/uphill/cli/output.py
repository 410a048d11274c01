"""What is printed to stdout: the figures of a result, or a single JSON object."""

import ctypes
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any

from uphill.words import INTERVAL, count, duration, for_terminal, number, span


@contextmanager
def stdout_for(is_json: bool) -> Iterator[Callable[..., None]]:
    """A function that prints a result. With JSON, nothing else may reach stdout: whatever
    environments print, from Python or from C++, goes to stderr."""
    if not is_json:
        yield _show
        return
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield lambda result, **_: _write_all(real, json.dumps(result, allow_nan=False) + "\n")
    finally:
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).fflush(None)  # what C buffered must go to stderr, too
        os.dup2(real, 1)
        os.close(real)


def _write_all(descriptor: int, text: str) -> None:
    with os.fdopen(os.dup(descriptor), "w") as file:
        file.write(text)


def _show(result: dict[str, Any], has_films: bool = True) -> None:
    from uphill.theory.statistics import few_seeds  # imports NumPy, for which --help shouldn't wait

    evaluation = result.get("evaluation", result)
    each = " a seed" if evaluation["interval_over"] == "seeds" else ""
    over = f"{count(evaluation['episodes'], 'episode')}{each}"
    for kind in ("deterministic", "stochastic"):
        e = evaluation[kind]
        mean, iqm, low, high = map(number, (e["mean"], e["iqm"], *e["ci95"]))
        print_line(
            kind,
            f"mean return {mean} over {over}; interquartile mean {iqm}"
            f", {INTERVAL} {low} to {high} over {evaluation['interval_over']}",
        )
    if remark := few_seeds(len(evaluation["deterministic"]["per_seed"])):
        print_line("few seeds", remark)
    if "run" not in result:
        return
    known = [solved for solved in result["solved"] if solved is not None]
    if known:
        print_line("solved", f"{sum(known)} of {count(len(known), 'seed')}")
    if lost := [x for x in result["diverged"] if x]:
        worst = max(lost, key=lambda x: x["largest"])
        who = f"{len(lost)} of {count(len(result['diverged']), 'seed')}"
        grew = f"the largest weight of the {worst['network']} grew to {number(worst['largest'])}"
        print_line("diverged", f"{who}: {grew}")
    if lost := [x for x in result["not_finite"] if x]:
        who = f"{len(lost)} of {count(len(result['not_finite']), 'seed')}"
        first = min(lost, key=lambda x: x["steps"])
        what = f"{first['quantity']} was not finite in update {first['update']:,}"
        print_line("stopped", f"{who}: {what}; the policy is that of before")
    trained, compiling = duration(result["seconds"]), duration(result["compile_seconds"])
    each, all_seeds = (" each", " of all seeds") if result["seeds"] > 1 else ("", "")
    print_line(
        "trained",
        f"{span(result['steps'])} steps{each} in {trained}, of which {compiling} compiling; "
        f"{result['steps_per_second']:,.0f} steps/s{all_seeds}",
    )
    run = shlex.quote(result["run"])
    print_line("run", f"{run}  (curve.png shows the learning curve)")
    print_line("see more", f"uphill report {run}")
    if has_films:
        print_line("", f"uphill record {run} --milestones")


def say(text: str) -> None:
    """Print a sentence, wrapped as the terminal needs it."""
    print(for_terminal(text, sys.stdout))


def aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Columns of one width, what they hold at their right ends."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in table
    ]


_INDENT = 14


def print_line(what: str, text: str, indent: int = _INDENT) -> None:
    """A sentence beside what it is about, wrapped as the terminal needs it."""
    print(for_terminal(f"{what:{indent}}{text}", sys.stdout, indent))
