"""The report of a run, or of several compared: one HTML page that needs nothing else."""

from uphill.views.report.page import write_report as write_report
