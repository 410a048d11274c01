"""Learning curves."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uphill.errors import UphillError
from uphill.runs.checkpoint import read_manifest
from uphill.runs.metrics import read_metrics
from uphill.runs.saved import SavedRun
from uphill.theory.statistics import confidence_band, interquartile_mean
from uphill.views.plots.labels import label_of, names_of, title_of
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

GRID = 200
_FINE = 10  # points for each that is drawn
RETURN = "rollout/episode_return"

Against = Literal["steps", "seconds"]
_HORIZONTAL: dict[str, tuple[str, str]] = {
    "steps": ("steps", "environment steps of each seed"),
    "seconds": ("time/seconds", "seconds of training: all seeds at once, compiling included"),
}


WINDOW = 0.02
"""What curves are averaged over in pictures, as a share of the horizontal axis: logging points may
lie so close that their noise hides what they say."""


class RunCurves(NamedTuple):
    """One run's line in a picture."""

    name: str
    x: Float[np.ndarray, " G"]
    values: Float[np.ndarray, "S G"]


def learning_curve(
    metrics: dict[str, np.ndarray],
    column: str = RETURN,
    against: Against = "steps",
    num_points: int = GRID,
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (or seconds) `[G]`, and each seed's curve there `[S, G]`: what all have in common.

    Between logging points curves are straight. A seed without any number has no curve.
    """
    known = np.isfinite(metrics[column])
    x, seeds = metrics[_HORIZONTAL[against][0]], np.unique(metrics["seed"])
    curves = []
    for seed in seeds:
        rows = known & (metrics["seed"] == seed)
        curves.append((x[rows], metrics[column][rows]))
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.zeros(0), np.zeros((0, 0))
    start, end = max(c[0][0] for c in curves), min(c[0][-1] for c in curves)
    grid = np.linspace(start, max(start, end), num_points)
    return grid, np.stack([np.interp(grid, *curve) for curve in curves])


def smoothed(curve: Float[np.ndarray, " G"], window: float = WINDOW) -> Float[np.ndarray, " G"]:
    """The moving mean over a share of the points; at both ends over those that there are."""
    kernel = np.ones(2 * round(window * len(curve) / 2) + 1)
    return np.convolve(curve, kernel, "same") / np.convolve(np.ones_like(curve), kernel, "same")


def smooth_curves(
    metrics: dict[str, np.ndarray], column: str = RETURN, against: Against = "steps"
) -> tuple[Float[np.ndarray, " G"], Float[np.ndarray, "S G"]]:
    """`learning_curve`, averaged before it is thinned out: every logging point counts."""
    x, values = learning_curve(metrics, column, against, _FINE * (GRID - 1) + 1)
    means = [smoothed(curve)[::_FINE] for curve in values]
    return x[::_FINE], np.stack(means) if means else values


def curves_figure(
    runs: Sequence[SavedRun], against: Against = "steps", column: str = RETURN
) -> Figure:
    """A column of `metrics.csv` over training: for each run the interquartile mean of its seeds,
    its 95 % bootstrap interval, and each seed.

    Raises:
        UphillError: if a run's `metrics.csv` can't be read, or has no such column.
    """
    curves = [
        RunCurves(name, *smooth_curves(_metrics(run, column), column, against))
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
    axes.set_xlabel(_HORIZONTAL[against][1])
    axes.set_ylabel(f"{label_of(column)}\n(moving mean over {100 * WINDOW:g} % of the {against})")
    axes.xaxis.set_major_formatter(short_numbers())
    axes.margins(x=0.02)
    axes.set_xlim(left=0)
    if not any(len(curve.values) for curve in curves):
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
            f"column is {column!r}: {run.path}/metrics.csv has no such one, so use one of {known}."
        )
    return metrics


def _draw(axes: Axes, curve: RunCurves, k: int, num_runs: int) -> None:
    """The k-th run: its band, its seeds, its middle."""
    style, num_seeds = line_style(k), len(curve.values)
    if num_seeds > 1:
        band = confidence_band(curve.values)
        axes.fill_between(curve.x, *band, color=style["color"], alpha=0.2, lw=0, zorder=1)
        faint = min(0.45, 1.6 / np.sqrt(num_seeds * num_runs))
        axes.plot(curve.x, curve.values.T, color=style["color"], lw=0.7, alpha=faint, zorder=1.5)
    if num_runs == 1 and len(np.unique(curve.x)) > 1:  # a point alone is seen as a marker only
        style["marker"] = ""
    # Markers of different runs stand apart, even where their lines are one.
    every = (GRID // 10 + (k * 7) % (GRID // 5), GRID // 5)
    middle = interquartile_mean(curve.values, axis=0) if num_seeds else []
    name = None if num_runs == 1 else curve.name + ("" if num_seeds else ": nothing to show")
    axes.plot(curve.x, middle, lw=1.9, label=name, markevery=every, **style)


def _explain(axes: Axes, curves: Sequence[RunCurves]) -> None:
    """What thick lines, thin lines and bands are, in the legend."""
    most = max(len(curve.values) for curve in curves)
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
    folder = run.path / "checkpoint"
    if not (folder / "latest.json").exists():  # its curves are there all the same
        return None
    return read_manifest(folder, "latest").facts.reward_threshold


def _nothing(column: str) -> str:
    return "no episode ended" if column.startswith("rollout/") else "nothing was measured"
