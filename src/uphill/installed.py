"""What is installed."""

from functools import cache
from importlib import metadata


@cache  # it reads a file each time, and every checkpoint asks
def version(name: str) -> str:
    """The version of an installed package.

    Raises:
        importlib.metadata.PackageNotFoundError: if it is not installed.
    """
    return metadata.version(name)
