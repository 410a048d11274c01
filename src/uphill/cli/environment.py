"""The flags of commands that play in an environment without training in it."""

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from uphill.cli.parsing import JSON_OBJECT
from uphill.runs.settings import BackendName


@dataclass(frozen=True)
class EnvironmentOptions:
    """An environment, and how it is made."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    backend: BackendName = "auto"
    """What runs the environment; by default the fastest backend that supports it."""
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
