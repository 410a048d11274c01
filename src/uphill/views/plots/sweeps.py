"""The picture of a sweep: how the final return depends on the settings."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from uphill.runs.files import SWEEP_PICTURE, write_file
from uphill.runs.sweeps import SavedSweep
from uphill.views.labels import setting_names, setting_of, setting_shown
from uphill.views.plots.style import (
    GREY,
    clear_spines,
    line_style,
    new_figure,
    png_of,
    set_title,
    settled,
)
from uphill.views.sweeps import SettingRow, ranked, rows_of
from uphill.words import count, number

_RETURN = "return of final policies\n(interquartile mean over seeds)"


def plot_sweep(sweep: SavedSweep) -> Path:
    """Draw `sweep.png` in the sweep's folder; its path.

    Raises:
        UphillError: if a file of the sweep was altered, or the picture can't be written.
    """
    path = sweep.path / SWEEP_PICTURE
    write_file(path, png_of(sweep_figure(sweep)))
    return path


def sweep_figure(sweep: SavedSweep) -> Figure:
    """The final return over one setting, with its 95 % interval; over two as a heat map; over more
    as slices, each through the best setting."""
    rows, paths = rows_of(sweep), sweep.varied
    title = f"{sweep.env} · {sweep.algo} · {count(len(rows), 'setting')}"
    if len(paths) == 2:
        figure = new_figure(*_size(sweep, paths))
        _heat_map(figure.add_subplot(), sweep, rows, paths)
    else:
        figure = _slices(rows, paths)
        title += f"\nslices through {setting_of(ranked(rows)[0].setting)}" if len(paths) > 2 else ""
    set_title(figure, title)
    return settled(figure)


def _size(sweep: SavedSweep, paths: Sequence[str]) -> tuple[float, float]:
    down, across = (len(sweep.values_of(path)) for path in paths)
    return max(5.0, 2.4 + 0.95 * across), max(3.2, 1.7 + 0.55 * down)


def _slices(rows: Sequence[SettingRow], paths: Sequence[str]) -> Figure:
    """A panel for each setting that varies; the others are what they are at the best."""
    across = min(len(paths), 3)
    down = -(-len(paths) // across)
    figure = new_figure(7.0 if across == 1 else 3.6 * across, 3.9 if down == 1 else 3.1 * down)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    best = ranked(rows)[0].setting
    for k, axes in enumerate(panels.flat):
        if k >= len(paths):
            axes.set_visible(False)
            continue
        own = [
            row for row in rows if all(row.setting.get(p) == best[p] for p in best if p != paths[k])
        ]
        _slice(axes, paths[k], [row for row in own if row.is_known])
        if k % across == 0:
            axes.set_ylabel(_RETURN)
    return figure


def _slice(axes: Axes, path: str, rows: Sequence[SettingRow]) -> None:
    """Returns over one setting, with their intervals and each seed."""
    axes.set_xlabel(setting_names([path])[path])
    clear_spines(axes)
    if not rows:
        axes.text(0.5, 0.5, "nothing to show yet", transform=axes.transAxes, ha="center")
        axes.set(xticks=[], yticks=[])
        return
    values = [row.setting.get(path) for row in rows]
    places, is_log = places_of(values)
    order = np.argsort(places)
    places = places[order]
    rows = [rows[k] for k in order]
    low, high = np.array([row.ci95 for row in rows], np.float64).T
    style = line_style(0)
    axes.fill_between(places, low, high, color=style["color"], alpha=0.2, lw=0)
    axes.plot(places, [row.iqm for row in rows], lw=1.9, **style)
    for place, row in zip(places, rows, strict=True):
        each = np.full(len(row.per_seed), place)
        axes.plot(each, row.per_seed, ls="", marker="_", color=style["color"], alpha=0.5)
    if (threshold := rows[0].threshold) is not None:
        axes.axhline(threshold, color=GREY, lw=1, ls=(0, (3, 3)))
    if is_log:
        axes.set_xscale("log")
    axes.set_xticks(places, [setting_shown(values[k]) for k in order])
    axes.minorticks_off()
    axes.margins(x=0.06)


def places_of(values: Sequence[Any]) -> tuple[np.ndarray, bool]:
    """Where values stand, and whether on a logarithmic axis: that of most numbers that are swept;
    what is no number stands in a row."""
    is_number = all(type(x) in (int, float) for x in values)
    if not is_number:
        return np.arange(len(values), dtype=np.float64), False
    numbers = np.array(values, np.float64)
    return numbers, bool((numbers > 0).all() and numbers.max() >= 10 * numbers.min())


def _heat_map(
    axes: Axes, sweep: SavedSweep, rows: Sequence[SettingRow], paths: Sequence[str]
) -> None:
    """The first setting downward, the second across; every cell says its number."""
    values = [_ordered(sweep.values_of(path)) for path in paths]
    table = np.full([len(x) for x in values], np.nan)
    for row in rows:
        if row.iqm is not None:
            down, across = (v.index(row.setting[p]) for v, p in zip(values, paths, strict=True))
            table[down, across] = row.iqm
    image = axes.imshow(np.ma.masked_invalid(table), cmap="viridis", aspect="auto")
    low, high = (0.0 if x is None else x for x in image.get_clim())
    for (down, across), value in np.ndenumerate(table):
        shown = "–" if np.isnan(value) else number(value)
        is_bright = value > low + 0.6 * (high - low)
        color = GREY if np.isnan(value) else "black" if is_bright else "white"
        axes.text(across, down, shown, ha="center", va="center", color=color, fontsize="small")
    names = setting_names(paths)
    axes.set_yticks(range(len(values[0])), [setting_shown(x) for x in values[0]])
    axes.set_xticks(range(len(values[1])), [setting_shown(x) for x in values[1]])
    axes.set_ylabel(names[paths[0]])
    axes.set_xlabel(names[paths[1]])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=axes, label=_RETURN).outline.set_visible(False)


def _ordered(values: list[Any]) -> list[Any]:
    """Numbers by their size, anything else as it was given."""
    return sorted(values) if all(type(x) in (int, float) for x in values) else values
