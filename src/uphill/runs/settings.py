"""The settings of a training run: the name, type, default and help text of each, defined only here.

`uphill train` takes them as flags, `uphill.train` as keyword arguments, and `experiment.json` keeps
the settings that determine the result. Nothing heavy is imported: the command line's help needs
this.
"""

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from os import PathLike
from typing import Any, Literal

BackendName = Literal["auto", "compiled", "envpool", "gymnasium"]
SinkName = Literal["tensorboard", "wandb"]


@dataclass(frozen=True, kw_only=True)
class BackendChoice:
    """What is to run an environment."""

    backend: BackendName = "auto"
    """What runs the environment; by default the fastest backend that supports it."""


@dataclass(frozen=True, kw_only=True)
class Runner:
    """Where to train and what to show, for every kind of study."""

    threads: int | None = None
    """Threads of the processor to use; by default one for each core that the process may use."""
    ray: str | None = None
    """Train as tasks of Ray: on this machine (local), on the cluster that it is part of (auto), or
    on the one at HOST:PORT (docs/clusters.md); needs pip install 'uphill[ray]'."""
    quiet: bool = False
    """Show nothing while training."""


@dataclass(frozen=True, kw_only=True)
class Options(Runner, BackendChoice):
    """Options whose defaults come from the preset, the environment or the current time."""

    algo: str | None = None
    """Algorithm (`uphill algos`); by default that of the environment's preset."""
    steps: int | float | None = None
    """Transitions to learn from, for each seed; by default those of the preset."""
    envs: int | None = None
    """Environments that step together, for each seed."""
    out: str | PathLike[str] | None = None
    """Run directory to make; by default one in ./runs."""
    settings: str | PathLike[str] | None = None
    """Start from the settings of another run, or of a JSON file, instead of the preset: its
    algorithm and steps and, if the environment is the same, its changes to that
    (docs/settings.md)."""
    allow_import: bool = False
    """Import the modules that those settings name: your own parts and wrappers."""
    init_from: str | PathLike[str] | None = None
    """Fine-tune: start from the policy of another run's best seed, and from its value function if
    this run has one like it. The environment may be a different one with the same spaces."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentChanges:
    """What is changed of an environment."""

    max_episode_steps: int | None = None
    """Truncate episodes after this many steps, in place of the environment's own time limit."""
    wrappers: Sequence[str | Callable[[Any], Any]] = ()
    """Wrap the environment, the innermost first: in Gymnasium's wrappers by name, with arguments if
    need be (FrameStackObservation:4), or your own as module:Name[:ARGUMENTS]; repeatable."""
    drop_observations: Sequence[str] = ()
    """Leave a key of a Dict observation out, such as a text (of a Dict in it, OUTER.INNER);
    repeatable."""
    reset_options: dict[str, Any] | None = None
    """The options that are passed to every reset of the environment."""


@dataclass(frozen=True, kw_only=True)
class EnvironmentSettings(EnvironmentChanges, BackendChoice):
    """How an environment is made, wherever a command or a function needs one."""


@dataclass(frozen=True, kw_only=True)
class Settings(EnvironmentChanges):
    """The settings that `experiment.json` keeps as they were given."""

    seed: int = 0
    """First seed."""
    seeds: int = 1
    """Number of seeds to train at once; with several, results come with an interval over seeds."""
    devices: int = 1
    """Devices that share each seed's environments and batches, such as several GPUs: for large
    batches in a compiled world (docs/clusters.md)."""
    is_async: bool = False
    """Run each Python environment in a separate process (worthwhile for slow ones)."""
    step_timeout: float | None = None
    """Time limit in seconds for a step or a reset of an environment in a separate process. If it is
    exceeded, training stops, and what was learned is saved."""
    eval_every: int | float | None = None
    """Number of steps between two evaluations in training; the policy with the best one is kept."""
    stop_when_solved: bool = False
    """Stop once the last 100 training episodes of every seed reach the threshold."""
    checkpoint_every: float = 10.0
    """Seconds between two checkpoints."""
    episodes: int = 100
    """Episodes of the evaluation at the end, for each seed."""
    log: SinkName | Sequence[SinkName] = ()
    """Send the metrics to TensorBoard or Weights & Biases as well; repeatable."""


def sentences(kind: type) -> dict[str, str]:
    """The docstring below each field, from the source of a dataclass and its bases."""
    found = {}
    for base in reversed(kind.__mro__):
        if not is_dataclass(base):
            continue
        try:
            definition = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except OSError:  # installed without its source
            continue
        assert isinstance(definition, ast.ClassDef)
        for field, below in pairwise(definition.body):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found


def kept(asked: Settings) -> dict[str, Any]:
    """The settings as keyword arguments of an experiment."""
    return {field.name: getattr(asked, field.name) for field in fields(Settings)}
