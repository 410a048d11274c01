"""Training settings together, as one compiled program, and evaluating them one by one.

Their learning curves are drawn on request (`uphill plot`): drawing many takes as long as evaluating
them.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import jax

from uphill.run import preparing
from uphill.runs.saved import write_evaluation
from uphill.sessions.attempt import Attempt
from uphill.sessions.display import Progress
from uphill.sessions.evaluations import Evaluations
from uphill.sessions.population import Member, train_together, trainer_together
from uphill.sessions.resume import begun_or_resumed
from uphill.sessions.session import Session
from uphill.studies.sweeps.groups import batches_of
from uphill.studies.sweeps.plan import Phase, Plan, Planned
from uphill.training.evaluate import Returns, evaluation_of
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer

Todo = Sequence[tuple[Planned, Phase]]
Fault = tuple[Planned, str]


@dataclass
class Made:
    """What the batches of a group share: the program of their training, and of their evaluation."""

    trainer: Trainer | None = None
    evaluations: Evaluations | None = None


ByStructure = dict[Any, Made]
"""What was compiled, by the structure of the algorithms that it is for."""


def trained_together(plan: Plan, group: Todo, kept: ByStructure | None = None) -> Iterator[Fault]:
    """Train a group of settings that differ in nothing but floats; those that failed, and why.
    What is compiled is looked up in `kept`, and stays there for groups to come.

    Raises:
        Interrupted: on Ctrl-C, after checkpoints were written.
    """
    key = jax.tree.structure(group[0][0].algorithm)
    made = Made() if kept is None else kept.setdefault(key, Made())
    experiment, done = plan.experiment, 0
    helper = ThreadPoolExecutor(1, thread_name_prefix="uphill")
    try:
        for batch in batches_of(list(group), experiment.seeds):
            lanes = range(len(batch) * experiment.seeds)
            progress = Progress(experiment.steps, plan.request.quiet, lanes)
            if len(batch) < len(group):
                progress.say(f"Settings {done + 1} to {done + len(batch)} of {len(group)}.")
            done += len(batch)
            with ExitStack() as held:
                sessions = [held.enter_context(session_for(plan, *one)) for one in batch]
                members = _trained(sessions, made, progress, helper)
                yield from _finished(members, [one[0] for one in batch], made, progress)
    finally:
        helper.shutdown(wait=False, cancel_futures=True)
        if kept is None:
            close(made)


def close(made: Made) -> None:
    """End what was made."""
    if made.trainer is not None:
        made.trainer.close()


def session_for(
    plan: Plan, planned: Planned, phase: Phase, quiet: bool = True
) -> AbstractContextManager[Session]:
    """The session of one setting, as `uphill train` or `uphill resume` would have it, with its run
    directory locked."""
    request = replace(plan.request_for(planned), quiet=quiet)
    return begun_or_resumed(request, phase == "new", plan.start)


def _trained(
    sessions: list[Session], made: Made, progress: Progress, helper: ThreadPoolExecutor
) -> list[Member]:
    experiment, choice = sessions[0].experiment, sessions[0].trainer.choice
    prepare = _nothing
    if made.evaluations is None:
        made.evaluations = Evaluations(
            choice, experiment.all_seeds, experiment.episodes, progress.say
        )
        prepare = preparing(made.evaluations, helper)
    sessions = [replace(session, evaluations=made.evaluations) for session in sessions]
    made.trainer = trainer_together(sessions, made.trainer)
    return train_together(sessions, made.trainer, progress, prepare)


def _nothing(state: TrainState) -> None:
    pass


def _finished(
    members: Sequence[Member], settings: Sequence[Planned], made: Made, progress: Progress
) -> Iterator[Fault]:
    """Evaluate each run; those that failed, and why."""
    assert made.evaluations is not None
    with progress.doing("evaluating"), _two_threads() as helpers:
        final = made.evaluations.final
        returns = [
            None if member.fault else helpers.submit(final, member.state.learners.actor)
            for member in members
        ]
        for member, planned, found in zip(members, settings, returns, strict=True):
            if fault := member.fault if found is None else _evaluated(member, found):
                member.session.sinks.finish(None)
                yield planned, fault


@contextmanager
def _two_threads() -> Iterator[ThreadPoolExecutor]:
    """Two evaluations at a time: one may wait for the device that has its longest episodes."""
    helpers = ThreadPoolExecutor(2, thread_name_prefix="uphill")
    try:
        yield helpers
    finally:
        helpers.shutdown(cancel_futures=True)


def _evaluated(member: Member, returns: Future[Returns]) -> str:
    """Write the evaluation of a run; what failed, if something did."""
    session = member.session
    with Attempt() as attempt:
        evaluation = evaluation_of(returns.result())
        write_evaluation(session.keeper.folder, evaluation)
        session.sinks.finish(evaluation)
    return attempt.fault
