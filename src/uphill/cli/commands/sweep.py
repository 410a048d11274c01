"""`uphill sweep`: a grid of settings, and a table of their results."""

from dataclasses import dataclass
from typing import Any

from tyro.conf import UseAppendAction

from uphill.cli.commands.train import TrainOptions, asked_for
from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import aligned, say, stdout_for
from uphill.runs.studies import SweepSettings
from uphill.words import INTERVAL, call, count

MOST_ROWS = 15
"""Rows of the table in a terminal: what else is on its screen fits beside them."""


@dataclass(frozen=True, kw_only=True)
class SweepOptions(SweepSettings, TrainOptions):
    """Train every setting of a grid over several seeds, and compare them: a run directory for each
    in one folder, a table and a picture. In compiled worlds the settings train side by side. The
    same command with the same --out continues where it stopped."""

    grid: UseAppendAction[tuple[str, ...]] = ()
    """FIELD=VALUE,VALUE: a setting that varies, by the name of its flag, and its values; can be
    given several times; all combinations are trained."""


def command(argv: list[str]) -> None:
    """Train a grid of settings, and print the results of each."""
    given, start = asked_for(argv, SweepOptions, "sweep")
    from uphill.studies.sweeps.grid import parse_grid
    from uphill.studies.sweeps.plan import SweepRequest
    from uphill.studies.sweeps.sweep import sweep_of

    is_json = given.pop("json")
    given["grid"] = parse_grid(given["grid"])
    words = {word.partition("=")[0].replace("_", "-") for word in argv}
    for path in given["grid"]:
        if (flag := f"--{path.replace('_', '-')}") in words:
            raise WrongCommandLine(
                f"{flag} is in the grid, and has a value of its own: leave one out."
            )
    with stdout_for(is_json) as show:
        sweep = sweep_of(SweepRequest(**given), start)
        if is_json:
            show({"sweep": str(sweep.path), "picture": str(sweep.picture), "settings": sweep.table})
        else:
            _show(sweep)


def _show(sweep: Any) -> None:
    """The best settings, and where the rest is to be found."""
    from uphill.theory.statistics import few_seeds
    from uphill.views.sweeps import ranked, sweep_table

    rows = ranked(sweep.rows)
    seeds = max((len(row.per_seed) for row in rows), default=0)
    for line in aligned(sweep_table(rows[:MOST_ROWS])):
        print(line)
    if len(rows) > MOST_ROWS:
        print(f"… and {count(len(rows) - MOST_ROWS, 'setting')} below, in the report.")
    for row in [row for row in rows if row.fault][:3]:
        say(f"{row.run} failed: {row.fault}")
    if lost := sum(row.diverged > 0 for row in rows):
        say(f"Learning diverged on seeds of {count(lost, 'setting')}.")
    if stopped := sum(row.stopped > 0 for row in rows if not row.fault):
        say(f"Seeds of {count(stopped, 'setting')} stopped: their numbers were not finite.")
    say(
        f"Returns of final policies: interquartile mean over {count(seeds, 'seed')} and {INTERVAL}."
    )
    if remark := few_seeds(seeds):
        say(remark)
    say(f"{sweep.path}  (sweep.png shows how returns depend on the settings)")
    say(call("report", sweep.path))
