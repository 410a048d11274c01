"""The plan of a sweep: its settings, their run directories, and what is done already."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from uphill.clusters.seeds import ONLY_HERE, check_not_asked
from uphill.envs.make import EnvironmentChoice, name_of
from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.runs.bounds import MOST_SEEDS
from uphill.runs.checkpoint import read_manifest
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import OF_THE_PROCESS, Experiment, as_path
from uphill.runs.files import EVALUATION_FILE, make_folder
from uphill.runs.lock import is_held
from uphill.runs.studies import SweepSettings
from uphill.runs.sweeps import (
    DEFAULT,
    SavedSweep,
    SweptRun,
    check_same_study,
    differing_sweep,
    is_sweep,
    write_sweep,
)
from uphill.runs.unbegun import is_unbegun
from uphill.sessions.callback import OnPoint
from uphill.sessions.launch import Request, chosen_for, environment_for, experiment_for
from uphill.sessions.presets import Preset
from uphill.studies.sweeps.changes import changed, has, value_at
from uphill.studies.sweeps.grid import (
    Grid,
    algorithms_of,
    folder_name,
    make_grid,
    numbered,
    written,
)
from uphill.training.cores import use_threads
from uphill.words import count, duration, option, short

Phase = Literal["new", "begun", "trained", "done"]
MANY = 1000
"""Settings from which on a sweep must be asked for twice."""
_SPEED = {"compiled": 1e6, "envpool": 5e4, "gymnasium": 1e4}
"""Steps a second, for a guess at how long that takes."""
_ENVS = "sampling.num_envs"
_NOT_COMPARED = (*OF_THE_PROCESS, "checkpoint_every", "devices", "init_from")


@dataclass(frozen=True, kw_only=True)
class SweepRequest(SweepSettings, Request):
    """A request for a sweep: the arguments of `uphill.sweep`."""

    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """The values of each setting that varies, by the path of its field:
    `{"optimizer.learning_rate": [1e-4, 3e-4]}`; all their combinations are trained."""


@dataclass(frozen=True)
class Planned:
    """One setting, and how it is trained."""

    run: SweptRun
    path: Path
    algorithm: Algorithm
    on_point: OnPoint | None = None
    """instead of the request's"""


@dataclass(frozen=True)
class Common:
    """What all settings have in common."""

    request: Request
    start: Preset | None
    """the preset that the algorithm was made from, where that is known"""
    experiment: Experiment
    """what all settings have in common, and the algorithm that they change"""
    choice: EnvironmentChoice
    notice: str
    """a remark about the environment"""

    @property
    def asked(self) -> dict[str, Any]:
        """What `sweep.json` keeps of it: what the settings depend on."""
        init_from = self.request.init_from
        return {
            name: value
            for name, value in encode(self.experiment).items()
            if name not in _NOT_COMPARED and not name.startswith("$")
        } | {"init_from": None if init_from is None else str(init_from)}


@dataclass(frozen=True)
class Plan(Common):
    """A sweep, ready to begin."""

    folder: Path
    settings: list[Planned]

    def request_for(self, planned: Planned) -> Request:
        """What `uphill train` would be asked for of one setting."""
        given = {f.name: getattr(self.request, f.name) for f in fields(Request)}
        given |= {"algo": self.experiment.algo, "algorithm": planned.algorithm, "out": planned.path}
        if planned.on_point is not None:
            given["on_point"] = planned.on_point
        return Request(**given)


def common_of(request: Request, start: Preset | None = None) -> Common:
    """What is asked for, but for what varies.

    Raises:
        UphillError: for anything about the request that the user can fix.
    """
    if request.ray is not None:
        check_not_asked(request, ONLY_HERE)
    chosen, said = chosen_for(request, name_of(request.env), start)
    use_threads(decode(int | None, encode(request.threads), "threads"))
    choice, notice = environment_for(request, chosen.algorithm)
    experiment = experiment_for(request, chosen, said, choice)
    return Common(request, start, experiment, choice, notice or "")


def plan_for(common: Common, folder: Path, runs: Sequence[SweptRun]) -> Plan:
    """The plan of settings that are in the folder of a study already.

    Raises:
        UphillError: if one does not fit together.
    """
    settings = [
        Planned(run, folder / run.folder, changed(common.experiment.composition, run.setting))
        for run in runs
    ]
    return Plan(**vars(common), folder=folder, settings=settings)


def check_fresh_seeds(experiment: Experiment, fresh_seeds: int) -> None:
    """Raises:
    UphillError: if there can't be as many seeds after those of the experiment.
    """
    if fresh_seeds > MOST_SEEDS:
        raise UphillError(f"fresh_seeds is {fresh_seeds}: use at most {MOST_SEEDS}.")
    most = 2**31 - 1 - experiment.seeds - fresh_seeds
    if experiment.seed > most:
        raise UphillError(
            f"seed is {experiment.seed}, and the fresh seeds come after "
            f"{count(experiment.seeds, 'other')}: use a seed of at most {most}."
        )


