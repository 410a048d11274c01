"""Several runs trained as one: the seeds of all are lanes of one compiled program.

Each run is logged, saved and stopped as if it were trained alone, and its results are
bit-identical. Only its times differ: they are a share of the total.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Key, PyTree

from uphill.errors import UphillError
from uphill.runs.files import NotWrittenError
from uphill.sessions.attempt import Attempt
from uphill.sessions.display import Progress
from uphill.sessions.history import Remembered, recent_mean
from uphill.sessions.interrupts import Interrupted, Interrupts
from uphill.sessions.session import Session
from uphill.training.rows import Rows
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer, iterate

MOST_SAVING = 0.05
"""The share of the time that checkpoints may take, since there is one for every run."""
T = TypeVar("T")
Places = Int[np.ndarray, " S"]
"""The positions of seeds among those of all runs; their environments lie in the same order."""


@dataclass(frozen=True)
class Member:
    """One of the runs that train together, and its progress."""

    session: Session
    places: Places
    """of its seeds"""
    state: TrainState
    memory: Remembered
    is_over: bool = False
    fault: str = ""
    """what ended it before its steps were done"""


def trainer_together(sessions: Sequence[Session], like: Trainer | None = None) -> Trainer:
    """One trainer for all seeds of several sessions in a compiled world, whose algorithms differ
    only in floats. Given a trainer for as many seeds (`like`), nothing is compiled again."""
    pairs = [
        (algorithm, seed)
        for session in sessions
        for algorithm, seed in zip(session.trainer.algorithms, session.trainer.seeds, strict=True)
    ]
    dealt = [pairs[k] for k in _dealing(len(pairs))]
    algorithms, seeds = [pair[0] for pair in dealt], tuple(pair[1] for pair in dealt)
    if like is not None and len(like.seeds) == len(seeds):
        return like.again(algorithms, seeds)
    first = sessions[0].trainer
    return Trainer(
        first.choice,
        algorithms,
        seeds,
        first.num_steps,
        sessions[0].state.num_updates,
        first.measure_every,
        first.network,
        first.encoding,
        len(sessions),
        devices=first.devices,
    )


def train_together(
    sessions: Sequence[Session],
    trainer: Trainer,
    progress: Progress,
    prepare: Callable[[TrainState], None] = lambda _: None,
) -> list[Member]:
    """Train sessions that are at the same update to their ends, and save them. If one fails, its
    member records why, and the others go on. `prepare` is called with the state of one of them once
    training is compiled and under way.

    Raises:
        Interrupted: on Ctrl-C, after checkpoints were written.
    """
    members, state = _members(sessions), _joined(sessions)
    progress.start(state.steps_going_on, sessions[0].waiting(trainer))
    try:
        with Interrupts() as interrupts:
            for member in members:
                _begin(member)
            return _advance(members, state, trainer, progress, prepare, interrupts)
    finally:
        progress.stop()
        for session in sessions:
            session.evaluations.close()
            session.trainer.close()


def _members(sessions: Sequence[Session]) -> list[Member]:
    counts = [len(session.trainer.seeds) for session in sessions]
    places = np.argsort(_dealing(sum(counts)))
    ends = accumulate(counts)
    return [
        Member(session, places[end - count : end], session.state, session.memory)
        for session, count, end in zip(sessions, counts, ends, strict=True)
    ]


def _begin(member: Member) -> None:
    """Write the first checkpoint of a new run."""
    if member.state.num_updates == 0:
        member.session.keeper.save(member.state, member.memory)


def _dealing(num_seeds: int) -> Places:
    """Places in the order of devices, dealt out like cards: each device gets seeds of every
    setting, since some settings lead to longer episodes, and all devices wait for the slowest."""
    devices = jax.devices()
    num_devices = len(devices) if devices[0].platform == "cpu" else 1
    return np.concatenate([np.arange(k, num_seeds, num_devices) for k in range(num_devices)])


def _joined(sessions: Sequence[Session]) -> TrainState:
    """All states, joined seed by seed."""
    states = [session.state for session in sessions]
    taken = [steps for state in states for steps in state.num_transitions]
    order = _dealing(len(taken))
    learners, lanes = jax.tree.map(
        lambda *x: (jnp if isinstance(x[0], jax.Array) else np).concatenate(x)[order],
        *((jax.device_get(state.learners), state.lanes) for state in states),
    )
    places, stops, first = np.argsort(order), {}, 0
    for state in states:
        stops |= {int(places[first + s]): stop for s, stop in state.stops.items()}
        first += len(state.num_transitions)
    transitions = tuple(taken[k] for k in order)
    return TrainState(learners, lanes, states[0].num_updates, transitions, stops)


def _advance(
    members: list[Member],
    state: TrainState,
    trainer: Trainer,
    progress: Progress,
    prepare: Callable[[TrainState], None],
    interrupts: Interrupts,
) -> list[Member]:
    chunks = _ahead(iterate(trainer, state, members[0].session.every))
    saved_at, seconds_to_save, is_prepared = time.monotonic(), 0.0, False
    started, compiled = time.monotonic(), trainer.compile_seconds
    while not all(member.is_over for member in members):
        try:
            state, rows = interrupts.allow(chunks.__next__)
        except KeyboardInterrupt:
            # Save first: printing to a closed terminal fails.
            _save(members)
            with suppress(OSError):
                progress.stop()
            raise Interrupted("Saved.") from None
        took = (time.monotonic() - started, trainer.compile_seconds - compiled)
        started, compiled = time.monotonic(), trainer.compile_seconds
        members = _taken(members, state, rows, took)
        _show(members, state, progress)
        if (resting := _ended_early(members)) != state.resting:
            state = replace(state, resting=resting)
            chunks.close()
            chunks = _ahead(iterate(trainer, state, members[0].session.every))
        if not is_prepared:
            prepare(members[0].state)
            is_prepared = True
        every = members[0].session.experiment.checkpoint_every
        if time.monotonic() - saved_at > max(every, seconds_to_save / MOST_SAVING):
            saving = time.monotonic()
            _save(members)
            saved_at = time.monotonic()
            seconds_to_save = saved_at - saving
    return members


def _ahead(chunks: Iterator[T]) -> Generator[T]:
    """The same chunks: a thread computes the next one while the last one is looked at. The first
    one is computed here, since programs are traced with what this thread has set for JAX."""
    yield from islice(chunks, 1)
    with ThreadPoolExecutor(1, thread_name_prefix="uphill") as helper:
        following = helper.submit(next, chunks, None)
        while (found := following.result()) is not None:
            following = helper.submit(next, chunks, None)
            yield found


class _Keys:
    """Random keys with fast indexing: JAX's own takes 30 times as long."""

    def __init__(self, keys: Key[jax.Array, " S"]) -> None:
        self._kind = jax.random.key_impl(keys)
        self._data: Any = np.asarray(jax.random.key_data(keys))

    def __getitem__(self, places: Places) -> Key[jax.Array, " _T"]:
        return jax.random.wrap_key_data(self._data[places], impl=self._kind)


