"""The seeds of a training run, spread over the tasks of a cluster and merged into one run."""

import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from uphill.clusters.connection import LOG_FILE
from uphill.clusters.dispatch import do_on_cluster, parcel_of
from uphill.clusters.jobs import Job
from uphill.clusters.parcels import names_in, unpack_parcel
from uphill.errors import UphillError
from uphill.policies.own_network import NetworkFactory
from uphill.runs.checkpoint import has_stopped, read_manifest
from uphill.runs.experiment import Experiment, read_experiment, write_experiment
from uphill.runs.files import EXPERIMENT_FILE, not_written, read_json, write_file, write_json
from uphill.runs.folder import HALF
from uphill.runs.lock import LOCK_FILE, RunLock
from uphill.runs.merged import merge_runs
from uphill.runs.not_finite import sentence
from uphill.runs.own_code import begun_with_others
from uphill.runs.own_parts import OwnParts, own_parts_in
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun, write_evaluation
from uphill.runs.settings import Settings
from uphill.runs.unbegun import check_continued, check_same, is_unbegun
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.launch import Request, make_run_folder, outlined
from uphill.sessions.presets import Preset
from uphill.sessions.resume import begun_or_resumed
from uphill.training.evaluate import evaluate_actors, evaluation_of
from uphill.words import count, going_on, listed, option

SPLIT_FILE = "split.json"
_RUN, _RETURNS = "run", "returns.npy"
_UNPACKED, _WHOLE = "unpacked", "whole"


def train_on_cluster(request: Request, start: Preset | None = None) -> Place:
    """Train the seeds of a request as tasks of a Ray cluster; the run directory. While they train,
    what they have sent is in the folder beside it whose name ends in `.parts`, from which the same
    request goes on.

    Raises:
        UphillError: for anything about the request or the cluster that the user can fix, or if
            every seed stopped at a non-finite number.
        Interrupted: on Ctrl-C, after what they have was saved.
    """
    _check(request)
    folder, experiment, _, progress = outlined(request, start)
    progress.say(f"Settings: {experiment.settings}.")
    aside = folder.with_name(f"{folder.name}.parts")
    _check_own(aside)
    make_run_folder(aside, may_exist=True)
    with RunLock(aside, is_new=True):
        if (aside / SPLIT_FILE).exists():
            check_continued(aside, experiment)
            experiment = _as_begun(aside, experiment, progress)
        else:
            check_same(aside, experiment)
        write_experiment(aside, experiment)
        try:
            jobs = _trained(request, experiment, aside, progress)
            with progress.doing("merging"):
                told = _merge(jobs, experiment, request.network, aside, folder)
        except KeyboardInterrupt:
            raise Interrupted(going_on("train", folder, request.out)) from None
        finally:
            if not (aside / SPLIT_FILE).exists():  # nothing was sent anywhere
                shutil.rmtree(aside, ignore_errors=True)
        if told:
            progress.say(told)
        shutil.rmtree(aside, ignore_errors=True)
    if has_stopped(folder):
        raise UphillError(_all_stopped(folder, experiment))
    return folder


def _all_stopped(folder: Path, experiment: Experiment) -> str:
    """What ended the training of every seed."""
    reasons = read_manifest(folder, "latest").facts.not_finite
    pairs = zip(experiment.all_seeds, reasons, strict=True)
    env, algorithm = experiment.env, experiment.composition
    each = [sentence(why, seed, env, algorithm) for seed, why in pairs if why is not None]
    return "\n".join([*each, f"What was learned before is saved in {folder}."])


def _as_begun(aside: Path, experiment: Experiment, progress: Progress) -> Experiment:
    """The experiment with the versions that its first parts were trained with."""
    begun = read_experiment(aside, OwnParts(own_parts_in(experiment.algorithm))).versions
    if notice := begun_with_others(begun, experiment.versions):
        progress.say(notice)
    return replace(experiment, versions=begun)


def _check_own(aside: Path) -> None:
    """Raises:
    UphillError: if the folder of the parts has anything else in it: it is deleted at the end.
    """
    own = {EXPERIMENT_FILE, LOCK_FILE, SPLIT_FILE, LOG_FILE, _UNPACKED, _WHOLE}
    found = aside.iterdir() if aside.is_dir() else [aside] if aside.exists() else ()
    names = [x.name.removesuffix(HALF) for x in found]
    strange = [name for name in names if name not in own and not name.endswith(".zip")]
    if strange:
        raise UphillError(
            f"{aside} exists already, and has more in it than the parts of a training "
            f"({listed(sorted(strange)[:3])}): choose another {option('out')}."
        )


def _check(request: Request) -> None:
    """Raises:
    UphillError: if something is asked for that all seeds decide together, or that only this machine
        has.
    """
    together = "is asked of all seeds together while they train, and tasks know their own alone"
    check_not_asked(
        request,
        {"eval_every": together, "stop_when_solved": together, "on_point": together} | ONLY_HERE,
    )


ONLY_HERE = {
    "devices": "asks for several devices of one machine, and a task has one",
    "log": "follows a training on this machine",
    "init_from": "names a run on this machine",
}
"""What tasks elsewhere can't do, and why."""


def check_not_asked(request: Request, what: Mapping[str, str]) -> None:
    """Raises:
    UphillError: if one of these is asked for; it says why that can't be on a cluster.
    """
    for name, why in what.items():
        value = getattr(request, name)
        if value and value != getattr(Settings, name, None):
            shown = option(name, value if isinstance(value, str | int | float) else None)
            raise UphillError(f"{shown} {why}: leave it out, or train without {option('ray')}.")


