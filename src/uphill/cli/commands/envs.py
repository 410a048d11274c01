"""`uphill envs`."""

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from uphill.cli.parsing import parse
from uphill.errors import UphillError
from uphill.words import count, for_terminal
from uphill.words import listed as listed_in_words


@dataclass(frozen=True)
class EnvsOptions:
    """List environments that train here, and the backend that runs each: `compiled` worlds are the
    fastest, then `envpool`, then `gymnasium`. Your own train as well, listed or not: any that is
    registered with Gymnasium."""

    pattern: Annotated[Positional[str], arg(metavar="PATTERN")] = ""
    """Show those whose name contains this, in capitals or not."""


def command(argv: list[str]) -> None:
    """List environments, with their backends."""
    options = parse(EnvsOptions, argv, "uphill envs")
    from uphill.envs.make import known_environments

    listed = known_environments(options.pattern)
    if not listed:
        raise UphillError(f"No environment's name contains {options.pattern!r}. {_MORE}")
    width = max(len(name) for name in listed)
    for name, backend in listed.items():
        print(f"{name:{width}}  {backend}")
    sys.stdout.flush()
    counts = [f"{n:,} {backend}" for backend, n in Counter(listed.values()).items()]
    told = f"{count(len(listed), 'environment')}: {listed_in_words(counts)}. {_MORE}"
    print(for_terminal(told, sys.stderr, 0), file=sys.stderr)


_MORE = (
    "Others train as well: `uphill train my_module:ID` imports the module that registers ID with "
    "Gymnasium, and uphill.train takes a callable that makes an environment."
)
