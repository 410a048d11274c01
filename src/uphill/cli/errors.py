"""What a wrong command line raises."""

from uphill.errors import UphillError


class WrongCommandLine(UphillError):
    """Arguments that say nothing that could be done."""
