"""`uphill sensitivity`: how much algorithms depend on tuning, over several environments."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import aligned, say, stdout_for
from uphill.cli.parsing import JsonOption, parse
from uphill.runs.studies import SensitivitySettings
from uphill.words import call


@dataclass(frozen=True, kw_only=True)
class SensitivityOptions(SensitivitySettings, JsonOption):
    """How much algorithms depend on tuning: every setting of a grid is trained in every
    environment. What scores best in each is compared with the one setting that is best for all
    (hyperparameter sensitivity and effective dimension, docs/sensitivity.md), which is trained
    again on fresh seeds beside the default. The same command with the same --out continues where it
    stopped."""

    envs: Annotated[Positional[tuple[str, ...]], arg(metavar="ENV ENV [ENV …]")]
    """Environments, at least two: IDs, or module:ID to import a module that registers one."""
    algo: UseAppendAction[tuple[str, ...]] = ()
    """Algorithm (`uphill algos`); can be given several times."""
    grid: UseAppendAction[tuple[str, ...]] = ()
    """FIELD=VALUE,VALUE: a setting that varies, by the name of its flag, and its values; can be
    given several times. Without it, up to four settings of each algorithm vary, with the default
    and two values about it for each."""
    out: Path | None = None
    """Folder to make; by default one in ./runs."""


def command(argv: list[str]) -> None:
    """Study how much algorithms depend on tuning, and print the results."""
    options = parse(SensitivityOptions, argv, "uphill sensitivity")
    if len(options.envs) < 2 or not options.algo:
        missing = "--algo" if len(options.envs) >= 2 else "A second ENV" if options.envs else "ENV"
        how = "uphill sensitivity ENV ENV --algo ALGO"
        raise WrongCommandLine(f"{missing} is missing: write `{how}`.")
    from uphill.studies.sensitivity.study import sensitivity
    from uphill.studies.sweeps.grid import parse_grid

    given = vars(options) | {"grid": parse_grid(options.grid), "algorithms": options.algo}
    is_json = given.pop("json")
    del given["algo"]
    with stdout_for(is_json) as show:
        study = sensitivity(**given)
        if is_json:
            show(study.summary())
        else:
            _show(study)


def _show(study: Any) -> None:
    from uphill.views.sensitivity import fresh_table_of, said_of, sensitivity_table

    algorithms = study.result.algorithms
    _print_table(sensitivity_table(algorithms))
    for one in algorithms:
        print()
        say(f"{one.algo}: {said_of(one)}")
        _print_table(fresh_table_of(one))
        say(f"uphill train ENV --settings {shlex.quote(str(study.settings[one.algo]))}")
    print()
    for remark in study.result.remarks:
        say(remark)
    say(f"{study.path}  (sensitivity.png shows it)")
    say(call("report", study.path))


def _print_table(table: list[list[str]]) -> None:
    for line in aligned(table):
        print(line)
