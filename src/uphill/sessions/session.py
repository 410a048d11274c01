"""A training session: the trainer, and everything it leaves in the run directory."""

import importlib
import shlex
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from uphill.envs.base import CompiledEnvironment
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.parts import Algorithm
from uphill.run import (
    CURVE_FILES,
    EVALUATION_FILE,
    REPORT_FILE,
    EnvironmentFactory,
    Run,
    write_evaluation,
)
from uphill.runs.checkpoint import Facts, write_checkpoint
from uphill.runs.experiment import Experiment
from uphill.runs.kept_policies import keep_policy, write_milestones
from uphill.runs.metrics import MetricsFile, summarize_window
from uphill.runs.milestones import UNTRAINED, Milestone, Tracked, reached, take_in
from uphill.sessions.display import Progress
from uphill.sessions.interrupts import Interrupted, Interrupts
from uphill.sessions.sinks import Sinks
from uphill.training.evaluate import Evaluator, Returns, evaluate_actors, report
from uphill.training.rows import Rows, concatenate
from uphill.training.trainer import Trainer, TrainState, iterate

LEAST_POINTS = 50
"""The fewest logging points in a run that has so many updates, and at most twice as many in one of
fixed windows: to look at what was learned takes as long as an update of a small network."""
EPISODIC_MEASURE = 10
"""Updates between two measurements of what costs about as much as an update on whole episodes."""
RECENT = 100
"""Training episodes that a running mean looks back on."""
EVALUATION_EPISODES = 20
"""Episodes of each evaluation while training (`--eval-every`)."""


@dataclass
class Log:
    """What the session remembers beside the state: all of it is in the checkpoint."""

    seconds: float = 0.0
    compile_seconds: float = 0.0
    pending: Rows | None = None
    recent: list[list[list[float]]] = field(default_factory=list)
    """per seed, newest last: [episodes, sum of their returns] of each update"""
    best_scores: list[float | None] = field(default_factory=list)
    best_steps: list[int] = field(default_factory=list)
    best_seconds: list[float] = field(default_factory=list)
    best: Any = None
    is_best_saved: bool = False
    """whether `best` is on the disk as it is here"""
    evaluated_at: int = 0
    tracked: list[Tracked] = field(default_factory=list)
    milestones: tuple[Milestone, ...] = ()
    untrained: Any = None
    """the actors that training began with, until every seed has shown how it played with them"""


@dataclass(frozen=True)
class Ahead:
    """A chunk of updates that is not recorded yet."""

    state: TrainState
    rows: Rows
    is_logged: bool
    """whether a logging point follows"""
    evaluation: list[float] | None
    seconds: float
    compile_seconds: float


