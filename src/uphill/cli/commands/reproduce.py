"""`uphill reproduce`: what a tutorial describes, and its results beside our preset's."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import print_line, say, stdout_for
from uphill.cli.parsing import JsonOption, parse
from uphill.errors import UphillError
from uphill.runs.settings import Runner


@dataclass(frozen=True, kw_only=True)
class ReproduceOptions(Runner, JsonOption):
    """Train what a tutorial describes, with its settings, and our preset beside it; without NAME,
    list the tutorials."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """Which tutorial."""
    env: str | None = None
    """Use only this one of its environments."""
    seeds: int | None = None
    """Seeds for each training; by default 10, and 32 for cartpole-linear."""
    steps: int | None = None
    """Shorten trainings to this many steps: a quick look, which says nothing about any claim."""
    out: Path | None = None
    """Folder for the runs and reproduction.json; by default one in ./runs. Runs that are there
    already are used and continued."""


def command(argv: list[str]) -> None:
    """Repeat what a tutorial describes, and show its claims beside what was measured."""
    options = parse(ReproduceOptions, argv, "uphill reproduce")
    from uphill.studies.reproductions.sources import SOURCES, find_source

    if not options.name:
        _list_sources(SOURCES.values(), options.json)
        return
    try:
        source = find_source(options.name)
    except UphillError as error:
        raise WrongCommandLine(str(error)) from None
    from uphill.studies.reproductions.reproduce import reproduce

    given = vars(options)
    is_json = given.pop("json")
    with stdout_for(is_json) as show:
        _describe_source(source)
        result = reproduce(**given)
        if is_json:
            show(result)
        else:
            _show_reproduction(result)


def _list_sources(sources: Collection[Any], is_json: bool) -> None:
    if is_json:
        with stdout_for(is_json) as show:
            show([{"name": x.name, "envs": x.envs, "about": x.about} for x in sources])
        return
    for source in sources:
        print_line(source.name, f"{', '.join(source.envs)}: {source.about}", indent=17)


def _describe_source(source: Any) -> None:
    print(f"{source.name}: {source.about}.")
    for title, sentences in (
        ("Faults fixed:", source.mended),
        ("Kept, since it is the method:", source.kept),
        ("Chosen here:", source.chosen),
    ):
        print(f"\n{title}")
        for sentence in sentences:
            say(f"- {sentence}")
    sys.stdout.flush()


def _show_reproduction(result: dict[str, Any]) -> None:
    from uphill.studies.reproductions.table import table

    rows = result["results"]
    for env in dict.fromkeys(row["env"] for row in rows):
        own = [row for row in rows if row["env"] == env]
        print(f"\n{env}")
        for row in own:
            if row["claim"] is not None:
                print(f"  {row['method']}: {row['budget']}\n  claimed: {row['claim']}")
        print(f"\n{table(own)}")
        for row in own:
            for name, shares in row["shares"].items():
                each = ", ".join(f"{100 * x:.0f}" for x in shares)
                print(f"{row['method']}: per cent of episodes solved on {name}: {each}")
    steps = result["shortened_to"]
    if steps is not None:
        print(f"\nTrainings were shortened to {steps:,} steps: no figures for any claim.")
    print(f"\n{_ABOUT_RETURNS}\n{result['out']}/reproduction.json")


_ABOUT_RETURNS = """\
Returns are those of final policies over 100 episodes, with the most probable action, and with
sampled ones: the interquartile mean over seeds. Reached in training: on how many seeds the mean of
the last training episodes came to the threshold, and the median of when. Seconds are those of all
seeds together, compiling included."""
