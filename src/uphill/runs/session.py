"""A training session: the trainer, and everything it leaves in the run directory."""

import itertools
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.learning.algorithms import ALGORITHMS
from uphill.learning.learner import take
from uphill.learning.parts import Algorithm, Episodes
from uphill.learning.process import use_compile_cache
from uphill.learning.train import Rows, Trainer, TrainState, iterate
from uphill.runs.checkpoint import Facts, read_manifest, read_tensors, restore, write_checkpoint
from uphill.runs.evaluate import Evaluator, evaluate_actors, report
from uphill.runs.experiment import (
    Experiment,
    command_line,
    describe_platform,
    installed_versions,
    read_experiment,
    write_experiment,
)
from uphill.runs.interrupts import Interrupted, Interrupts
from uphill.runs.metrics import MetricsFile, concatenate, summarize_window
from uphill.runs.presets import preset
from uphill.runs.progress import Progress
from uphill.runs.run import Run, environment_of, read_learners, write_evaluation

POINTS = 100
"""About so many logging points in a run."""
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
    best: Any = None
    evaluated_at: int = 0


def train(
    env: str | Callable[..., Any],
    algorithm: Algorithm | None = None,
    *,
    algo: str | None = None,
    seed: int = 0,
    seeds: int = 1,
    steps: int | None = None,
    envs: int | None = None,
    backend: Any = "auto",
    env_kwargs: dict[str, Any] | None = None,
    is_async: bool = False,
    out: str | Path | None = None,
    eval_every: int | None = None,
    stop_when_solved: bool = False,
    init_from: str | Path | None = None,
    checkpoint_every: float = 10.0,
    episodes: int = 100,
    quiet: bool = False,
) -> Run:
    """Train `seeds` agents at once, evaluate them, and return the run.

    Without an algorithm, the preset of the environment is used. `steps` counts valid transitions
    for each seed; training stops at the first update that reaches it.

    Raises:
        UphillError: for anything about the arguments or the environment that can be mended.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    name = env if isinstance(env, str) else getattr(env, "__name__", "environment")
    if algorithm is None and algo is not None and algo not in ALGORITHMS:
        raise UphillError(f"There is no algorithm {algo!r}: use one of {', '.join(ALGORITHMS)}.")
    chosen = preset(name, algo if algorithm is None else None)
    if algorithm is None:
        algorithm = chosen.algorithm
    else:
        algo = algo or "custom"
    for label, value in (("envs", envs), ("episodes", episodes)):
        if value is not None and value < 1:
            raise UphillError(f"{label} is {value}: use at least 1.")
    if envs is not None:
        algorithm = replace(algorithm, sampling=replace(algorithm.sampling, num_envs=envs))
    # Before anything is made: a wrong number or a folder that exists should not cost a wait.
    folder = _free_folder(out, name, algo or chosen.algo, seed)
    choice = choose(env, backend, env_kwargs, is_async)
    experiment = Experiment(
        env=choice.name,
        is_callable=not isinstance(env, str),
        env_kwargs=choice.env_kwargs,
        backend=choice.backend,
        is_async=is_async,
        algo=algo or chosen.algo,
        algorithm=algorithm,
        seed=seed,
        seeds=seeds,
        steps=chosen.steps if steps is None else steps,
        eval_every=eval_every,
        stop_when_solved=stop_when_solved,
        checkpoint_every=checkpoint_every,
        command=command_line(),
        versions=installed_versions(),
    )
    use_compile_cache()
    progress = Progress(experiment.steps, quiet)
    progress.say(
        f"{choice.name}: {experiment.algo}, {experiment.steps:,} steps, {seeds} seed(s); "
        f"backend {choice.backend}, since {choice.reason}."
    )
    trainer = Trainer(choice, algorithm, experiment.all_seeds, experiment.steps)
    state = trainer.start()
    if init_from is not None:
        state = _initialized(state, experiment, init_from)
    experiment = replace(experiment, platform=describe_platform())
    _make_folder(folder)
    write_experiment(folder, experiment)
    if trainer.notice:
        progress.say(trainer.notice)
    log = Log(recent=[[] for _ in range(seeds)], best_scores=[None] * seeds, best=state.learners)
    session = Session(folder, experiment, trainer, log, MetricsFile(folder), progress)
    return session.run(state, env if callable(env) else None, episodes)


def resume(
    run: str | Path,
    *,
    env: Callable[..., Any] | None = None,
    steps: int | None = None,
    allow_import: bool = False,
    episodes: int = 100,
    quiet: bool = False,
) -> Run:
    """Go on with a run where its latest checkpoint stands; `steps` extends it.

    Raises:
        UphillError: if the run is finished, damaged, or was made on another kind of device.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    folder = Path(run)
    experiment = read_experiment(folder)
    manifest = read_manifest(folder / "checkpoint", "latest")
    facts = manifest.facts
    if steps is not None and steps < experiment.steps:
        raise UphillError(
            f"steps is {steps}, but the run already goes to {experiment.steps}: use more."
        )
    if steps is not None:
        experiment = replace(experiment, steps=steps)
    is_extended = steps is not None and facts.stopped
    if min(facts.num_transitions) >= experiment.steps or (facts.stopped and not is_extended):
        raise UphillError(
            f"{folder} is finished ({min(facts.num_transitions):,} steps): "
            f"`uphill resume {folder} --steps N` extends it."
        )
    if len(facts.num_transitions) != experiment.seeds:
        raise UphillError(f"The checkpoint in {folder} has not the experiment's number of seeds.")
    use_compile_cache()
    choice = environment_of(experiment, env, allow_import)
    trainer = Trainer(
        choice, experiment.algorithm, experiment.all_seeds, experiment.steps, facts.num_updates
    )
    _check_device(facts.device)
    if (trainer.encoding, trainer.action_kind) != (facts.encoding, facts.action_kind):
        raise UphillError(
            f"The spaces of {choice.name} are not those that the run {folder} was made with."
        )
    tensors = read_tensors(folder / "checkpoint", manifest)
    state = _restored_state(trainer, trainer.start(), facts, tensors)
    log = Log(
        seconds=facts.seconds,
        compile_seconds=facts.compile_seconds,
        pending=_pending(tensors),
        recent=[[list(pair) for pair in recent] for recent in facts.recent],
        best_scores=list(facts.best_scores),
        best=read_learners(folder, experiment, "best"),
        evaluated_at=facts.evaluated_at,
    )
    metrics = MetricsFile(folder, facts.metrics_offset)
    write_experiment(folder, experiment)
    progress = Progress(experiment.steps, quiet)
    progress.say(f"Resuming {folder} at {min(state.num_transitions):,} steps.")
    session = Session(folder, experiment, trainer, log, metrics, progress)
    return session.run(state, env, episodes)


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
    _evaluator: Evaluator | None = None

    def run(self, state: TrainState, env: Callable[..., Any] | None, episodes: int) -> Run:
        """Train to the end, save, evaluate, draw."""
        state = self._train(state)
        self.progress.say("Evaluating …")
        choice, seeds = self.trainer.choice, self.experiment.seeds
        try:
            result = report(evaluate_actors(choice, state.learners.actor, seeds, episodes))
            write_evaluation(self.folder, result)
            run = Run(self.folder, env)
            run.plot()
        except KeyboardInterrupt:
            raise Interrupted(self._advice(is_done=True)) from None
        return run

    def _train(self, state: TrainState) -> TrainState:
        self.progress.start()
        _import_in_background("scipy.stats", "matplotlib.figure", "matplotlib.backends.backend_agg")
        try:
            with Interrupts() as interrupts:
                if state.num_updates == 0:
                    self._save(state)
                state, stopped = self._advance(state, interrupts)
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

    def _advance(self, state: TrainState, interrupts: Interrupts) -> tuple[TrainState, bool]:
        """Train, log and save until the steps are done; also whether it was solved before that."""
        every = logging_interval(self.experiment.algorithm, self.experiment.steps)
        chunks, saved_at = iterate(self.trainer, state, every), time.monotonic()
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
            if ahead.is_logged and self._is_solved():
                return state, True
            if time.monotonic() - saved_at > self.experiment.checkpoint_every:
                self._save(state)
                saved_at = time.monotonic()

    def _ahead(self, chunks: Iterator[tuple[TrainState, Rows]], every: int) -> "Ahead | None":
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

    def _record(self, ahead: "Ahead") -> None:
        """Take in a chunk's metrics."""
        state = ahead.state
        self.log.seconds += ahead.seconds
        self.log.compile_seconds += ahead.compile_seconds
        self._remember(ahead.rows)
        self.log.pending = concatenate(self.log.pending, ahead.rows)
        means = [recent_mean(recent) for recent in self.log.recent]
        known = [mean for mean in means if mean is not None]
        steps = min(state.num_transitions)
        training_seconds = max(self.log.seconds - self.log.compile_seconds, 1e-9)
        self.progress.show(
            min(steps, self.experiment.steps),
            float(np.mean(known)) if known else None,
            sum(state.num_transitions) / training_seconds,
        )
        if ahead.is_logged:
            self._log_point(state, ahead.evaluation)

    def _is_solved(self) -> bool:
        """Whether training may stop: every seed's last 100 episodes reach the threshold."""
        threshold = self.trainer.env.reward_threshold
        if threshold is None or not self.experiment.stop_when_solved:
            return False
        return all(
            sum(episodes for episodes, _ in recent) >= RECENT
            and (recent_mean(recent) or -np.inf) >= threshold
            for recent in self.log.recent
        )

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
            learners = jax.device_get(state.learners)
            self.log.best = jax.tree.map(
                lambda new, old: np.where(
                    np.reshape(better, (-1, *[1] * (np.ndim(new) - 1))), new, old
                ).astype(np.asarray(new).dtype),
                learners,
                jax.device_get(self.log.best),
            )
            self.log.best_scores = [
                new if is_better else old
                for new, old, is_better in zip(scores, self.log.best_scores, better, strict=True)
            ]

    def _evaluate_if_due(self, state: TrainState) -> list[float] | None:
        every, steps = self.experiment.eval_every, min(state.num_transitions)
        if every is None or steps // every == self.log.evaluated_at // every:
            return None
        if self._evaluator is None:
            seeds = self.experiment.seeds
            self._evaluator = Evaluator(self.trainer.choice, seeds, EVALUATION_EPISODES)
        returns = self._evaluator.returns(state.learners.actor)
        return [float(x) for x in returns[0].mean(1)]

    def _check(self, rows: Rows, state: TrainState) -> None:
        """Raises:
        UphillError: if a number that is not finite came from the environment or from learning.
        """
        for field_name in ("reward", "observation"):
            steps = rows[f"bad_{field_name}"]
            bad = np.argwhere((steps >= 0) & (rows["updated"] > 0))
            if len(bad):
                u, s = bad[0]
                update = state.num_updates - len(steps) + u
                raise UphillError(
                    f"{self.experiment.env} returned a {field_name} that is NaN or infinite in "
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
        learners, lanes = jax.device_get((state.learners, _savable(self.trainer, state.lanes)))
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
            evaluated_at=log.evaluated_at,
            stopped=stopped,
            device=_device(),
        )
        tensors = {"learners": learners, "lanes": lanes, "pending": log.pending or {}}
        write_checkpoint(folder, "best", {"learners": log.best}, facts)
        write_checkpoint(folder, "latest", tensors, facts)


