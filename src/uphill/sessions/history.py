"""The memory of a session, as pure functions: rows come in, and the next memory goes out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from uphill.learning.learner import Learner, seeds_where
from uphill.policies.actor import Actor
from uphill.runs.checkpoint import History
from uphill.runs.divergence import divergence_of, largest_weights, told_divergence
from uphill.runs.experiment import Experiment
from uphill.runs.metrics import summarize_window
from uphill.runs.milestones import SOLVED_OVER, UNTRAINED, Milestone, Tracked, followed, reached
from uphill.sessions.callback import NO_ANSWER, Answer
from uphill.training.guard import NotFinite
from uphill.training.rows import Rows, concatenate
from uphill.training.state import TrainState

Recent = tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Best:
    """Each seed's best learner, and where training stood when the last of them came: what is
    written of them does not depend on when that happens."""

    learners: Learner
    history: History
    num_updates: int
    num_transitions: tuple[int, ...]


@dataclass(frozen=True)
class Remembered:
    """What a session remembers besides the state; the checkpoint holds all of it."""

    history: History
    best: Best
    pending: Rows | None = None
    """of the updates after the last logging point"""
    untrained: Actor | None = None
    """the actors that training began with, until every seed has shown how it played with them"""


@dataclass(frozen=True)
class Stretch:
    """Some updates, and the state that they led to."""

    state: TrainState
    rows: Rows
    is_logged: bool
    """whether a logging point follows"""
    evaluation: list[float] | None
    """per seed, where one was due"""
    seconds: float
    compile_seconds: float
    answer: Answer = NO_ANSWER
    """from the user's function, if it was called"""


def first_memory(state: TrainState, experiment: Experiment) -> Remembered:
    """What a session remembers at its start."""
    num_seeds = experiment.seeds
    history = History(
        weights_at_first=largest_weights(experiment.composition, state.learners, num_seeds),
        recent=((),) * num_seeds,
        best_scores=(None,) * num_seeds,
        best_steps=(0,) * num_seeds,
        best_seconds=(0.0,) * num_seeds,
        tracked=(Tracked(),) * num_seeds,
    )
    best = best_at(state, history)
    return Remembered(history, best, untrained=jax.device_get(state.learners.actor))


def best_at(state: TrainState, history: History) -> Best:
    """All seeds' learners as they are now, as their best."""
    learners = jax.device_get(state.learners)
    return Best(learners, history, state.num_updates, state.num_transitions)


def recorded(memory: Remembered, stretch: Stretch) -> Remembered:
    """The memory after a stretch."""
    history, rows = memory.history, stretch.rows
    evaluated_at = history.evaluated_at
    if stretch.evaluation is not None:
        evaluated_at = stretch.state.steps
    history = replace(
        history,
        seconds=history.seconds + stretch.seconds,
        compile_seconds=history.compile_seconds + stretch.compile_seconds,
        recent=tuple(_recent(recent, rows, s) for s, recent in enumerate(history.recent)),
        tracked=tuple(followed(tracked, rows, s) for s, tracked in enumerate(history.tracked)),
        evaluated_at=evaluated_at,
        not_finite=reasons(stretch.state),
    )
    return replace(memory, history=history, pending=concatenate(memory.pending, rows))


def reasons(state: TrainState) -> tuple[NotFinite | None, ...]:
    """Why each seed stopped that did; empty where none did."""
    stops = state.stops
    num_seeds = len(state.num_transitions)
    return tuple(stops[s].why if s in stops else None for s in range(num_seeds)) if stops else ()


def _recent(recent: Recent, rows: Rows, seed_index: int) -> Recent:
    """The fewest last updates in which at least this many episodes ended."""
    columns = (rows[name][:, seed_index] for name in ("num_episodes", "return_sum"))
    new = ((float(count), float(total)) for count, total in zip(*columns, strict=True) if count)
    kept = [*recent, *new]
    while sum(count for count, _ in kept[1:]) >= SOLVED_OVER:
        kept.pop(0)
    return tuple(kept)


def recent_mean(recent: Recent) -> float | None:
    """The mean return of the last 100 episodes or a few more: whole updates count."""
    episodes = sum(count for count, _ in recent)
    return sum(total for _, total in recent) / episodes if episodes else None


