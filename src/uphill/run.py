"""Runs: a run directory as an object to evaluate and show, and the functions that create, resume
and open one."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from uphill import views  # imported on first use: it loads slowly
from uphill.envs.drawing import backend_to_draw, can_draw
from uphill.envs.make import EnvironmentChoice, make_env
from uphill.envs.wrappers import Wrapper
from uphill.errors import UphillError
from uphill.policies.own_network import NetworkFactory
from uphill.runs.bounds import check_episodes
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import as_path
from uphill.runs.files import CURVE_FILE, EVALUATION_FILE, METRICS_FILE
from uphill.runs.given import EnvironmentFactory, other_limit
from uphill.runs.keywords import taken_as
from uphill.runs.lock import RunLock, tidy
from uphill.runs.own_parts import OwnPart, own_parts_in
from uphill.runs.place import Place
from uphill.runs.saved import SavedRun, opened_with, write_evaluation
from uphill.sessions.callback import OnPoint, check_callable
from uphill.sessions.evaluations import Evaluations
from uphill.sessions.interrupts import Interrupted
from uphill.sessions.launch import Request, begun
from uphill.sessions.own_loop import save_run
from uphill.sessions.presets import Preset
from uphill.sessions.resume import go_on
from uphill.sessions.session import Session
from uphill.sessions.settings_file import with_settings
from uphill.training.evaluate import evaluate_actors, evaluation_of, tell
from uphill.training.process import use_compile_cache, use_cores
from uphill.training.rows import Rows
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer


class Run(SavedRun):
    """A run directory, read, evaluated, filmed, drawn and reported: see `SavedRun`."""

    def evaluate(
        self,
        episodes: int = 100,
        allow_import: bool = False,
        max_episode_steps: int | None = None,
    ) -> dict[str, Any]:
        """Evaluate the policies of all seeds; if they are the final ones, write `evaluation.json`.

        A stored evaluation of more episodes is kept, and one with a different time limit than in
        training (`max_episode_steps`) is not written. The learning curve is drawn if it is missing.

        Raises:
            UphillError: if the environment can't be made, or `episodes` is not positive.
        """
        check_episodes(decode(int, encode(episodes), "episodes"))
        changed = other_limit(max_episode_steps)
        choice, seeds = self.choice(allow_import, **changed), self.experiment.all_seeds
        use_cores(len(seeds), is_python=self.experiment.backend == "gymnasium")
        use_compile_cache()
        result = evaluation_of(evaluate_actors(choice, self.learners.actor, seeds, episodes))
        other = ""
        if self.experiment.is_callable and choice.name != self.experiment.env:
            other = f"is in {choice.name}, and training was in {self.experiment.env}"
        elif changed and limit_of(choice) != limit_of(self.choice(allow_import)):
            other = "has another time limit than training"
        self._keep(result, other)
        # A run that was interrupted before its first row has no curve yet.
        if (self.path / METRICS_FILE).exists() and not (self.path / CURVE_FILE).exists():
            self.plot()
        return result

    def _keep(self, evaluation: dict[str, Any], other: str) -> None:
        """Write `evaluation.json`, unless that would lose something. `other` says what differs from
        training."""
        kept, episodes = self._episodes_written(), evaluation["episodes"]
        if self.checkpoint != "latest":
            tell(
                f"This evaluation is of the {self.kind} policies, and is not written: "
                f"{EVALUATION_FILE} is of the final ones."
            )
        elif other:
            tell(f"This evaluation {other}: it is not written to {EVALUATION_FILE}.")
        elif episodes >= kept:
            tidy(self.path)
            write_evaluation(self.path, evaluation)
        else:
            tell(
                f"{self.path / EVALUATION_FILE} stays: it is over {kept} episodes, and this "
                f"evaluation over {episodes}."
            )

    def _episodes_written(self) -> int:
        """Episodes of `evaluation.json`; 0 if there is none that can be read."""
        try:
            evaluation = self.evaluation
        except UphillError:
            return 0
        return evaluation["episodes"] if evaluation else 0

    def record(
        self,
        milestones: bool = False,
        *,
        seed_index: int | None = None,
        episodes: int = 1,
        sample: bool = False,
        out: str | Path | None = None,
        fps: float | None = None,
        width: int | None = None,
        env_kwargs: dict[str, Any] | None = None,
        allow_import: bool = False,
        max_episode_steps: int | None = None,
    ) -> list[Path]:
        """Film the policy, or with `milestones` how it learned; the paths of the films.

        They are `video.mp4` and `video.gif` (of the best checkpoint `video-best`), or
        `milestones.mp4` and `milestones.gif`, in the run directory, unless `out` is another file.
        `uphill.views.films.record` says the rest.

        Raises:
            UphillError: if the environment can't be made, or can't draw itself.
        """
        film = views.films.record(
            self,
            milestones,
            seed_index=seed_index,
            episodes=episodes,
            sample=sample,
            out=None if out is None else as_path(out, "out", "a path"),
            fps=fps,
            width=width,
            env_kwargs=env_kwargs,
            allow_import=allow_import,
            max_episode_steps=max_episode_steps,
        )
        return list(film.files)

    def has_films(self) -> bool:
        """Whether films of it can be expected: the environment can be had, and draws itself."""
        try:
            e = self.experiment
            return can_draw(self.choice(backend=backend_to_draw(e.env, e.backend)))
        except UphillError:
            return False

    def plot(self) -> Path:
        """Draw the learning curve; the path of the picture."""
        return views.plots.plot_run(self)

    def report(
        self, out: str | Path | None = None, films: bool = True, allow_import: bool = False
    ) -> Path:
        """Write `report.html`, a page that shows all of the run and needs nothing else; its path.

        Raises:
            UphillError: if the run is damaged, or the page can't be written.
        """
        return views.report.write_report(self, out, films, allow_import)


def limit_of(choice: EnvironmentChoice) -> int | None:
    """The time limit of the environment, wherever it comes from."""
    env, _ = make_env(choice)
    try:
        return env.max_episode_steps
    finally:
        getattr(env, "close", lambda: None)()  # a compiled one has nothing to close


def load(
    path: str | PathLike[str],
    env: EnvironmentFactory | None = None,
    seed_index: int | None = None,
    network: NetworkFactory | None = None,
    checkpoint: str = "latest",
    parts: Iterable[OwnPart] = (),
    allow_import: bool = False,
    wrappers: Iterable[Wrapper] = (),
) -> Run:
    """Open a run directory. `env` is needed to evaluate a run whose environment was a callable or a
    custom world; `network`, `parts` and `wrappers` are needed for a run with custom networks, parts
    or wrappers (`allow_import` imports the modules of parts and wrappers); `seed_index` chooses the
    seed whose policy is used, by default the one that evaluated best; with `checkpoint="best"`
    policies are each seed's best while it trained, not the final ones.

    Raises:
        UphillError: if `path` is not a run directory, or has no such seed or checkpoint.
    """
    given = opened_with(
        path,
        env=env,
        network=network,
        parts=parts,
        allow_import=allow_import,
        wrappers=wrappers,
    )
    return Run(path, seed_index=seed_index, checkpoint=checkpoint, **given)


def evaluate(
    path: str | PathLike[str],
    episodes: int = 100,
    *,
    env: EnvironmentFactory | None = None,
    network: NetworkFactory | None = None,
    checkpoint: str = "latest",
    parts: Iterable[OwnPart] = (),
    allow_import: bool = False,
    max_episode_steps: int | None = None,
    wrappers: Iterable[Wrapper] = (),
) -> dict[str, Any]:
    """Evaluate the final policies of a run, and write its `evaluation.json`; with
    `checkpoint="best"` evaluate the best ones, and write nothing; `max_episode_steps` sets another
    time limit, and nothing is written, either: `Run.evaluate`.

    Raises:
        UphillError: if `path` is not a run directory, or the environment can't be made.
    """
    run = load(path, env, None, network, checkpoint, parts, allow_import, wrappers)
    return run.evaluate(episodes, allow_import, max_episode_steps)


def run_of(request: Request, start: Preset | None = None) -> Run:
    """`train`; `start` is what `begun` says."""
    if request.ray is not None:
        from uphill.clusters.seeds import train_on_cluster  # training on one machine needs no Ray

        return _from_cluster(request, train_on_cluster(request, start))
    with begun(request, start) as session:
        return finish(session, request.env)


def _from_cluster(request: Request, path: Place) -> Run:
    """The run that a cluster trained, with its picture."""
    run = Run(path, **request.given)
    run.plot()
    return run


@taken_as(Request, with_settings)
def train(request: Request) -> Run:
    """Train `seeds` agents at once, evaluate them, and return the run.

    Raises:
        UphillError: for anything about the arguments or the environment that the user can fix.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    return run_of(request)


