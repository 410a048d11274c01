"""Learning curves."""

import io
import itertools
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


def plot_variance(path: Path, result: dict[str, Any]) -> Path:
    """Draw what `uphill variance` measured: each estimator's variance and bias, and how variance
    falls with the number of rollouts.

    Raises:
        UphillError: if the picture can't be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = result["estimators"]
    figure = Figure(figsize=(11, 0.28 * len(rows) + 1.6), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.1, 0.8, 1.1])
    names = [f"{row['estimator']} − {row['baseline']}" for row in rows]
    names = [name.removesuffix(" − none") for name in names]
    _dots(left, [(r["relative_variance"], *r["relative_variance_ci95"]) for r in rows])
    left.set(xscale="log", yticks=range(len(rows)), yticklabels=names)
    left.set_xlabel("variance, relative to reward-to-go")
    _dots(middle, [(100 * r["bias"], *(100 * x for x in r["bias_ci95"])) for r in rows])
    middle.set(yticks=range(len(rows)), yticklabels=[], xlabel="bias, % of the gradient's length")
    for axes in (left, middle):
        axes.invert_yaxis()
        axes.grid(axis="both", alpha=0.25)
    _falling(right, result["rollouts"])
    figure.suptitle(f"{result['env']}: the gradient's noise, over {result['batches']} batches")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write_file(path, picture.getvalue())
    return path


def _dots(axes: Any, values: list[tuple[float, float, float]]) -> None:
    for k, (value, low, high) in enumerate(values):
        axes.plot([low, high], [k, k], color="#1f5fa8", lw=3, alpha=0.35, solid_capstyle="round")
        axes.plot(value, k, "o", color="#0b2f5b", ms=4)


def _falling(axes: Any, rows: list[dict[str, Any]]) -> None:
    styles = itertools.cycle([("o-", "#0b2f5b"), ("s--", "#c05a1c")])
    for baseline in dict.fromkeys(row["baseline"] for row in rows):
        own = [row for row in rows if row["baseline"] == baseline]
        style, color = next(styles)
        n, values = [row["rollouts"] for row in own], [row["variance"] for row in own]
        low, high = np.array([row["variance_ci95"] for row in own]).T
        label = "reward-to-go" + ("" if baseline == "none" else f" − {baseline}")
        axes.plot(n, values, style, color=color, ms=4, lw=1.4, label=label)
        axes.fill_between(n, low, high, color=color, alpha=0.2, lw=0)
        axes.plot(n, values[0] * n[0] / np.array(n), ":", color=color, lw=0.9)
    axes.set(xscale="log", yscale="log", xlabel="rollouts in a batch", ylabel="variance")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, title="dotted: 1 / rollouts")
