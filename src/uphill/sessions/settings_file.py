"""Settings that a run takes from another run, or from a file: `--settings`.

A settings file is JSON, and every `experiment.json` is one. A small file has only the differences
from the preset of the environment:

    {"algo": "ppo", "steps": 100000, "algorithm": {"optimizer": {"learning_rate": 0.001}}}

An object with `$type` is a new part, whose other fields have their defaults; one without changes
the existing part. Nothing in a file is executed.
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.envs.ids import plain
from uphill.envs.make import name_of
from uphill.envs.wrappers import is_importable
from uphill.errors import UphillError
from uphill.meant import meant_by, remark
from uphill.parts.algorithms import ALGORITHMS
from uphill.policies.own_network import NetworkFactory
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, as_path, check_is_run, whole
from uphill.runs.files import EXPERIMENT_FILE, read_json, write_json
from uphill.runs.given import check_may_wrap
from uphill.runs.own_parts import NotGivenError, OwnPartError, OwnParts, Withheld
from uphill.runs.saved import SavedRun
from uphill.runs.settings import Options, Settings
from uphill.sessions.presets import Preset, preset
from uphill.words import abridged, listed, option

_OF_LEARNING = ("eval_every", "stop_when_solved", "episodes")
_OF_ENVIRONMENT = (
    *("env_kwargs", "max_episode_steps", "wrappers", "drop_observations", "reset_options"),
)
_TAKEN = ("algo", "algorithm", "steps", *_OF_LEARNING, *_OF_ENVIRONMENT)


class SettingsFile:
    """A file of settings, as it was read; a path itself."""

    def __init__(self, path: Path, experiment: Experiment, env: str) -> None:
        self.path, self.experiment = path, experiment
        self._is_of_env = plain(experiment.env) == plain(env)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def start(self) -> Preset:
        """The algorithm, and how long to train."""
        e = self.experiment
        source = f"those of {self.path}"
        if not self._is_of_env and any(self._changes().values()):
            source += f", without what it changes of {e.env}"
        return Preset(e.algo, e.composition, e.steps, source)

    @property
    def others(self) -> dict[str, Any]:
        """The other arguments of a training that it has: what is changed of the environment goes
        with that environment alone."""
        found = {name: getattr(self.experiment, name) for name in _OF_LEARNING}
        return found | self._changes() if self._is_of_env else found

    def check_network(self, network: NetworkFactory | None) -> None:
        """Raises:
        UphillError: if its networks are custom, and none are passed.
        """
        if self.experiment.network and network is None:
            raise UphillError(
                f"{self.path} has custom networks, made by {self.experiment.network!r}: give "
                "it again, uphill.train(env, settings=…, network=…)."
            )

    def _changes(self) -> dict[str, Any]:
        return {name: getattr(self.experiment, name) for name in _OF_ENVIRONMENT}


def read_settings(
    source: str | PathLike[str], env: str, algo: str | None = None, allow_import: bool = False
) -> SettingsFile:
    """The settings of a run (its path, or a `Run`, which knows its own parts), or of a file, for a
    training in `env`. What a small file leaves out comes from `algo`'s preset.

    Raises:
        UphillError: if there are none, one of them is wrong, or a module would be imported without
            consent.
    """
    if isinstance(source, SettingsFile):
        return source
    path = as_path(source, "settings")
    if isinstance(source, SavedRun):
        experiment = source.experiment
    else:
        experiment = _read(path, env, algo, OwnParts((), allow_import, path.current))
    if algo is not None and algo != experiment.algo:
        raise UphillError(
            f"algo is {algo!r}, and {path} has the settings of {experiment.algo}: leave out "
            f"{option('algo')}."
        )
    found = SettingsFile(path, experiment, env)
    for text in found.others.get("wrappers", ()):
        if not is_importable(text):
            raise UphillError(
                f"{path} has the wrapper {text}, which no file can hold: take its algorithm "
                "alone, uphill.train(env, uphill.load(run).experiment.algorithm, wrappers=[…])."
            )
        check_may_wrap(text, allow_import)
    return found


def with_settings(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a training, and where they say nothing those of its `settings`.

    Raises:
        UphillError: as `read_settings` does; or if both say what is to be trained.
    """
    given = dict(arguments)
    if isinstance(name := given.get("algorithm"), str):  # train("CartPole-v1", "ppo")
        if given.get("algo") not in (None, name):
            raise UphillError(
                f"algo is {given['algo']!r}, and algorithm is {name!r}: give one of the two."
            )
        given |= {"algo": name, "algorithm": None}
    if given.get("settings") is None:
        return given
    if given.pop("algorithm", None) is not None:
        raise UphillError(
            "algorithm and settings are both given: give one of the two "
            "(a run's algorithm is uphill.load(run).experiment.algorithm; replace changes it)."
        )
    algo, is_allowed = given.pop("algo", None), given.get("allow_import", False)
    found = read_settings(given["settings"], name_of(given["env"]), algo, is_allowed)
    start, others = found.start, found.others
    if given.get("steps") is None:
        given["steps"] = start.steps
    given["env_kwargs"] = others.get("env_kwargs", {}) | (given.get("env_kwargs") or {})
    given |= {"algo": start.algo, "algorithm": start.algorithm, "settings": found}
    return others | given


