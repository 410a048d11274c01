"""The report of a run, or a comparison of several: one self-contained HTML page.

Data from a run stays plain text until `page` escapes it into a template; nothing else makes HTML.
"""

from uphill.views.report.page import write_report as write_report
