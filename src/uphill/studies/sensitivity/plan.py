"""The plan of a sensitivity study: a sweep for each algorithm in each environment."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.envs.base import World
from uphill.envs.make import name_of
from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.parts.algorithms import ALGORITHMS, no_algorithm
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import as_path, whole
from uphill.runs.sensitivity import (
    SavedSensitivity,
    StudiedPair,
    is_sensitivity,
    write_sensitivity,
)
from uphill.runs.studies import SensitivitySettings
from uphill.runs.sweeps import SavedSweep, check_same_study, differing, is_sweep
from uphill.studies.sensitivity.around import grid_around
from uphill.studies.sweeps.grid import algorithms_of, make_grid, numbered, paths_of, written
from uphill.studies.sweeps.plan import (
    Plan,
    SweepRequest,
    check_fresh_seeds,
    check_size,
    common_of,
    plan_of,
    study_folder,
)
from uphill.words import is_typed, listed, option

AnyEnv = str | Callable[..., Any] | World
_LONGEST = 60
"""Characters of a name that are used in the name of a folder."""


@dataclass(frozen=True, kw_only=True)
class SensitivityRequest(SensitivitySettings):
    """A request for a study: the arguments of `uphill.sensitivity`."""

    envs: Sequence[AnyEnv] = field(kw_only=False)
    """The environments, at least two: what `uphill.train` takes as one."""
    algorithms: str | Algorithm | Sequence[str | Algorithm] | Mapping[str, str | Algorithm] = field(
        kw_only=False
    )
    """Names such as "ppo", or what `uphill.ppo()` and the like make; variants of one algorithm
    under names you choose: `{"ppo": uphill.ppo(), "unscaled":
    uphill.ppo(normalize_rewards=False)}`."""
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values of each setting that varies, by the path of its field; without it, up to four
    settings of each algorithm, with the default and two values about it for each."""
    out: str | PathLike[str] | None = None
    """Folder to make; by default one in ./runs."""


@dataclass(frozen=True)
class Task:
    """One algorithm in one environment."""

    algo: str
    """what it is called in the study"""
    env: str
    plan: Plan
    """the sweep over the grid"""
    fresh: Path
    """the folder of what was chosen, on fresh seeds"""


@dataclass(frozen=True)
class Study:
    """A study, ready to begin."""

    folder: Path
    tasks: list[Task]
    fresh_seeds: int

    def task(self, algo: str, env: str) -> Task:
        return next(task for task in self.tasks if (task.algo, task.env) == (algo, env))


def study_of(request: SensitivityRequest) -> Study:
    """The plan of a study, whose folder is made, or found to be its own.

    Raises:
        UphillError: for anything about the request that the user can fix, before anything is made.
    """
    envs, algorithms = _envs(request.envs), _algorithms(request.algorithms)
    _check_counts(request)
    grids = _grids(request.grid, algorithms)
    for algo, algorithm in algorithms.items():
        for env in envs.values():
            _check(request, _sweep(request, env, algorithm, grids[algo]), algo)
    pairs = list(_pairs(list(algorithms), list(envs)))
    asked = {
        "envs": [*envs],
        "algorithms": {algo: encode(algorithm) for algo, algorithm in algorithms.items()},
        "grid": {algo: encode(grid) for algo, grid in grids.items()},
        **{name: encode(getattr(request, name)) for name in _KEPT},
    }
    folder = _folder(request, asked, pairs)
    tasks = []
    for pair in pairs:
        sweep = _sweep(request, envs[pair.env], algorithms[pair.algo], grids[pair.algo])
        plan = plan_of(replace(sweep, out=folder / pair.sweep, yes=True))
        tasks.append(Task(pair.algo, pair.env, plan, folder / pair.fresh))
    return Study(folder, tasks, request.fresh_seeds)


_KEPT = ("seed", "seeds", "steps", "episodes", "fresh_seeds", "backend")