def resume(
    run: str | PathLike[str],
    *,
    env: EnvironmentFactory | None = None,
    network: NetworkFactory | None = None,
    steps: float | None = None,
    allow_import: bool = False,
    episodes: int | None = None,
    quiet: bool = False,
    parts: Iterable[OwnPart] = (),
    on_point: OnPoint | None = None,
    wrappers: Iterable[Wrapper] = (),
    step_timeout: float | None = None,
    devices: int | None = None,
) -> Run:
    """Continue a run from its latest checkpoint; `steps` extends it. `episodes` are those
    of the evaluation at the end, by default as many as training was asked for, and so are
    `step_timeout` and `devices`; `env`, `network`, `parts` and `wrappers` are what `load` says, and
    `on_point` what `train` says.

    Raises:
        UphillError: if the run is finished or damaged, drew its random numbers with another
            generator, or is being trained by another process.
        Interrupted: on Ctrl-C, after a checkpoint was written.
    """
    check_callable(on_point)
    with RunLock(as_path(run, "run")):
        given = opened_with(
            run,
            env=env,
            network=network,
            parts=parts,
            allow_import=allow_import,
            wrappers=wrappers,
        )
        asked = {"steps": steps, "episodes": episodes, "quiet": quiet}
        session = go_on(run, **asked, **given, step_timeout=step_timeout, devices=devices)
        return finish(replace(session, on_point=on_point), given["env"])


