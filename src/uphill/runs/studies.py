"""The settings of studies: the name, type, default and help text of each, for the command line and
Python. What varies is specified differently in each study, and is defined there."""

from dataclasses import dataclass
from os import PathLike
from typing import Literal

from uphill.runs.settings import BackendName, EnvironmentSettings, Runner

Objective = Literal["final", "curve"]


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """The settings of a sweep, besides what it trains."""

    seeds: int = 8
    """How many seeds to train of each setting."""
    yes: bool = False
    """Sweep without confirmation, however many settings there are."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """The settings of a search, besides what it trains."""

    seeds: int = 4
    """How many seeds to train of each trial."""
    trials: int = 32
    """How many settings to try."""
    minutes: float | None = None
    """Stop proposing settings after this many minutes."""
    objective: Objective = "final"
    """The score of a trial: the interquartile mean over seeds of the final policies' returns, or of
    the area under the learning curve."""
    prune: bool = False
    """End a trial early if, from a third of its steps on, its return is below the median of earlier
    trials at the same step."""
    fresh_seeds: int = 16
    """Number of fresh seeds on which the winner and the default are trained at the end."""


@dataclass(frozen=True, kw_only=True)
class SensitivitySettings(Runner):
    """The settings of a sensitivity study."""

    seed: int = 0
    """First seed."""
    seeds: int = 4
    """How many seeds to train of each setting."""
    steps: int | float = 100_000
    """Transitions to learn from, for each seed."""
    episodes: int = 20
    """Episodes of the evaluation at the end, for each seed."""
    fresh_seeds: int = 16
    """Number of fresh seeds on which the chosen setting and the default are trained at the end."""
    backend: BackendName = "auto"
    """What runs the environments; by default the fastest backend that supports them."""
    yes: bool = False
    """Train without confirmation, however many settings there are."""


@dataclass(frozen=True, kw_only=True)
class VarianceSettings(EnvironmentSettings):
    """The settings of a measurement of the gradient's estimators."""

    run: str | PathLike[str] | None = None
    """Measure at the policy of this run; by default at a fresh one."""
    gamma: float = 1.0
    """Discount factor."""
    envs: int = 16
    """Whole episodes in a batch."""
    batches: int = 256
    """Independent batches."""
    seed: int = 0
    """Seed of the policy and of the episodes."""
    out: str | PathLike[str] | None = None
    """Folder for variance.json and variance.png; by default the run's, or one in ./runs."""
    allow_import: bool = False
    """Import the modules that a run's `module:ID` environment and custom parts name."""
    quiet: bool = False
    """Show nothing while measuring."""


@dataclass(frozen=True, kw_only=True)
class DoctorSettings(EnvironmentSettings):
    """The settings of an examination."""

    seed: int = 0
    """Seed of all random numbers."""
    steps: int | None = None
    """Steps of the brief training, by default as many as fit into some seconds; 0 for none."""
    quiet: bool = False
    """Don't report progress."""
