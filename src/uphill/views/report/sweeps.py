"""The contents of the page of a sweep, in words."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from uphill.runs.files import SWEEP_PICTURE
from uphill.runs.folder import read_regular
from uphill.runs.sweeps import SavedSweep, fresh_folder, is_sweep
from uphill.theory.statistics import probability_of_improvement
from uphill.views.labels import setting_names, setting_of
from uphill.views.report.view import dotted
from uphill.views.sweeps import SettingRow, ranked, rows_of, sweep_table
from uphill.words import INTERVAL, count, listed, number

_LARGEST_PICTURE = 20 * 2**20  # bytes


@dataclass(frozen=True)
class SweptRow:
    """One setting in the table."""

    cells: list[str]
    run: str
    link: str
    """to its report, where there is a server that has one"""


def view_of_sweep(sweep: SavedSweep, name: str | None = None) -> dict[str, Any]:
    """What the template `sweep.html` shows; `name` is the sweep's on a server.

    Raises:
        UphillError: if a file of the sweep was altered.
    """
    rows, asked = ranked(rows_of(sweep)), sweep.asked
    heads, *cells = sweep_table(rows)
    names = setting_names(sweep.varied)
    is_search = "search" in asked
    return {
        "title": f"{sweep.env} · {sweep.algo}",
        "heading": f"{count(len(rows), 'trial' if is_search else 'setting')} "
        f"{'searched' if is_search else 'swept'}",
        "is_search": is_search,
        "best": _winner(sweep, rows) if is_search else _best(rows),
        "seeds": asked.get("seeds", 0),
        "picture": picture_in(sweep.path / SWEEP_PICTURE),
        "varied": listed(list(names.values())),
        "heads": heads,
        "rows": [
            SweptRow(line, row.run, _link(row, name)) for line, row in zip(cells, rows, strict=True)
        ],
        "faults": [f"{setting_of(row.setting)} failed: {row.fault}" for row in rows if row.fault],
        "fixed": _fixed(sweep),
    }


def _best(rows: Sequence[SettingRow]) -> str:
    known = [row for row in rows if row.is_known]
    left = len(rows) - len(known) - sum(bool(row.fault) for row in rows)
    waiting = f" {left} still train or wait." if left else ""
    if not known:
        return f"None is done yet.{waiting}"
    best = known[0]
    assert best.iqm is not None
    equal = sum(row.iqm == best.iqm for row in known) - 1
    others = f" and {count(equal, 'other')}" if equal else ""
    where = f"ended highest, at a return of {number(best.iqm)}"
    return f"{setting_of(best.setting)}{others} {where}.{waiting}"


def _winner(sweep: SavedSweep, rows: Sequence[SettingRow]) -> str:
    """Of a search: the best trial on seeds that no trial had, beside the default. What it came to
    in the search is too high."""
    best = rows[0]
    if not best.is_known:
        return _best(rows)
    setting, folder = setting_of(best.setting), fresh_folder(sweep.path, best.run)
    objective = sweep.asked.get("objective")
    fresh = rows_of(SavedSweep(folder), objective) if is_sweep(folder) else []
    if not fresh or not all(row.is_known for row in fresh):
        return f"{setting} is best so far. What it is worth, fresh seeds have yet to show."
    winner, default = fresh[0], fresh[-1]
    seeds = f"over {count(len(winner.per_seed), 'seed')} that no trial had"
    if winner == default:
        return f"No trial came to more than the default, which reaches {_reached(default)} {seeds}."
    values = np.array(winner.per_seed), np.array(default.per_seed)
    probability, (low, high) = probability_of_improvement(*values)
    return (
        f"The winner, {setting}, reaches {_reached(winner)} {seeds}; the default "
        f"{_reached(default)}. P(winner > default) is {probability:.2f} ({low:.2f} to {high:.2f})."
    )


def _reached(row: SettingRow) -> str:
    assert row.iqm is not None
    assert row.ci95 is not None
    low, high = map(number, row.ci95)
    return f"{number(row.iqm)} ({INTERVAL} {low} to {high})"


def _link(row: SettingRow, name: str | None) -> str:
    if name is None or row.state == "waiting":
        return ""
    return f"/report?run={quote(f'{name}/{row.run}' if name else row.run, safe='')}"


def picture_in(path: Path) -> str:
    """A picture as data, if it was drawn."""
    try:
        content = read_regular(path, _LARGEST_PICTURE)
    except OSError:
        return ""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _fixed(sweep: SavedSweep) -> list[tuple[str, str]]:
    """The settings that don't vary, of those that say something."""
    swept = {path for run in sweep.runs for path in run.setting}
    found = [(path.removeprefix("algorithm."), text) for path, text in dotted(sweep.asked)]
    left_out = {"algorithm", "name", *swept}
    return [
        (path, text) for path, text in found if path not in left_out and text not in ("", "none")
    ]
