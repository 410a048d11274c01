"""The state of a training run, and chunks: the updates of one call and their results."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from uphill.collecting.lanes import Lanes
from uphill.learning.learner import Learner
from uphill.training.guard import Stops
from uphill.training.rows import PackedRows, Rows
from uphill.trajectory import Trajectory

CAPACITY = 64
"""The most updates in one chunk."""


Foresee = Callable[[tuple[Learner, Trajectory], Learner], None]
"""Called before the first update with the shapes of its input and output (`Chunk.befores` and
`Chunk.learners`), so that later programs can be compiled beside it."""


class Chunk(NamedTuple):
    """The result of some updates."""

    learners: Learner
    lanes: Lanes | None
    rows: Rows
    befores: tuple[tuple[Learner, Trajectory], ...]
    """the input of the last updates: of all from the first one that produced a non-finite number
    on"""


@dataclass(frozen=True)
class TrainState:
    """All that the rest of a training depends on; immutable."""

    learners: Learner
    lanes: Lanes | None
    num_updates: int = 0
    num_transitions: tuple[int, ...] = (0,)
    stops: Stops = field(default_factory=dict)
    """the seeds that stopped at a non-finite number: they stay as they were before it"""
    resting: frozenset[int] = frozenset()
    """seeds that are not trained any further: nothing is computed for them"""

    @property
    def idle(self) -> frozenset[int]:
        """The seeds that stay as they are, whatever steps they have left."""
        return self.resting | frozenset(self.stops)

    @property
    def steps_going_on(self) -> tuple[int, ...]:
        """Transitions of the seeds that are not idle; of all, if none is left."""
        done, idle = self.num_transitions, self.idle
        return tuple(n for s, n in enumerate(done) if s not in idle) or done

    @property
    def steps(self) -> int:
        """Transitions of the seed that has the fewest of these."""
        return min(self.steps_going_on)

    def after(self, chunk: Chunk, stops: Stops) -> "TrainState":
        """The state that a chunk led to, and the seeds that have stopped by then."""
        taken = chunk.rows["num_transitions"].sum(0)
        transitions = tuple(int(a + b) for a, b in zip(self.num_transitions, taken, strict=True))
        total = self.num_updates + int(chunk.rows["updated"].sum(0).max())
        return TrainState(chunk.learners, chunk.lanes, total, transitions, stops, self.resting)


def idle_like(row: PackedRows) -> Callable[..., tuple]:
    """A function that returns its arguments as they are, and a row of zeros like `row`: the update
    of a seed that has its steps."""

    def idle(*arguments: Any) -> tuple:
        return (*arguments, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), row))

    return idle
