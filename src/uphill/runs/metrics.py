"""`metrics.csv`: one row for each seed and logging point."""

import csv
import io
import math
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from uphill.errors import UphillError
from uphill.learning.counting import MOST_COUNTED
from uphill.runs.bounds import FARTHEST, LARGEST_METRICS, LONGEST_LINE
from uphill.runs.files import METRICS_FILE, NotWrittenError, write_file
from uphill.runs.folder import Folder, mend_of, open_regular
from uphill.training.rows import REACHED, Rows
from uphill.words import call

AXES = ("seed", "steps")
"""Columns without which a row says nothing."""
COUNTS = ("seed", "update", "steps")
TIMES = ("time/seconds",)
READ = (*AXES, *TIMES, "rollout/episode_return")
"""Columns that every picture needs."""


class MetricsFile:
    """Appends rows; knows how long the file is, so that a resumed run can cut it back: to `offset`
    bytes, and where new columns have made it wider since, to the rows of `num_updates` updates.

    Raises:
        UphillError: if the file is not there, or shorter than `offset`.
    """

    def __init__(self, run: Path, offset: int = 0, num_updates: int | None = None) -> None:
        self._run, self._path = run, run / METRICS_FILE
        self.columns: list[str] | None = None
        self.offset = offset
        if offset or self._path.exists() or self._path.is_symlink():
            self._cut_back(num_updates)

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Write rows that all have the same columns. Those that the file has not yet are added to
        it, and empty in earlier rows; those that the rows have not are empty in them.

        Raises:
            UphillError: if the file can't be written.
        """
        lines = []
        try:
            if self.columns is None:
                self.columns = list(rows[0])
                lines.append(self.columns)
            elif new := [column for column in rows[0] if column not in self.columns]:
                self._widen(new)
            lines += [[_format(row.get(column)) for column in self.columns] for row in rows]
            content = _as_csv(lines)
            with Folder(self._run) as folder, folder.open(METRICS_FILE, "ab") as file:
                file.write(content)
        except OSError as error:
            raise self._not_written(error) from error
        self.offset += len(content)

    def sync(self) -> None:
        """Have everything on the disk, for a checkpoint to rely on. What is appended after the last
        checkpoint would be cut off by a resumed run: so waiting for the disk at every row would be
        pointless.

        Raises:
            UphillError: if the file can't be written.
        """
        if not self.offset:
            return
        try:
            with Folder(self._run) as folder, folder.open(METRICS_FILE, "ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> NotWrittenError:
        return NotWrittenError(
            f"{self._path} could not be written ({error.strerror}): {mend_of(error)}, then "
            f"`{call('resume', self._run)}`. What was saved before is whole."
        )

    def _widen(self, new: list[str]) -> None:
        """Add columns, in one step: whatever happens, the file is the old one or the new one."""
        assert self.columns is not None
        self.columns = [*self.columns, *new]
        with Folder(self._run) as folder, folder.open(METRICS_FILE, "rb") as file:
            _, *rows = csv.reader(io.StringIO(file.read().decode(), newline=""))
        content = _as_csv([self.columns, *([*row, *[""] * len(new)] for row in rows)])
        write_file(self._path, content)
        self.offset = len(content)

    def _cut_back(self, num_updates: int | None) -> None:
        """Rows that were written after the checkpoint will be written again. Nothing is cut before
        all of the file was looked at."""
        try:
            with Folder(self._run) as folder, folder.open(METRICS_FILE, "r+b") as file:
                header, end = _header(file, self._path), self.offset
                if end and num_updates is not None:
                    end = _end_of(file, header, num_updates, self._path)
                held = os.fstat(file.fileno()).st_size
                if min(held, end) < self.offset:
                    raise UphillError(
                        f"{self._path} is damaged: it holds {held} bytes, and had "
                        f"{self.offset} when the checkpoint was written."
                    )
                file.truncate(end)
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError)
            mend = "copy the run directory again" if is_gone else mend_of(error)
            raise UphillError(
                f"{self._path} can't be cut back to where the checkpoint stands "
                f"({error.strerror}): {mend}."
            ) from error
        self.offset, self.columns = end, header if end else None


def _as_csv(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Line by line, so that a file is never held as a whole.

    Raises:
        ValueError: if a line, or the file, is longer than what training writes.
    """
    held = 0
    for line in iter(lambda: file.readline(LONGEST_LINE + 1), b""):
        held += len(line)
        if len(line) > LONGEST_LINE:
            raise ValueError(f"it has a line of more than {LONGEST_LINE:,} bytes")
        if held > LARGEST_METRICS:
            raise ValueError(f"it holds more than {LARGEST_METRICS:,} bytes")
        yield line


