"""`uphill tune`: a search for settings, and the winner's results on fresh seeds."""

import shlex
from dataclasses import dataclass
from typing import Any

from tyro.conf import UseAppendAction

from uphill.cli.commands.train import TrainOptions, asked_for
from uphill.cli.output import aligned, say, stdout_for
from uphill.runs.studies import TuneSettings
from uphill.words import INTERVAL, count, number


@dataclass(frozen=True, kw_only=True)
class TuneOptions(TuneSettings, TrainOptions):
    """Search for better settings of an algorithm: each trial is trained over several seeds, and the
    winner is trained on fresh ones beside the default. The same command with the same --out
    continues where it stopped. Needs Optuna: pip install 'uphill[tune]'."""

    search: UseAppendAction[tuple[str, ...]] = ()
    """FIELD=LOW:HIGH, FIELD=LOW:HIGH:log or FIELD=VALUE,VALUE: what is searched of a setting,
    instead of its default range; a single VALUE fixes it. Can be given several times."""


def command(argv: list[str]) -> None:
    """Search, and print the results of the winner."""
    given, start = asked_for(argv, TuneOptions, "tune")
    from uphill.studies.tuning.space import parse_search
    from uphill.studies.tuning.tune import TuneRequest, tune_of

    is_json = given.pop("json")
    given["search"] = parse_search(given["search"])
    with stdout_for(is_json) as show:
        tuning = tune_of(TuneRequest(**given), start)
        if is_json:
            show(tuning.summary())
        else:
            _show(tuning)


def _show(tuning: Any) -> None:
    from uphill.theory.statistics import few_seeds
    from uphill.views.labels import setting_of

    table = [["", "IQM", INTERVAL, "worst seed"]]
    is_default = tuning.winner == tuning.default
    for row in [tuning.winner] if is_default else [tuning.winner, tuning.default]:
        low, high = map(number, row.ci95)
        table.append([row.run, number(row.iqm), f"{low} to {high}", number(row.worst)])
    for line in aligned(table):
        print(line)
    probability, (low, high) = tuning.p_better
    env = tuning.runs[0].experiment.env
    by = ", by the areas under learning curves" if tuning.objective == "curve" else ""
    said = [
        f"P(winner > default) {probability:.2f} ({low:.2f} to {high:.2f}), over "
        f"{count(len(tuning.winner.per_seed), 'seed')} that no trial had.",
        f"Winner of {count(len(tuning.trials), 'trial')}{by}: {setting_of(tuning.setting)}.",
        f"{tuning.settings}  (uphill train {shlex.quote(env)} --settings "
        f"{shlex.quote(str(tuning.settings))})",
    ]
    if is_default:
        said = ["No trial came to more than the default.", *said[2:]]
    elif low <= 0.5:
        said.insert(1, "So the winner may be no better: more trials or steps may find one.")
    for line in (*said, few_seeds(len(tuning.winner.per_seed))):
        if line:
            say(line)
