"""Writes the files of a session into the run directory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from uphill.envs.compiled import CompiledEnvironment
from uphill.learning.learner import take
from uphill.runs.checkpoint import History, Standing, write_checkpoint
from uphill.runs.files import CURVE_FILES, EVALUATION_FILE, REPORT_FILE, delete_files
from uphill.runs.kept_policies import keep_policy, write_milestones
from uphill.runs.machine import machine
from uphill.runs.metrics import MetricsFile
from uphill.runs.milestones import UNTRAINED, Milestone
from uphill.sessions.history import Best, Remembered, with_milestones
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer


class Keeper:
    """Saves one training: its rows, checkpoints, and the policies of its milestones."""

    def __init__(self, folder: Path, trainer: Trainer, metrics: MetricsFile) -> None:
        self.folder, self._trainer, self.metrics = folder, trainer, metrics
        self._saved_best: Best | None = None
        self._has_saved = False

    def save(
        self, state: TrainState, memory: Remembered, stopped: bool = False, is_new: bool = True
    ) -> None:
        """Write the checkpoint; where nothing `is_new`, what was made from the last one stays.

        Raises:
            UphillError: if it can't be written; the last one is untouched then.
        """
        trainer, folder = self._trainer, self.folder
        learners, lanes = jax.device_get((state.learners, savable(trainer, state.lanes)))
        self.metrics.sync()  # first: the checkpoint says how many bytes of it there are
        tensors = {
            "learners": learners,
            "lanes": lanes,
            "pending": memory.pending or {},
            "untrained": memory.untrained,
        }
        # Both hold the scores of `best`, those of its own learners whatever happens in between.
        best = memory.best
        if best is not self._saved_best:
            standing = self._standing(best, best.history)
            write_checkpoint(folder, "best", {"learners": best.learners}, standing)
            self._saved_best = best
        standing = replace(
            self._standing(state, memory.history),
            metrics_offset=self.metrics.offset,
            stopped=stopped,
        )
        write_checkpoint(folder, "latest", tensors, standing)
        if not is_new:
            return
        # What it says of earlier learners is not true of these. Pictures and reports that somebody
        # asks for while training goes on are of their moment, and stay until its end.
        stale = [EVALUATION_FILE]
        if not self._has_saved or stopped or trainer.is_done(state):
            stale += [*CURVE_FILES, REPORT_FILE]
        delete_files(self.folder, stale)
        self._has_saved = True

    def _standing(self, at: TrainState | Best, history: History) -> Standing:
        """Where training stood at some moment, by which nothing goes on yet."""
        return Standing(
            **vars(history),
            num_updates=at.num_updates,
            num_transitions=at.num_transitions,
            encoding=self._trainer.encoding,
            action_kind=self._trainer.action_kind,
            reward_threshold=self._trainer.env.reward_threshold,
            metrics_offset=0,
            stopped=False,
            device=machine(len(self._trainer.seeds), self._trainer.devices),
        )

    def keep(self, new: list[Milestone], memory: Remembered, state: TrainState) -> Remembered:
        """Save the policies that reached something new; the memory, with these milestones.

        Raises:
            UphillError: if they can't be written.
        """
        trained = jax.device_get(state.learners.actor)
        kept = []
        for milestone in new:
            actors = memory.untrained if milestone.name == UNTRAINED else trained
            assert actors is not None
            kept.append(keep_policy(self.folder, milestone, take(actors, milestone.seed_index)))
        memory = with_milestones(memory, kept)
        write_milestones(self.folder, memory.history.milestones)
        return memory


def savable(trainer: Trainer, lanes: Any) -> Any:
    """The environments' part of a checkpoint: only compiled worlds have their state as numbers."""
    return lanes if isinstance(trainer.env, CompiledEnvironment) else None