@dataclass
class Session:
    """One process's work on a run directory."""

    folder: Path
    experiment: Experiment
    trainer: Trainer
    log: Log
    metrics: MetricsFile
    progress: Progress
    episodes: int
    """episodes of the evaluation at the end, for each seed"""
    sinks: Sinks = field(default_factory=Sinks)
    _evaluator: Evaluator | None = None
    _final: "Future[Evaluator] | None" = None
    _has_saved: bool = False

    def run(self, state: TrainState, env: EnvironmentFactory | None) -> Run:
        """Train to the end, save, evaluate, draw.

        What only the end needs is made ready by a thread while training leaves it a core. Python
        waits for the thread when it ends: to be cut off inside a compilation would crash.
        """
        helper, evaluation = ThreadPoolExecutor(1, thread_name_prefix="uphill"), None
        try:
            state = self._train(state, helper)
            self.progress.say("Evaluating …")
            try:
                run = Run(self.folder, env, network=self.trainer.network)
                drawn = helper.submit(run.plot)
                evaluation = report(self._final_returns(state))
                write_evaluation(self.folder, evaluation)
                drawn.result()
            except KeyboardInterrupt:
                raise Interrupted(self._advice(is_done=True)) from None
            return run
        finally:
            helper.shutdown(wait=False, cancel_futures=True)
            self.sinks.finish(evaluation)

    def _train(self, state: TrainState, helper: ThreadPoolExecutor) -> TrainState:
        self.progress.start()
        try:
            with Interrupts() as interrupts:
                if state.num_updates == 0:
                    self._save(state)
                state, stopped = self._advance(state, interrupts, helper)
                self._save(state, stopped)
        except Interrupted:
            raise
        except KeyboardInterrupt:  # during the last save
            raise Interrupted(self._advice(is_done=True)) from None
        finally:
            self.progress.stop()
            if self._evaluator is not None:
                self._evaluator.close()
            self.trainer.close()
        return state

    def _prepare(self, state: TrainState, helper: ThreadPoolExecutor) -> None:
        """Have made ready what only the end needs: the evaluation's program, and imports.

        Not before training itself is compiled, which must not wait for it.
        """
        if isinstance(self.trainer.env, CompiledEnvironment):
            self._final = helper.submit(self._compiled_evaluator, state)
        for module in ("scipy.stats", "uphill.views.plots"):
            helper.submit(importlib.import_module, module)

    def _compiled_evaluator(self, state: TrainState) -> Evaluator:
        choice, seeds = self.trainer.choice, self.experiment.seeds
        evaluator = Evaluator(choice, seeds, self.episodes, self.progress.say)
        evaluator.compile(state.learners.actor)
        return evaluator

    def _final_returns(self, state: TrainState) -> Returns:
        actors = state.learners.actor
        if self._final is not None:
            return self._final.result().returns(actors)
        choice, seeds = self.trainer.choice, self.experiment.seeds
        return evaluate_actors(choice, actors, seeds, self.episodes, self.progress.say)

    def _advance(
        self, state: TrainState, interrupts: Interrupts, helper: ThreadPoolExecutor
    ) -> tuple[TrainState, bool]:
        """Train, log and save until the steps are done; also whether it was solved before that."""
        algorithm, steps = self.experiment.algorithm, self.experiment.steps
        every = logging_interval(algorithm, steps, self.trainer.env.max_episode_steps)
        chunks, saved_at = iterate(self.trainer, state, every), time.monotonic()
        is_prepared = False
        while True:
            try:
                ahead = interrupts.allow(self._ahead, chunks, every)
            except KeyboardInterrupt:
                self.progress.stop()
                self._save(state)
                raise Interrupted(self._advice(self.trainer.is_done(state))) from None
            if ahead is None:
                return state, False
            state = ahead.state
            self._record(ahead)
            if not is_prepared:
                self._prepare(state, helper)
                is_prepared = True
            if ahead.is_logged and self._is_over():
                return state, True
            if time.monotonic() - saved_at > self.experiment.checkpoint_every:
                self._save(state)
                saved_at = time.monotonic()

    def _ahead(self, chunks: Iterator[tuple[TrainState, Rows]], every: int) -> Ahead | None:
        """The next chunk, with nothing recorded yet: an interrupt may still throw it away.

        Raises:
            UphillError: if a number that is not finite came from the environment or from learning.
        """
        started, compiled = time.monotonic(), self.trainer.compile_seconds
        following = next(chunks, None)
        if following is None:
            return None
        seconds = time.monotonic() - started
        state, rows = following
        self._check(rows, state)
        is_logged = state.num_updates % every == 0 or self.trainer.is_done(state)
        evaluation = self._evaluate_if_due(state) if is_logged else None
        compile_seconds = self.trainer.compile_seconds - compiled
        return Ahead(state, rows, is_logged, evaluation, seconds, compile_seconds)

    def _advice(self, is_done: bool) -> str:
        path = shlex.quote(str(self.folder))
        if is_done:
            return f"Training is done, and saved. Evaluate it with: uphill evaluate {path}"
        return f"Saved. Go on with: uphill resume {path}"

    def _record(self, ahead: Ahead) -> None:
        """Take in a chunk's metrics."""
        state = ahead.state
        self.log.seconds += ahead.seconds
        self.log.compile_seconds += ahead.compile_seconds
        self._remember(ahead.rows)
        self.log.tracked = [
            take_in(tracked, ahead.rows, s) for s, tracked in enumerate(self.log.tracked)
        ]
        self.log.pending = concatenate(self.log.pending, ahead.rows)
        means = [recent_mean(recent) for recent in self.log.recent]
        training_seconds = max(self.log.seconds - self.log.compile_seconds, 1e-9)
        speed = sum(state.num_transitions) / training_seconds
        self.progress.show(state.num_transitions, means, speed)
        if ahead.is_logged:
            self._log_point(state, ahead.evaluation)
            self._keep_milestones(state)

    def _is_over(self) -> bool:
        """Whether training may stop: it was asked to when every seed has solved the task."""
        return self.experiment.stop_when_solved and all(map(self._is_solved, self.log.recent))

    def _is_solved(self, recent: list[list[float]]) -> bool:
        """Whether a seed's last 100 episodes reach the threshold."""
        threshold, mean = self.trainer.env.reward_threshold, recent_mean(recent)
        if threshold is None or mean is None:
            return False
        return sum(episodes for episodes, _ in recent) >= RECENT and mean >= threshold

    def _new_milestones(self, state: TrainState) -> Iterator[Milestone]:
        """Those that are reached now, and were not at the last logging point."""
        log, threshold = self.log, self.trainer.env.reward_threshold
        known = {(m.seed_index, m.name) for m in log.milestones}
        for s, (tracked, recent) in enumerate(zip(log.tracked, log.recent, strict=True)):
            mean, steps = recent_mean(recent), state.num_transitions[s]
            progress = steps / self.experiment.steps
            found = reached(tracked, threshold, mean, self._is_solved(recent), progress)
            for name, shown in found.items():
                moment = (state.num_updates, steps, round(log.seconds, 4))
                if name == UNTRAINED:  # known only now, but this is when it was
                    moment = (0, 0, 0.0)
                if (s, name) not in known:
                    yield Milestone(name, s, *moment, shown)

    def _keep_milestones(self, state: TrainState) -> None:
        """Keep the policies that came to something new."""
        log, new = self.log, list(self._new_milestones(state))
        if not new:
            return
        trained = jax.device_get(state.learners.actor)
        for milestone in new:
            actors = log.untrained if milestone.name == UNTRAINED else trained
            kept = keep_policy(self.folder, milestone, take(actors, milestone.seed_index))
            log.milestones = (*log.milestones, kept)
            self.progress.milestone(kept)
        write_milestones(self.folder, log.milestones)
        if sum(m.name == UNTRAINED for m in log.milestones) == self.experiment.seeds:
            log.untrained = None

    def _remember(self, rows: Rows) -> None:
        for s, recent in enumerate(self.log.recent):
            for episodes, total in zip(
                rows["num_episodes"][:, s], rows["return_sum"][:, s], strict=True
            ):
                if episodes:
                    recent.append([float(episodes), float(total)])
            while sum(episodes for episodes, _ in recent[1:]) >= RECENT:
                recent.pop(0)

    def _log_point(self, state: TrainState, evaluation: list[float] | None) -> None:
        """A row for each seed; and the best learners so far."""
        assert self.log.pending is not None
        if evaluation is not None:
            self.log.evaluated_at = min(state.num_transitions)
        speed = sum(state.num_transitions) / max(self.log.seconds - self.log.compile_seconds, 1e-9)
        table = []
        for s, seed in enumerate(self.experiment.all_seeds):
            row = {
                "seed": seed,
                "update": state.num_updates,
                "steps": state.num_transitions[s],
                "time/seconds": round(self.log.seconds, 4),
                "time/steps_per_second": round(speed, 1),
                **summarize_window(self.log.pending, s),
            }
            if self.experiment.eval_every is not None:
                row["evaluation/episode_return"] = None if evaluation is None else evaluation[s]
            table.append(row)
        self.metrics.append(table)
        self.sinks.write(table)
        self.progress.point([row["rollout/episode_return"] for row in table])
        self.log.pending = None
        is_due = self.experiment.eval_every is None or evaluation is not None
        scores = evaluation or [recent_mean(recent) for recent in self.log.recent]
        if is_due:
            self._keep_best(state, scores)

    def _keep_best(self, state: TrainState, scores: Sequence[float | None]) -> None:
        better = [
            new is not None and (old is None or new > old)
            for new, old in zip(scores, self.log.best_scores, strict=True)
        ]
        if any(better):
            self.log.is_best_saved = False
            learners = jax.device_get(state.learners)
            self.log.best = jax.tree.map(
                lambda new, old: np.where(
                    np.reshape(better, (-1, *[1] * (np.ndim(new) - 1))), new, old
                ).astype(np.asarray(new).dtype),
                learners,
                jax.device_get(self.log.best),
            )
            seconds = [self.log.seconds] * len(better)
            self.log.best_scores = _where(better, scores, self.log.best_scores)
            self.log.best_steps = _where(better, state.num_transitions, self.log.best_steps)
            self.log.best_seconds = _where(better, seconds, self.log.best_seconds)

    def _evaluate_if_due(self, state: TrainState) -> list[float] | None:
        every, steps = self.experiment.eval_every, min(state.num_transitions)
        if every is None or steps // every == self.log.evaluated_at // every:
            return None
        if self._evaluator is None:
            choice, seeds, say = self.trainer.choice, self.experiment.seeds, self.progress.say
            self._evaluator = Evaluator(choice, seeds, EVALUATION_EPISODES, say)
        returns = self._evaluator.returns(state.learners.actor)
        return [float(x) for x in returns[0].mean(1)]

    def _check(self, rows: Rows, state: TrainState) -> None:
        """Raises:
        UphillError: if a number that is not finite came from the environment or from learning.
        """
        for field_name, what in (("reward", "a reward"), ("observation", "an observation")):
            steps = rows[f"bad_{field_name}"]
            bad = np.argwhere((steps >= 0) & (rows["updated"] > 0))
            if len(bad):
                u, s = bad[0]
                update = state.num_updates - len(steps) + u
                raise UphillError(
                    f"{self.experiment.env} returned {what} that is NaN or infinite in "
                    f"update {update}, at its step {steps[u, s]} (seed "
                    f"{self.experiment.all_seeds[s]}): mend the environment. The checkpoint in "
                    f"{self.folder} is from before."
                )
        if (rows["bad_learner"] & (rows["updated"] > 0)).any():
            raise UphillError(
                f"Learning diverged by update {state.num_updates}: the networks hold NaN. Lower "
                f"--optimizer.learning-rate. The checkpoint in {self.folder} is from before."
            )

    def _save(self, state: TrainState, stopped: bool = False) -> None:
        learners, lanes = jax.device_get((state.learners, savable(self.trainer, state.lanes)))
        log, folder = self.log, self.folder / "checkpoint"
        facts = Facts(
            num_updates=state.num_updates,
            num_transitions=state.num_transitions,
            encoding=self.trainer.encoding,
            action_kind=self.trainer.action_kind,
            reward_threshold=self.trainer.env.reward_threshold,
            seconds=log.seconds,
            compile_seconds=log.compile_seconds,
            metrics_offset=self.metrics.offset,
            recent=tuple(tuple(tuple(pair) for pair in recent) for recent in log.recent),
            best_scores=tuple(log.best_scores),
            best_steps=tuple(log.best_steps),
            best_seconds=tuple(log.best_seconds),
            evaluated_at=log.evaluated_at,
            tracked=tuple(log.tracked),
            milestones=log.milestones,
            stopped=stopped,
            device=device(),
        )
        self.metrics.sync()  # first: the checkpoint says how many bytes of it there are
        tensors = {
            "learners": learners,
            "lanes": lanes,
            "pending": log.pending or {},
            "untrained": log.untrained,
        }
        # Both hold the scores of `best`, those of its own learners whatever happens in between.
        if not log.is_best_saved:
            write_checkpoint(folder, "best", {"learners": log.best}, facts)
            log.is_best_saved = True
        write_checkpoint(folder, "latest", tensors, facts)
        # What it says of earlier learners is not true of these. Pictures and reports that somebody
        # asks for while training goes on are of their moment, and stay until its end.
        stale = [EVALUATION_FILE]
        if not self._has_saved or stopped or self.trainer.is_done(state):
            stale += [*CURVE_FILES, REPORT_FILE]
        for name in stale:
            (self.folder / name).unlink(missing_ok=True)
        self._has_saved = True


