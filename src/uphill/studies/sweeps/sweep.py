"""A sweep from its start to its end: settings are trained, compared and drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import jax

from uphill.doctor.play import describe_error
from uphill.errors import UphillError
from uphill.run import Run, finish
from uphill.runs.checkpoint import has_stopped
from uphill.runs.experiment import read_experiment
from uphill.runs.files import EVALUATION_FILE, EXPERIMENT_FILE
from uphill.runs.keywords import taken_as
from uphill.runs.lock import RunLock
from uphill.runs.own_code import begun_with_others, versions_with
from uphill.runs.own_parts import OwnParts, own_parts_in
from uphill.runs.sweeps import SavedSweep, write_faults
from uphill.sessions.attempt import Attempt
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.launch import trainer_of
from uphill.sessions.presets import Preset
from uphill.sessions.settings_file import with_settings
from uphill.studies.sweeps.groups import groups_of
from uphill.studies.sweeps.plan import (
    Phase,
    Plan,
    Planned,
    SweepRequest,
    phase_of,
    plan_of,
)
from uphill.studies.sweeps.tasks import take_in_parcels, trained_by_tasks
from uphill.studies.sweeps.together import ByStructure, Fault, Todo, session_for, trained_together
from uphill.training.process import use_cores
from uphill.views.labels import setting_of
from uphill.views.sweeps import SettingRow, rows_of
from uphill.words import count, going_on


@dataclass(frozen=True)
class Sweep:
    """A sweep that is done."""

    path: Path
    """its folder"""
    runs: list[Run]
    """of all settings, in the order of the grid"""
    rows: list[SettingRow]
    """the results of each"""
    picture: Path

    @property
    def table(self) -> list[dict[str, Any]]:
        """The results of each setting, as plain data: the fields of `SettingRow` (views/sweeps)."""
        return [asdict(row) for row in self.rows]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}: {count(len(self.runs), 'setting')})"


@taken_as(SweepRequest, with_settings)
def sweep(request: SweepRequest) -> Sweep:
    """Train every setting of a grid over several seeds, each in its own run directory in one
    folder, and compare them. In compiled worlds settings that differ in nothing but floats train
    side by side, as one program. Asked for again with the same folder as `out`, it continues where
    it stopped.

    Raises:
        UphillError: for anything about the arguments or the environment that the user can fix.
        Interrupted: on Ctrl-C, after checkpoints were written.
    """
    return sweep_of(request)


def sweep_of(request: SweepRequest, start: Preset | None = None) -> Sweep:
    """`sweep`; `start` is the preset that the request's algorithm was made from, where that is
    known."""
    plan = plan_of(request, start)
    experiment, progress = plan.experiment, Progress(0, request.quiet)
    progress.say(
        f"{plan.choice.name}: {experiment.algo}, {count(len(plan.settings), 'setting')} × "
        f"{count(experiment.seeds, 'seed')} × {experiment.steps:,} steps; backend "
        f"{plan.choice.backend}, since {plan.choice.reason}."
    )
    for notice in (plan.notice, told_versions(plan)):
        if notice:
            progress.say(notice)
    try:
        train_settings(plan, progress)
    except KeyboardInterrupt:
        raise Interrupted(going_on("sweep", plan.folder, plan.request.out)) from None
    return _result(plan)


def train_settings(plan: Plan, progress: Progress, kept: ByStructure | None = None) -> None:
    """Train and evaluate what is not done yet; what fails is reported, and the others go on. `kept`
    has what was compiled for other settings."""
    with RunLock(plan.folder, is_new=True):
        take_in_parcels(plan)  # what a process that was killed had got from a cluster
        faults, settings = _to_train(plan)
        todo = [one for one in settings if one[1] in ("new", "begun")]
        if known := len(plan.settings) - len(todo):
            num_failed = sum(planned.run.folder in faults for planned in plan.settings)
            failed = f" ({num_failed} failed)" if num_failed else ""
            progress.say(
                f"Trained already: {known} of {count(len(plan.settings), 'setting')}{failed}, in "
                f"{plan.folder}."
            )
        evaluated = _evaluated(plan, [one[0] for one in settings if one[1] == "trained"])
        for planned, fault in chain(_trained(plan, todo, progress, kept), evaluated):
            faults |= {planned.run.folder: fault}
            write_faults(plan.folder, faults)
            progress.say(f"{setting_of(planned.run.setting)} failed: {fault}")


def _to_train(plan: Plan) -> tuple[dict[str, str], list[tuple[Planned, Phase]]]:
    """The faults of settings that no further training can mend, for a number in each of their seeds
    was not finite; and the other settings, whatever ended them, with what is done of them."""
    faults = SavedSweep(plan.folder).faults
    settings = [
        planned
        for planned in plan.settings
        if planned.run.folder not in faults or not has_stopped(planned.path)
    ]
    mendable = faults.keys() & {planned.run.folder for planned in settings}
    faults = {folder: fault for folder, fault in faults.items() if folder not in mendable}
    if mendable:
        write_faults(plan.folder, faults)
    return faults, [(planned, phase_of(planned, plan.experiment.steps)) for planned in settings]


def told_versions(plan: Plan) -> str:
    """What is of another version, custom code included, than when the first of the settings was
    begun, in words; empty if nothing is."""
    begun = [planned for planned in plan.settings if (planned.path / EXPERIMENT_FILE).exists()]
    if not begun:
        return ""
    path, algorithm = begun[0].path, begun[0].algorithm
    before = read_experiment(path, OwnParts(own_parts_in(algorithm))).versions
    now = versions_with(plan.choice, algorithm, plan.request.network)
    return begun_with_others(before, now)


def _evaluated(plan: Plan, trained: Sequence[Planned]) -> Iterator[Fault]:
    """Evaluate settings; those that failed, and why."""
    for planned in trained:
        with Attempt() as attempt:
            opened(plan, planned).evaluate(plan.experiment.episodes)
        if attempt.fault:
            yield planned, attempt.fault


def _trained(
    plan: Plan, todo: Todo, progress: Progress, kept: ByStructure | None
) -> Iterator[Fault]:
    """Train settings: in a compiled world side by side, elsewhere one after another; or both as
    tasks of a cluster."""
    if not todo:
        return
    groups = groups_of(todo)
    if plan.request.ray is not None:
        check_settings_fit(plan, groups)
        yield from trained_by_tasks(plan, groups, train_settings, progress)
        return
    if plan.choice.backend != "compiled":
        check_settings_fit(plan, groups)
        yield from _one_by_one(plan, todo)
        return
    use_cores(len(todo) * plan.experiment.seeds, devices=plan.experiment.devices)
    jax.devices()  # they start with all that they need
    check_settings_fit(plan, groups)
    for k, group in enumerate(groups, 1):
        if len(groups) > 1:
            Progress(0, plan.request.quiet).say(
                f"Program {k} of {len(groups)}: {count(len(group), 'setting')}, from "
                f"{setting_of(group[0][0].run.setting)} on."
            )
        try:
            yield from trained_together(plan, group, kept)
        except (UphillError, OSError, jax.errors.JaxRuntimeError):
            raise
        except Exception as error:
            if not own_parts_in(group[0][0].algorithm):
                raise
            unfinished = [one for one, _ in group if not (one.path / EVALUATION_FILE).exists()]
            for planned in unfinished:
                yield planned, f"its custom part raised {describe_error(error)}."


def check_settings_fit(plan: Plan, groups: Sequence[Todo]) -> None:
    """Raises:
    UphillError: if a setting does not fit the environment: before any is trained.
    """
    for group in groups:
        algorithm = group[0][0].algorithm
        experiment = replace(plan.experiment, algorithm=algorithm)
        try:
            trainer_of(plan.choice, experiment, plan.request.network).close()
        except UphillError as error:
            if len(groups) == 1:
                raise
            setting = setting_of(group[0][0].run.setting)
            raise UphillError(f"The setting {setting} can't be: {error}") from error


def _one_by_one(plan: Plan, todo: Todo) -> Iterator[Fault]:
    for k, (planned, phase) in enumerate(todo, 1):
        Progress(0, plan.request.quiet).say(
            f"\nSetting {k} of {len(todo)}: {setting_of(planned.run.setting)}"
        )
        opening = session_for(plan, planned, phase, plan.request.quiet)
        with opening as session, Attempt() as attempt:
            finish(session, plan.request.env)
        if attempt.fault:
            yield planned, attempt.fault


def opened(plan: Plan, planned: Planned) -> Run:
    """The run of a setting, with what it was trained with."""
    return Run(planned.path, **plan.request_for(planned).given)


def _result(plan: Plan) -> Sweep:
    from uphill.views.plots.sweeps import plot_sweep  # drawing takes long to load

    rows = rows_of(SavedSweep(plan.folder))
    return Sweep(
        plan.folder,
        [opened(plan, planned) for planned in plan.settings],
        rows,
        plot_sweep(SavedSweep(plan.folder)),
    )
