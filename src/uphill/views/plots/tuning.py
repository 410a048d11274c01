"""The picture of a search: its trials in their order, and over each setting that was searched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from uphill.errors import UphillError
from uphill.parts.schedule import Schedule
from uphill.runs.files import SWEEP_PICTURE, write_file
from uphill.runs.sweeps import SavedSweep
from uphill.views.labels import setting_names, setting_shown
from uphill.views.plots.style import (
    GREY,
    clear_spines,
    line_style,
    new_figure,
    png_of,
    set_title,
    settled,
)
from uphill.views.plots.sweeps import places_of
from uphill.views.sweeps import SettingRow
from uphill.words import count

ACROSS = 3
_BEST = {"marker": "*", "ms": 15, "color": "#d55e00", "ls": "", "zorder": 3}


def plot_tuning(sweep: SavedSweep, trials: Sequence[SettingRow]) -> Path:
    """Draw the results of a search's trials, as `sweep.png` in its folder; its path.

    Raises:
        UphillError: if the picture can't be written.
    """
    known = [(k, row) for k, row in enumerate(trials) if row.iqm is not None]
    paths = [path for path in sweep.varied if any(path in row.setting for _, row in known)]
    down = -(-(1 + len(paths)) // ACROSS)
    figure = new_figure(3.6 * ACROSS, 3.9 if down == 1 else 3.1 * down)
    panels = list(figure.subplots(down, ACROSS, squeeze=False, sharey=True).flat)
    scores = np.array([row.iqm for _, row in known])
    is_early = np.array([row.is_early for _, row in known])
    best = int(scores.argmax())
    _in_order(panels[0], np.array([k for k, _ in known]), scores, is_early, best)
    for axes, path in zip(panels[1:], paths, strict=False):
        has_it = np.array([path in row.setting for _, row in known])
        values = [row.setting[path] for _, row in known if path in row.setting]
        star = int(has_it[:best].sum()) if has_it[best] else None
        _over(axes, path, values, scores[has_it], is_early[has_it], star)
    for axes in panels[1 + len(paths) :]:
        axes.set_visible(False)
    for axes in panels[::ACROSS]:
        axes.set_ylabel("interquartile mean over seeds")
    failed = len(trials) - len(known)
    lost = f", {failed} failed" if failed else ""
    early = f", {is_early.sum()} ended early (rings)" if is_early.any() else ""
    set_title(figure, f"{sweep.env} · {sweep.algo} · {count(len(trials), 'trial')}{lost}{early}")
    path = sweep.path / SWEEP_PICTURE
    write_file(path, png_of(settled(figure)))
    return path


def _in_order(
    axes: Axes, numbers: np.ndarray, scores: np.ndarray, is_early: np.ndarray, best: int
) -> None:
    """Each trial, and the best so far."""
    _dots(axes, numbers, scores, is_early)
    axes.step(numbers, np.maximum.accumulate(scores), where="post", color=GREY, lw=1.2)
    axes.plot(numbers[best], scores[best], **_BEST)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial; the line is the best so far")
    clear_spines(axes)


def _over(
    axes: Axes,
    path: str,
    values: Sequence[Any],
    scores: np.ndarray,
    is_early: np.ndarray,
    best: int | None,
) -> None:
    """Each trial over one setting; of a schedule, over what it starts from. `best` is the place of
    the best trial, if it has that setting."""
    numbers = [_number(value) for value in values]
    if None in numbers:
        names = list(dict.fromkeys(map(setting_shown, values)))
        places = np.array([names.index(setting_shown(value)) for value in values], np.float64)
        axes.set_xticks(range(len(names)), names)
    else:
        places, is_log = places_of(numbers)
        if is_log:
            axes.set_xscale("log")
    _dots(axes, places, scores, is_early)
    if best is not None:
        axes.plot(places[best], scores[best], **_BEST)
    axes.set_xlabel(setting_names([path])[path])
    clear_spines(axes)


def _dots(axes: Axes, places: np.ndarray, scores: np.ndarray, is_early: np.ndarray) -> None:
    """A dot for each trial, a ring for one that ended early."""
    style: dict[str, Any] = {"ls": "", "marker": "o", "color": line_style(0)["color"], "ms": 5}
    axes.plot(places[~is_early], scores[~is_early], alpha=0.7, **style)
    axes.plot(places[is_early], scores[is_early], mfc="none", **style)


def _number(value: Any) -> float | None:
    try:
        return float(Schedule.parse(value).value)
    except UphillError:
        return None