def _header(file: IO[bytes], path: Path) -> list[str]:
    """The columns of a file that training wrote, which may have been cut off in its first line.

    Raises:
        UphillError: if it is another file.
    """
    try:
        line, end, _ = next(_lines(file), b"").partition(b"\n")
        header = next(csv.reader([line.decode()]), [])
    except (ValueError, csv.Error):
        line, end, header = b"", b"\n", []
    is_ours = {*AXES} <= set(header) if end else AXES[0].encode().startswith(line[: len(AXES[0])])
    if not is_ours:
        raise UphillError(
            f"{path} is damaged: its first line lacks the columns {' and '.join(AXES)}."
        )
    return header


def _end_of(file: IO[bytes], header: list[str], num_updates: int, path: Path) -> int:
    """Where the complete rows of this many updates end.

    Raises:
        UphillError: if a row does not say of which update it is.
    """
    file.seek(0)
    end, number = 0, 0
    try:
        for number, line in enumerate(_lines(file), 1):
            if not line.endswith(b"\n"):
                break
            update = 0 if number == 1 else int(line.split(b",")[header.index("update")])
            if update > num_updates:
                break
            end += len(line)
    except (ValueError, IndexError) as error:
        raise UphillError(f"{path} is damaged: line {number} has no update.") from error
    return end


def _format(value: Any) -> str:
    if value is None or (isinstance(value, float) and not abs(value) <= FARTHEST):
        return ""
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def summarize_window(rows: Rows, seed_index: int) -> dict[str, Any]:
    """What one seed did in the updates of one logging window: sums of counts, means of the rest."""
    active = rows["updated"][:, seed_index].astype(bool)
    episodes = int(rows["num_episodes"][:, seed_index].sum())
    summary: dict[str, Any] = {
        "rollout/episode_return": _ratio(rows["return_sum"][:, seed_index], episodes),
        "rollout/episode_length": _ratio(rows["length_sum"][:, seed_index], episodes),
        "rollout/num_episodes": episodes,
    }
    for name in rows:
        if name.startswith(REACHED):
            column = f"rollout/{name.removeprefix(REACHED)}"
            summary[column] = _ratio(rows[name][:, seed_index], episodes)
    for name in sorted(rows):
        if "/" in name:
            values = rows[name][active, seed_index].astype(np.float64)
            values = values[~np.isnan(values)]  # not every update measures everything
            summary[name] = float(values.mean()) if len(values) else None
    return summary


def _ratio(total: np.ndarray, count: int) -> float | None:
    return float(total.astype(np.float64).sum()) / count if count else None


def read_metrics(run: Path) -> dict[str, np.ndarray]:
    """The columns of `metrics.csv`; empty cells are NaN.

    Raises:
        UphillError: if there is no such file, or it is not what training writes.
    """
    try:
        with open_regular(run / METRICS_FILE) as file:
            named = _columns(csv.reader(line.decode() for line in _lines(file)))
    except FileNotFoundError as error:
        raise UphillError(
            f"{run / METRICS_FILE} is not there yet: training writes it from its first logging "
            "point on."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise UphillError(f"{run / METRICS_FILE} can't be read: {reason}.") from error
    return named


def _columns(rows: Iterator[list[str]]) -> dict[str, np.ndarray]:
    """Raises:
    ValueError: if a row is cut off, or no row of numbers, or the columns are not ours.
    """
    header, cells = next(rows, []), array("d")
    if not header:
        raise ValueError("line 1 is cut off")
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"line {number} is cut off")
        cells.extend(float(cell) if cell else math.nan for cell in row)
    columns = np.array(cells, np.float64).reshape(-1, len(header)).T
    named = dict(zip(header, columns, strict=False))
    _check_columns(named, header)
    return named


def _check_columns(columns: dict[str, np.ndarray], header: list[str]) -> None:
    """Raises:
    ValueError: if a column is missing or there twice, or has what training does not write.
    """
    missing = [name for name in READ if name not in columns]
    if missing:
        raise ValueError(f"it has no column {missing[0]}")
    if len(columns) < len(header):
        raise ValueError("it has a column twice")
    for name, column in columns.items():
        bad = np.abs(column) > FARTHEST  # NaN stands for what is empty
        if name in COUNTS:
            bad = ~((column >= 0) & (column <= MOST_COUNTED) & (column == np.floor(column)))
        elif name in TIMES:
            bad = ~((column >= 0) & (column <= FARTHEST))
        if bad.any():
            k = int(np.argmax(bad))
            raise ValueError(f"line {k + 2} has {column[k]:g} as {name}")
