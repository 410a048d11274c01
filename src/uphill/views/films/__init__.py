"""Films of runs: of the final policy, or of how it was learned.

Policies play here, but don't learn; the environment draws the pictures.
"""

from uphill.views.films.film import Clip as Clip
from uphill.views.films.film import Film as Film
from uphill.views.films.film import milestone_clips as milestone_clips
from uphill.views.films.film import record as record
