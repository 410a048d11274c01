"""A training goes on: its session, as the latest checkpoint left it."""

from collections.abc import Iterable
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np

from uphill.envs.wrappers import Wrapper
from uphill.errors import UphillError
from uphill.policies.own_network import NetworkFactory
from uphill.runs.checkpoint import History, Standing, read_manifest, read_tensors
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, as_path, read_experiment, whole, write_experiment
from uphill.runs.files import restore
from uphill.runs.given import EnvironmentFactory, check_network, environment_of
from uphill.runs.kept_policies import write_milestones
from uphill.runs.metrics import MetricsFile, read_metrics
from uphill.runs.own_parts import OwnPart, OwnParts
from uphill.runs.saved import check_fits, read_learners
from uphill.sessions.display import Progress
from uphill.sessions.history import Remembered
from uphill.sessions.keeping import device, savable
from uphill.sessions.launch import session_of, trainer_of
from uphill.sessions.session import Session
from uphill.sessions.sinks import check_installed
from uphill.training.process import use_compile_cache
from uphill.training.rows import Rows
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer
from uphill.words import call


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
) -> Session:
    """The session that goes on with a run; its arguments are those of `uphill.resume`.

    Raises:
        UphillError: if the run is finished, damaged, or was made on another kind of device.
    """
    folder = as_path(run, "run")
    experiment = read_experiment(folder, OwnParts(parts, allow_import))
    manifest = read_manifest(folder / "checkpoint", "latest", experiment.seeds)
    facts = manifest.facts
    goal: int | None = decode(int | None, whole(encode(steps)), "steps")
    episodes = decode(int | None, encode(episodes), "episodes")
    experiment = _extended(experiment, folder, facts, goal)
    if episodes is not None:
        experiment = replace(experiment, episodes=episodes)
    limit = decode(float | None, encode(step_timeout), "step_timeout")
    if limit is not None:
        experiment = replace(experiment, step_timeout=limit)
    check_installed(experiment.log)
    use_compile_cache()
    check_network(experiment, network)
    tensors = read_tensors(folder / "checkpoint", manifest)
    check_fits(folder, experiment, "latest", facts, tensors, network is not None)
    best = read_learners(folder, experiment, "best", network)
    choice = environment_of(experiment, env, allow_import, wrappers)
    trainer = trainer_of(choice, experiment, network, facts.num_updates, facts.encoding)
    _check_device(facts.device)
    if (trainer.encoding, trainer.action_kind) != (facts.encoding, facts.action_kind):
        raise UphillError(
            f"The spaces of {choice.name} are not those that the run {folder} was made with."
        )
    state = _restored_state(trainer, facts, tensors)
    memory = Remembered(
        _history(folder, facts),
        best=best,
        pending=_pending(tensors),
        untrained=_untrained(state, tensors),
    )
    milestones = memory.history.milestones
    metrics = MetricsFile(folder, facts.metrics_offset, facts.num_updates)
    write_milestones(folder, milestones)  # later ones will be reached again
    write_experiment(folder, experiment)
    progress = Progress(experiment.steps, quiet, experiment.all_seeds)
    progress.say(f"Resuming {folder} at {min(state.num_transitions):,} steps.")
    if facts.metrics_offset:
        returns = read_metrics(folder)["rollout/episode_return"]
        if len(returns) % experiment.seeds:
            raise UphillError(
                f"{folder} is damaged: its metrics.csv has {len(returns)} rows, which are not as "
                f"many for each of {experiment.seeds} seeds."
            )
        progress.recall(returns.reshape(-1, experiment.seeds).tolist(), milestones)
    return session_of(folder, experiment, trainer, state, memory, metrics, progress)


def _history(folder: Path, facts: Standing) -> History:
    """The history, with what is true of `best`: not what `latest` says of it, for a crash may have
    come after `best` was written."""
    best = read_manifest(folder / "checkpoint", "best").facts
    moments = [best.moment_of_best(s) for s in range(len(best.num_transitions))]
    return replace(
        facts.history,
        best_scores=best.best_scores,
        best_steps=tuple(steps for steps, _ in moments),
        best_seconds=tuple(seconds for _, seconds in moments),
    )


def _extended(
    experiment: Experiment, folder: Path, facts: Standing, steps: int | None
) -> Experiment:
    """The experiment, with more steps if they are asked for.

    Raises:
        UphillError: if there is nothing left to do, or the checkpoint is of another experiment.
    """
    if steps is not None and steps < experiment.steps:
        raise UphillError(
            f"steps is {steps}, but the run already goes to {experiment.steps}: use more."
        )
    if steps is not None:
        experiment = replace(experiment, steps=steps)
    is_extended = steps is not None and facts.stopped
    if min(facts.num_transitions) >= experiment.steps or (facts.stopped and not is_extended):
        raise UphillError(
            f"{folder} is finished ({min(facts.num_transitions):,} steps): "
            f"`{call('resume', folder, steps='N')}` extends it."
        )
    return experiment


def _check_device(recorded: dict[str, str]) -> None:
    here = device()
    if recorded != here:
        raise UphillError(
            f"The run was made with {recorded} and this process has {here}: a resumed run would "
            "not repeat bit for bit, so resume it where it was started."
        )


def _restored_state(
    trainer: Trainer, facts: Standing, tensors: dict[str, np.ndarray]
) -> TrainState:
    start = trainer.start()
    learners = restore(start.learners, tensors, "learners.")
    lanes = savable(trainer, start.lanes)
    if lanes is None:
        lanes = start.lanes
        learners = eqx.tree_at(lambda x: x.scales, learners, learners.scales.at_a_reset())
    else:
        lanes = restore(lanes, tensors, "lanes.")
    return TrainState(learners, lanes, facts.num_updates, facts.num_transitions)


def _pending(tensors: dict[str, np.ndarray]) -> Rows | None:
    """The metrics of the updates after the last logging point."""
    prefix = "pending."
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names} or None


def _untrained(state: TrainState, tensors: dict[str, np.ndarray]) -> Any:
    """The actors that training began with, where they are still waited for."""
    prefix = "untrained."
    if not any(name.startswith(prefix) for name in tensors):
        return None
    return restore(state.learners.actor, tensors, prefix)
