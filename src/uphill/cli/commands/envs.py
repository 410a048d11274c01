"""`uphill envs`."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.parsing import parse
from uphill.errors import UphillError


@dataclass(frozen=True)
class EnvsOptions:
    """List environments, and the backend that runs each."""

    pattern: Annotated[Positional[str], arg(metavar="PATTERN")] = ""
    """Show those whose name contains this."""


def command(argv: list[str]) -> None:
    """List environments, with their backends."""
    options = parse(EnvsOptions, argv, "uphill envs")
    from uphill.envs.make import known_environments

    listed = known_environments(options.pattern)
    if not listed:
        raise UphillError(f"No environment's name contains {options.pattern!r}.")
    width = max(len(name) for name in listed)
    for name, backend in listed.items():
        print(f"{name:{width}}  {backend}")