def _on_host(x: Any) -> Any:
    return _Keys(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def _taken(
    members: list[Member], state: TrainState, rows: Rows, took: tuple[float, float]
) -> list[Member]:
    """Advance all unfinished members; the elapsed time is split evenly among them."""
    num_open = sum(not member.is_over for member in members)
    share = (took[0] / num_open, took[1] / num_open)
    learners, lanes = jax.tree.map(_on_host, jax.device_get((state.learners, state.lanes)))
    state = replace(state, learners=learners, lanes=lanes)
    return [member if member.is_over else _moved(member, state, rows, share) for member in members]


def _moved(member: Member, of_all: TrainState, rows: Rows, took: tuple[float, float]) -> Member:
    """A member after some updates of all seeds; saved if it has finished."""
    session, places, memory = member.session, member.places, member.memory
    own = {name: x[:, places] for name, x in rows.items()}
    count = int(own["updated"].any(1).sum())  # after these it has its steps, and waits
    state = TrainState(
        _at(places, of_all.learners),
        _at(places, of_all.lanes),
        member.state.num_updates + count,
        tuple(of_all.num_transitions[k] for k in places),
        {s: of_all.stops[k] for s, k in enumerate(places.tolist()) if k in of_all.stops},
    )
    own = {name: x[:count] for name, x in own.items()}
    try:
        stretch = session.looked_at(state, own, memory, *took)
    except UphillError as error:  # from the user's `on_point`
        saved = session.with_what_was_saved(error, member.state, memory)
        if isinstance(saved, NotWrittenError):
            raise saved from error
        return replace(member, is_over=True, fault=str(saved))
    with Attempt() as attempt:
        memory = session.taken(stretch, member.state, memory)
    if attempt.fault:  # no seed is left, and the checkpoint is written
        return replace(member, state=state, is_over=True, fault=attempt.fault)
    is_stopped = session.is_stopped(stretch, memory)
    is_over = is_stopped or session.trainer.is_done(state)
    member = replace(member, state=state, memory=memory, is_over=is_over)
    if is_over:
        session.keeper.save(state, memory, is_stopped)
    return member


def _save(members: Sequence[Member]) -> None:
    """Write the checkpoints of all unfinished members."""
    for member in members:
        if not member.is_over:
            is_new = member.state.num_updates > member.session.state.num_updates
            member.session.keeper.save(member.state, member.memory, is_new=is_new)


def _ended_early(members: Sequence[Member]) -> frozenset[int]:
    """The places of runs that ended before all their steps were done."""
    over = [x for x in members if x.is_over and not x.session.trainer.is_done(x.state)]
    return frozenset(place for member in over for place in member.places.tolist())


def _at(places: Places, tree: PyTree) -> Any:
    return jax.tree.map(lambda x: x[places], tree)


def _show(members: Sequence[Member], state: TrainState, progress: Progress) -> None:
    means: list[float | None] = [None] * len(state.num_transitions)
    for member in members:
        for place, recent in zip(member.places, member.memory.history.recent, strict=True):
            means[place] = recent_mean(recent)
    progress.show(state.steps_going_on, means)
    progress.point(means)
