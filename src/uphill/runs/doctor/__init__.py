"""`uphill doctor`: for someone whose agent does not learn.

Data flows one way: probes → facts → rules → findings → words.
"""

from uphill.runs.doctor.examine import Examination as Examination
from uphill.runs.doctor.examine import examine as examine
from uphill.runs.doctor.finding import Finding as Finding
from uphill.runs.doctor.finding import Name as Name
