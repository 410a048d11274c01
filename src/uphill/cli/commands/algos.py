"""`uphill algos`."""

from dataclasses import dataclass

from uphill.cli.output import print_line
from uphill.cli.parsing import parse


@dataclass(frozen=True)
class AlgosOptions:
    """List the algorithms, and the parts they are made of."""


def command(argv: list[str]) -> None:
    """List algorithms, with their parts."""
    parse(AlgosOptions, argv, "uphill algos")
    from uphill.parts.algorithms import ALGORITHMS
    from uphill.runs.configuration import encode

    for name, make in ALGORITHMS.items():
        parts = encode(make())
        kinds = [value["$type"] for value in parts.values() if isinstance(value, dict)]
        print_line(name, (make.__doc__ or "").splitlines()[0])
        print_line("", " · ".join(kinds))
