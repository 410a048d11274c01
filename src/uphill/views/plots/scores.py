"""Pictures that compare final evaluations: performance profiles, and the probability that one is
better."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from uphill.errors import UphillError
from uphill.runs.saved import SavedRun
from uphill.theory.statistics import performance_profile
from uphill.views.labels import title_of
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
from uphill.views.scores import Scores, comparable, improvements


def performance_profile_figure(runs: Sequence[SavedRun]) -> Figure:
    """For each run the share of seeds whose score is above τ, with its 95 % bootstrap interval.

    Raises:
        UphillError: unless there are two runs that can be compared.
    """
    scores = _compared(runs)
    values = np.concatenate([each.values for each in scores])
    margin = 0.04 * np.ptp(values) or 1.0
    # Shares change at scores alone: a threshold at each draws them exactly.
    edges = [values.min() - margin, values.max() + margin]
    thresholds = np.unique(np.concatenate([values, edges]))
    figure = new_figure()
    axes = figure.add_subplot()
    for position, name, own in scores:
        share, band = performance_profile(own, thresholds)
        style = line_style(position)
        axes.fill_between(thresholds, *band, step="post", color=style["color"], alpha=0.16, lw=0)
        style["marker"] = ""
        axes.plot(thresholds, share, drawstyle="steps-post", lw=1.9, label=name, **style)
    axes.fill_between([], [], [], color=GREY, alpha=0.25, lw=0, label="95 % interval")
    set_title(figure, f"{title_of(runs)} · performance profile")
    axes.set_xlabel("score τ: mean return of a seed's final, deterministic policy")
    axes.set_ylabel("share of seeds with a score above τ")
    axes.set(xlim=edges, ylim=(-0.03, 1.03))
    axes.xaxis.set_major_formatter(short_numbers())
    clear_spines(axes)
    legend_above(axes)
    return settled(figure)


def improvement_figure(runs: Sequence[SavedRun]) -> Figure:
    """For each pair of runs the probability that a seed of the one scores above one of the other,
    with its 95 % interval.

    Raises:
        UphillError: unless there are two runs that can be compared.
    """
    rows = improvements(_compared(runs))
    is_long = max(len(row["x"] + row["y"]) for row in rows) > 40
    joint, height = ("\n> ", 0.5) if is_long else ("  >  ", 0.3)
    figure = new_figure(height=1.4 + height * len(rows))
    axes = figure.add_subplot()
    for k, row in enumerate(rows):
        low, high = row["ci95"]
        axes.plot([low, high], [k, k], color="#0072b2", lw=6, alpha=0.3, solid_capstyle="butt")
        axes.plot(row["probability"], k, "o", color="#0b2f5b", ms=5)
        numbers = f"{row['probability']:.2f}  [{low:.2f}, {high:.2f}]"
        axes.text(1.04, k, numbers, va="center", fontsize="small")
    axes.axvline(0.5, color=GREY, lw=1, ls=(0, (3, 3)))
    size = "small" if is_long else "medium"
    axes.set_yticks(range(len(rows)), [row["x"] + joint + row["y"] for row in rows], fontsize=size)
    axes.set(xlim=(-0.02, 1.02), ylim=(len(rows) - 0.4, -0.6))
    axes.set_xlabel("P(X > Y) over seeds, with its 95 % interval")
    set_title(figure, f"{title_of(runs)} · probability of improvement")
    clear_spines(axes)
    return settled(figure)


def _compared(runs: Sequence[SavedRun]) -> list[Scores]:
    scores, left_out = comparable(runs)
    if not scores:
        raise UphillError(" ".join(left_out) or "To compare scores takes at least two runs.")
    return scores