def logging_interval(algorithm: Algorithm, steps: int) -> int:
    """Updates between two logging points."""
    sampling = algorithm.sampling
    if isinstance(sampling, Episodes):
        return 1 if steps < 1e6 else 5
    return max(1, steps // (sampling.num_envs * sampling.num_steps) // POINTS)


def recent_mean(recent: list[list[float]]) -> float | None:
    """The mean return of the last 100 episodes or a few more: whole updates count."""
    episodes = sum(count for count, _ in recent)
    return sum(total for _, total in recent) / episodes if episodes else None


def _savable(trainer: Trainer, lanes: Any) -> Any:
    from uphill.envs.base import CompiledEnvironment

    return lanes if isinstance(trainer.env, CompiledEnvironment) else None


def _device() -> dict[str, str]:
    config: Any = jax.config
    return {
        "platform": jax.devices()[0].platform,
        "prng": str(config.jax_default_prng_impl),
    }


def _check_device(recorded: dict[str, str]) -> None:
    here = _device()
    if recorded != here:
        raise UphillError(
            f"The run was made with {recorded} and this process has {here}: a resumed run would "
            "not repeat bit for bit, so resume it where it was started."
        )


def _restored_state(
    trainer: Trainer, start: TrainState, facts: Facts, tensors: dict[str, np.ndarray]
) -> TrainState:
    learners = restore(start.learners, tensors, "learners.")
    lanes = _savable(trainer, start.lanes)
    lanes = start.lanes if lanes is None else restore(lanes, tensors, "lanes.")
    return TrainState(learners, lanes, facts.num_updates, facts.num_transitions)


def _pending(tensors: dict[str, np.ndarray]) -> Rows | None:
    """The metrics of the updates after the last logging point."""
    prefix = "pending."
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names} or None


