"""Resuming a training: its session, from the latest checkpoint."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from uphill.envs.compiled import CompiledEnvironment
from uphill.envs.make import EnvironmentChoice
from uphill.envs.wrappers import Wrapper
from uphill.errors import UphillError
from uphill.policies.own_network import NetworkFactory
from uphill.runs.checkpoint import History, Standing, read_manifest, read_tensors
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import (
    Experiment,
    as_path,
    describe_platform,
    read_experiment,
    whole,
    write_experiment,
)
from uphill.runs.files import Tensors, manifest_file, tree_from
from uphill.runs.given import EnvironmentFactory, check_network, environment_of
from uphill.runs.kept_policies import write_milestones
from uphill.runs.lock import RunLock
from uphill.runs.machine import Moved, check_random_numbers, differences, machine
from uphill.runs.metrics import MetricsFile, read_metrics
from uphill.runs.own_code import code_of, versions_with
from uphill.runs.own_parts import OwnPart, OwnParts
from uphill.runs.place import Place
from uphill.runs.saved import check_fits, opened_with, read_learners
from uphill.runs.unbegun import is_unbegun
from uphill.sessions.display import Progress
from uphill.sessions.history import Best, Remembered
from uphill.sessions.init_from import encoding_in, initialized
from uphill.sessions.keeping import savable
from uphill.sessions.launch import Request, begun, fresh_session, session_of, trainer_of
from uphill.sessions.presets import Preset
from uphill.sessions.session import Session
from uphill.sessions.sinks import check_installed
from uphill.training.guard import Stop
from uphill.training.process import use_compile_cache, use_cores
from uphill.training.rows import Rows
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer
from uphill.words import call, listed, option, percent


def go_on(
    run: str | PathLike[str],
    env: EnvironmentFactory | None = None,
    network: NetworkFactory | None = None,
    steps: float | None = None,
    allow_import: bool = False,
    episodes: int | None = None,
    quiet: bool = False,
    parts: Iterable[OwnPart] = (),
    wrappers: Iterable[Wrapper] = (),
    *,
    step_timeout: float | None = None,
    devices: int | None = None,
) -> Session:
    """The session that resumes a run; the arguments are those of `uphill.resume`. A run that was
    stopped before its first checkpoint starts from the beginning.

    Raises:
        UphillError: if the run is finished or damaged, or generated its random numbers differently.
    """
    folder = as_path(run, "run")
    experiment = read_experiment(folder, OwnParts(parts, allow_import, folder.current))
    saved, planned = None, experiment.steps
    if not is_unbegun(folder):
        saved = read_manifest(folder, "latest", experiment.seeds)
    goal: int | None = decode(int | None, whole(encode(steps)), "steps")
    episodes = decode(int | None, encode(episodes), "episodes")
    experiment = _extended(experiment, folder, saved and saved.facts, goal)
    if episodes is not None:
        experiment = replace(experiment, episodes=episodes)
    limit = decode(float | None, encode(step_timeout), "step_timeout")
    if limit is not None:
        experiment = replace(experiment, step_timeout=limit)
    experiment = _on_devices(experiment, devices)
    check_installed(experiment.log)
    _use_devices(experiment)
    check_network(experiment, network)
    progress = Progress(experiment.steps, quiet, experiment.all_seeds)

    def choice() -> EnvironmentChoice:
        return environment_of(experiment, env, allow_import, wrappers, folder.current)

    if saved is None:
        return _from_the_start(folder, experiment, choice(), network, progress)
    tensors = read_tensors(folder, saved)
    check_fits(folder, experiment, "latest", saved.facts, tensors, network is not None)
    check_random_numbers(saved.facts.device, manifest_file(folder, "latest"))
    best = _best(folder, experiment, network)
    at = _restored(folder, experiment, choice(), network, saved.facts, tensors)
    session = _from_the_checkpoint(folder, experiment, *at, saved.facts, tensors, best, progress)
    done = saved.facts.steps_done
    if experiment.steps != planned and (said := _stretched(experiment, planned, done)):
        progress.say(said)
    return session


def restore(
    run: str | PathLike[str],
    *,
    env: EnvironmentFactory | None = None,
    network: NetworkFactory | None = None,
    steps: float | None = None,
    allow_import: bool = False,
    parts: Iterable[OwnPart] = (),
    wrappers: Iterable[Wrapper] = (),
    devices: int | None = None,
) -> tuple[Trainer, TrainState]:
    """A trainer and the state of a run's latest checkpoint, to continue any run in a custom loop:
    `uphill.iterate(*uphill.restore(run))`. The run directory stays as it is. `steps` is a larger
    number of steps to train up to, `devices` another number of devices for each seed; the other
    arguments are those of `load`.

    Raises:
        UphillError: if the run has no checkpoint, is damaged, or drew its random numbers with
            another generator; or if `steps` are done already.
    """
    asked = {"network": network, "parts": parts, "allow_import": allow_import}
    asked = opened_with(run, env=env, wrappers=wrappers, **asked)
    env, wrappers, network, parts, allow_import = asked.values()
    folder = as_path(run, "run")
    experiment = read_experiment(folder, OwnParts(parts, allow_import, folder.current))
    saved = read_manifest(folder, "latest", experiment.seeds)
    goal: int | None = decode(int | None, whole(encode(steps)), "steps")
    if goal is not None:
        experiment = _extended(experiment, folder, saved.facts, goal)
    experiment = _on_devices(experiment, devices)
    _use_devices(experiment)
    check_network(experiment, network)
    tensors = read_tensors(folder, saved)
    check_fits(folder, experiment, "latest", saved.facts, tensors, network is not None)
    check_random_numbers(saved.facts.device, manifest_file(folder, "latest"))
    choice = environment_of(experiment, env, allow_import, wrappers, folder.current)
    return _restored(folder, experiment, choice, network, saved.facts, tensors)


@contextmanager
def begun_or_resumed(
    request: Request, is_new: bool, start: Preset | None = None
) -> Iterator[Session]:
    """The session of a request that names its run directory: a new one, as for `uphill train`, or a
    resumed one, as for `uphill resume`. The directory is locked meanwhile.

    Raises:
        UphillError: for the same reasons as these.
    """
    if is_new:
        with begun(request, start) as session:
            yield session
        return
    assert request.out is not None
    with RunLock(as_path(request.out, "out")):
        session = go_on(request.out, quiet=request.quiet, devices=request.devices, **request.given)
        every = decode(float, encode(request.checkpoint_every), "checkpoint_every")
        experiment = replace(session.experiment, checkpoint_every=every)
        yield replace(session, experiment=experiment, on_point=request.on_point)


def _from_the_start(
    folder: Place,
    experiment: Experiment,
    choice: EnvironmentChoice,
    network: NetworkFactory | None,
    progress: Progress,
) -> Session:
    """The session of a run that has no checkpoint yet.

    Raises:
        UphillError: if it was to start from another run that no longer exists, or has changed.
    """
    progress.say(f"{folder} was stopped before its first checkpoint: it starts from the beginning.")
    source = experiment.init_from
    start = None if source is None else Place.of(source.run)
    encoding = None if start is None else encoding_in(start)
    trainer = trainer_of(choice, experiment, network, encoding=encoding)
    versions = versions_with(choice, experiment.algorithm, network)
    experiment = replace(experiment, versions=versions, platform=describe_platform())
    state = trainer.start()
    if source is not None and start is not None:
        space = trainer.env.action_space
        state, found, taken = initialized(state, experiment, start, network, space)
        progress.say(taken)
        if found != source:
            raise UphillError(
                f"{folder} was to start from {source.run} (seed {source.seed}), whose networks "
                f"have changed: train again, with another {option('out')}."
            )
    return fresh_session(folder, experiment, trainer, state, progress)


def _from_the_checkpoint(
    folder: Path,
    experiment: Experiment,
    trainer: Trainer,
    state: TrainState,
    facts: Standing,
    tensors: Tensors,
    best: Best,
    progress: Progress,
) -> Session:
    """The session of a run, continued from its latest checkpoint."""
    moved, is_elsewhere = _moved(facts, experiment, folder)
    path = manifest_file(folder, "latest")
    memory = Remembered(
        replace(_history(facts, best.history), moved=moved),
        best=best,
        pending=_pending(tensors),
        untrained=_untrained(state, tensors, path),
    )
    milestones = memory.history.milestones
    metrics = MetricsFile(folder, facts.metrics_offset, facts.num_updates)
    write_milestones(folder, milestones)  # later ones will be reached again
    write_experiment(folder, experiment)
    progress.say(f"Resuming {folder} at {facts.steps_done:,} steps.")
    notices = (_other_code(trainer, experiment), is_elsewhere, _in_another(trainer, experiment))
    for notice in (*notices, _new_episodes(trainer)):
        if notice:
            progress.say(notice)
    if facts.metrics_offset:
        returns = read_metrics(folder)["rollout/episode_return"]
        if len(returns) % experiment.seeds:
            raise UphillError(
                f"{folder} is damaged: its metrics.csv has {len(returns)} rows, which is not a "
                f"multiple of {experiment.seeds} seeds."
            )
        progress.recall(returns.reshape(-1, experiment.seeds).tolist(), milestones)
    return session_of(folder, experiment, trainer, state, memory, metrics, progress)


def _new_episodes(trainer: Trainer) -> str:
    """The notice for environments whose state a checkpoint can't hold."""
    if isinstance(trainer.env, CompiledEnvironment):
        return ""
    under_way = (
        ""
        if trainer.algorithms[0].sampling.has_whole_episodes
        else (" Unfinished episodes are not counted.")
    )
    return (
        f"The state of {trainer.choice.name} can't be saved: learning continues exactly where it "
        f"was, in new episodes.{under_way}"
    )


