"""Pictures of runs: figures are functions of what runs wrote, and become PNG or SVG."""

from uphill.runs.plots.curves import Against as Against
from uphill.runs.plots.curves import curves_figure as curves_figure
from uphill.runs.plots.curves import learning_curve as learning_curve
from uphill.runs.plots.files import plot_run as plot_run
from uphill.runs.plots.files import plot_runs as plot_runs
from uphill.runs.plots.scores import improvement_figure as improvement_figure
from uphill.runs.plots.scores import performance_profile_figure as performance_profile_figure
from uphill.runs.plots.style import png_of as png_of
from uphill.runs.plots.style import svg_of as svg_of
from uphill.runs.plots.variance import plot_variance as plot_variance
