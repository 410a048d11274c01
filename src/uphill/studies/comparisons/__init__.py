"""Comparing runs by their seeds, with further seeds until the comparison is decided:
`uphill.compare`."""

MAX_SEEDS = 48
"""Seeds of each run at which `--until-decided` gives up."""
ERROR = 0.05
"""The error probability: of finding a difference between any two runs that are alike."""