def _best(folder: Path, experiment: Experiment, network: NetworkFactory | None) -> Best:
    """The content of the checkpoint `best`."""
    learners = jax.device_get(read_learners(folder, experiment, "best", network))
    facts = read_manifest(folder, "best").facts
    moments = [facts.moment_of_best(s) for s in range(experiment.seeds)]
    history = replace(
        facts.history,
        best_steps=tuple(steps for steps, _ in moments),
        best_seconds=tuple(seconds for _, seconds in moments),
    )
    return Best(learners, history, facts.num_updates, facts.num_transitions)


def _history(facts: Standing, best: History) -> History:
    """The history, with the facts about `best` taken from `best` itself: `latest` may be older, if
    a crash happened after `best` was written."""
    return replace(
        facts.history,
        best_scores=best.best_scores,
        best_steps=best.best_steps,
        best_seconds=best.best_seconds,
    )


def _extended(
    experiment: Experiment, folder: Path, facts: Standing | None, steps: int | None
) -> Experiment:
    """The experiment, with more steps if these are requested.

    Raises:
        UphillError: if there is nothing left to do, or the checkpoint is of another experiment.
    """
    done, is_stopped = (0, False) if facts is None else (facts.steps_done, facts.stopped)
    if steps is None:
        if facts is not None and facts.is_trained(experiment.steps):
            raise UphillError(
                f"{folder} is finished ({done:,} steps): "
                f"`{call('resume', folder, steps='N')}` extends it."
            )
        return experiment
    goal = done if is_stopped else max(experiment.steps, done)  # it may have stopped early
    if steps < goal or steps <= done:
        raise UphillError(f"steps is {steps}, but the run already goes to {goal}: use more.")
    is_extended = facts is not None and steps != experiment.steps
    extended = (*experiment.extended, experiment.steps) if is_extended else experiment.extended
    return replace(experiment, steps=steps, extended=extended)


