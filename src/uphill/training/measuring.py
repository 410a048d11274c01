"""The diagnostics: measured now and then, by a separate program."""

from collections.abc import Callable
from typing import Any

import numpy as np

from uphill.learning.counting import Count
from uphill.learning.diagnostics import measure, measures
from uphill.learning.learner import Learner
from uphill.parts import Algorithm
from uphill.policies.actions import ActionKind
from uphill.policies.policy import Policy
from uphill.training.programs import Built, Programs
from uphill.training.rows import PackedRows, Rows, pack, unpack
from uphill.training.seeds import Population, over_seeds
from uphill.training.state import Chunk
from uphill.training.step import algorithm_now
from uphill.trajectory import Trajectory

FEW_MEASURED = 50_000
"""Up to this many steps of one seed of each run, skip XLA's optimisation: compiling half a second
faster saves more than running five times as slowly costs."""


class Meter:
    """Measures the diagnostics of a chunk's last update."""

    def __init__(
        self,
        seeds: Population,
        action_kind: ActionKind,
        by_seed: Callable[[Trajectory, int], Trajectory],
        programs: Programs,
        is_quick: bool,
    ) -> None:
        self._seeds, self._by_seed, self._programs = seeds, by_seed, programs
        self._is_quick = is_quick
        self._names = measures(seeds.algorithms, action_kind)

    def rows(self, chunk: Chunk, is_due: bool) -> Rows:
        """A row for each update: NaN except in the last one, if that `is_due`."""
        updated = chunk.rows["updated"]
        rows = {name: np.full(updated.shape, np.nan, np.float32) for name in self._names}
        if is_due and updated[-1].any():
            for name, values in self._measured(chunk).items():
                rows[name][-1] = np.where(updated[-1], values, np.nan)
        return rows

    def begin(self, before: tuple[Learner, Trajectory], after: Learner) -> None:
        """Have the program compiled, for arguments of these shapes."""
        self._programs.begin(*self._program(before, after), is_quick=self._is_quick)

    def _measured(self, chunk: Chunk) -> Rows:
        """The numbers of each seed."""
        program = self._program(chunk.befores[-1], chunk.learners)
        return unpack(self._programs.call(*program, is_quick=self._is_quick))

    def _program(self, before: tuple[Learner, Trajectory], after: Learner) -> tuple:
        """Its name, the function, and what it is called with."""
        seeds = self._seeds
        own = (seeds.algorithms, *before, after.actor.policy)
        return "measure", Built(_measures, (seeds.num_seeds, self._by_seed)), seeds.num_steps, *own


def _measures(
    num_seeds: int, by_seed: Callable[[Trajectory, int], Trajectory]
) -> Callable[..., Any]:
    """The numbers of every seed."""

    def one(
        num_steps: Count,
        algorithm: Algorithm,
        before: Learner,
        trajectory: Trajectory,
        after: Policy,
    ) -> PackedRows:
        now = algorithm_now(algorithm, num_steps, before.steps)
        return pack(measure(now, before, trajectory, after))

    def of_seeds(
        num_steps: Count, algorithms: Algorithm, before: Learner, trajectory: Any, after: Policy
    ) -> PackedRows:
        own = (algorithms, before, by_seed(trajectory, num_seeds), after)
        return over_seeds(one, num_seeds)(num_steps, *own)

    return of_seeds
