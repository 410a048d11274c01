"""`uphill doctor`: for someone whose agent does not learn.

Data flows one way: probes → facts → rules → findings → words. Probes alone touch the environment,
rules see nothing but facts, and no run is written.
"""

from uphill.doctor.examine import Examination as Examination
from uphill.doctor.examine import examine as examine
from uphill.doctor.finding import Finding as Finding
from uphill.doctor.finding import Name as Name
