"""Reproduces what the five sources describe over several seeds, with our presets beside it."""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from uphill.clusters.connection import cluster_of
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.parts import Algorithm
from uphill.run import Run, resume, train
from uphill.runs.checkpoint import read_manifest
from uphill.runs.configuration import encode
from uphill.runs.experiment import describe_platform, installed_versions, read_experiment
from uphill.runs.files import EXPERIMENT_FILE, make_folder, write_json
from uphill.runs.metrics import read_metrics
from uphill.runs.place import Place
from uphill.runs.unbegun import is_unbegun
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.presets import preset
from uphill.studies.reproductions.sources import Source, SourceStudy, find_source
from uphill.training.cores import use_threads
from uphill.training.evaluate import evaluate_actors
from uphill.words import going_on, option

REPRODUCTION_FILE = "reproduction.json"


@dataclass(frozen=True)
class Rerun:
    """One training of a reproduction: a source's study, or our preset for its environment."""

    folder: str
    method: str
    algo: str
    algorithm: Algorithm
    steps: int
    seeds: int
    study: SourceStudy


def reproduce(
    name: str,
    *,
    env: str | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    out: str | Path | None = None,
    threads: int | None = None,
    ray: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """A source's method and our preset, trained and evaluated; also written to
    `reproduction.json`.

    `env` keeps to one of its environments; `steps` shortens every training that is longer; seeds
    train with this many `threads`, or as tasks of the cluster that `ray` names, as in
    `uphill.train`. Runs that are in `out` already are used, and continued if they were interrupted.

    Raises:
        UphillError: for an unknown name or environment, or a folder that holds other runs.
        Interrupted: on Ctrl-C; the same command with `out` goes on.
    """
    source = find_source(name)
    if env is not None and env not in source.envs:
        raise UphillError(f"{name} has no environment {env!r}: use {', '.join(source.envs)}.")
    for field, number in (("seeds", seeds), ("steps", steps)):
        if number is not None and number < 1:
            raise UphillError(f"{field} is {number}: use at least 1.")
    use_threads(threads)
    folder = _folder(out, name)
    planned = [task for task in tasks(source, seeds, steps) if env in (None, task.study.env)]
    rows = []
    try:
        with cluster_of(ray, folder):
            for task in planned:
                Progress(0, quiet).say(f"\n{task.study.env}, {task.method}")
                rows.append(_row(task, _trained(folder / task.folder, task, ray, quiet)))
    except KeyboardInterrupt:
        raise Interrupted(going_on("reproduce", folder, out)) from None
    result = {
        "name": name,
        "out": str(folder),
        "shortened_to": steps,
        "mended": list(source.mended),
        "kept": list(source.kept),
        "chosen": list(source.chosen),
        "results": rows,
        "versions": installed_versions(),
        "platform": describe_platform(),
    }
    write_json(folder / REPRODUCTION_FILE, result)
    return result


def tasks(source: Source, seeds: int | None = None, steps: int | None = None) -> Iterator[Rerun]:
    """What a reproduction trains: for each environment the source's studies, then our preset."""
    for env in source.envs:
        studies = [study for study in source.studies if study.env == env]
        for study in studies:
            method = f"the source's, {study.label}" if study.label else "the source's"
            folder = re.sub("[^A-Za-z0-9_.-]+", "-", f"source {env} {study.label}".strip())
            budget = min(study.steps, steps or study.steps)
            algorithm = study.algorithm
            number = seeds or study.seeds
            yield Rerun(folder, method, algorithm.name, algorithm, budget, number, study)
        ours = preset(env)
        budget, number = min(ours.steps, steps or ours.steps), seeds or studies[0].seeds
        method = f"ours, {ours.algo}"
        yield Rerun(f"ours-{env}", method, ours.algo, ours.algorithm, budget, number, studies[0])


def _folder(out: str | Path | None, name: str) -> Path:
    folder = out or Path("runs", f"reproduce-{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    if (Path(folder) / EXPERIMENT_FILE).exists():
        raise UphillError(f"{folder} is a run directory: choose another {option('out')}.")
    return make_folder(Place.of(folder), is_named=bool(out))


def _trained(folder: Path, task: Rerun, ray: str | None, quiet: bool) -> Run:
    """The run of a task: started, continued, or found complete.

    Raises:
        UphillError: if the folder holds another run.
    """
    if not folder.exists() or is_unbegun(folder):
        return train(
            task.study.env,
            task.algorithm,
            algo=task.algo,
            seeds=task.seeds,
            steps=task.steps,
            out=folder,
            ray=ray,
            quiet=quiet,
        )
    found = read_experiment(folder)
    asked = (task.study.env, task.steps, task.seeds, 0, encode(task.algorithm))
    if asked != (found.env, found.steps, found.seeds, found.seed, encode(found.algorithm)):
        raise UphillError(
            f"{folder} holds a run with other settings, seeds or steps: choose another "
            f"{option('out')}."
        )
    facts = read_manifest(folder, "latest").facts
    if facts.steps_done < task.steps:
        return resume(folder, quiet=quiet)
    run = Run(folder)
    if run.evaluation is None:
        run.evaluate()
    Progress(0, quiet).say(f"{folder} is complete, and used again.")
    return run


# --- what is reported ---------------------------------------------------------------------------


def _row(task: Rerun, run: Run) -> dict[str, Any]:
    """The results of one training run: `summary()`, and what the source's claims are compared
    with."""
    summary, study = run.summary(), task.study
    evaluation = summary["evaluation"]["deterministic"]
    threshold = read_manifest(run.path, "latest").facts.reward_threshold
    known = [solved for solved in summary["solved"] if solved is not None]
    is_source = task.folder.startswith("source")
    return {
        "env": study.env,
        "method": task.method,
        "claim": study.claim if is_source else None,
        "budget": study.budget if is_source else None,
        "run": summary["run"],
        "settings": run.experiment.settings,
        "seeds": summary["seeds"],
        "steps": summary["steps"],
        "seconds": summary["seconds"],
        "compile_seconds": summary["compile_seconds"],
        **{key: evaluation[key] for key in ("iqm", "ci95", "per_seed")},
        "sampled_iqm": summary["evaluation"]["stochastic"]["iqm"],
        "threshold": threshold,
        "solved": sum(known) if known else None,
        "reached": _reached(run, threshold, study.window),
        "shares": {name: _share(run, threshold, kw) for name, kw in study.shares.items()},
    }


def _reached(run: Run, threshold: float | None, window: int) -> dict[str, Any] | None:
    """On how many seeds training reached the threshold, and the median of when."""
    if threshold is None:
        return None
    metrics = read_metrics(run.path)
    found = [first_reached(metrics, s, threshold, window) for s in run.experiment.all_seeds]
    times = [moment for moment in found if moment is not None]
    medians = np.median(times, axis=0).tolist() if times else [None] * 4
    names = ("updates", "episodes", "steps", "seconds")
    return {"window": window, "seeds": len(times), **dict(zip(names, medians, strict=True))}


def first_reached(
    metrics: dict[str, np.ndarray], seed: int, threshold: float, window: int
) -> tuple[float, float, float, float] | None:
    """Updates, episodes, steps and seconds of a seed until the mean return of its last `window`
    training episodes, or a few more (whole rows count), first reached `threshold`."""
    own = metrics["seed"] == seed
    count = metrics["rollout/num_episodes"][own]
    total = np.where(count > 0, count * metrics["rollout/episode_return"][own], 0.0)
    episodes, returns = np.cumsum(np.r_[0, count]), np.cumsum(np.r_[0.0, total])
    last = np.arange(1, len(episodes))
    # The latest row that leaves at least `window` episodes after it.
    first = np.searchsorted(episodes, episodes[last] - window, side="right") - 1
    last, first = last[first >= 0], first[first >= 0]
    mean = (returns[last] - returns[first]) / np.maximum(episodes[last] - episodes[first], 1)
    reached = last[mean >= threshold]
    if not len(reached):
        return None
    k = reached[0]
    columns = (metrics[name][own][k - 1] for name in ("update", "steps", "time/seconds"))
    update, steps, seconds = map(float, columns)
    return update, float(episodes[k]), steps, seconds


def _share(run: Run, threshold: float | None, env_kwargs: dict[str, Any]) -> list[float]:
    """For each seed, the share of 100 deterministic episodes that reach the threshold."""
    assert threshold is not None
    choice = choose(run.experiment.env, "auto", env_kwargs)
    returns = evaluate_actors(choice, run.learners.actor, run.experiment.all_seeds, 100)
    return [float(x) for x in (returns[0] >= threshold).mean(1)]
