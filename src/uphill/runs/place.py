"""Paths that lead to the same place even if the current folder changes later."""

import os
from collections.abc import Generator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Only a concrete path can be derived from in Python 3.11.
_Concrete = Path if TYPE_CHECKING else type(Path())


def current_folder() -> str:
    """Where relative paths start; nothing where that folder was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


class Place(_Concrete):
    """A path that is shown as it was given, and opened where it led at that time. An environment
    may call `os.chdir` in this process. So each path from the user becomes a place before any
    foreign code runs, and paths derived from it are places, too.
    """

    current = ""
    """the current folder when it was given"""

    @classmethod
    def of(cls, path: str | PathLike[str]) -> "Place":
        """The place of a path that is given now; a place, or an object whose path is one, keeps
        its own."""
        found = getattr(path, "path", path)
        if isinstance(found, Place):
            return found
        return cls(path)._seen_from(current_folder())

    def __fspath__(self) -> str:
        return os.path.join(self.current, str(self))

    def __repr__(self) -> str:
        return repr(Path(str(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Place, (str(self),), {"current": self.current}

    def __truediv__(self, key: str | PathLike[str]) -> "Place":
        return self.joinpath(key)

    def joinpath(self, *names: str | PathLike[str]) -> "Place":
        return Place(super().joinpath(*names))._seen_from(self.current)

    @property
    def parent(self) -> "Place":
        return Place(super().parent)._seen_from(self.current)

    def with_name(self, name: str) -> "Place":
        return Place(super().with_name(name))._seen_from(self.current)

    def with_suffix(self, suffix: str) -> "Place":
        return Place(super().with_suffix(suffix))._seen_from(self.current)

    def absolute(self) -> Path:
        return Path(os.fspath(self))

    def iterdir(self) -> Generator["Place"]:
        yield from (self / name for name in os.listdir(self))

    def _seen_from(self, current: str) -> "Place":
        self.current = current
        return self
