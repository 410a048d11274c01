"""A training session: the loop, with messages, logging and saving."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from uphill.errors import UphillError
from uphill.runs.experiment import Experiment
from uphill.runs.not_finite import keep_batch, sentence
from uphill.sessions.callback import OnPoint, answer_of
from uphill.sessions.display import Pause, Progress
from uphill.sessions.evaluations import Evaluations
from uphill.sessions.history import (
    Remembered,
    Stretch,
    is_solved,
    logged_rows,
    new_milestones,
    recent_mean,
    recorded,
    with_best,
    with_divergences,
)
from uphill.sessions.interrupts import Interrupted, Interrupts
from uphill.sessions.intervals import logging_interval
from uphill.sessions.keeping import Keeper
from uphill.sessions.sinks import Sinks
from uphill.training.guard import Stops
from uphill.training.rows import Rows, concatenate
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer, iterate
from uphill.words import call


@dataclass(frozen=True)
class Session:
    """One process's work on a run directory: the trainer, the starting state, and who gets the
    progress."""

    experiment: Experiment
    trainer: Trainer
    state: TrainState
    """where it begins"""
    memory: Remembered
    keeper: Keeper
    progress: Progress
    evaluations: Evaluations
    sinks: Sinks
    on_point: OnPoint | None = None

    def run(self, prepare: Callable[[TrainState], None] = lambda _: None) -> TrainState:
        """Train to the end, and save. `prepare` is called once training is compiled and under way:
        what only the end needs must not keep it waiting.

        Raises:
            UphillError: if every seed stopped at a non-finite number from the environment or from
                learning, or `on_point` raised.
            Interrupted: on Ctrl-C, after a checkpoint was written.
        """
        self.progress.start(self.state.steps_going_on, self.waiting(self.trainer))
        try:
            with Interrupts() as interrupts:
                if self.state.num_updates == 0:
                    self.keeper.save(self.state, self.memory)
                state, memory, stopped = self._advance(interrupts, prepare)
                self.keeper.save(state, memory, stopped)
        except Interrupted:
            raise
        except KeyboardInterrupt:  # during the last save
            raise Interrupted(self.advice(is_done=True)) from None
        finally:
            self.progress.stop()
            self.evaluations.close()
            self.trainer.close()
        return state

    def advice(self, is_done: bool) -> str:
        """How to go on after an interrupt."""
        if is_done:
            how = call("evaluate", self.keeper.folder, **self._given_again)
            return f"Training is done, and saved. Evaluate it with: {how}"
        return f"Saved. Go on with: {self._how_to_resume()}"

    def _how_to_resume(self) -> str:
        return call("resume", self.keeper.folder, **self._given_again)

    @property
    def _given_again(self) -> dict[str, str]:
        return {"env": "…"} if self.experiment.is_callable else {}

    @property
    def every(self) -> int:
        """Updates between two logging points."""
        limit = self.trainer.env.max_episode_steps
        return logging_interval(self.experiment.composition, self.experiment.steps, limit)

    def _advance(
        self, interrupts: Interrupts, prepare: Callable[[TrainState], None]
    ) -> tuple[TrainState, Remembered, bool]:
        """Train, log and save until the steps are done; also whether it was stopped before that."""
        state, memory, is_prepared = self.state, self.memory, False
        chunks, saved_at = iterate(self.trainer, state, self.every), time.monotonic()
        while True:
            try:
                stretch = interrupts.allow(self._ahead, chunks, memory)
            except KeyboardInterrupt:
                # Save first: printing to a closed terminal fails.
                self.keeper.save(state, memory, is_new=self._is_new(state))
                with suppress(OSError):
                    self.progress.stop()
                raise Interrupted(self.advice(self.trainer.is_done(state))) from None
            except UphillError as error:
                raise self.with_what_was_saved(error, state, memory) from error
            if stretch is None:
                return state, memory, False
            memory = self.taken(stretch, state, memory)
            state = stretch.state
            if not is_prepared:
                prepare(state)
                is_prepared = True
            if self.is_stopped(stretch, memory):
                return state, memory, True
            if time.monotonic() - saved_at > self.experiment.checkpoint_every:
                self.keeper.save(state, memory)
                saved_at = time.monotonic()

    def _tell(self, stops: Stops, state: TrainState, memory: Remembered) -> None:
        """Report the seeds that have stopped, and keep the batches that they stopped at.

        Raises:
            UphillError: if no seed is left, after a checkpoint was written.
        """
        experiment, told = self.experiment, {}
        for s, stop in stops.items():
            seed, algorithm = experiment.all_seeds[s], experiment.composition
            told[seed] = sentence(stop.why, seed, experiment.env, algorithm)
            if stop.batch is not None:
                kept = keep_batch(self.keeper.folder, seed, stop.batch)
                told[seed] += f" The batch is kept in {kept}."
        if told and len(state.stops) == experiment.seeds:
            raise self.with_what_was_saved(UphillError("\n".join(told.values())), state, memory)
        for seed, said in told.items():
            self.progress.say(f"{said} Seed {seed} stops there, and the others go on.")

    def _is_new(self, state: TrainState) -> bool:
        """Whether anything was learned here, or a seed stopped; else what was written before is
        still true."""
        before = self.state
        return state.num_updates > before.num_updates or len(state.stops) > len(before.stops)

    def with_what_was_saved(
        self, error: UphillError, state: TrainState, memory: Remembered
    ) -> UphillError:
        """The error that ended training, and what became of what was learned before."""
        if not self._is_new(state):
            return error
        try:
            self.keeper.save(state, memory)
        except UphillError as unsaved:
            return type(unsaved)(f"{error}\n{unsaved}")
        steps, folder = max(state.num_transitions), self.keeper.folder
        if not steps:
            return error
        return type(error)(
            f"{error}\nWhat was learned in the {steps:,} steps before is saved in {folder}: "
            f"`{self._how_to_resume()}` goes on from there."
        )

    def _ahead(
        self, chunks: Iterator[tuple[TrainState, Rows]], memory: Remembered
    ) -> Stretch | None:
        """The next stretch, with nothing recorded yet: an interrupt may still throw it away."""
        started, compiled = time.monotonic(), self.trainer.compile_seconds
        following = next(chunks, None)
        if following is None:
            return None
        seconds = time.monotonic() - started
        return self.looked_at(*following, memory, seconds, self.trainer.compile_seconds - compiled)

    def looked_at(
        self,
        state: TrainState,
        rows: Rows,
        memory: Remembered,
        seconds: float,
        compile_seconds: float,
    ) -> Stretch:
        """What came out of some updates: evaluated where that is due, and passed to the user's
        function.

        Raises:
            UphillError: if that function raised.
        """
        is_logged = state.num_updates % self.every == 0 or self.trainer.is_done(state)
        is_logged = is_logged and bool(concatenate(memory.pending, rows)["updated"].any())
        is_due = is_logged and self._is_evaluation_due(state, memory)
        evaluation = self.evaluations.now(state.learners.actor) if is_due else None
        stretch = Stretch(state, rows, is_logged, evaluation, seconds, compile_seconds)
        if is_logged and self.on_point is not None:
            table = logged_rows(recorded(memory, stretch), stretch, self.experiment)
            algorithm = self.experiment.composition
            answer = answer_of(self.on_point, table, algorithm, state.learners)
            stretch = replace(stretch, answer=answer)
        return stretch

    def taken(self, stretch: Stretch, before: TrainState, memory: Remembered) -> Remembered:
        """The memory after a stretch, which is displayed, logged where that is due, and reported if
        a seed stopped in it. `before` is the state before it.

        Raises:
            UphillError: if no seed is left, after a checkpoint was written.
        """
        state, memory = stretch.state, recorded(memory, stretch)
        if remark := self.trainer.remark():
            self.progress.say(remark)
        self._show(state, memory)
        if stretch.is_logged:
            memory = self._log(stretch, memory)
        elif self.trainer.is_done(state):  # no seed learned anything since the last point
            memory = replace(memory, pending=None)
        if stops := {s: x for s, x in state.stops.items() if s not in before.stops}:
            self._tell(stops, state, memory)
        return memory

    def is_stopped(self, stretch: Stretch, memory: Remembered) -> bool:
        """Whether training ends after a stretch, whatever steps are left."""
        is_over = stretch.is_logged and self._is_over(stretch.state, memory)
        return stretch.answer.stop or is_over

    def _is_evaluation_due(self, state: TrainState, memory: Remembered) -> bool:
        every, last = self.experiment.eval_every, memory.history.evaluated_at
        return every is not None and state.steps // every != last // every

    def _is_over(self, state: TrainState, memory: Remembered) -> bool:
        """Whether training may stop: it was asked to when every seed that goes on has solved the
        task."""
        threshold = self.trainer.env.reward_threshold
        recents = enumerate(memory.history.recent)
        solved = (is_solved(recent, threshold) for s, recent in recents if s not in state.stops)
        return self.experiment.stop_when_solved and all(solved)

    def _show(self, state: TrainState, memory: Remembered) -> None:
        means = [recent_mean(recent) for recent in memory.history.recent]
        self.progress.show(state.steps_going_on, means, self._seconds_of_evaluations(state))

    def _seconds_of_evaluations(self, state: TrainState) -> float:
        """How long those will take that are still to come while it trains."""
        every = self.experiment.eval_every
        if every is None:
            return 0.0
        done = state.steps
        return (self.experiment.steps // every - done // every) * self.evaluations.each

    def waiting(self, trainer: Trainer) -> Callable[[], Pause]:
        """What training with a trainer waits for just now; the display's thread asks."""

        def pause() -> Pause:
            now, total = time.monotonic(), trainer.compile_seconds + self.evaluations.seconds
            for what, since in (
                ("compiling", trainer.compiling_since),
                ("evaluating", self.evaluations.since),
            ):
                if since is not None:
                    return Pause(what, now - since, total + now - since)
            return Pause(total=total)

        return pause

    def _log(self, stretch: Stretch, memory: Remembered) -> Remembered:
        """A row for each seed, the best learners so far, and what was reached."""
        state, evaluation = stretch.state, stretch.evaluation
        table = logged_rows(memory, stretch, self.experiment)
        self.keeper.metrics.append(table)
        self.sinks.write(table)
        self.progress.point([row["rollout/episode_return"] for row in table])
        memory = replace(memory, pending=None)
        every = self.trainer.measure_every or 1
        if state.num_updates % every == 0 or self.trainer.is_done(state):
            memory, diverged = with_divergences(memory, state, self.experiment)
            if diverged:
                self.progress.say(diverged)
        if self.experiment.eval_every is None or evaluation is not None:
            means = [recent_mean(recent) for recent in memory.history.recent]
            memory = with_best(memory, state, evaluation or means)
        goal, threshold = self.experiment.steps, self.trainer.env.reward_threshold
        new = list(new_milestones(memory.history, state, goal, threshold))
        self.progress.milestones(new, self.experiment.init_from is not None)
        return self.keeper.keep(new, memory, state) if new else memory
