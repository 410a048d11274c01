"""The experiment: everything needed to repeat a run, as plain data."""

import json
import os
import platform
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from uphill.errors import UphillError
from uphill.installed import version
from uphill.parts import Algorithm
from uphill.runs.bounds import (
    DEEPEST,
    MOST_SEEDS,
    check_countable,
    check_episodes,
    check_names,
    fault_in,
)
from uphill.runs.configuration import decode, encode
from uphill.runs.files import EXPERIMENT_FILE, read_json, write_file
from uphill.runs.own_parts import (
    NOTHING_OWN,
    NotGivenError,
    OwnPartError,
    OwnParts,
    Withheld,
    own_parts_in,
)
from uphill.runs.place import Place
from uphill.runs.settings import Settings, SinkName
from uphill.words import abridged

PACKAGES = ("uphill", "jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium", "envpool")
"""What results depend on"""
OF_THE_PROCESS = ("command", "extended", "versions", "platform", "settings")
"""Fields of an experiment about how and where it was requested, not what."""


@dataclass(frozen=True)
class Origin:
    """The run whose networks a training started from."""

    run: str
    seed: int
    sha256: str
    """checksum of the file that they were read from"""


@dataclass(frozen=True, kw_only=True)
class Experiment(Settings):
    """The contents of `experiment.json`: the settings, as requested and as resolved."""

    env: str
    """environment ID, or the name of the Python callable that makes it, or of the world"""
    is_callable: bool
    """whether `env` names a Python callable or a custom world, which must be passed again"""
    env_kwargs: dict[str, Any]
    backend: Literal["compiled", "envpool", "gymnasium"]
    algo: str
    algorithm: Algorithm | Withheld
    steps: int
    """valid transitions for each seed"""
    wrappers: tuple[str, ...] = ()
    drop_observations: tuple[str, ...] = ()
    eval_every: int | None = None
    log: tuple[SinkName, ...] = ()
    init_from: Origin | None = None
    network: str = ""
    """name of the Python callable that makes the networks, where the user gave one"""
    settings: str = ""
    """where the algorithm's settings come from, in words"""
    command: str = ""
    extended: tuple[int, ...] = ()
    """the steps that were asked for before each extension, by `uphill resume RUN --steps N`"""
    versions: dict[str, str] = field(default_factory=dict)
    platform: str = ""

    def __post_init__(self) -> None:
        check_names(env=self.env, network=self.network)
        for name in ("seeds", "steps", "devices"):
            if getattr(self, name) < 1:
                raise UphillError(f"{name} is {getattr(self, name)}: use at least 1.")
        check_episodes(self.episodes)
        if self.seeds > MOST_SEEDS:
            raise UphillError(
                f"seeds is {self.seeds}: use at most {MOST_SEEDS}, and several runs for more."
            )
        if self.eval_every is not None and self.eval_every < 1:
            raise UphillError(f"eval_every is {self.eval_every}: use at least 1, or None.")
        check_countable(
            steps=self.steps,
            eval_every=self.eval_every,
            max_episode_steps=self.max_episode_steps,
        )
        if not 0 <= self.seed < 2**31 - self.seeds:
            raise UphillError(
                f"seed is {self.seed}: use a number from 0 to {2**31 - self.seeds - 1}."
            )
        if not self.checkpoint_every >= 0:
            raise UphillError(f"checkpoint_every is {self.checkpoint_every}: use 0 or more.")

    @property
    def composition(self) -> Algorithm:
        """The algorithm, whole.

        Raises:
            NotGivenError: if one of its parts is custom, and was not passed again.
        """
        if isinstance(self.algorithm, Withheld):
            raise NotGivenError(self.algorithm.sentence)
        return self.algorithm

    @property
    def all_seeds(self) -> tuple[int, ...]:
        return tuple(range(self.seed, self.seed + self.seeds))


