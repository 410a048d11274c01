"""Learning curves."""

from pathlib import Path
from typing import Any

import numpy as np

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
    """Draw `curve.png`: every seed, and with several their interquartile mean and its interval."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps, curves = learning_curve(read_metrics(run))
    figure = Figure(figsize=(7, 4.2), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for curve in curves:
        several = len(curves) > 1
        axes.plot(
            steps, curve, color="#1f5fa8", lw=0.7 if several else 1.8, alpha=0.35 if several else 1
        )
    if len(curves) > 1:
        low, high = _band(curves)
        axes.fill_between(steps, low, high, color="#1f5fa8", alpha=0.2, lw=0, label="95 % interval")
        middle = interquartile_mean(curves, axis=0)
        axes.plot(steps, middle, color="#0b2f5b", lw=2, label="interquartile mean")
    if threshold is not None:
        axes.axhline(threshold, color="#777777", lw=1, ls="--", label=f"solved: {threshold:g}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower right")
    seeds = f"{experiment.seeds} seeds" if experiment.seeds > 1 else f"seed {experiment.seed}"
    axes.set_title(f"{experiment.env} · {experiment.algo} · {seeds}", loc="left")
    axes.set_xlabel("steps (valid transitions, each seed)")
    axes.set_ylabel("return of training episodes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_formatter(_short_numbers())
    path = run / "curve.png"
    figure.savefig(path)
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
