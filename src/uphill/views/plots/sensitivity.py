"""The picture of a sensitivity study."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uphill.runs.files import SENSITIVITY_PICTURE, write_file
from uphill.runs.sensitivity import SavedSensitivity
from uphill.theory.sensitivity import SHARE
from uphill.views.plots.style import (
    clear_spines,
    legend_above,
    line_style,
    new_figure,
    png_of,
    set_title,
    settled,
)
from uphill.views.sensitivity import Findings, Studied
from uphill.words import count


def plot_sensitivity(study: SavedSensitivity, result: Findings) -> Path:
    """Draw `sensitivity.png` in the folder of a study; its path.

    Raises:
        UphillError: if the picture can't be written.
    """
    path = study.path / SENSITIVITY_PICTURE
    write_file(path, png_of(sensitivity_figure(study, result)))
    return path


def sensitivity_figure(study: SavedSensitivity, result: Findings) -> Figure:
    """On the left, the tuned score over the sensitivity, with their 95 % intervals; on the right,
    the score with the best 0, 1, 2, … settings tuned."""
    figure = new_figure(9.0, 4.2)
    plane, steps = figure.subplots(1, 2)
    for k, one in enumerate(result.algorithms):
        _point(plane, k, one)
        _steps(steps, k, one)
    plane.set_xlabel("Φ: what tuning for each environment is worth")
    plane.set_ylabel("normalised score, tuned for each environment")
    plane.set_xlim(left=min(0.0, plane.get_xlim()[0]))
    steps.set_xlabel("settings tuned for each environment\n(dotted: 95 % of tuning all)")
    steps.set_ylabel("normalised score")
    most = max(len(one.sensitivity.reached) for one in result.algorithms)
    steps.set_xticks(range(most))
    for axes in (plane, steps):
        clear_spines(axes)
    legend_above(plane)
    set_title(figure, f"sensitivity to tuning · {count(len(study.envs), 'environment')}")
    return settled(figure)


def _point(axes: Axes, k: int, one: Studied) -> None:
    phi, tuned = one.sensitivity.phi, one.sensitivity.tuned
    style = line_style(k)
    style["linestyle"] = ""
    for across, up in ((phi.interval, [tuned.value] * 2), ([phi.value] * 2, tuned.interval)):
        axes.plot(across, up, color=style["color"], lw=5, alpha=0.25, solid_capstyle="butt")
    axes.plot(phi.value, tuned.value, label=one.algo, **style)


def _steps(axes: Axes, k: int, one: Studied) -> None:
    style, reached = line_style(k), one.sensitivity.reached
    axes.plot(range(len(reached)), reached, lw=1.9, **style)
    axes.axhline(SHARE * reached[-1], color=style["color"], lw=1, ls=":")
