"""A sweep on disk: a folder of run directories, one for each setting, and `sweep.json`."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.errors import UphillError
from uphill.runs.experiment import as_path
from uphill.runs.files import SWEEP_FILE, read_json, write_json
from uphill.words import abridged, listed, quoted

STUDY_FORMAT = 1
"""Of a study's document"""
FAULTS_FILE = "faults.json"
DEFAULT = "default"
"""The run directory of the default, beside what was chosen."""
TASKS_FOLDER = "tasks"
"""While it trains on a cluster: what tasks have sent."""


@dataclass(frozen=True)
class SweptRun:
    """One setting of a sweep."""

    folder: str
    """its run directory, in the sweep's folder"""
    setting: dict[str, Any]
    """values by the paths of their fields, as JSON has them"""


class SavedSweep:
    """What is in the folder of a sweep.

    Raises:
        UphillError: if `path` is no such folder, or `sweep.json` was altered.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = as_path(path)
        with study_document(self.path / SWEEP_FILE, "a sweep folder") as document:
            self.asked: dict[str, Any] = dict(document["asked"])
            self.runs = [_swept(run) for run in document["runs"]]
            self.seconds = float(document.get("seconds", 0.0))
            """that a search took up to now"""

    @property
    def env(self) -> str:
        return str(self.asked.get("env"))

    @property
    def algo(self) -> str:
        return str(self.asked.get("algo"))

    @cached_property
    def varied(self) -> list[str]:
        """The paths of the fields that differ between settings; the first one where none does."""
        paths = list(dict.fromkeys(path for run in self.runs for path in run.setting))
        found = [path for path in paths if len(self.values_of(path)) > 1]
        return found or paths[:1]

    def values_of(self, path: str) -> list[Any]:
        """The values of a field, in the order of the settings."""
        values = (run.setting.get(path) for run in self.runs)
        return list({json.dumps(value): value for value in values}.values())

    def run_path(self, run: SweptRun) -> Path:
        return self.path / run.folder

    @property
    def is_unbegun(self) -> bool:
        """Whether it ended before any setting had a run directory, or had failed."""
        has_sent = any((self.path / TASKS_FOLDER).glob("*.zip"))
        has_runs = any(self.run_path(run).exists() for run in self.runs)
        return not (has_sent or has_runs or (self.path / FAULTS_FILE).exists())

    @property
    def faults(self) -> dict[str, str]:
        """What ended settings before their steps were done, by their folders."""
        path = self.path / FAULTS_FILE
        document = read_json(path) if path.exists() else {}
        is_text = isinstance(document, dict) and all(isinstance(x, str) for x in document.values())
        if not is_text:
            raise UphillError(f"{path} is damaged: remove it, and sweep again.")
        return document


@contextmanager
def study_document(file: Path, kind: str) -> Iterator[dict[str, Any]]:
    """The document of a study, for a `with` block that takes from it what it should have.

    Raises:
        UphillError: if there is none, if it was altered, or if the block does not find all.
    """
    if not file.is_file():
        raise UphillError(f"{file.parent} is not {kind}: it has no {file.name}.")
    document = read_json(file)
    try:
        if document["format"] != STUDY_FORMAT:
            raise UphillError(
                f"{file} has format {quoted(document['format'])}, and this version reads "
                f"{STUDY_FORMAT}: use the version that wrote it."
            )
        yield document
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UphillError(
            f"{file} is damaged ({abridged(error)}): copy the folder again."
        ) from error


def _swept(run: Any) -> SweptRun:
    folder, setting = run["folder"], dict(run["setting"])
    if not isinstance(folder, str) or Path(folder).name != folder or folder in ("", ".", ".."):
        raise ValueError(f"folder is {folder!r}")
    return SweptRun(folder, {str(path): value for path, value in setting.items()})


def fresh_folder(search: Path, run: str) -> Path:
    """Where a search has the run that it found best, trained again on fresh seeds."""
    return search / f"fresh-{run}"


def is_sweep(path: Path) -> bool:
    """Whether a folder is one of a sweep."""
    return (path / SWEEP_FILE).is_file()


def write_sweep(
    path: Path, asked: Mapping[str, Any], runs: Sequence[SweptRun], seconds: float = 0.0
) -> None:
    """Write `sweep.json`; `seconds` are those that a search took up to now.

    Raises:
        UphillError: if it can't be written.
    """
    document: dict[str, Any] = {"format": STUDY_FORMAT, "asked": asked}
    document |= {"seconds": seconds} if seconds else {}
    document["runs"] = [vars(run) for run in runs]
    write_json(path / SWEEP_FILE, document)


def differing_sweep(
    sweep: SavedSweep, asked: Mapping[str, Any], runs: Sequence[SweptRun]
) -> list[str]:
    """The names of what another sweep is in a folder, by what is asked for now."""
    is_same_grid = _plain([vars(run) for run in runs]) == [vars(run) for run in sweep.runs]
    return differing(sweep.asked, asked) + ([] if is_same_grid else ["grid"])


def check_same_study(path: Path, kind: str, differ: Sequence[str], mend: str) -> None:
    """Raises:
    UphillError: if the folder is of another study, since some names `differ`.
    """
    if differ:
        raise UphillError(
            f"{path} is of {kind} that differs in {listed(differ)}: give what was given then, or "
            f"{mend}."
        )


def differing(old: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """The names of what is asked for now and was not, or otherwise, as JSON has it."""
    new = _plain(dict(asked))
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]


def write_faults(path: Path, faults: Mapping[str, str]) -> None:
    """Write what ended settings.

    Raises:
        UphillError: if it can't be written.
    """
    write_json(path / FAULTS_FILE, dict(faults))


def _plain(document: Any) -> Any:
    """As it is read again."""
    return json.loads(json.dumps(document))
