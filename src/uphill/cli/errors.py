"""The error for a wrong command line."""

from uphill.errors import UphillError


class WrongCommandLine(UphillError):
    """The arguments make no valid command."""