def _on_devices(experiment: Experiment, devices: int | None) -> Experiment:
    """The experiment, on another number of devices if that is requested."""
    wanted = decode(int | None, encode(devices), "devices")
    return experiment if wanted is None else replace(experiment, devices=wanted)


def _use_devices(experiment: Experiment) -> None:
    """Have JAX start with all devices that the seeds use, before the first array is read."""
    use_cores(experiment.seeds, experiment.backend == "gymnasium", experiment.devices)
    use_compile_cache()


def _stretched(experiment: Experiment, planned: int, done: int) -> str:
    """The effect of more steps on schedules, which depend on the share of steps that is done."""
    names, way = experiment.composition.varying, "back" if experiment.steps > planned else "on"
    if not names:
        return ""
    return (
        f"It goes to {experiment.steps:,} steps, not {planned:,}: what changes during training "
        f"({listed(names)}) goes {way} to its value at {percent(done / experiment.steps)} of it."
    )


def _other_code(trainer: Trainer, experiment: Experiment) -> str:
    """The notice if custom code is not what it was when training began."""
    now = code_of(trainer.choice, experiment.algorithm, trainer.network)
    differ = differences({k: x for k, x in experiment.versions.items() if k in now}, now)
    return differ and f"It was begun with other code: now it is {differ}."


