"""Films of runs: of the final policy, or of how it learned.

Policies play here and learn nothing; what a picture shows is drawn by the environment.
"""

from uphill.views.films.film import Clip as Clip
from uphill.views.films.film import Film as Film
from uphill.views.films.film import milestone_clips as milestone_clips
from uphill.views.films.film import record as record
