"""`metrics.csv`: one row for each seed and logging point."""

import csv
import io
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from uphill.errors import UphillError
from uphill.runs.files import METRICS_FILE, write_file
from uphill.training.rows import REACHED, Rows
from uphill.words import call


class MetricsFile:
    """Appends rows; knows how long the file is, so that a resumed run can cut it back: to `offset`
    bytes, and where new columns have made it wider since, to the rows of `num_updates` updates.

    Raises:
        UphillError: if the file is not there, or shorter than `offset`.
    """

    def __init__(self, run: Path, offset: int = 0, num_updates: int | None = None) -> None:
        self._path = run / METRICS_FILE
        self.columns: list[str] | None = None
        self.offset = offset
        if offset or self._path.exists():
            self._cut_back(num_updates)
        if offset:
            with self._path.open(newline="") as file:
                self.columns = next(csv.reader(file))

    def append(self, rows: list[dict[str, Any]]) -> None:
        """Write rows that all have the same columns. Those that the file has not yet are added to
        it, and empty in earlier rows; those that the rows have not are empty in them.

        Raises:
            UphillError: if the file can't be written.
        """
        lines = []
        if self.columns is None:
            self.columns = list(rows[0])
            lines.append(self.columns)
        elif new := [column for column in rows[0] if column not in self.columns]:
            self._widen(new)
        lines += [[_format(row.get(column)) for column in self.columns] for row in rows]
        content = _as_csv(lines)
        try:
            with self._path.open("ab") as file:
                file.write(content)
        except OSError as error:
            raise self._not_written(error) from error
        self.offset += len(content)

    def sync(self) -> None:
        """Have everything on the disk, for a checkpoint to rely on. What is appended after the last
        checkpoint would be cut off by a resumed run: to wait for the disk at every row is vain.

        Raises:
            UphillError: if the file can't be written.
        """
        if not self.offset:
            return
        try:
            with self._path.open("ab") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise self._not_written(error) from error

    def _not_written(self, error: OSError) -> UphillError:
        return UphillError(
            f"{self._path} could not be written ({error.strerror}): free some space, then "
            f"`{call('resume', self._path.parent)}`. What was saved before is whole."
        )

    def _widen(self, new: list[str]) -> None:
        """Add columns, in one step: whatever happens, the file is the old one or the new one."""
        assert self.columns is not None
        self.columns = [*self.columns, *new]
        with self._path.open(newline="") as file:
            _, *rows = csv.reader(file)
        content = _as_csv([self.columns, *([*row, *[""] * len(new)] for row in rows)])
        write_file(self._path, content)
        self.offset = len(content)

    def _cut_back(self, num_updates: int | None) -> None:
        """Rows that were written after the checkpoint will be written again."""
        try:
            content = self._path.read_bytes()
            end = self.offset
            if end and num_updates is not None:
                end = _end_of(content, num_updates)
            if min(len(content), end) < self.offset:
                raise UphillError(
                    f"{self._path} is damaged: it holds {len(content)} bytes, and had "
                    f"{self.offset} when the checkpoint was written."
                )
            os.truncate(self._path, end)
            self.offset = end
        except OSError as error:
            raise UphillError(
                f"{self._path} can't be cut back to where the checkpoint stands ({error.strerror})."
            ) from error


def _as_csv(lines: list[list[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue().encode()


def _end_of(content: bytes, num_updates: int) -> int:
    """Where the whole rows of so many updates end."""
    header, *lines = content.splitlines(keepends=True)
    place = next(csv.reader([header.decode()])).index("update")
    end = len(header)
    for line in lines:
        cells = line.split(b",")
        if not line.endswith(b"\n") or int(cells[place]) > num_updates:
            break
        end += len(line)
    return end


def _format(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
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
        with (run / METRICS_FILE).open(newline="") as file:
            rows = list(csv.reader(file))
        header = rows.pop(0) if rows else []
        cut = next((k for k, row in enumerate(rows, 2) if len(row) != len(header)), None)
        if not header or cut:
            raise ValueError(f"line {cut or 1} is cut off")
        table = [[float(cell) if cell else math.nan for cell in row] for row in rows]
        columns = np.array(table, np.float64).reshape(len(table), len(header)).T
    except FileNotFoundError as error:
        raise UphillError(
            f"{run / METRICS_FILE} is not there yet: training writes it from its first logging "
            "point on."
        ) from error
    except (OSError, ValueError, csv.Error) as error:
        raise UphillError(f"{run / METRICS_FILE} can't be read: {error}.") from error
    return dict(zip(header, columns, strict=True))
