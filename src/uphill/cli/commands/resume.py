"""`uphill resume`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.output import stdout_for
from uphill.cli.parsing import parse


@dataclass(frozen=True)
class ResumeOptions:
    """Go on with a run where its latest checkpoint stands."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory: what `uphill train` shows as run."""
    steps: int | None = None
    """Train up to this many steps instead: extends a run, also a finished one. Schedules then
    follow the longer training: a learning rate that had come to its end is higher again."""
    step_timeout: float | None = None
    """Seconds that a step of an environment in a process of its own may take from now on."""
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and parts of your own name."""
    quiet: bool = False
    """Show nothing while training."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def command(argv: list[str]) -> None:
    """Go on with a run, and show how well the final policies do."""
    options = parse(ResumeOptions, argv, "uphill resume")
    from uphill.run import resume

    with stdout_for(options.json) as show:
        run = resume(
            options.run,
            steps=options.steps,
            step_timeout=options.step_timeout,
            allow_import=options.allow_import,
            quiet=options.quiet,
        )
        show(run.summary(), has_films=run.has_films())