def _in_another(trainer: Trainer, experiment: Experiment) -> str:
    """The notice if the given environment has another name than the previous one."""
    now, before = trainer.choice.name, experiment.env
    if not experiment.is_callable or now == before:
        return ""
    return f"It continues in {now}; until now it was trained in {before}."


def _moved(facts: Standing, experiment: Experiment, folder: Path) -> tuple[tuple[Moved, ...], str]:
    """The machines that it was trained on before, including the last one if this is a different
    one; and the notice about that."""
    what = differences(facts.device, machine(experiment.seeds, experiment.devices))
    if not what:
        return facts.moved, ""
    said = (
        f"This is not where it was trained until now ({what}): its bits may differ from those of a "
        "run that stayed there, and the checkpoint records this."
    )
    return (*facts.moved, Moved(facts.num_updates, facts.device)), said


def _restored(
    folder: Path,
    experiment: Experiment,
    choice: EnvironmentChoice,
    network: NetworkFactory | None,
    facts: Standing,
    tensors: Tensors,
) -> tuple[Trainer, TrainState]:
    """The trainer, and the state that the checkpoint holds.

    Raises:
        UphillError: if the environment has other spaces.
    """
    trainer = trainer_of(choice, experiment, network, facts.num_updates, facts.encoding)
    if (trainer.encoding, trainer.action_kind) != (facts.encoding, facts.action_kind):
        raise UphillError(
            f"The spaces of {choice.name} are not those that the run {folder} was trained in: give "
            "the environment of training."
        )
    path = manifest_file(folder, "latest")
    return trainer, _restored_state(trainer, facts, tensors, path)


def _restored_state(trainer: Trainer, facts: Standing, tensors: Tensors, path: Path) -> TrainState:
    start = trainer.start()
    learners = tree_from(start.learners, tensors, "learners.", path)
    lanes = savable(trainer, start.lanes)
    if lanes is None:
        lanes = start.lanes
        learners = eqx.tree_at(lambda x: x.scales, learners, learners.scales.at_a_reset())
    else:
        lanes = tree_from(lanes, tensors, "lanes.", path)
    stops = {s: Stop(why) for s, why in enumerate(facts.not_finite) if why is not None}
    if len(stops) == len(facts.num_transitions):  # the cause may have been fixed
        stops = {}
    return TrainState(learners, lanes, facts.num_updates, facts.num_transitions, stops)


def _pending(tensors: Tensors) -> Rows | None:
    """The metrics of the updates after the last logging point."""
    prefix = "pending."
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names} or None


def _untrained(state: TrainState, tensors: Tensors, path: Path) -> Any:
    """The actors that training began with, if they are still needed."""
    prefix = "untrained."
    if not any(name.startswith(prefix) for name in tensors):
        return None
    return tree_from(state.learners.actor, tensors, prefix, path)
