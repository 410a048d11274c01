"""The state of a training, and chunks: the updates of one call, and what they lead to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from uphill.collecting.lanes import Lanes
from uphill.learning.learner import Learner
from uphill.training.rows import PackedRows, Rows
from uphill.trajectory import Trajectory

CAPACITY = 64
"""The most updates in one chunk."""


Foresee = Callable[[tuple[Learner, Trajectory], Learner], None]
"""Told, before the first update, the shapes of `Chunk.before` and `Chunk.learners`: what is called
after it can be compiled beside it."""


class Chunk(NamedTuple):
    """What so many updates led to."""

    learners: Learner
    lanes: Lanes | None
    rows: Rows
    before: tuple[Learner, Trajectory]
    """what the last update began with"""


@dataclass(frozen=True)
class TrainState:
    """All that the rest of a training depends on; immutable."""

    learners: Learner
    lanes: Lanes | None
    num_updates: int = 0
    num_transitions: tuple[int, ...] = (0,)

    def after(self, chunk: Chunk) -> "TrainState":
        """The state that a chunk led to."""
        taken = chunk.rows["num_transitions"].sum(0)
        transitions = tuple(int(a + b) for a, b in zip(self.num_transitions, taken, strict=True))
        total = self.num_updates + int(chunk.rows["updated"].sum(0).max())
        return TrainState(chunk.learners, chunk.lanes, total, transitions)


def idle_like(row: PackedRows) -> Callable[..., tuple]:
    """A function that returns its arguments as they are, and a row of zeros like `row`: the update
    of a seed that has its steps."""

    def idle(*arguments: Any) -> tuple:
        return (*arguments, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), row))

    return idle
