"""Pictures as files: what `uphill plot` and the end of a training write."""

import os
import re
import time
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from uphill.errors import UphillError
from uphill.runs.files import CURVE_FILE, make_folder, unused, write_file
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun
from uphill.views.curves import RETURN, Against
from uphill.views.plots.curves import curves_figure
from uphill.views.plots.scores import improvement_figure, performance_profile_figure
from uphill.views.plots.style import png_of, svg_of
from uphill.views.scores import comparable, improvements

_CONTENT: dict[str, Callable[[Figure], bytes]] = {
    ".png": png_of,
    ".svg": lambda figure: svg_of(figure).encode(),
}


def plot_run(run: SavedRun) -> Path:
    """Draw `curve.png` in the run directory, as every training does at its end.

    Raises:
        UphillError: if `metrics.csv` can't be read, or the picture can't be written.
    """
    path = run.path / CURVE_FILE
    write_file(path, png_of(curves_figure([run])))
    return path


def plot_runs(
    runs: Sequence[str | PathLike[str]],
    out: str | Path | None = None,
    *,
    against: Against = "steps",
    column: str = RETURN,
) -> dict[str, Any]:
    """Draw learning curves of runs on one picture; and of several with evaluations their
    performance profile and the probability that one improves on another.

    Each picture is written as PNG and as SVG into the folder `out`: by default that of the run if
    it is one alone, else a new one in ./plots. A file, NAME.png or NAME.svg, gets the curves alone.

    Returns what `uphill plot --json` prints: paths, probabilities, and a sentence for each thing
    that was left out.

    Raises:
        UphillError: if one is no run, or what it wrote can't be read, or a picture not be written.
    """
    opened = _opened(runs)
    curves = curves_figure(opened, against, column)
    kind = _kind(out)
    if kind:
        path = Place.of(str(out))
        make_folder(path.parent)
        write_file(path, _CONTENT[kind](curves))
        return {"pictures": [str(path)], "improvements": [], "left_out": []}
    figures = {_stem(against, column): curves}
    scores, left_out = comparable(opened) if len(opened) > 1 else ([], [])
    if scores:
        figures["profile"] = performance_profile_figure(opened)
        figures["improvement"] = improvement_figure(opened)
    folder = make_folder(_folder(opened, out))
    return {
        "pictures": [str(path) for path in _written(folder, figures)],
        "improvements": improvements(scores),
        "left_out": left_out,
    }


def _opened(runs: Sequence[str | PathLike[str]]) -> list[SavedRun]:
    """Each run once, however often it is named."""
    if isinstance(runs, str | PathLike):
        raise UphillError(f"runs is {runs!r}: give a list of runs.")
    if not runs:
        raise UphillError("runs is empty: give at least one.")
    opened = [run if isinstance(run, SavedRun) else SavedRun(run) for run in runs]
    return list({run.path.resolve(): run for run in opened}.values())


def _kind(out: str | Path | None) -> str:
    """The ending of `out` if it is a file of a kind that we write, else nothing.

    Raises:
        UphillError: if it has another ending.
    """
    suffix = "" if out is None or os.path.isdir(out) else Path(out).suffix
    if suffix and suffix not in _CONTENT:
        raise UphillError(f"out is {out}: end it in .png or .svg, or give a folder without ending.")
    return suffix


def _stem(against: Against, column: str) -> str:
    """`curve` is what training draws; what differs from that has its own name beside it."""
    parts = ["curve"]
    parts += [re.sub("[^A-Za-z0-9]+", "-", column)] if column != RETURN else []
    parts += [against] if against != "steps" else []
    return "-".join(parts)


def _folder(runs: Sequence[SavedRun], out: str | Path | None) -> Path:
    """Not in ./runs by default: `uphill plot runs/*` should find nothing there but runs."""
    if out is not None:
        return Place.of(out)
    if len(runs) == 1:
        return runs[0].path
    return unused(Place.of(Path("plots", time.strftime("%Y%m%d-%H%M%S"))))


def _written(folder: Path, figures: dict[str, Figure]) -> list[Path]:
    paths = []
    for stem, figure in figures.items():
        for kind, content in _CONTENT.items():
            path = folder / f"{stem}{kind}"
            write_file(path, content(figure))
            paths.append(path)
    return paths
