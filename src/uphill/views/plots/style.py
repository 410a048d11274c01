"""The style of pictures: always the same, and readable without colour."""

import io
import math
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter

from uphill.words import number

# Seven of the eight colours that colour-blind people tell apart, after Okabe and Ito (2008),
# https://jfly.uni-koeln.de/color/; yellow is too pale for a line on white.
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")
_DASHES = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1)),
    (0, (6, 1.5, 1.5, 1.5)),
    (0, (9, 3)),
    (0, (4, 1.2, 1, 1.2, 1, 1.2)),
)
_MARKERS = "os^DvP*X"
GREY = "#666666"


def line_style(k: int) -> dict[str, Any]:
    """Colour, dashes and marker of the k-th of several lines: no two of the first 168 agree."""
    return {
        "color": _COLORS[k % len(_COLORS)],
        "linestyle": _DASHES[k % len(_DASHES)],
        "marker": _MARKERS[k % len(_MARKERS)],
        "markersize": 6.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.7,
    }


def new_figure(width: float = 7.0, height: float = 4.2) -> Figure:
    """An empty figure, in inches, that no window ever shows."""
    figure = Figure(figsize=(width, height), dpi=140, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def set_title(figure: Figure, title: str) -> None:
    """Left above everything, the legend included."""
    figure.suptitle(title, x=0.012, ha="left", fontsize="large")


def clear_spines(axes: Axes) -> None:
    """Only the axes that carry numbers, and lines to read values by."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)


def legend_above(axes: Axes) -> None:
    """The legend between title and axes, where no data can be, in as few lines as hold it.

    A figure with more than two lines of it grows by them.
    """
    handles, labels = axes.get_legend_handles_labels()
    figure = axes.get_figure(root=True)
    assert figure is not None
    for num_columns in range(min(len(labels), 6), 0, -1):
        legend = axes.legend(
            handles,
            labels,
            loc="lower left",
            bbox_to_anchor=(0, 1.01),
            borderaxespad=0.2,
            frameon=False,
            ncols=num_columns,
            fontsize="small",
            handlelength=3.2,
            columnspacing=1.6,
        )
        if legend.get_window_extent().width < 0.82 * figure.bbox.width:  # beside it, axis labels
            num_more = math.ceil(len(labels) / num_columns) - 2
            figure.set_figheight(figure.get_figheight() + 0.19 * max(0, num_more))
            return


def settled(figure: Figure) -> Figure:
    """The figure, laid out once for all: every drawing would move things by a hair otherwise."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return figure


def short_numbers() -> FuncFormatter:
    """Numbers of an axis as 20k and 1M, and 0.5 (not 500m)."""
    large = EngFormatter(sep="")
    return FuncFormatter(lambda x, _: number(x) if 0 < abs(x) < 1 else large.format_eng(x))


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def svg_of(figure: Figure) -> str:
    """The figure as one `<svg>` element, which may stand alone or in a page.

    Text stays text; the same figure gives the same characters.
    """
    picture = io.StringIO()
    # Neither a date nor random names: what did not change should not differ.
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "uphill"}):
        figure.savefig(picture, format="svg", metadata=nothing)
    text = picture.getvalue()
    return text[text.index("<svg") :]
