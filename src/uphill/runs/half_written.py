"""Half-written files that a killed process left in a run directory: `Folder.write` writes a file
under another name first."""

from collections.abc import Iterator

from uphill.runs.files import (
    CHECKPOINT_FOLDER,
    CURVE_FILES,
    EVALUATION_FILE,
    EXPERIMENT_FILE,
    METRICS_FILE,
    MILESTONES_FILE,
    MILESTONES_FOLDER,
    NOT_FINITE_FOLDER,
    REPORT_FILE,
)
from uphill.runs.folder import HALF, Folder

_FOLDERS = (CHECKPOINT_FOLDER, MILESTONES_FOLDER, NOT_FINITE_FOLDER)
"""All in them is written by training."""
_FILES = (
    EXPERIMENT_FILE,
    METRICS_FILE,
    MILESTONES_FILE,
    EVALUATION_FILE,
    REPORT_FILE,
    *CURVE_FILES,
)


def has_half_written(folder: Folder) -> bool:
    """Whether there is such a file, which a process that trains may be writing now."""
    return any(True for _ in _found(folder))


def delete_half_written(folder: Folder) -> None:
    """Delete such files: for who knows that no other process writes here."""
    for within, name in list(_found(folder)):
        if within:
            with folder.inner(within) as inner:
                inner.delete(name)
        else:
            folder.delete(name)


def _found(folder: Folder) -> Iterator[tuple[str, str]]:
    """The folder of the run's that each is in, if it is in one, and its name."""
    names = set(folder.names())
    yield from (("", name + HALF) for name in _FILES if name + HALF in names)
    for within in _FOLDERS:
        if within in names:
            with folder.inner(within) as inner:
                yield from ((within, name) for name in inner.names() if name.endswith(HALF))
