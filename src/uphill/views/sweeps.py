"""A sweep as numbers: the results of each setting."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Literal

import numpy as np

from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.files import EXPERIMENT_FILE, manifest_file
from uphill.runs.metrics import read_metrics
from uphill.runs.milestones import SOLVED
from uphill.runs.saved import SavedRun
from uphill.runs.sweeps import SavedSweep, SweptRun
from uphill.theory.statistics import confidence_interval, interquartile_mean
from uphill.views.curves import area_under_curve
from uphill.views.labels import setting_names, setting_shown
from uphill.words import INTERVAL, number, short

SettingState = Literal["waiting", "training", "done", "failed"]


@dataclass(frozen=True)
class SettingRow:
    """The results of one setting; returns are those of the final policies' most probable
    actions."""

    run: str
    """its run directory, in the sweep's folder"""
    setting: dict[str, Any]
    state: SettingState
    steps: int = 0
    """of each seed"""
    is_early: bool = False
    """whether it ended before its steps, since it was solved or others were better by then"""
    iqm: float | None = None
    """interquartile mean over seeds"""
    ci95: tuple[float, float] | None = None
    worst: float | None = None
    """the seed with the lowest mean return"""
    per_seed: tuple[float, ...] = ()
    threshold: float | None = None
    solved: int | None = None
    """seeds whose last 100 training episodes reached the threshold; None where there is none"""
    steps_to_solve: int | None = None
    """transitions until then: the median over all seeds, None where half of them did not"""
    diverged: int = 0
    """seeds whose weights grew too large"""
    stopped: int = 0
    """seeds that stopped at a non-finite number"""
    fault: str = ""
    """what ended it before its steps were done"""

    @property
    def is_known(self) -> bool:
        return self.iqm is not None


def rows_of(sweep: SavedSweep, objective: str | None = None) -> list[SettingRow]:
    """A row for each setting, in the order of the grid; by the objective `curve` of the areas under
    the learning curves. By default it is the one of the search that this is."""
    faults = sweep.faults
    rows = [_row(sweep, run, faults.get(run.folder, "")) for run in sweep.runs]
    by_curve = (objective or sweep.asked.get("objective")) == "curve"
    return [_by_area(sweep, row) for row in rows] if by_curve else rows


def _row(sweep: SavedSweep, run: SweptRun, fault: str) -> SettingRow:
    path = sweep.run_path(run)
    state: SettingState = "failed" if fault else "waiting"
    row = SettingRow(run.folder, run.setting, state, fault=fault)
    if not (path / EXPERIMENT_FILE).exists() or not manifest_file(path, "latest").exists():
        return row
    try:
        return _of_run(SavedRun(path), row)
    except UphillError as error:
        return replace(row, state="failed", fault=str(error))


def _of_run(run: SavedRun, row: SettingRow) -> SettingRow:
    facts = read_manifest(run.path, "latest", run.experiment.seeds).facts
    evaluation = run.evaluation
    if evaluation is not None and (facts.stopped or facts.steps_done >= run.experiment.steps):
        row = replace(row, fault="")  # it was continued since it failed
    known: dict[str, Any] = {"state": row.state if row.fault else "training"}
    if evaluation is not None and not row.fault:
        result = evaluation["deterministic"]
        known = {
            "state": "done",
            "iqm": result["iqm"],
            "ci95": tuple(result["ci95"]),
            "worst": min(result["per_seed"]),
            "per_seed": tuple(result["per_seed"]),
        }
    if facts.reward_threshold is not None:
        when = [m.steps for m in facts.milestones if m.name == SOLVED]
        never = [np.inf] * (run.experiment.seeds - len(when))
        middle = median([*when, *never])
        known |= {
            "threshold": facts.reward_threshold,
            "solved": len(when),
            "steps_to_solve": None if middle == np.inf else int(middle),
        }
    return replace(
        row,
        steps=facts.steps_done,
        is_early=facts.stopped,
        diverged=sum(x is not None for x in facts.diverged),
        stopped=sum(x is not None for x in facts.not_finite),
        **known,
    )


def _by_area(sweep: SavedSweep, row: SettingRow) -> SettingRow:
    """The row of the areas under the learning curves, instead of the final policies' returns."""
    if not row.is_known:
        return row
    areas = area_under_curve(read_metrics(sweep.path / row.run))
    if len(areas) < len(row.per_seed):
        fault = "no episode ended early enough for a learning curve: train for more steps."
        return SettingRow(row.run, row.setting, "failed", row.steps, fault=fault)
    return replace(
        row,
        iqm=float(interquartile_mean(areas)),
        ci95=confidence_interval(areas),
        worst=float(areas.min()),
        per_seed=tuple(map(float, areas)),
    )


def ranked(rows: Sequence[SettingRow]) -> list[SettingRow]:
    """The rows, those that ended highest first; those that are not known yet come last."""
    return sorted(rows, key=lambda row: np.inf if row.iqm is None else -row.iqm)


def sweep_table(rows: Sequence[SettingRow]) -> list[list[str]]:
    """The cells of a table, its heads first."""
    paths = list(dict.fromkeys(path for row in rows for path in row.setting))
    names = setting_names(paths)
    threshold = next((row.threshold for row in rows if row.threshold is not None), None)
    heads = [*(names[path] for path in paths), "IQM", INTERVAL, "worst seed"]
    heads += [] if threshold is None else [f"steps to {number(threshold)}", "solved"]
    some_early = any(row.is_early for row in rows)
    heads += ["ended early"] if some_early else []
    table = [heads]
    for row in rows:
        cells = [setting_shown(row.setting[x]) if x in row.setting else "–" for x in paths]
        if row.iqm is not None and row.ci95 is not None and row.worst is not None:
            low, high = map(number, row.ci95)
            cells += [number(row.iqm), f"{low} to {high}", number(row.worst)]
        else:
            cells += [row.state, "", ""]
        if threshold is not None:
            steps = row.steps_to_solve
            cells += ["–" if steps is None else short(steps, " ")]
            is_told = row.is_known and row.solved is not None
            cells += [f"{row.solved} of {len(row.per_seed)}" if is_told else "–"]
        if some_early:
            cells += [f"at {short(row.steps, ' ')} steps" if row.is_early else "–"]
        table.append(cells)
    return table