def _trained(
    request: Request, experiment: Experiment, aside: Place, progress: Progress
) -> list[Job]:
    """The jobs, all of them done.

    Raises:
        UphillError: if one failed.
    """
    jobs: list[Job] = []

    def jobs_of(cpus: int) -> tuple[str, list[Job]]:
        jobs.extend(_job(request, experiment, *ends) for ends in _split(experiment, cpus, aside))
        todo = [job for job in jobs if not _is_done(aside, job)]
        done = f" ({len(jobs) - len(todo)} done)" if len(todo) < len(jobs) else ""
        return f"{count(experiment.seeds, 'seed')} in {count(len(jobs), 'task')}{done}", todo

    every = experiment.checkpoint_every
    do_on_cluster(str(request.ray), aside, aside, every, progress, jobs_of)
    return jobs


def _split(experiment: Experiment, cpus: int, aside: Path) -> list[tuple[int, int]]:
    """The first seed of each task, and the one after its last: as it was, if this goes on."""
    path, seeds = aside / SPLIT_FILE, experiment.all_seeds
    if path.exists():
        ends = read_json(path)
        if not isinstance(ends, list) or [*ends[:1], *ends[-1:]] != [seeds[0], seeds[-1] + 1]:
            raise UphillError(f"{path} is damaged: delete {aside}, and train again.")
    else:
        number = min(cpus, len(seeds))
        ends = [seeds[0] + k * len(seeds) // number for k in range(number + 1)]
        write_json(path, ends)
    return [*pairwise(ends)]


def _job(request: Request, experiment: Experiment, first: int, end: int) -> Job:
    name = f"seed {first}" if end == first + 1 else f"seeds {first} to {end - 1}"
    own = replace(
        request,
        algorithm=experiment.composition,
        algo=experiment.algo,
        backend=experiment.backend,
        steps=experiment.steps,
        seed=first,
        seeds=end - first,
        settings=None,
        threads=None,
        quiet=False,
        ray=None,
        out=None,
    )
    elsewhere = experiment.seeds - own.seeds
    return Job(name, f"seeds-{first}-{end - 1}", partial(train_some_seeds, own, elsewhere))


def _is_done(aside: Path, job: Job) -> bool:
    parcel = parcel_of(aside, job)
    return parcel is not None and _RETURNS in names_in(parcel)


# --- on a node -----------------------------------------------------------------------------------


def train_some_seeds(request: Request, elsewhere: int, folder: Path) -> None:
    """Train some of the seeds in a folder, or continue there, and evaluate them; `elsewhere` is the
    number of seeds that other tasks train.

    Raises:
        UphillError: for anything that the user can fix.
        KeyboardInterrupt: when it is to end, after a checkpoint was written.
    """
    run = Place.of(folder / _RUN)
    request = replace(request, out=run)
    is_new = not run.exists() or is_unbegun(run)
    if is_new or not _is_over(run, request):
        try:
            with begun_or_resumed(request, is_new) as session:
                session.run()
        except UphillError:
            # Seeds whose numbers are not finite stop, and others go on elsewhere.
            if not has_stopped(run):
                raise
    saved = SavedRun(run, **request.given)
    e = saved.experiment
    choice, actors = saved.choice(), saved.learners.actor
    print_nothing = Progress(0, quiet=True).say
    returns = evaluate_actors(choice, actors, e.all_seeds, e.episodes, print_nothing, elsewhere)
    content = io.BytesIO()
    np.save(content, returns)
    write_file(folder / _RETURNS, content.getvalue())


def _is_over(run: Path, request: Request) -> bool:
    facts = read_manifest(run, "latest").facts
    assert request.steps is not None
    return facts.steps_done >= request.steps or has_stopped(run)


# --- the whole -----------------------------------------------------------------------------------


def _merge(
    jobs: Sequence[Job],
    experiment: Experiment,
    network: NetworkFactory | None,
    aside: Path,
    folder: Path,
) -> str:
    """Merge what all jobs sent into one run directory, and move it into place atomically; a remark
    about it.

    Raises:
        UphillError: if that can't be.
    """
    place, whole = aside / _UNPACKED, aside / _WHOLE
    try:
        for old in (place, whole):
            shutil.rmtree(old, ignore_errors=True)
            old.mkdir()
        for job in jobs:
            parcel = parcel_of(aside, job)
            assert parcel is not None
            unpack_parcel(parcel, place / job.file)
        paths = [place / job.file / _RUN for job in jobs]
        own = OwnParts(own_parts_in(experiment.algorithm))
        merge_runs(paths, experiment, whole, network, own)
        if not has_stopped(whole):
            returns = [np.load(place / job.file / _RETURNS) for job in jobs]
            write_evaluation(whole, evaluation_of(np.concatenate(returns, axis=1)))
        whole.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    return _on_different_processors(paths)


def _on_different_processors(paths: Sequence[Path]) -> str:
    standings = [read_manifest(path, "latest").facts for path in paths]
    found = sorted({facts.device.get("processor", "unknown") for facts in standings})
    if len(found) == 1:
        return ""
    return (
        f"Seeds were trained on different processors ({listed(found)}): their last bits may not be "
        "those of one machine."
    )
