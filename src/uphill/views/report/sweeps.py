"""The contents of the page of a sweep, in words."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from uphill.runs.files import SWEEP_PICTURE
from uphill.runs.folder import read_regular
from uphill.runs.sweeps import SavedSweep
from uphill.views.labels import setting_names, setting_of
from uphill.views.sweeps import SettingRow, ranked, rows_of, sweep_table
from uphill.words import count, listed, number

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
    return {
        "title": f"{sweep.env} · {sweep.algo}",
        "best": _best(rows),
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
    """The settings that don't vary."""
    swept = {path for run in sweep.runs for path in run.setting}
    flat = dict(_flat(sweep.asked))
    algorithm = {
        path.removeprefix("algorithm."): value
        for path, value in flat.items()
        if path.startswith("algorithm.")
    }
    others = {path: x for path, x in flat.items() if not path.startswith("algorithm.")}
    found = others | {path: x for path, x in algorithm.items() if path not in swept}
    found = {path: x for path, x in found.items() if path not in ("algorithm", "name")}
    return [(path, x) for path, x in found.items() if x not in ("", "None", "[]", "{}")]


def _flat(document: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found = []
    for name, value in document.items():
        if name == "$type":
            found.append((prefix.removesuffix("."), str(value)))
        elif isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{name}.")
        else:
            found.append((f"{prefix}{name}", str(value)))
    return found
