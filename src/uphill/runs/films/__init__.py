"""Films of runs: of the final policy, or of how it learned."""

from uphill.runs.films.film import Clip as Clip
from uphill.runs.films.film import Film as Film
from uphill.runs.films.film import milestone_clips as milestone_clips
from uphill.runs.films.film import record as record