def _envs(given: Any) -> dict[str, AnyEnv]:
    """The environments by their names."""
    each: list[Any] = [given] if isinstance(given, str) or callable(given) else list(given)
    names = [name_of(env) for env in each]
    if len(names) < 2:
        one = f"{names[0]} is one" if names else "none is given"
        raise UphillError(
            f"sensitivity compares settings over several environments, and {one}: name another, or "
            "use sweep."
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UphillError(f"{twice} is given twice: name each environment once.")
    return dict(zip(names, each, strict=True))


def _algorithms(given: Any) -> dict[str, Algorithm]:
    """The algorithms by what they are called."""
    if isinstance(given, str | Algorithm) or not isinstance(given, Iterable):
        given = [given]
    if not isinstance(given, Mapping):
        named = [(x if isinstance(x, str) else getattr(x, "name", ""), x) for x in given]
        names = [name for name, _ in named]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            if is_typed():
                given = option("algo", twice)
                raise UphillError(f"{given} is given twice: name each algorithm once.")
            raise UphillError(
                f"algorithms has {twice} twice: give variants names of their own, as in "
                f"{{'{twice}': …, 'variant': …}}."
            )
        given = dict(named)
    if not given:
        raise UphillError(f"There is no algorithm: give one of {', '.join(ALGORITHMS)}.")
    return {str(name): _algorithm(one) for name, one in given.items()}


def _algorithm(given: Any) -> Algorithm:
    if isinstance(given, str) and given in ALGORITHMS:
        return ALGORITHMS[given]()
    if isinstance(given, Algorithm):
        return given
    if isinstance(given, str):
        raise UphillError(no_algorithm(given))
    shown = getattr(given, "__name__", repr(given))
    raise UphillError(
        f"algorithms has {shown}: give an Algorithm, such as uphill.ppo(), or the name of one."
    )


def _check_counts(request: SensitivityRequest) -> None:
    """Raises:
    UphillError: if there are too few seeds for an interval.
    """
    for name in ("seeds", "fresh_seeds"):
        value = decode(int, whole(encode(getattr(request, name))), name)
        if value < 2:
            raise UphillError(
                f"{option(name)} is {value}: intervals are over seeds, so use 2 or more."
            )


Grids = dict[str, Mapping[str, Any]]


def _grids(given: Any, algorithms: Mapping[str, Algorithm]) -> Grids:
    """The grid of each algorithm: of one that was asked for, the fields that it has.

    Raises:
        UphillError: if one is no setting of any, or an algorithm has none of them.
    """
    if not given:
        return {algo: grid_around(algorithm) for algo, algorithm in algorithms.items()}
    if not isinstance(given, Mapping):
        raise UphillError(f"grid is {given!r}: give the values of each setting, {{'FIELD': […]}}.")
    fields = {str(name).replace("-", "_"): values for name, values in given.items()}
    known = {algo: set(paths_of(algorithm)) for algo, algorithm in algorithms.items()}
    grids: Grids = {}
    for algo, algorithm in algorithms.items():
        others = set().union(*known.values()) - known[algo]
        grids[algo] = {path: x for path, x in fields.items() if path not in others}
        if not grids[algo]:
            raise UphillError(
                f"{algo} has none of the settings {listed([written(path) for path in fields])}: "
                "leave it out, or add one that it has."
            )
        make_grid(grids[algo], algorithm)
    return grids


def _check(request: SensitivityRequest, sweep: SweepRequest, algo: str) -> None:
    """Raises:
    UphillError: if an algorithm can't be swept in an environment, or that would be uninformative.
    """
    common = common_of(sweep)
    check_fresh_seeds(common.experiment, request.fresh_seeds)
    grid = make_grid(sweep.grid, common.experiment.composition)
    if not request.yes:
        check_size(grid, common.experiment)
    algorithms_of(grid, common.experiment.composition)
    if grid.size < 2:
        raise UphillError(
            f"The grid has one setting of {algo}: give at least one of its fields several values."
        )


def _sweep(
    request: SensitivityRequest, env: AnyEnv, algorithm: Algorithm, grid: Mapping[str, Any]
) -> SweepRequest:
    """What a sweep of one algorithm in one environment is asked for."""
    common = {name: getattr(request, name) for name in _OF_SWEEP}
    return SweepRequest(env, algorithm, grid=grid, **common)


_OF_SWEEP = ("seed", "seeds", "steps", "episodes", "backend", "threads", "ray", "quiet")


def _pairs(algos: Sequence[str], envs: Sequence[str]) -> Iterator[StudiedPair]:
    """Each algorithm in each environment, and their folders."""
    places = dict(zip(algos, _folders(algos), strict=True))
    inner = dict(zip(envs, _folders(envs), strict=True))
    for algo in algos:
        for env in envs:
            folder = f"{places[algo]}/{inner[env]}"
            yield StudiedPair(algo, env, folder, f"{places[algo]}-fresh/{inner[env]}")


def _folders(names: Sequence[str]) -> list[str]:
    """A folder's name for each name."""
    plain = (re.sub("[^A-Za-z0-9_.+-]+", "-", name).strip(".")[:_LONGEST] for name in names)
    return numbered(name or "algorithm" for name in plain)


def _folder(
    request: SensitivityRequest, asked: Mapping[str, Any], pairs: Sequence[StudiedPair]
) -> Path:
    """The folder of the study, with its `sensitivity.json`.

    Raises:
        UphillError: if it is of something else, or can't be made.
    """
    if request.out is not None and is_sensitivity(found := as_path(request.out, "out")):
        study = SavedSensitivity(found)
        if not _is_unbegun(study):
            differ = differing(study.asked, asked)
            check_same_study(found, "a study", differ, f"choose another {option('out')}")
            return found
    algos = "-".join(_folders(list(asked["algorithms"])))[:_LONGEST]
    stem = f"sensitivity-{algos}"
    folder = study_folder(request.out, stem, "a sensitivity study", is_sensitivity)
    write_sensitivity(folder, asked, pairs)
    return folder


def _is_unbegun(study: SavedSensitivity) -> bool:
    """Whether it ended before any setting had a run directory."""
    sweeps = [study.path / pair.sweep for pair in study.pairs]
    return all(SavedSweep(sweep).is_unbegun for sweep in sweeps if is_sweep(sweep))
