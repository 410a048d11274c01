"""The settings of studies: each one's name, type, default and sentence, for the command line as for
Python. What varies is written in another way in each, and stands there."""

from dataclasses import dataclass
from typing import Literal

from uphill.runs.settings import BackendName, Runner

Objective = Literal["final", "curve"]


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Those of a sweep, beside what it trains."""

    seeds: int = 8
    """How many seeds to train of each setting."""
    yes: bool = False
    """Sweep however many settings there are."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """Those of a search, beside what it trains."""

    seeds: int = 4
    """How many seeds to train of each trial."""
    trials: int = 32
    """How many settings to try."""
    minutes: float | None = None
    """Propose no more after so many minutes."""
    objective: Objective = "final"
    """What a trial is judged by: the interquartile mean over seeds of what its final policies
    collect, or of the area under its learning curve."""
    prune: bool = False
    """End a trial early whose return is below the median of what earlier trials had at as many
    steps, once it has a third of its steps."""
    fresh_seeds: int = 16
    """How many other seeds the winner and the default are trained on at the end."""


@dataclass(frozen=True, kw_only=True)
class SensitivitySettings(Runner):
    """Those of a study of sensitivity."""

    seed: int = 0
    """First seed."""
    seeds: int = 4
    """How many seeds to train of each setting."""
    steps: int | float = 100_000
    """Transitions to learn from, for each seed."""
    episodes: int = 20
    """Episodes of the evaluation at the end, for each seed."""
    fresh_seeds: int = 16
    """How many other seeds what was chosen and the default are trained on at the end."""
    backend: BackendName = "auto"
    """What runs the environments; the fastest that has them by default."""
    yes: bool = False
    """Train however many settings there are."""