def make_experiment(**settings: Any) -> Experiment:
    """The experiment with these fields, checked as a file's are when it is read: what can't be
    read again must not be trained. NumPy's numbers become Python's, and 1e6 steps are 1,000,000.

    Raises:
        UphillError: if a field has not its type; it names the field.
    """
    try:
        document = {name: encode(value) for name, value in settings.items()}
    except RecursionError as error:
        raise UphillError(
            f"env_kwargs are nested more than {DEEPEST} deep: use flatter ones, or a Python "
            "callable that makes the environment."
        ) from error
    for name in {"steps", "eval_every"} & set(document):
        document[name] = whole(document[name])
    own = OwnParts(own_parts_in(settings["algorithm"]))
    experiment = decode(Experiment, {"$type": Experiment.__name__, **document}, own=own)
    _to_json(experiment)
    return experiment


def whole(value: Any) -> Any:
    """A float that is a whole number as an int; anything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def write_experiment(run: Path, experiment: Experiment) -> None:
    """Write `experiment.json`.

    Raises:
        UphillError: if it can't be written, or a keyword argument is no plain data.
    """
    write_file(run / EXPERIMENT_FILE, f"{_to_json(experiment)}\n".encode())


def _to_json(experiment: Experiment) -> str:
    try:
        document = encode(experiment)
        if fault := fault_in(document):
            raise UphillError(f"{fault}, and could not be read again: use plain data.")
        return json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError) as error:
        for name in ("env_kwargs", "reset_options"):
            value = getattr(experiment, name)
            try:
                json.dumps(encode(value), allow_nan=False)
            except (TypeError, ValueError):
                raise UphillError(
                    f"{name} is {value}: use plain data (numbers, texts, lists, dictionaries), or "
                    "a Python callable that makes the environment."
                ) from error
        raise UphillError(
            f"A custom part has a field that is not plain data ({error}): use numbers, texts "
            "and tuples of them."
        ) from error


def as_path(
    path: str | PathLike[str],
    field: str = "path",
    what: str = "the path of a run directory, or a Run",
) -> Place:
    """A path, which leads where it leads now whatever is done to the current folder later.

    Raises:
        UphillError: if it is no path at all.
    """
    if not isinstance(path, str | PathLike):
        raise UphillError(f"{field} is {path!r}: give {what}.")
    if "\0" in os.fspath(path):
        raise UphillError(f"{field} is {path!r}: leave the null character out.")
    return Place.of(path)


def check_is_run(run: Path) -> None:
    """Raises:
    UphillError: if it has no `experiment.json`.
    """
    try:
        os.stat(run / EXPERIMENT_FILE)
    except (OSError, ValueError) as error:
        why = f"it has no {EXPERIMENT_FILE}"
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            why = getattr(error, "strerror", None) or "its name can't be that of a file"
        raise UphillError(f"{run} is not a run directory: {why}{_within(run)}.") from error


def _within(folder: Path) -> str:
    """A remark about the runs in a folder that is none itself, as a sweep's."""
    with suppress(OSError, ValueError):
        run = min((x.parent for x in folder.glob(f"*/{EXPERIMENT_FILE}")), default=None)
        return "" if run is None else f", but runs are in it: name one, such as {run}"
    return ""


def read_experiment(run: Path, own: OwnParts = NOTHING_OWN) -> Experiment:
    """Read `experiment.json`; an algorithm with parts that `own` does not know is withheld.

    Raises:
        UphillError: if there is none, or it is not what `write_experiment` writes.
    """
    check_is_run(run)
    try:
        return decode(Experiment, read_json(run / EXPERIMENT_FILE), own=own)
    except OwnPartError:
        raise
    except UphillError as error:
        raise UphillError(f"{run / EXPERIMENT_FILE} is damaged: {abridged(error)}") from error


def installed_versions() -> dict[str, str]:
    """The versions of what the results depend on."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
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
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return words.encode(errors="replace").decode()  # a path may be no text
