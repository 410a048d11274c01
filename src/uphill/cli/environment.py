"""The flags of commands that need an environment."""

from dataclasses import dataclass
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from uphill.cli.parsing import JSON_OBJECT
from uphill.runs.settings import EnvironmentSettings


@dataclass(frozen=True, kw_only=True)
class EnvironmentOptions(EnvironmentSettings):
    """An environment, and how it is made."""

    env: Annotated[Positional[str], arg(metavar="ENV")]
    """Environment: an ID, or module:ID to import a module that registers it. Its keyword arguments
    are given as --env.KEY VALUE."""
    # How these are typed; what they mean stands with the settings.
    wrappers: Annotated[UseAppendAction[tuple[str, ...]], arg(name="wrapper")] = ()
    drop_observations: Annotated[
        UseAppendAction[tuple[str, ...]], arg(name="drop-observation")
    ] = ()
    reset_options: Annotated[dict[str, Any] | None, JSON_OBJECT] = None
