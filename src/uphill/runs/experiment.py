"""What a run is: everything needed to repeat it, as plain data."""

import json
import platform
import sys
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from uphill.errors import UphillError
from uphill.learning.parts import Algorithm
from uphill.runs.configuration import decode, encode

FILE = "experiment.json"


@dataclass(frozen=True)
class Experiment:
    """The contents of `experiment.json`."""

    env: str
    """environment ID, or the name of the Python callable that makes it"""
    is_callable: bool
    env_kwargs: dict[str, Any]
    backend: Literal["compiled", "envpool", "gymnasium"]
    is_async: bool
    algo: str
    algorithm: Algorithm
    seed: int
    seeds: int
    steps: int
    """valid transitions for each seed"""
    eval_every: int | None = None
    stop_when_solved: bool = False
    checkpoint_every: float = 10.0
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    platform: str = ""

    @property
    def all_seeds(self) -> tuple[int, ...]:
        return tuple(range(self.seed, self.seed + self.seeds))


def write_experiment(run: Path, experiment: Experiment) -> None:
    """Write `experiment.json`."""
    (run / FILE).write_text(json.dumps(encode(experiment), indent=2, allow_nan=False) + "\n")


def read_experiment(run: Path) -> Experiment:
    """Read `experiment.json`.

    Raises:
        UphillError: if there is none, or it is not what `write_experiment` writes.
    """
    try:
        document = json.loads((run / FILE).read_text())
    except FileNotFoundError:
        raise UphillError(f"{run} is no run directory: it has no {FILE}.") from None
    except (OSError, ValueError) as error:
        raise UphillError(f"{run / FILE} can't be read: {error}.") from error
    return decode(Experiment, document)


def installed_versions() -> dict[str, str]:
    """The versions of what the results depend on."""
    names = ("uphill", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium", "envpool")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_platform() -> str:
    """Machine, system and accelerator, in a line."""
    import jax

    device = jax.devices()[0]
    return f"{platform.platform()}, {platform.machine()}, {device.platform} ({device.device_kind})"


def command_line() -> str:
    """How this process was started."""
    return " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
