"""Learning curves."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.files import manifest_file
from uphill.runs.metrics import read_metrics
from uphill.runs.saved import SavedRun
from uphill.theory.statistics import confidence_band, interquartile_mean
from uphill.views.curves import GRID, RETURN, WINDOW, Against, Curves, smooth_curves
from uphill.views.labels import label_of, names_of, title_of
from uphill.views.plots.style import (
    GREY,
    clear_spines,
    legend_above,
    line_style,
    new_figure,
    set_title,
    settled,
    short_numbers,
)

_HORIZONTAL: dict[str, str] = {
    "steps": "environment steps of each seed",
    "seconds": "seconds of training: all seeds at once, without those of compiling",
}


class RunCurves(NamedTuple):
    """One run's line in a picture."""

    name: str
    curves: Curves


def curves_figure(
    runs: Sequence[SavedRun], against: Against = "steps", column: str = RETURN
) -> Figure:
    """A column of `metrics.csv` over training: for each run the interquartile mean of its seeds,
    its 95 % bootstrap interval, and each seed.

    Raises:
        UphillError: if a run's `metrics.csv` can't be read, or has no such column.
    """
    curves = [
        RunCurves(name, smooth_curves(_metrics(run, column), column, against))
        for run, name in zip(runs, names_of(runs), strict=True)
    ]
    figure = new_figure()
    axes = figure.add_subplot()
    for k, curve in enumerate(curves):
        _draw(axes, curve, k, len(curves))
    _explain(axes, curves)
    threshold = _threshold(runs) if column.endswith("episode_return") else None
    if threshold is not None:
        axes.axhline(threshold, color=GREY, lw=1, ls=(0, (3, 3)), label=f"solved: {threshold:g}")
    set_title(figure, title_of(runs))
    axes.set_xlabel(_HORIZONTAL[against])
    axes.set_ylabel(_what(column, curves, against))
    axes.xaxis.set_major_formatter(short_numbers())
    axes.margins(x=0.02)
    axes.set_xlim(left=0)
    if not any(len(curve.curves.values) for curve in curves):
        axes.text(0.5, 0.5, _nothing(column), transform=axes.transAxes, ha="center")
        axes.set(xticks=[], yticks=[])
    clear_spines(axes)
    legend_above(axes)
    return settled(figure)


def _metrics(run: SavedRun, column: str) -> dict[str, np.ndarray]:
    metrics = read_metrics(run.path)
    if column not in metrics:
        known = ", ".join(name for name in metrics if "/" in name)
        raise UphillError(
            f"column is {column!r}, which {run.path}/metrics.csv does not have: use one of {known}."
        )
    return metrics


def _draw(axes: Axes, run: RunCurves, k: int, num_runs: int) -> None:
    """The k-th run: its band, its seeds, its middle, and a mark for each of few points."""
    style, (x, values, marks) = line_style(k), run.curves
    num_seeds = len(values)
    if num_seeds > 1:
        band = confidence_band(values)
        axes.fill_between(x, *band, color=style["color"], alpha=0.2, lw=0, zorder=1)
        faint = min(0.45, 1.6 / np.sqrt(num_seeds * num_runs))
        axes.plot(x, values.T, color=style["color"], lw=0.7, alpha=faint, zorder=1.5)
    if num_runs == 1 and not marks:
        style["marker"] = ""
    # Markers of different runs stand apart, even where their lines are one.
    every = (GRID // 10 + (k * 7) % (GRID // 5), GRID // 5)
    if marks:
        every = np.searchsorted(x, run.curves.middle_marks).tolist()
    middle = interquartile_mean(values, axis=0) if num_seeds else []
    name = None if num_runs == 1 else run.name + ("" if num_seeds else ": nothing to show")
    axes.plot(x, middle, lw=1.9, label=name, markevery=every, **style)


def _what(column: str, curves: Sequence[RunCurves], against: Against) -> str:
    """What stands upward, and how it was averaged where it was."""
    if all(run.curves.marks for run in curves):
        return label_of(column)
    return f"{label_of(column)}\n(moving mean over {100 * WINDOW:g} % of the {against})"


def _explain(axes: Axes, curves: Sequence[RunCurves]) -> None:
    """What thick lines, thin lines and bands are, in the legend."""
    most = max(len(curve.curves.values) for curve in curves)
    if most < 2:
        return
    color = line_style(0)["color"] if len(curves) == 1 else GREY
    over = f" of {most} seeds" if len(curves) == 1 else ""
    axes.plot([], [], color=color, lw=1.9, label=f"interquartile mean{over}")
    axes.plot([], [], color=color, lw=0.8, alpha=0.6, label="each seed")
    axes.fill_between([], [], [], color=color, alpha=0.25, lw=0, label="95 % interval")


def _threshold(runs: Sequence[SavedRun]) -> float | None:
    """The return at which the environment counts as solved, if it is the same for all runs."""
    found = {_threshold_of(run) for run in runs}
    return found.pop() if len(found) == 1 else None


def _threshold_of(run: SavedRun) -> float | None:
    if not manifest_file(run.path, "latest").exists():  # its curves are there all the same
        return None
    return read_manifest(run.path, "latest").facts.reward_threshold


def _nothing(column: str) -> str:
    return "no episode ended" if column.startswith("rollout/") else "nothing was measured"
