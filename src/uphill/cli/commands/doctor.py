"""`uphill doctor`."""

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from uphill.cli.output import stdout_for
from uphill.cli.parsing import JSON_OBJECT, parse, take_env_kwargs
from uphill.runs.settings import BackendName


@dataclass(frozen=True)
class DoctorOptions:
    """Examine an environment that an agent does not learn in: play it at random and with constant
    actions, play episodes again, train briefly; then say what is wrong, and how to fix it."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    backend: BackendName = "auto"
    """What would run the environment in training; by default the fastest backend that supports
    it."""
    max_episode_steps: int | None = None
    """Truncate episodes after this many steps, in place of the environment's own time limit."""
    wrappers: Annotated[UseAppendAction[tuple[str, ...]], arg(name="wrapper")] = ()
    """Wrap the environment, as `uphill train` does; repeatable."""
    drop_observations: Annotated[
        UseAppendAction[tuple[str, ...]], arg(name="drop-observation")
    ] = ()
    """Leave a key of a Dict observation out; repeatable."""
    reset_options: Annotated[dict[str, Any] | None, JSON_OBJECT] = None
    """The options that are passed to every reset of the environment."""
    seed: int = 0
    """Seed of all random numbers."""
    steps: int | None = None
    """Steps of the brief training, by default as many as fit into some seconds; 0 for none."""
    quiet: bool = False
    """Don't report progress."""
    json: bool = False
    """Print facts and findings as one JSON object on stdout."""


def command(argv: list[str]) -> None:
    """Examine an environment, and say what is wrong and how to fix it."""
    argv, env_kwargs = take_env_kwargs(argv)
    options = parse(DoctorOptions, argv, "uphill doctor")
    from uphill.doctor.examine import examine

    with stdout_for(options.json) as show:
        examination = examine(
            options.env,
            options.backend,
            env_kwargs=env_kwargs,
            max_episode_steps=options.max_episode_steps,
            wrappers=options.wrappers,
            drop_observations=options.drop_observations,
            reset_options=options.reset_options,
            seed=options.seed,
            steps=options.steps,
            quiet=options.quiet,
        )
        if options.json:
            show(examination.result())
        else:
            print(examination)
