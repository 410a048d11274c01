"""A sensitivity study from start to end: sweeps, then the chosen settings on fresh seeds."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from uphill.clusters.connection import cluster_of
from uphill.errors import UphillError
from uphill.runs.files import SWEEP_PICTURE
from uphill.runs.keywords import taken_as
from uphill.runs.sensitivity import CHOICE, SavedSensitivity
from uphill.runs.settings import Settings
from uphill.runs.sweeps import SavedSweep
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.settings_file import write_settings
from uphill.studies.sensitivity.plan import SensitivityRequest, Study, Task, study_of
from uphill.studies.sweeps.changes import changed
from uphill.studies.sweeps.groups import groups_of
from uphill.studies.sweeps.plan import fresh_runs, on_fresh_seeds
from uphill.studies.sweeps.sweep import (
    check_settings_fit,
    told_versions,
    train_settings,
)
from uphill.training.process import use_cores
from uphill.views.labels import setting_of
from uphill.views.sensitivity import Findings, Studied, result_of
from uphill.words import count, going_on


@dataclass(frozen=True)
class SensitivityStudy:
    """A study that is done."""

    path: Path
    """its folder"""
    result: Findings
    picture: Path
    settings: dict[str, Path]
    """files that `uphill train ENV --settings FILE` takes: each algorithm's choice for all
    environments"""

    @property
    def table(self) -> list[dict[str, Any]]:
        """The results of each algorithm, as plain data: the fields of
        `uphill.views.sensitivity.Studied`, with estimates as `{"value": …, "ci95": […]}`."""
        return [one.summary() for one in self.result.algorithms]

    def summary(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "sensitivity": str(self.path),
            "picture": str(self.picture),
            "settings": {algo: str(path) for algo, path in self.settings.items()},
            "algorithms": self.table,
            "remarks": list(self.result.remarks),
        }

    def __repr__(self) -> str:
        algos = count(len(self.result.algorithms), "algorithm")
        return f"{type(self).__name__}({str(self.path)!r}: {algos})"


@taken_as(SensitivityRequest)
def sensitivity(request: SensitivityRequest) -> SensitivityStudy:
    """How much algorithms depend on tuning: every setting of a grid is trained in every
    environment, over several seeds. What scores best in each environment is compared with the one
    setting that is best for all, and that one is trained again on fresh seeds beside the default.
    Asked for again with the same folder as `out`, it goes on where it ended.

    Raises:
        UphillError: for anything about the arguments or an environment that the user can fix; if
        fewer
            than two environments tell settings apart.
        Interrupted: on Ctrl-C, after checkpoints were written.
    """
    study = study_of(request)
    progress = Progress(0, request.quiet)
    _check_fits(study)
    try:
        with cluster_of(request.ray, study.folder):
            _train(study, progress)
    except KeyboardInterrupt:
        asked = replace(study.tasks[0].plan.request, out=request.out)
        raise Interrupted(going_on("sensitivity", study.folder, asked.out)) from None
    return _result(study)


def _train(study: Study, progress: Progress) -> None:
    """Train what is not done yet of the sweeps, and then of what was chosen, on fresh seeds."""
    for k, task in enumerate(study.tasks, 1):
        progress.say(f"\n{_said(task)} ({k} of {len(study.tasks)})")
        if told := told_versions(task.plan):
            progress.say(told)
        train_settings(task.plan, progress)
    for one in _found(study).algorithms:
        progress.say(
            f"\n{one.algo}: {setting_of(one.choice)} is best for all, and trains on "
            f"{count(study.fresh_seeds, 'fresh seed')} in each environment, beside the default."
        )
        for env in one.envs:
            _train_fresh(study.task(one.algo, env.env), one, study.fresh_seeds, progress)


def _check_fits(study: Study) -> None:
    """Raises:
    UphillError: if a setting does not fit one of the environments: before any is trained.
    """
    plans = [task.plan for task in study.tasks]
    lanes = max(len(plan.settings) * plan.experiment.seeds for plan in plans)
    use_cores(lanes, all(plan.choice.backend == "gymnasium" for plan in plans))
    for plan in plans:
        check_settings_fit(plan, groups_of([(planned, "new") for planned in plan.settings]))


def _said(task: Task) -> str:
    experiment = task.plan.experiment
    return (
        f"{task.algo} in {task.env}: {count(len(task.plan.settings), 'setting')} × "
        f"{count(experiment.seeds, 'seed')} × {experiment.steps:,} steps; backend "
        f"{task.plan.choice.backend}, since {task.plan.choice.reason}"
    )


def _found(study: Study) -> Findings:
    """The results of the sweeps.

    Raises:
        UphillError: if fewer than two environments tell settings apart.
    """
    found = result_of(SavedSensitivity(study.folder))
    if not found.algorithms:
        raise UphillError(
            f"Fewer than two environments tell settings apart. {' '.join(found.remarks)} Train for "
            "more steps, or choose other environments, and another out."
        )
    return found


def _train_fresh(task: Task, one: Studied, fresh_seeds: int, progress: Progress) -> None:
    """Train what was chosen beside the default, on seeds that no setting had.

    Raises:
        UphillError: if the folder is of another choice.
    """
    runs = fresh_runs(task.plan, CHOICE, one.choice, task.fresh)
    train_settings(on_fresh_seeds(task.plan, fresh_seeds, task.fresh, runs), progress)


def _result(study: Study) -> SensitivityStudy:
    from uphill.views.plots.sensitivity import plot_sensitivity  # drawing takes long to load
    from uphill.views.plots.sweeps import plot_sweep

    saved = SavedSensitivity(study.folder)
    result = result_of(saved)
    for task in study.tasks:
        if not (task.plan.folder / SWEEP_PICTURE).exists():
            plot_sweep(SavedSweep(task.plan.folder))
    settings = {one.algo: _written(study, one) for one in result.algorithms}
    return SensitivityStudy(study.folder, result, plot_sensitivity(saved, result), settings)


def _written(study: Study, one: Studied) -> Path:
    """The file of the settings that were chosen."""
    plan = study.task(one.algo, one.envs[0].env).plan
    experiment = replace(
        plan.experiment,
        algorithm=changed(plan.experiment.composition, one.choice),
        episodes=Settings.episodes,
    )
    folder = plan.folder.parent.name
    path = study.folder / f"settings-{folder}.json"
    write_settings(path, experiment)
    return path
