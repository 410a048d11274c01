"""The picture of `uphill variance`."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np

from uphill.runs.files import write_file
from uphill.views.plots.style import GREY, new_figure, png_of

BAND, DOT = "#1f5fa8", "#0b2f5b"


def plot_variance(path: Path, result: dict[str, Any]) -> Path:
    """Draw what `uphill variance` measured: each estimator's variance and bias, and how variance
    falls with the number of rollouts.

    Raises:
        UphillError: if the picture can't be written.
    """
    rows = result["estimators"]
    figure = new_figure(11, 0.28 * len(rows) + 1.6)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.1, 0.8, 1.1])
    names = [f"{row['estimator']} − {row['baseline']}" for row in rows]
    names = [name.removesuffix(" − none") for name in names]
    _dots(left, [(r["relative_variance"], *r["relative_variance_ci95"]) for r in rows])
    left.set(xscale="log", yticks=range(len(rows)), yticklabels=names)
    left.set_xlabel("variance, relative to reward-to-go")
    _biases(middle, rows)
    middle.set(yticks=range(len(rows)), yticklabels=[], xlabel="bias, % of the gradient's length")
    for axes in (left, middle):
        axes.invert_yaxis()
        axes.grid(axis="both", alpha=0.25)
    _falling(right, result["rollouts"])
    figure.suptitle(f"{result['env']}: the gradient's noise, over {result['batches']} batches")
    write_file(path, png_of(figure))
    return path


def _dots(axes: Any, values: list[tuple[float, float, float]]) -> None:
    for k, (value, low, high) in enumerate(values):
        axes.plot([low, high], [k, k], color=BAND, lw=3, alpha=0.35, solid_capstyle="round")
        axes.plot(value, k, "o", color=DOT, ms=4.5)


def _biases(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Biases, and behind them the bound for an unbiased estimator: a bias below it may be chance,
    and its dot is hollow."""
    for k, row in enumerate(rows):
        chance, bias = 100 * row["bias_by_chance"], 100 * row["bias"]
        low, high = (100 * x for x in row["bias_ci95"])
        axes.plot([0, chance], [k, k], color=GREY, lw=9, alpha=0.3, solid_capstyle="butt")
        axes.plot([low, high], [k, k], color=BAND, lw=3, alpha=0.35, solid_capstyle="round")
        face = DOT if bias > chance else "white"
        axes.plot(bias, k, "o", mfc=face, mec=DOT, color=DOT, ms=4.5)
    axes.plot([], [], color=GREY, lw=7, alpha=0.3, label="what chance alone gives")
    axes.plot([], [], "o", mfc="white", mec=DOT, ms=4.5, label="no more than that")
    axes.plot([], [], "o", color=DOT, ms=4.5, label="a bias")
    axes.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0, 1))


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
    axes.legend(frameon=False, title="dotted: 1 / rollouts", loc="upper right")
