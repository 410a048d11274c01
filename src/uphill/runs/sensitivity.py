"""A sensitivity study on disk: a sweep for each algorithm in each environment, and the chosen
settings on fresh seeds; `sensitivity.json` says where they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.runs.experiment import as_path
from uphill.runs.files import SENSITIVITY_FILE, write_json
from uphill.runs.sweeps import STUDY_FORMAT, SavedSweep, is_sweep, study_document

CHOICE = "choice"
"""The run directory of what was chosen, in a sweep on fresh seeds."""


@dataclass(frozen=True)
class StudiedPair:
    """One algorithm in one environment."""

    algo: str
    env: str
    sweep: str
    """its folder in that of the study: a sweep over the grid"""
    fresh: str
    """another one: of the choice for all environments, and of the default"""


class SavedSensitivity:
    """What is in the folder of a study.

    Raises:
        UphillError: if `path` is no such folder, or `sensitivity.json` was altered.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = as_path(path)
        file = self.path / SENSITIVITY_FILE
        with study_document(file, "a sensitivity study") as document:
            self.asked: dict[str, Any] = dict(document["asked"])
            self.pairs = [_pair(each) for each in document["pairs"]]

    @property
    def algos(self) -> list[str]:
        """The algorithms, as they are called in this study."""
        return list(dict.fromkeys(pair.algo for pair in self.pairs))

    @property
    def envs(self) -> list[str]:
        return list(dict.fromkeys(pair.env for pair in self.pairs))

    def pair(self, algo: str, env: str) -> StudiedPair:
        return next(pair for pair in self.pairs if (pair.algo, pair.env) == (algo, env))

    def sweep(self, algo: str, env: str) -> SavedSweep:
        """The sweep over the grid.

        Raises:
            UphillError: if it is not there.
        """
        return SavedSweep(self.path / self.pair(algo, env).sweep)

    def fresh(self, algo: str, env: str) -> SavedSweep | None:
        """The choice and the default on fresh seeds, if that has begun."""
        path = self.path / self.pair(algo, env).fresh
        return SavedSweep(path) if is_sweep(path) else None


def _pair(document: Any) -> StudiedPair:
    pair = StudiedPair(*(document[name] for name in ("algo", "env", "sweep", "fresh")))
    for text in (pair.algo, pair.env, pair.sweep, pair.fresh):
        if not isinstance(text, str):
            raise TypeError(f"{text!r} is no text")
    for folder in (pair.sweep, pair.fresh):
        if not folder or Path(folder).is_absolute() or ".." in Path(folder).parts:
            raise ValueError(f"the folder is {folder!r}")
    return pair


def is_sensitivity(path: Path) -> bool:
    """Whether a folder is one of a study of sensitivity."""
    return (path / SENSITIVITY_FILE).is_file()


def write_sensitivity(path: Path, asked: Mapping[str, Any], pairs: Sequence[StudiedPair]) -> None:
    """Write `sensitivity.json`.

    Raises:
        UphillError: if it can't be written.
    """
    document = {"format": STUDY_FORMAT, "asked": asked, "pairs": [vars(pair) for pair in pairs]}
    write_json(path / SENSITIVITY_FILE, document)
