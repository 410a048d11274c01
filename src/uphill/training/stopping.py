"""Seeds stop at a non-finite number, and the chunk goes on without them."""

from collections.abc import Callable

import jax
import numpy as np

from uphill.learning.learner import seeds_where
from uphill.training.guard import Stop, Stops, awake, faults, why, without
from uphill.training.state import Chunk, TrainState
from uphill.trajectory import Trajectory

Split = Callable[[Trajectory, int], Trajectory]
"""One seed's part of a trajectory."""


def without_faults(
    chunk: Chunk, state: TrainState, split: Split, is_compiled: bool
) -> tuple[Chunk, Stops]:
    """The chunk without what updates made of seeds whose numbers are not finite, and all seeds that
    have stopped by now; `state` is that before the chunk. In a compiled world, whose chunk is this
    update alone, their environments stay where they were, too."""
    rows, lanes, stops = chunk.rows, chunk.lanes, dict(state.stops)
    learners = awake(chunk.learners, state.learners, state.idle)
    found = faults(rows, state.learners)
    for s in np.flatnonzero(found.any(0)).tolist():
        k = int(found[:, s].argmax())
        before, trajectory = chunk.befores[k - len(found)]
        steps = state.num_transitions[s] + int(chunk.rows["num_transitions"][:k, s].sum())
        reason = why(chunk.rows, k, s, int(np.asarray(before.num_updates)[s]) + 1, steps)
        stops[s] = Stop(reason, jax.device_get(split(trajectory, s)))
        is_it = np.arange(found.shape[1]) == s
        learners, rows = seeds_where(is_it, before, learners), without(rows, k, s)
        if is_compiled:
            lanes = seeds_where(is_it, state.lanes, lanes)
    return chunk._replace(learners=learners, lanes=lanes, rows=rows), stops
