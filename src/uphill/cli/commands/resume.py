"""`uphill resume`."""

from dataclasses import dataclass

from uphill.cli.output import stdout_for
from uphill.cli.parsing import RunOptions, parse


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(RunOptions):
    """Continue a run from its latest checkpoint."""

    steps: int | None = None
    """Train up to this many steps in total: extends a run, even a finished one. Schedules then
    follow the longer training: a learning rate that had reached its end is higher again."""
    step_timeout: float | None = None
    """A new time limit in seconds for a step of an environment in a separate process."""
    devices: int | None = None
    """Another number of devices that share each seed's environments."""
    quiet: bool = False
    """Show nothing while training."""


def command(argv: list[str]) -> None:
    """Continue a run, and print how well the final policies do."""
    options = parse(ResumeOptions, argv, "uphill resume")
    from uphill.run import resume

    given = vars(options)
    with stdout_for(given.pop("json")) as show:
        run = resume(**given)
        show(run.summary(), has_films=run.has_films())
