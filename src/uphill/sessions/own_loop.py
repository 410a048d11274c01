"""The run directory of a custom training loop."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from uphill.envs.make import name_of
from uphill.errors import UphillError
from uphill.runs.experiment import (
    Experiment,
    command_line,
    describe_platform,
    make_experiment,
    write_experiment,
)
from uphill.runs.given import environment_settings
from uphill.runs.metrics import MetricsFile
from uphill.runs.not_finite import keep_batch
from uphill.runs.own_code import versions_with
from uphill.sessions.history import (
    Stretch,
    best_at,
    first_memory,
    logged_rows,
    reasons,
    recorded,
    with_divergences,
)
from uphill.sessions.keeping import Keeper
from uphill.sessions.launch import free_folder, make_run_folder
from uphill.training.rows import Rows
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer

OWN_LOOP = "your own loop"
"""Where the settings of such a run come from, in words."""


def save_run(
    trainer: Trainer,
    state: TrainState,
    out: str | PathLike[str] | None = None,
    metrics: Iterable[Any] = (),
) -> Path:
    """Write a run directory for `state`, with the metrics of the updates that led to it: their
    `Rows`.

    Raises:
        UphillError: if `out` exists, one run can't have these seeds, or the state is not that of
            the trainer.
    """
    trainer.check_state(state)
    experiment = _experiment(trainer)
    folder = free_folder(out, experiment.env, experiment.algo, experiment.seed)
    rows = _rows_in(metrics)
    counted = sum(map(_updates, rows))
    if rows and counted != state.num_updates:
        raise UphillError(
            f"metrics has {counted} updates, and state {state.num_updates}: give the metrics of "
            "all that iterate yielded, or none."
        )
    folder = make_run_folder(folder, is_named=out is not None)
    write_experiment(folder, experiment)
    file = MetricsFile(folder)
    memory = first_memory(replace(state, learners=trainer.fresh_learners()), experiment)
    for stretch in _stretches(trainer, state, rows):
        memory = recorded(memory, stretch)
        file.append(logged_rows(memory, stretch, experiment))
        memory = replace(memory, pending=None)
    memory, _ = with_divergences(memory, state, experiment)
    history = replace(
        memory.history,
        seconds=trainer.seconds,
        compile_seconds=trainer.compile_seconds,
        best_steps=state.num_transitions,
        best_seconds=(trainer.seconds,) * len(trainer.seeds),
        not_finite=reasons(state),
    )
    memory = replace(memory, history=history, best=best_at(state, history))
    for s, stop in state.stops.items():
        if stop.batch is not None:
            keep_batch(folder, experiment.all_seeds[s], stop.batch)
    Keeper(folder, trainer, file).save(state, memory)
    return folder


def _experiment(trainer: Trainer) -> Experiment:
    """What the trainer was asked for.

    Raises:
        UphillError: if one run can't have its seeds.
    """
    choice, seeds, first = trainer.choice, trainer.seeds, trainer.algorithms[0]
    if tuple(seeds) != tuple(range(seeds[0], seeds[0] + len(seeds))):
        raise UphillError(
            f"seeds is {seeds}: a run has seeds that follow each other, as (3, 4, 5)."
        )
    if any(x is not first and x != first for x in trainer.algorithms):
        raise UphillError(
            "algorithm is a list of several, and a run has one: train each with a Trainer of its "
            "own."
        )
    network = trainer.network
    return make_experiment(
        **environment_settings(choice),
        is_async=choice.is_async,
        step_timeout=choice.step_timeout,
        algo=first.name,
        algorithm=first,
        steps=trainer.num_steps,
        seed=seeds[0],
        seeds=len(seeds),
        devices=trainer.devices,
        network="" if network is None else name_of(network),
        settings=OWN_LOOP,
        command=command_line(),
        versions=versions_with(choice, first, network),
        platform=describe_platform(),
    )


def _stretches(trainer: Trainer, state: TrainState, metrics: list[Rows]) -> Iterable[Stretch]:
    """A stretch for each of the metrics, which share the seconds of training by their updates."""
    total = max(state.num_updates, 1)
    updates, transitions = 0, (0,) * len(trainer.seeds)
    for rows in metrics:
        new = _updates(rows)
        updates += new
        taken = rows["num_transitions"].sum(0)
        transitions = tuple(int(a + b) for a, b in zip(transitions, taken, strict=True))
        at = replace(state, num_updates=updates, num_transitions=transitions)
        share = new / total
        seconds, compiling = share * trainer.seconds, share * trainer.compile_seconds
        yield Stretch(at, rows, True, None, seconds, compiling)


def _rows_in(metrics: Any) -> list[Rows]:
    """Raises:
    UphillError: unless it is a list of what `iterate` yields besides states.
    """
    rows: list[Any] = [metrics] if isinstance(metrics, Mapping) else list(metrics)
    for one in rows:
        if not (isinstance(one, Mapping) and "updated" in one):
            raise UphillError(
                f"metrics has a {type(one).__name__}: give the metrics that iterate yielded, "
                "[rows for _, rows in uphill.iterate(trainer)]."
            )
    return rows


def _updates(rows: Rows) -> int:
    return int(rows["updated"].sum(0).max())