def on_fresh_seeds(
    common: Common, fresh_seeds: int, folder: Path, runs: Sequence[SweptRun]
) -> Plan:
    """The plan of the same training on this many seeds that none of its settings had, in a folder
    of its own.

    Raises:
        UphillError: if the folder is of other seeds or settings.
    """
    seeds = {"seed": common.experiment.seed + common.experiment.seeds, "seeds": fresh_seeds}
    request = replace(common.request, out=folder, **seeds)
    experiment = replace(common.experiment, **seeds)
    fresh = Common(request, common.start, experiment, common.choice, common.notice)
    return plan_for(fresh, folder_for(fresh, fresh.asked, runs, "sweep"), runs)


def plan_of(request: SweepRequest, start: Preset | None = None) -> Plan:
    """The plan of a sweep, whose folder is made, or found to be its own.

    Raises:
        UphillError: for anything about the request that the user can fix.
    """
    common = common_of(request, start)
    algorithm = common.experiment.composition
    grid = make_grid(request.grid, algorithm)
    check_envs(request, grid.axes, "grid")
    if not request.yes:
        check_size(grid, common.experiment)
    made = algorithms_of(grid, algorithm)
    names = numbered(folder_name(setting) for setting, _ in made)
    runs = [SweptRun(name, encode(x)) for name, (x, _) in zip(names, made, strict=True)]
    folder = folder_for(common, common.asked, runs, "sweep")
    settings = [
        Planned(run, folder / run.folder, algorithm)
        for run, (_, algorithm) in zip(runs, made, strict=True)
    ]
    return Plan(**vars(common), folder=folder, settings=settings)


def check_envs(request: Request, paths: Iterable[str], kind: str) -> None:
    """Raises:
    UphillError: if the number of environments is asked for, and varies as well.
    """
    if request.envs is not None and _ENVS in paths:
        given = option("envs", request.envs)
        raise UphillError(f"{given} fixes what the {kind} varies, {written(_ENVS)}: leave one out.")


def fresh_runs(
    common: Common, name: str, setting: Mapping[str, Any], folder: Path
) -> list[SweptRun]:
    """A setting, under that name, and the default beside it; that one alone, where it is the
    default, unless a folder of older versions has both."""
    algorithm = common.experiment.composition
    usual = {path: value_at(algorithm, path) for path in setting if has(algorithm, path)}
    is_default = encode(changed(algorithm, setting)) == encode(algorithm)
    both = [SweptRun(name, dict(setting)), SweptRun(DEFAULT, usual)]
    has_both = is_sweep(folder) and SavedSweep(folder).runs == both
    return both[:1] if is_default and not has_both else both


def check_size(grid: Grid, experiment: Experiment) -> None:
    """Raises:
    UphillError: if the grid is so large that it must be asked for twice; it says how long it takes.
    """
    if grid.size <= MANY:
        return
    steps = grid.size * experiment.seeds * experiment.steps
    speed = _SPEED[experiment.backend]
    raise UphillError(
        f"The grid has {grid.size:,} settings: × {count(experiment.seeds, 'seed')} × "
        f"{experiment.steps:,} steps are {steps:.3g} steps, about {_long(steps / speed)} "
        f"at {short(speed, ' ')} steps/s. Leave values out, or add {option('yes', True)}."
    )


def _long(seconds: float) -> str:
    days = seconds / 86400
    return f"{days:,.0f} days" if days >= 2 else duration(seconds)


def folder_for(
    common: Common, asked: Mapping[str, Any], runs: Sequence[SweptRun], kind: str
) -> Path:
    """The folder of a study of that kind, with its `sweep.json`.

    Raises:
        UphillError: if it is of something else, or can't be made.
    """
    experiment, out = common.experiment, common.request.out
    if out is not None and is_sweep(found := as_path(out, "out")):
        sweep = SavedSweep(found)
        if is_held(found) or not sweep.is_unbegun:
            differ = differing_sweep(sweep, asked, runs)
            check_same_study(found, "a sweep", differ, f"choose another {option('out')}")
            return found
    env = "".join(x if x.isalnum() or x in "_.-" else "-" for x in experiment.env)[:100]
    folder = study_folder(out, f"{kind}-{env}-{experiment.algo}", "a sweep folder", is_sweep)
    write_sweep(folder, asked, runs)
    return folder


def study_folder(
    out: str | PathLike[str] | None, stem: str, kind: str, is_own: Callable[[Path], bool]
) -> Path:
    """A folder for a new study, made: `out`, or by default one in `runs`, named by its stem and the
    time. One that is a study's of this kind already is free, too.

    Raises:
        UphillError: if `out` holds something else, or can't be made.
    """
    if out is None:
        folder = Path("runs", f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}")
        return make_folder(folder, is_named=False)
    folder = as_path(out, "out")
    is_free = is_own(folder) or not folder.exists()
    if not is_free and (not folder.is_dir() or any(folder.iterdir())):
        raise UphillError(
            f"{folder} exists already, and is not {kind}: choose another {option('out')}."
        )
    return make_folder(folder)


def phase_of(planned: Planned, steps: int) -> Phase:
    """What of a setting is done.

    Raises:
        UphillError: if something else has its name, or its checkpoint is damaged.
    """
    path = planned.path
    if not path.exists() or is_unbegun(path):
        return "new"
    facts = read_manifest(path, "latest").facts
    if facts.steps_done < steps and not facts.stopped:
        return "begun"
    return "done" if (path / EVALUATION_FILE).exists() else "trained"
