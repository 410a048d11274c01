"""`uphill compare`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import aligned, print_line, say, stdout_for
from uphill.cli.parsing import JsonOption, parse
from uphill.studies.comparisons import ERROR, MAX_SEEDS
from uphill.words import INTERVAL, number, percent, span


@dataclass(frozen=True, kw_only=True)
class CompareOptions(JsonOption):
    """Compare runs of one environment by the final policies of their seeds: the interquartile mean
    (IQM) of each, the difference of each pair, and the probability that a seed of one scores above
    one of the other, with 95 % intervals. `uphill report RUN RUN` makes a page of the same runs,
    with curves and settings; this prints the numbers, and adds seeds where the existing ones can't
    decide."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN RUN [RUN …]")]
    """Run directories: what `uphill train` shows as run."""
    until_decided: bool = False
    """Train further seeds of each run, in run directories next to it, until a sequential test says
    which is better. The same command continues after Ctrl-C."""
    max_seeds: int = MAX_SEEDS
    """Seeds of each run at which --until-decided gives up."""
    error: float = ERROR
    """The error probability of --until-decided: of finding a difference between two runs that are
    alike."""
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and custom parts name, to train further
    seeds."""
    quiet: bool = False
    """Show nothing while training."""


def command(argv: list[str]) -> None:
    """Compare runs, and print the results."""
    options = parse(CompareOptions, argv, "uphill compare")
    if len(options.runs) < 2:
        missing = "RUN RUN is" if not options.runs else "A second RUN is"
        raise WrongCommandLine(f"{missing} missing: write `uphill compare RUN RUN`.")
    from uphill.run import load
    from uphill.studies.comparisons.compare import compare

    given = vars(options)
    paths, allow_import, is_json = (given.pop(name) for name in ("runs", "allow_import", "json"))
    with stdout_for(is_json) as show:
        runs = [load(path, allow_import=allow_import) for path in paths]
        result = compare(*runs, **given)
        if is_json:
            show(result)
        else:
            _show(result)


def _show(result: dict[str, Any]) -> None:
    rows = result["runs"]
    names = [_short(row["name"]) for row in rows]
    print(f"{result['env']}: final policies, {result['episodes']} episodes of each seed\n")
    for line in _table(rows, names):
        print(line)
    for pair in result["pairs"]:
        print()
        for what, text in _said(pair, result["until_decided"]):
            print_line(what, text)
    print()
    for line in _per_seed(rows, names):
        print(line)
    if result["remarks"]:
        print()
    for remark in result["remarks"]:
        say(remark)


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    width = max(map(len, names))
    head = ("seeds", "steps", "IQM", INTERVAL, "worst seed", "best seed")
    cells = [
        (
            str(len(row["per_seed"])),
            span(row["steps"]),
            number(row["iqm"]),
            " to ".join(map(number, row["ci95"])),
            number(min(row["per_seed"].values())),
            number(max(row["per_seed"].values())),
        )
        for row in rows
    ]
    for name, columns in zip(("", *names), aligned([head, *cells]), strict=True):
        yield f"{name:{width}}  {columns}"


def _said(pair: dict[str, Any], plan: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    from uphill.views.scores import said  # imports NumPy, for which --help shouldn't wait

    x, y = pair["x"], pair["y"]
    iqm, better = pair["difference"], pair["improvement"]
    difference = _with_interval(iqm["iqm"], iqm["ci95"], number)
    yield "difference", f"IQM of {x} − IQM of {y} = {difference}"
    probability = _with_interval(better["probability"], better["ci95"], "{:.2f}".format)
    yield "better", f"P({x} > {y}) = {probability}"
    if plan is None:
        yield "", f"{said({'x': x, 'y': y, **better})}."
    elif pair["decided"]:
        found = pair["decided"]
        yield (
            "decided",
            f"{found['better']} is better, which {found['seeds']} seeds of each decided (with an "
            f"error of at most {percent(plan['error'])})",
        )
    else:
        yield (
            "undecided",
            f"{pair['seeds']} seeds of each don't tell them apart; --max-seeds {plan['next_look']} "
            "goes on",
        )


def _with_interval(value: float, interval: Sequence[float], show: Callable[[float], str]) -> str:
    low, high = map(show, interval)
    return f"{show(value)}, {INTERVAL} {low} to {high}"


def _per_seed(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Iterator[str]:
    """A column for each seed, in as many tables as the width needs."""
    seeds = sorted({int(seed) for row in rows for seed in row["per_seed"]})
    texts = [[_score(row["per_seed"].get(str(seed))) for seed in seeds] for row in rows]
    lines = [("seed", [str(seed) for seed in seeds]), *zip(names, texts, strict=True)]
    first = max(len(name) for name, _ in lines)
    each = max(len(text) for _, row in lines for text in row) + 2
    at_once = max(1, (_WIDTH - first) // each)
    for start in range(0, len(seeds), at_once):
        for name, row in lines:
            columns = (f"{text:>{each}}" for text in row[start : start + at_once])
            yield f"{name:{first}}{''.join(columns)}"


def _score(score: float | None) -> str:
    return "–" if score is None else number(score)


def _short(name: str) -> str:
    """A name in a table; of a long one only the end, which differs most."""
    return name if len(name) <= _LONGEST else f"…{name[1 - _LONGEST :]}"


_WIDTH, _LONGEST = 79, 22
