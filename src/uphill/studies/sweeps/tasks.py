"""Training settings as tasks of a cluster. Each task runs some settings that share a program, as a
separate sweep, and sends their run directories home."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from uphill.clusters.dispatch import do_on_cluster, place_of
from uphill.clusters.jobs import Job
from uphill.clusters.parcels import packed, unpack_parcel
from uphill.runs.files import make_folder, not_written, write_file
from uphill.runs.place import Place
from uphill.runs.sweeps import TASKS_FOLDER, SavedSweep, is_sweep, write_faults, write_sweep
from uphill.sessions.display import Progress
from uphill.studies.sweeps.plan import Plan
from uphill.studies.sweeps.together import Fault, Todo
from uphill.words import count

Train = Callable[[Plan, Progress], None]
"""Trains what is not done yet of a plan."""


def trained_by_tasks(
    plan: Plan, groups: Sequence[Todo], train: Train, progress: Progress
) -> Iterator[Fault]:
    """Train groups of settings on the cluster that the plan's request names; those that failed, and
    why.

    Raises:
        UphillError: if there is no such cluster, or a task could not do its work at all.
        KeyboardInterrupt: on Ctrl-C, after what they have was saved.
    """
    aside = make_folder(plan.folder / TASKS_FOLDER)
    number = sum(map(len, groups))

    def jobs_of(cpus: int) -> tuple[str, list[Job]]:
        parts = [part for group in groups for part in _parts(group, number, cpus)]
        jobs = [_job(plan, part, k, train) for k, part in enumerate(parts, 1)]
        for job, part in zip(jobs, parts, strict=True):
            begun = {planned.run.folder for planned, phase in part if phase != "new"}
            if begun:
                write_file(place_of(aside, job), packed(plan.folder, begun))
        return f"{count(number, 'setting')} in {count(len(jobs), 'task')}", jobs

    address, every = str(plan.request.ray), plan.experiment.checkpoint_every
    try:
        do_on_cluster(address, aside, plan.folder, every, progress, jobs_of)
    finally:
        take_in_parcels(plan)
    shutil.rmtree(aside, ignore_errors=True)
    faults = SavedSweep(plan.folder).faults
    for planned, _ in (one for group in groups for one in group):
        if planned.run.folder in faults:
            yield planned, faults[planned.run.folder]


def _parts(group: Todo, number: int, cpus: int) -> list[Todo]:
    """A group in parts, its share of as many as there are processors for all settings."""
    share = max(1, min(len(group), round(cpus * len(group) / number)))
    size = math.ceil(len(group) / share)
    return [group[k : k + size] for k in range(0, len(group), size)]


def _job(plan: Plan, part: Todo, number: int, train: Train) -> Job:
    name = f"task {number}, {count(len(part), 'setting')}"
    request = replace(plan.request, ray=None, quiet=False, threads=None)
    own = replace(plan, settings=[planned for planned, _ in part], request=request)
    return Job(name, f"task-{number}", partial(train_some_settings, own, train))


def train_some_settings(plan: Plan, train: Train, folder: Path) -> None:
    """Train the settings of a plan in another folder, or go on there: on a node."""
    here = Place.of(folder)
    settings = [replace(planned, path=here / planned.run.folder) for planned in plan.settings]
    if not is_sweep(here):
        write_sweep(here, plan.asked, [planned.run for planned in settings])
    train(replace(plan, folder=here, settings=settings), Progress(0))


def take_in_parcels(plan: Plan) -> None:
    """Put what tasks have sent into the sweep's folder, and what failed into its list.

    Raises:
        UphillError: if it can't be written.
    """
    for parcel in sorted((plan.folder / TASKS_FOLDER).glob("*.zip")):
        place = parcel.with_suffix("")
        try:
            shutil.rmtree(place, ignore_errors=True)
            unpack_parcel(parcel.read_bytes(), place)
            sent = [planned for planned in plan.settings if (place / planned.run.folder).is_dir()]
            for planned in sent:
                shutil.rmtree(planned.path, ignore_errors=True)
                (place / planned.run.folder).rename(planned.path)
            if is_sweep(place) and (faults := SavedSweep(place).faults):
                write_faults(plan.folder, SavedSweep(plan.folder).faults | faults)
            shutil.rmtree(place, ignore_errors=True)
            parcel.unlink()
        except OSError as error:
            raise not_written(plan.folder, error) from error
