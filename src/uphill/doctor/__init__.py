"""`uphill doctor`: diagnoses why an agent does not learn.

Data flows one way: probes → facts → rules → findings → words. Only probes touch the environment,
rules see only facts, and no run is written.
"""

from uphill.doctor.examine import Examination as Examination
from uphill.doctor.examine import examine as examine
from uphill.doctor.finding import Finding as Finding
from uphill.doctor.finding import Name as Name