def is_solved(recent: Recent, threshold: float | None) -> bool:
    """Whether a seed's last 100 episodes reach the threshold."""
    mean = recent_mean(recent)
    if threshold is None or mean is None:
        return False
    return sum(count for count, _ in recent) >= SOLVED_OVER and mean >= threshold


def logged_rows(
    memory: Remembered, stretch: Stretch, experiment: Experiment
) -> list[dict[str, Any]]:
    """The rows of `metrics.csv` at a logging point, one for each seed."""
    assert memory.pending is not None
    history, state = memory.history, stretch.state
    speed = sum(state.num_transitions) / history.steady_seconds
    table = []
    for s, seed in enumerate(experiment.all_seeds):
        row = {
            "seed": seed,
            "update": state.num_updates,
            "steps": state.num_transitions[s],
            "time/seconds": round(history.seconds, 4),
            "time/steps_per_second": round(speed, 1),
            **summarize_window(memory.pending, s),
        }
        if experiment.eval_every is not None:
            evaluation = stretch.evaluation
            row["evaluation/episode_return"] = None if evaluation is None else evaluation[s]
        table.append(row)
    return stretch.answer.joined(table)


def with_best(memory: Remembered, state: TrainState, scores: Sequence[float | None]) -> Remembered:
    """The memory, with the learners of those seeds that never had such a score."""
    history = memory.history
    better = [
        new is not None and (old is None or new > old)
        for new, old in zip(scores, history.best_scores, strict=True)
    ]
    if not any(better):
        return memory
    history = replace(
        history,
        best_scores=_where(better, scores, history.best_scores),
        best_steps=_where(better, state.num_transitions, history.best_steps),
        best_seconds=_where(better, [history.seconds] * len(better), history.best_seconds),
    )
    best = best_at(state, history)
    learners = seeds_where(better, best.learners, memory.best.learners)
    return replace(memory, history=history, best=replace(best, learners=learners))


def with_divergences(
    memory: Remembered, state: TrainState, experiment: Experiment
) -> tuple[Remembered, str]:
    """The memory, with what has diverged by now, and a message about it, which is usually empty."""
    history, seeds = memory.history, experiment.seeds
    now = largest_weights(experiment.composition, state.learners, seeds)
    known = history.diverged or (None,) * seeds
    at_first, steps = history.weights_at_first, state.num_transitions
    new = [None if known[s] else divergence_of(s, at_first, now, steps[s]) for s in range(seeds)]
    diverged = tuple(old or found for old, found in zip(known, new, strict=True))
    if not any(new):
        return memory, ""
    history = replace(history, diverged=diverged)
    return replace(memory, history=history), told_divergence(new, experiment.all_seeds)


def new_milestones(
    history: History, state: TrainState, steps: int, threshold: float | None
) -> Iterator[Milestone]:
    """Those that are reached now, and were not at the last logging point; `steps` is the goal."""
    known = {(m.seed_index, m.name) for m in history.milestones}
    for s, (tracked, recent) in enumerate(zip(history.tracked, history.recent, strict=True)):
        mean, done = recent_mean(recent), state.num_transitions[s]
        found = reached(tracked, threshold, mean, is_solved(recent, threshold), done / steps)
        for name, shown in found.items():
            moment = (state.num_updates, done, round(history.seconds, 4))
            if name == UNTRAINED:  # known only now, but this is when it was
                moment = (0, 0, 0.0)
            if (s, name) not in known:
                yield Milestone(name, s, *moment, shown)


def with_milestones(memory: Remembered, new: Sequence[Milestone]) -> Remembered:
    """The memory, with milestones that were reached."""
    history = memory.history
    history = replace(history, milestones=(*history.milestones, *new))
    shown = sum(m.name == UNTRAINED for m in history.milestones)
    untrained = None if shown == len(history.recent) else memory.untrained
    return replace(memory, history=history, untrained=untrained)


def _where(condition: Sequence[bool], yes: Sequence[Any], no: Sequence[Any]) -> tuple[Any, ...]:
    """`np.where` of plain values."""
    return tuple(a if is_so else b for is_so, a, b in zip(condition, yes, no, strict=True))
