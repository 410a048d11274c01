"""The report of a run, or of several compared: one HTML page that needs nothing else.

What a run says is text until `page` escapes it into a template; nothing else makes HTML.
"""

from uphill.views.report.page import write_report as write_report
