"""Learning curves."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from uphill.runs.checkpoint import write_file
from uphill.runs.experiment import Experiment
from uphill.runs.metrics import read_metrics
from uphill.runs.statistics import RESAMPLES, interquartile_mean

GRID = 200


def learning_curve(
    metrics: dict[str, np.ndarray], column: str = "rollout/episode_return"
) -> tuple[np.ndarray, np.ndarray]:
    """Steps `[G]`, and each seed's curve at these steps `[S, G]`."""
    known = np.isfinite(metrics[column])
    seeds = np.unique(metrics["seed"])
    curves = []
    for seed in seeds:
        rows = known & (metrics["seed"] == seed)
        curves.append((metrics["steps"][rows], metrics[column][rows]))
    curves = [curve for curve in curves if len(curve[0])]
    if not curves:
        return np.zeros(0), np.zeros((0, 0))
    start, end = max(c[0][0] for c in curves), min(c[0][-1] for c in curves)
    grid = np.linspace(start, max(start, end), GRID)
    return grid, np.stack([np.interp(grid, *curve) for curve in curves])


def plot_run(run: Path, experiment: Experiment, threshold: float | None) -> Path:
    """Draw `curve.png`: every seed, and with several their interquartile mean and its interval.

    Raises:
        UphillError: if `metrics.csv` can't be read, or the picture can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, curves = learning_curve(read_metrics(run))
    figure = Figure(figsize=(7, 4.2), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if len(curves) == 1:
        axes.plot(steps, curves[0], color="#1f5fa8", lw=1.8)
    elif len(curves) > 1:
        low, high = _band(curves)
        axes.fill_between(
            steps, low, high, color="#1f5fa8", alpha=0.15, lw=0, label="95 % interval"
        )
        each = axes.plot(steps, curves.T, color="#1f5fa8", lw=0.8, alpha=0.5)
        each[0].set_label("each seed")
        middle = interquartile_mean(curves, axis=0)
        axes.plot(steps, middle, color="#0b2f5b", lw=2.2, label="interquartile mean")
    else:
        axes.text(0.5, 0.5, "no episode ended", transform=axes.transAxes, ha="center")
    if threshold is not None:
        axes.axhline(threshold, color="#777777", lw=1, ls="--", label=f"solved: {threshold:g}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="best")
    seeds = f"{experiment.seeds} seeds" if experiment.seeds > 1 else f"seed {experiment.seed}"
    axes.set_title(f"{experiment.env} · {experiment.algo} · {seeds}", loc="left")
    axes.set_xlabel("steps (valid transitions, each seed)")
    axes.set_ylabel("return of training episodes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(_short_numbers())
    axes.set_xlim(left=0)
    axes.margins(x=0.02)
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    path = run / "curve.png"
    write_file(path, picture.getvalue())
    return path


def _band(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    picks = generator.integers(len(curves), size=(RESAMPLES // 4, len(curves)))
    middles = interquartile_mean(curves[picks], axis=1)
    low, high = np.percentile(middles, [2.5, 97.5], axis=0)
    return low, high


def _short_numbers() -> Any:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")