def write_settings(path: Path, experiment: Experiment) -> None:
    """Write the settings of an experiment as a file that `read_settings` reads: what is learned,
    how, and in which environment; no seeds, machine or command.

    Raises:
        UphillError: if it can't be written.
    """
    document = {name: encode(getattr(experiment, name)) for name in ("env", *_TAKEN)}
    write_json(path, document, indent=2)


def _read(path: Path, env: str, algo: str | None, own: OwnParts) -> Experiment:
    if path.is_dir():
        check_is_run(path)
        path = path / EXPERIMENT_FILE
    document = read_json(path)
    try:
        if not isinstance(document, dict):
            raise UphillError("it is not a JSON object.")
        for name in {"steps", "eval_every", "max_episode_steps"} & set(document):
            document[name] = whole(document[name])
        if document.get("$type") != Experiment.__name__:
            document = _completed(document, env, algo)
        experiment = decode(Experiment, document, own=own)
        assert isinstance(experiment, Experiment)
        if isinstance(experiment.algorithm, Withheld):
            raise NotGivenError(experiment.algorithm.sentence)
        return experiment
    except OwnPartError:
        raise
    except UphillError as error:
        raise UphillError(f"{path} can't be used as settings: {abridged(error)}") from error


def _completed(document: dict[str, Any], env: str, algo: str | None) -> dict[str, Any]:
    """A small file as the whole of an experiment, with the preset where it says nothing."""
    changes = decode(dict[str, Any], document.get("algorithm", {}), "algorithm")
    name = decode(str | None, document.get("algo", changes.get("name", algo)), "algo")
    is_whole = "$type" in changes
    if name is not None and name not in ALGORITHMS and not is_whole:
        raise UphillError(f"algo is {name!r}: use one of {', '.join(ALGORITHMS)}.")
    start = preset(env, name if name in ALGORITHMS else None)
    algorithm = encode(start.algorithm)
    for unknown in set(document) - {"env", *_TAKEN}:
        raise UphillError(_no_such_setting(unknown, document[unknown], algorithm))
    return {
        "$type": Experiment.__name__,
        "env": env,
        "steps": start.steps,
        "is_callable": False,
        "env_kwargs": {},
        "backend": "compiled",
        **document,
        "algo": name or start.algo,
        "algorithm": _laid_over(algorithm, changes),
    }


def _laid_over(base: Any, change: Any) -> Any:
    """`change`, or where it is an object without `$type`, the part that stands there, changed."""
    is_change = isinstance(change, dict) and "$type" not in change
    if not is_change or not isinstance(base, dict) or "$type" not in base:
        return change
    return base | {name: _laid_over(base.get(name), value) for name, value in change.items()}


def _no_such_setting(name: str, value: Any, algorithm: dict[str, Any]) -> str:
    """The message about an unknown field in a file, with what may be meant."""
    if name in {field.name for kind in (Settings, Options) for field in fields(kind)}:
        return f"{name} is not taken from a file: use {option(name, value)}."
    paths = dict.fromkeys([*_TAKEN, *_paths(algorithm)])
    meant = meant_by(name.replace("-", "_"), paths)
    if not meant:
        return f"it has no place for {name}: it may have {listed(('env', *_TAKEN))}."
    place = meant[0] if meant[0] in _TAKEN else f"algorithm.{meant[0]}"
    *places, last = place.split(".")
    wanted: Any = {last: value}
    for place in reversed(places):
        wanted = {place: wanted}
    return f"it has no place for {name}: did you mean {json.dumps(wanted)}{remark(name)}?"


def _paths(document: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The places of all that an encoded part has."""
    for name, value in document.items():
        if isinstance(value, dict) and "$type" in value:
            yield from _paths(value, f"{prefix}{name}.")
        elif name != "$type":
            yield prefix + name
