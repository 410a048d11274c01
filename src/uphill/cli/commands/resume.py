"""`uphill resume`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.output import stdout_for
from uphill.cli.parsing import parse


@dataclass(frozen=True)
class ResumeOptions:
    """Continue a run from its latest checkpoint."""

    run: Annotated[Positional[Path], arg(metavar="RUN")]
    """Run directory: what `uphill train` shows as run."""
    steps: int | None = None
    """Train up to this many steps in total: extends a run, even a finished one. Schedules then
    follow the longer training: a learning rate that had reached its end is higher again."""
    step_timeout: float | None = None
    """A new time limit in seconds for a step of an environment in a separate process."""
    devices: int | None = None
    """Another number of devices that share each seed's environments."""
    allow_import: bool = False
    """Import the modules that a `module:ID` environment and custom parts name."""
    quiet: bool = False
    """Show nothing while training."""
    json: bool = False
    """Print the result as one JSON object on stdout."""


def command(argv: list[str]) -> None:
    """Continue a run, and print how well the final policies do."""
    options = parse(ResumeOptions, argv, "uphill resume")
    from uphill.run import resume

    with stdout_for(options.json) as show:
        run = resume(
            options.run,
            steps=options.steps,
            step_timeout=options.step_timeout,
            devices=options.devices,
            allow_import=options.allow_import,
            quiet=options.quiet,
        )
        show(run.summary(), has_films=run.has_films())