def _initialized(state: TrainState, experiment: Experiment, init_from: str | Path) -> TrainState:
    """The fresh state, with the policy and value function of another run's best seed."""
    other = Run(init_from)
    trained = take(other.learners, other.best_seed_index)
    fresh = take(state.learners, 0)
    shapes = [jax.tree.map(np.shape, (x.actor, x.critic)) for x in (trained, fresh)]
    if jax.tree.structure((trained.actor, trained.critic)) != jax.tree.structure(
        (fresh.actor, fresh.critic)
    ) or jax.tree.leaves(shapes[0]) != jax.tree.leaves(shapes[1]):
        raise UphillError(
            f"init-from is {init_from}, whose networks, spaces or normalisation differ from those "
            "of this run: use the same --algo and network settings."
        )
    repeated = jax.tree.map(
        lambda x: np.repeat(np.asarray(x)[None], experiment.seeds, 0),
        (trained.actor, trained.critic),
    )
    import equinox as eqx

    learners = eqx.tree_at(
        lambda x: (x.actor, x.critic), state.learners, repeated, is_leaf=lambda x: x is None
    )
    return replace(state, learners=learners)


def _free_folder(out: str | Path | None, env: str, algo: str, seed: int) -> Path:
    """The run directory to be made.

    Raises:
        UphillError: if it exists: a run is never overwritten.
    """
    if out is None:
        stamp = time.strftime("%Y%m%d-%H%M%S")
        name = f"{re.sub('[^A-Za-z0-9_.-]+', '-', env)}-{algo}-seed{seed}-{stamp}"
        names = itertools.chain([name], (f"{name}-{k}" for k in itertools.count(2)))
        return next(path for path in (Path("runs") / name for name in names) if not path.exists())
    folder = Path(out)
    if folder.exists() or folder.is_symlink():
        raise UphillError(
            f"{folder} exists already, and a run is never overwritten: choose another --out, or "
            f"`uphill resume {folder}`."
        )
    return folder


def _make_folder(folder: Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except OSError as error:
        raise UphillError(
            f"The run directory {folder} can't be made ({error.strerror}): choose another --out."
        ) from error


def _import_in_background(*modules: str) -> None:
    """Load what is needed at the end while the processor's other core has nothing to do."""
    import importlib

    def load() -> None:
        for module in modules:
            importlib.import_module(module)

    threading.Thread(target=load, daemon=True).start()
