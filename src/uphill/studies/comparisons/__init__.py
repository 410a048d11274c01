"""Runs compared by their seeds, and further seeds until that is decided: `uphill.compare`."""

MAX_SEEDS = 48
"""Seeds of each run at which `--until-decided` gives up."""
ERROR = 0.05
"""The probability with which it may tell any two runs apart that are alike."""
