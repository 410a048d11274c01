"""A search from its start to its end: batches of proposals, then the best on fresh seeds."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, get_args

import numpy as np

from uphill.clusters.connection import cluster_of
from uphill.errors import UphillError
from uphill.run import Run
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, as_path
from uphill.runs.keywords import taken_as
from uphill.runs.studies import Objective, TuneSettings
from uphill.runs.sweeps import (
    SavedSweep,
    SweptRun,
    fresh_folder,
    is_sweep,
    write_faults,
    write_sweep,
)
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.presets import Preset
from uphill.sessions.settings_file import with_settings, write_settings
from uphill.studies.sweeps.changes import changed
from uphill.studies.sweeps.plan import (
    Common,
    Plan,
    Planned,
    Request,
    check_envs,
    check_fresh_seeds,
    common_of,
    folder_for,
    fresh_runs,
    on_fresh_seeds,
    plan_for,
)
from uphill.studies.sweeps.sweep import opened, told_versions, train_settings
from uphill.studies.sweeps.together import ByStructure, close
from uphill.studies.tuning.proposals import check_optuna, proposals
from uphill.studies.tuning.pruning import curve_of, pruner_of
from uphill.studies.tuning.space import Space, default_in, space_of, with_its_parts
from uphill.theory.statistics import probability_of_improvement
from uphill.views.labels import setting_of
from uphill.views.sweeps import SettingRow, ranked, rows_of
from uphill.words import count, duration, going_on

BATCH = 8
"""Proposals that are made, and trained, at once."""
SETTINGS_FILE = "settings.json"


@dataclass(frozen=True, kw_only=True)
class TuneRequest(TuneSettings, Request):
    """A request for a search: the arguments of `uphill.tune`."""

    search: Mapping[str, Any] = field(default_factory=dict)
    """What is searched, instead of the parts' default ranges: `{"optimizer.learning_rate":
    "1e-5:1e-2:log", "num_epochs": [1, 4, 10]}`; a list of one value keeps a setting at that."""


@dataclass(frozen=True)
class Tuning:
    """A finished search. Its results are from fresh seeds, which no trial had."""

    path: Path
    """its folder"""
    trials: list[SettingRow]
    setting: dict[str, Any]
    """the winner's values, by the paths of their fields"""
    settings: Path
    """a file that `uphill train ENV --settings FILE` takes: the winner's"""
    winner: SettingRow
    default: SettingRow
    p_better: tuple[float, tuple[float, float]]
    """the probability that a seed of the winner ends above one of the default, with its interval"""
    runs: list[Run]
    """the winner and the default on fresh seeds"""
    objective: Objective = "final"
    """what all of them were judged by"""

    def summary(self) -> dict[str, Any]:
        """All of it as plain data."""
        probability, interval = self.p_better
        return {
            "tuning": str(self.path),
            "settings": str(self.settings),
            "winner": asdict(self.winner),
            "default": asdict(self.default),
            "p_better": probability,
            "p_better_ci95": interval,
            "objective": self.objective,
            "trials": [asdict(row) for row in self.trials],
        }

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {count(len(self.trials), 'trial')})"


@taken_as(TuneRequest, with_settings)
def tune(request: TuneRequest) -> Tuning:
    """Search for settings of an algorithm by which its final policies collect more: the
    interquartile mean over seeds. The winner is then trained on fresh seeds beside the default.
    Asked for again with the same folder as `out`, it continues where it stopped.

    Raises:
        UphillError: for anything about the arguments or the environment that the user can fix; if
            every trial failed.
        Interrupted: on Ctrl-C, after checkpoints were written.
    """
    return tune_of(request)


def tune_of(request: TuneRequest, start: Preset | None = None) -> Tuning:
    """`tune`; `start` is the preset that the request's algorithm was made from, where that is
    known."""
    _check(request)
    common = common_of(request, start)
    check_fresh_seeds(common.experiment, request.fresh_seeds)
    space, fixed = space_of(common.experiment.composition, request.search)
    check_envs(request, {*space, *fixed}, "search")
    algorithm = changed(common.experiment.composition, fixed)
    common = replace(common, experiment=replace(common.experiment, algorithm=algorithm))
    asked = common.asked | {"search": encode(dict(request.search))}
    if request.objective != "final":
        asked |= {"objective": request.objective}
    if request.prune:
        asked |= {"prune": True}
    out = None if request.out is None else as_path(request.out, "out")
    saved = SavedSweep(out) if out is not None and is_sweep(out) else None
    runs = [] if saved is None or saved.is_unbegun else saved.runs
    folder = folder_for(common, asked, runs, "tune")
    progress = Progress(0, request.quiet)
    progress.say(
        f"{common.choice.name}: {common.experiment.algo}, up to {count(request.trials, 'trial')} × "
        f"{count(common.experiment.seeds, 'seed')} × {common.experiment.steps:,} steps; backend "
        f"{common.choice.backend}, since {common.choice.reason}."
    )
    progress.say(f"Searched: {', '.join(space)}.")
    if told := told_versions(plan_for(common, folder, runs)):
        progress.say(told)
    try:
        with cluster_of(common.request.ray, folder):
            with _programs() as kept:
                _search(request, common, space, folder, progress, kept)
            return _confirmed(request, common, folder, progress)
    except KeyboardInterrupt:
        raise Interrupted(going_on("tune", folder, request.out)) from None


def _check(request: TuneRequest) -> None:
    """Raises:
    UphillError: if a number is none that a search can have.
    """
    check_optuna()
    for name, least in (("trials", 1), ("fresh_seeds", 2)):
        value = decode(int, encode(getattr(request, name)), name)
        if value < least:
            raise UphillError(f"{name} is {value}: use at least {least}.")
    if request.objective not in get_args(Objective):
        raise UphillError(f"objective is {request.objective!r}: choose final or curve.")
    minutes = decode(float | None, encode(request.minutes), "minutes")
    if minutes is not None and not minutes > 0:
        raise UphillError(f"minutes is {minutes}: use a number above 0.")


@contextmanager
def _programs() -> Iterator[ByStructure]:
    kept: ByStructure = {}
    try:
        yield kept
    finally:
        for made in kept.values():
            close(made)


def _search(
    request: TuneRequest,
    common: Common,
    space: Space,
    folder: Path,
    progress: Progress,
    kept: ByStructure,
) -> None:
    """Train batches of proposals until there are as many trials as were asked for."""
    seed, started = common.experiment.seed, time.monotonic() - SavedSweep(folder).seconds
    while True:
        saved = SavedSweep(folder)
        rows = rows_of(saved)
        is_open = [row.state in ("waiting", "training") for row in rows]
        if any(is_open):
            runs = list(compress(saved.runs, is_open))
            plan = plan_for(common, folder, runs)
            plan = _pruned(plan, saved, rows) if request.prune else plan
            try:
                train_settings(plan, progress, kept)
            finally:
                write_sweep(folder, saved.asked, saved.runs, time.monotonic() - started)
            rows = rows_of(saved)
            _tell(rows, request.trials, started, progress)
        seconds = time.monotonic() - started
        is_late = request.minutes is not None and seconds > 60 * request.minutes
        left = request.trials - len(rows)
        if left <= 0 or (is_late and rows):
            return
        told = [(row.setting, row.iqm) for row in rows]
        first = default_in(space, common.experiment.composition) if not rows else None
        begin = [] if first is None else [first]
        made = begin + proposals(space, told, min(BATCH, left) - len(begin), seed)
        made = [with_its_parts(x, common.experiment.composition) for x in made]
        runs = [SweptRun(f"trial-{k:04d}", x) for k, x in enumerate(made, len(rows))]
        write_sweep(folder, saved.asked, [*saved.runs, *runs], seconds)
        faults = saved.faults | _misfits(common, runs)
        if faults != saved.faults:
            write_faults(folder, faults)


def _pruned(plan: Plan, saved: SavedSweep, rows: list[SettingRow]) -> Plan:
    """The plan of trials, of which some may end early. Each is judged by the trials that came a
    batch or more before it, which were finished when its own began."""
    own, steps = plan.request.on_point, plan.experiment.steps
    numbers = {row.run: k for k, row in enumerate(rows)}
    curves = [curve_of(saved, row, steps) for row in rows]

    def judged(planned: Planned) -> Planned:
        earlier = curves[: max(0, numbers[planned.run.folder] - BATCH + 1)]
        return replace(planned, on_point=pruner_of(earlier, steps, own))

    return replace(plan, settings=[judged(planned) for planned in plan.settings])


def _misfits(common: Common, runs: list[SweptRun]) -> dict[str, str]:
    """Trials whose values do not fit together, and why."""
    found = {}
    for run in runs:
        try:
            changed(common.experiment.composition, run.setting)
        except UphillError as error:
            found[run.folder] = str(error)
    return found


def _tell(rows: list[SettingRow], most: int, started: float, progress: Progress) -> None:
    done = [row for row in rows if row.is_known]
    failed = f", {len(rows) - len(done)} failed" if len(done) < len(rows) else ""
    num_early = sum(row.is_early for row in done)
    early = f", {num_early} ended early" if num_early else ""
    best = f"; {setting_of(ranked(rows)[0].setting)} leads" if done else ""
    took = duration(time.monotonic() - started)
    progress.say(f"{len(rows)} of {count(most, 'trial')} after {took}{failed}{early}{best}.")


def _confirmed(request: TuneRequest, common: Common, folder: Path, progress: Progress) -> Tuning:
    """Train the best of the trials on fresh seeds, beside the default.

    Raises:
        UphillError: if there is none.
    """
    trials = rows_of(SavedSweep(folder))
    best = ranked(trials)[0]
    if not best.is_known:
        raise UphillError(
            f"All of {count(len(trials), 'trial')} failed, the first so: {trials[0].fault} Choose "
            "another search, and another out."
        )
    from uphill.views.plots.tuning import plot_tuning  # drawing takes long to load

    aside = fresh_folder(folder, best.run)
    runs = fresh_runs(common, "winner", best.setting, aside)
    plan = on_fresh_seeds(common, request.fresh_seeds, aside, runs)
    found: Experiment = replace(common.experiment, algorithm=plan.settings[0].algorithm)
    write_settings(folder / SETTINGS_FILE, found)
    which = "and the default train" if len(runs) > 1 else "which is the default, trains"
    progress.say(
        f"The winner, {setting_of(best.setting)}, {which} on "
        f"{count(request.fresh_seeds, 'fresh seed')}."
    )
    train_settings(plan, progress)
    rows = rows_of(SavedSweep(plan.folder), request.objective)
    winner, default = rows[0], rows[-1]
    for row in rows:
        if not row.is_known:
            raise UphillError(f"The {row.run} failed on fresh seeds: {row.fault}")
    better = probability_of_improvement(np.array(winner.per_seed), np.array(default.per_seed))
    plot_tuning(SavedSweep(folder), trials)
    return Tuning(
        path=folder,
        trials=trials,
        setting=best.setting,
        settings=folder / SETTINGS_FILE,
        winner=winner,
        default=default,
        p_better=better,
        runs=[opened(plan, planned) for planned in plan.settings],
        objective=request.objective,
    )
