"""`uphill plot`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from uphill.cli.errors import WrongCommandLine
from uphill.cli.output import stdout_for
from uphill.cli.parsing import JsonOption, parse


@dataclass(frozen=True, kw_only=True)
class PlotOptions(JsonOption):
    """Draw learning curves, as PNG and SVG: the interquartile mean over seeds with its 95 %
    bootstrap interval. Several runs share one picture; if they were evaluated on one environment,
    two more show their performance profiles and the probability that one improves on another."""

    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN [RUN …]")]
    """Run directories: what `uphill train` shows as run."""
    against: Literal["steps", "seconds"] = "steps"
    """What the horizontal axis shows: environment steps, or seconds of training."""
    column: str = "rollout/episode_return"
    """Column of metrics.csv to draw."""
    out: Path | None = None
    """Folder for the pictures, or one file, NAME.png or NAME.svg, for the curves only; by default
    the run's, or with several runs a new one in ./plots."""


def command(argv: list[str]) -> None:
    """Draw runs, and print where the pictures are."""
    options = parse(PlotOptions, argv, "uphill plot")
    if not options.runs:
        raise WrongCommandLine("RUN is missing: write `uphill plot RUN`.")
    from uphill.views.plots import plot_runs

    with stdout_for(options.json) as show:
        result = plot_runs(
            options.runs, options.out, against=options.against, column=options.column
        )
        if options.json:
            show(result)
        else:
            show_pictures(result)


def show_pictures(result: dict[str, Any]) -> None:
    """Print what a comparison found, and where its pictures are."""
    for row in result["improvements"]:
        low, high = row["ci95"]
        print(
            f"P({row['x']} > {row['y']}) = {row['probability']:.2f}, "
            f"95 % interval {low:.2f} to {high:.2f}"
        )
    for line in (*result["left_out"], *result["pictures"]):
        print(line)
