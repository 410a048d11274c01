"""Pictures of runs: figures are functions of the runs' files, and are saved as PNG or SVG.

matplotlib is used here, in notebooks, and for the picture of `uphill variance`; no window ever
opens.
"""

from uphill.views.curves import Against as Against
from uphill.views.curves import learning_curve as learning_curve
from uphill.views.plots.curves import curves_figure as curves_figure
from uphill.views.plots.files import plot_run as plot_run
from uphill.views.plots.files import plot_runs as plot_runs
from uphill.views.plots.scores import improvement_figure as improvement_figure
from uphill.views.plots.scores import performance_profile_figure as performance_profile_figure
from uphill.views.plots.style import png_of as png_of
from uphill.views.plots.style import svg_of as svg_of