def save(
    trainer: Trainer,
    state: TrainState,
    out: str | PathLike[str] | None = None,
    metrics: Iterable[Rows] = (),
) -> Run:
    """Write a run directory for a custom training loop (`Trainer`, `iterate`), which can be loaded,
    resumed, evaluated and reported on like any other. `metrics` are all that `iterate` yielded;
    each becomes a logging point of metrics.csv.

    Raises:
        UphillError: if `out` exists, the metrics are not those of the state's updates, or one run
            can't have the trainer's seeds or algorithms.
    """
    path = save_run(trainer, state, out, metrics)
    given = None if isinstance(trainer.choice.env, str) else trainer.choice.env
    own, wrappers = own_parts_in(trainer.algorithms[0]), trainer.choice.alterations.wrappers
    return Run(path, given, network=trainer.network, parts=own, wrappers=wrappers)


def preparing(evaluations: Evaluations, helper: ThreadPoolExecutor) -> Callable[[TrainState], None]:
    """What only the end needs is made ready by a thread while training leaves it a core."""

    def prepare(state: TrainState) -> None:
        evaluations.prepare(state.learners.actor, helper)
        helper.submit(import_module, "uphill.views.plots")

    return prepare


def finish(session: Session, env: EnvironmentFactory | str | None) -> Run:
    """Train to the end, evaluate, draw.

    A thread prepares what only the end needs while training leaves it a core. Python waits for the
    thread at exit: being cut off inside a compilation would crash.
    """
    helper, evaluation = ThreadPoolExecutor(1, thread_name_prefix="uphill"), None
    try:
        state = session.run(preparing(session.evaluations, helper))
        given = None if isinstance(env, str) else env
        trainer, own = session.trainer, own_parts_in(session.experiment.algorithm)
        wrappers = trainer.choice.alterations.wrappers
        run = Run(
            session.keeper.folder, given, network=trainer.network, parts=own, wrappers=wrappers
        )
        try:
            with session.progress.doing("evaluating"):
                drawn = helper.submit(run.plot)
                evaluation = evaluation_of(session.evaluations.final(state.learners.actor))
                write_evaluation(run.path, evaluation)
                drawn.result()
        except KeyboardInterrupt:
            raise Interrupted(session.advice(is_done=True)) from None
        except UphillError as error:
            if evaluation is not None:  # only the picture is missing
                raise
            raise type(error)(f"{error}\n{session.advice(is_done=True)}") from error
        return run
    finally:
        helper.shutdown(wait=False, cancel_futures=True)
        session.sinks.finish(evaluation)