def logging_interval(algorithm: Algorithm, steps: int, max_episode_steps: int | None) -> int:
    """Updates between two logging points; `max_episode_steps` matters to whole episodes only."""
    sampling = algorithm.sampling
    fewest = steps // sampling.most_transitions(max_episode_steps)
    if not sampling.has_whole_episodes:
        return max(1, fewest // LEAST_POINTS)
    return 1 if steps < 1e6 else max(1, min(5, fewest // LEAST_POINTS))


def measuring_interval(algorithm: Algorithm, steps: int) -> int:
    """Updates between two in which the diagnostics that cost most are measured."""
    if algorithm.sampling.has_whole_episodes:
        return EPISODIC_MEASURE
    return logging_interval(algorithm, steps, None)


def recent_mean(recent: list[list[float]]) -> float | None:
    """The mean return of the last 100 episodes or a few more: whole updates count."""
    episodes = sum(count for count, _ in recent)
    return sum(total for _, total in recent) / episodes if episodes else None


def _where(condition: Sequence[bool], yes: Sequence[Any], no: Sequence[Any]) -> list[Any]:
    """`np.where` of plain values."""
    return [a if is_so else b for is_so, a, b in zip(condition, yes, no, strict=True)]


def savable(trainer: Trainer, lanes: Any) -> Any:
    """The environments' part of a checkpoint: only compiled worlds have their state as numbers."""
    return lanes if isinstance(trainer.env, CompiledEnvironment) else None


def device() -> dict[str, str]:
    """What a resumed run must share with its beginning to repeat it bit for bit."""
    config: Any = jax.config
    return {
        "platform": jax.devices()[0].platform,
        "prng": str(config.jax_default_prng_impl),
    }
