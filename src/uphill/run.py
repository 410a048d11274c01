"""A run: the directory that training wrote, as an object."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from uphill.envs.base import World
from uphill.envs.make import EnvironmentChoice, choose, looks_like_world, name_of
from uphill.errors import UphillError
from uphill.learning.learner import Learner, make_learner, stack, take
from uphill.policies.actor import Actor
from uphill.policies.own_network import NetworkFactory
from uphill.policies.trained import TrainedPolicy
from uphill.runs.checkpoint import read_json, read_manifest, read_tensors, restore, write_file
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, as_path, read_experiment
from uphill.runs.kept_policies import read_milestones, read_policy
from uphill.runs.metrics import FILE as METRICS_FILE
from uphill.runs.milestones import Milestone
from uphill.training.evaluate import evaluate_actors, report, tell
from uphill.training.process import use_compile_cache, use_cores

EVALUATION_FILE = "evaluation.json"
CURVE_FILE = "curve.png"
CURVE_FILES = (CURVE_FILE, "curve.svg")
REPORT_FILE = "report.html"
SOLVED_OVER = 100
"""Episodes whose mean has to reach the threshold for a task to be solved."""

EnvironmentFactory = Callable[..., Any] | World
"""What must be given again where training was given one: nothing is imported on a file's say-so."""
CHECKPOINTS = ("latest", "best")


class Run:
    """What is in a run directory; a path itself, wherever the path of a run is asked for.

    Its policies are those of `checkpoint`: the final ones, or each seed's best.

    Raises:
        UphillError: if `path` is no run directory.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        env: EnvironmentFactory | None = None,
        seed_index: int | None = None,
        network: NetworkFactory | None = None,
        checkpoint: str = "latest",
    ) -> None:
        self.path = as_path(path)
        if checkpoint not in CHECKPOINTS:
            raise UphillError(f"checkpoint is {checkpoint!r}: use 'latest' or 'best'.")
        self.checkpoint = checkpoint
        self.experiment: Experiment = read_experiment(self.path)
        self._env, self._seed_index, self._network = env, seed_index, network
        self._policies: dict[int, TrainedPolicy] = {}
        self._is_seed_told = False
        if seed_index is not None:
            self._check_seed_index(seed_index)

    def __repr__(self) -> str:
        e = self.experiment
        return (
            f"Run({str(self.path)!r}: {e.algo} on {e.env}, {e.seeds} seed(s), {e.steps:,} steps; "
            f"{self.kind} policy of seed {e.all_seeds[self.seed_index]})"
        )

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def kind(self) -> Literal["final", "best"]:
        """Which policies these are, in a word."""
        return "final" if self.checkpoint == "latest" else "best"

    @cached_property
    def learners(self) -> Learner:
        """The learners of all seeds, with a leading axis for the seeds."""
        return read_learners(self.path, self.experiment, self.checkpoint, self._network)

    def moment(self, seed_index: int) -> tuple[int, float]:
        """Transitions, and seconds of training, that a seed's learner has learned from.

        Raises:
            UphillError: if the checkpoint is missing or damaged.
        """
        facts = read_manifest(self.path / "checkpoint", self.checkpoint).facts
        if self.checkpoint == "best":
            return facts.moment_of_best(seed_index)
        return facts.num_transitions[seed_index], facts.seconds

    def check_final(self, what: str) -> None:
        """Raises:
        UphillError: if the policies are not the final ones, which `what` shows.
        """
        if self.checkpoint != "latest":
            raise UphillError(
                f"{what} shows the final policy, and checkpoint is {self.checkpoint!r}: leave "
                "checkpoint out."
            )

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The contents of `evaluation.json`, of the final policies; None before it is written.

        Raises:
            UphillError: if it was altered.
        """
        path = self.path / EVALUATION_FILE
        if not path.exists():
            return None
        document = read_json(path)
        if not _is_evaluation(document, self.experiment.seeds):
            raise UphillError(f"{path} is damaged: `uphill evaluate {self.path}` writes it again.")
        return document

    @property
    def best_seed_index(self) -> int:
        """The seed with the best deterministic evaluation; the first one before there is any. Of
        the best checkpoint, the seed that scored best when it was kept."""
        if self.experiment.seeds == 1:
            return 0
        if self.checkpoint == "best":
            scores = read_manifest(self.path / "checkpoint", "best").facts.best_scores
            return int(np.argmax([-np.inf if score is None else score for score in scores]))
        evaluation = self.evaluation
        return int(np.argmax(evaluation["deterministic"]["per_seed"])) if evaluation else 0

    @property
    def seed_index(self) -> int:
        """The seed whose policy `policy` is: the one asked for, else the best."""
        return self.best_seed_index if self._seed_index is None else self._seed_index

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """What the seeds reached while they trained, in the order of steps.

        Raises:
            UphillError: if `milestones.json` was altered.
        """
        milestones = read_milestones(self.path, self.experiment.seeds)
        return tuple(sorted(milestones, key=lambda milestone: milestone.steps))

    def actor_at(self, milestone: Milestone) -> Actor:
        """The policy that was kept at a milestone, as a function of observations.

        Raises:
            UphillError: if its file is missing or damaged.
        """
        return read_policy(self.path, milestone, take(self.learners, milestone.seed_index).actor)

    @property
    def policy(self) -> TrainedPolicy:
        """The policy of the seed that was asked for, or of the best one, which is told."""
        return self.policy_of(self.told_seed_index())

    def told_seed_index(self) -> int:
        """`seed_index`, which is told (once) unless it was asked for."""
        seed_index, experiment = self.seed_index, self.experiment
        if self._seed_index is None and experiment.seeds > 1 and not self._is_seed_told:
            why = "evaluated best" if self.evaluation else "is the first: none was evaluated yet"
            if self.checkpoint == "best":
                why = "scored best while it trained"
            tell(
                f"The policy is that of seed {experiment.all_seeds[seed_index]}, which {why}; "
                "seed_index chooses another."
            )
            self._is_seed_told = True
        return seed_index

    def policy_of(self, seed_index: int) -> TrainedPolicy:
        """The policy of one seed.

        Raises:
            UphillError: if there is no such seed.
        """
        self._check_seed_index(seed_index)
        if seed_index not in self._policies:
            actor = take(self.learners, seed_index).actor
            self._policies[seed_index] = TrainedPolicy(actor)
        return self._policies[seed_index]

    def _check_seed_index(self, seed_index: int) -> None:
        decode(int, encode(seed_index), "seed_index")
        if not 0 <= seed_index < self.experiment.seeds:
            raise UphillError(
                f"seed_index is {seed_index}: the run has {self.experiment.seeds} seed(s), so use "
                f"0 to {self.experiment.seeds - 1}."
            )

    def choice(self, allow_import: bool = False, **changes: Any) -> EnvironmentChoice:
        """The environment to evaluate in; `changes` to the experiment make it another one.

        Raises:
            UphillError: if it would have to import a module that only the run directory names.
        """
        return environment_of(replace(self.experiment, **changes), self._env, allow_import)

    def evaluate(self, episodes: int = 100, allow_import: bool = False) -> dict[str, Any]:
        """Evaluate the policies of all seeds; if they are the final ones, write `evaluation.json`.

        One of more episodes stays. The learning curve is drawn if it was not.

        Raises:
            UphillError: if the environment can't be made, or `episodes` is not positive.
        """
        decode(int, encode(episodes), "episodes")
        if episodes < 1:
            raise UphillError(f"episodes is {episodes}: use at least 1.")
        choice, seeds = self.choice(allow_import), self.experiment.seeds
        use_cores(seeds, is_python=self.experiment.backend == "gymnasium")
        use_compile_cache()
        result = report(evaluate_actors(choice, self.learners.actor, seeds, episodes))
        self._keep(result)
        # A run that was interrupted before its first row has no curve yet.
        if (self.path / METRICS_FILE).exists() and not (self.path / CURVE_FILE).exists():
            self.plot()
        return result

    def _keep(self, evaluation: dict[str, Any]) -> None:
        """Write `evaluation.json`, unless that would lose something."""
        kept, episodes = self._episodes_written(), evaluation["episodes"]
        if self.checkpoint != "latest":
            tell(
                f"This evaluation is of the {self.kind} policies, and is not written: "
                f"{EVALUATION_FILE} is of the final ones."
            )
        elif episodes >= kept:
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

    def summary(self) -> dict[str, Any]:
        """What `uphill train --json` prints."""
        facts = read_manifest(self.path / "checkpoint", "latest").facts
        evaluation, threshold = self.evaluation, facts.reward_threshold
        solved: list[bool | None] = [None] * self.experiment.seeds
        if evaluation and threshold is not None and evaluation["episodes"] >= SOLVED_OVER:
            solved = [x >= threshold for x in evaluation["deterministic"]["per_seed"]]
        trained = max(facts.seconds - facts.compile_seconds, 1e-9)
        return {
            "run": str(self.path),
            "env": self.experiment.env,
            "backend": self.experiment.backend,
            "algo": self.experiment.algo,
            "seeds": self.experiment.seeds,
            "steps": list(facts.num_transitions),
            "seconds": facts.seconds,
            "compile_seconds": facts.compile_seconds,
            "steps_per_second": sum(facts.num_transitions) / trained,
            "solved": solved,
            "evaluation": evaluation,
        }

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
    ) -> list[Path]:
        """Film the policy, or with `milestones` how it learned; the paths of the films.

        They are `video.mp4` and `video.gif` (of the best checkpoint `video-best`), or
        `milestones.mp4` and `milestones.gif`, in the run directory, unless `out` is another file.
        `uphill.views.films.record` says the rest.

        Raises:
            UphillError: if the environment can't be made, or can't draw itself.
        """
        from uphill.views.films import record

        film = record(
            self,
            milestones,
            seed_index=seed_index,
            episodes=episodes,
            sample=sample,
            out=None if out is None else Path(out),
            fps=fps,
            width=width,
            env_kwargs=env_kwargs,
            allow_import=allow_import,
        )
        return list(film.files)

    def plot(self) -> Path:
        """Draw the learning curve; the path of the picture."""
        from uphill.views.plots import plot_run

        return plot_run(self)

    def report(
        self, out: str | Path | None = None, films: bool = True, allow_import: bool = False
    ) -> Path:
        """Write `report.html`, a page that shows all of the run and needs nothing else; its path.

        Raises:
            UphillError: if the run is damaged, or the page can't be written.
        """
        from uphill.views.report import write_report

        return write_report(self, out, films, allow_import)


def load(
    path: str | PathLike[str],
    env: EnvironmentFactory | None = None,
    seed_index: int | None = None,
    network: NetworkFactory | None = None,
    checkpoint: str = "latest",
) -> Run:
    """Open a run directory. `env` is needed to evaluate a run whose environment was a callable or a
    world of your own, `network` to use one that was trained with networks of your own; `seed_index`
    chooses the seed whose policy is used, by default the one that evaluated best; with
    `checkpoint="best"` policies are each seed's best while it trained, not the final ones.

    Raises:
        UphillError: if `path` is no run directory, or has no such seed or checkpoint.
    """
    return Run(path, env, seed_index, network, checkpoint)


def evaluate(
    path: str | PathLike[str],
    episodes: int = 100,
    *,
    env: EnvironmentFactory | None = None,
    network: NetworkFactory | None = None,
    checkpoint: str = "latest",
    allow_import: bool = False,
) -> dict[str, Any]:
    """Evaluate the final policies of a run, and write its `evaluation.json`; with
    `checkpoint="best"` evaluate the best ones, and write nothing: `Run.evaluate`.

    Raises:
        UphillError: if `path` is no run directory, or the environment can't be made.
    """
    run = Run(path, env, network=network, checkpoint=checkpoint)
    return run.evaluate(episodes, allow_import)


def _is_evaluation(document: Any, seeds: int) -> bool:
    """Whether it holds what `report` of so many seeds writes."""
    try:
        for kind in ("deterministic", "stochastic"):
            result = document[kind]
            low, high = result["ci95"]
            numbers = [result["mean"], result["iqm"], low, high, *result["per_seed"]]
            if len(result["per_seed"]) != seeds or not np.isfinite(numbers).all():
                return False
        return isinstance(document["episodes"], int)
    except (TypeError, KeyError, ValueError):
        return False


def write_evaluation(path: Path, result: dict[str, Any]) -> None:
    """Write `evaluation.json` in the run directory `path`."""
    write_file(path / EVALUATION_FILE, (json.dumps(result, indent=1) + "\n").encode())


def environment_of(
    experiment: Experiment, env: EnvironmentFactory | None, allow_import: bool
) -> EnvironmentChoice:
    """The environment that an experiment names. Nothing is imported on a file's say-so.

    Raises:
        UphillError: if a callable or a world is missing, or is given where none was trained in.
    """
    is_world = experiment.is_callable and experiment.backend == "compiled"
    kind = "compiled world" if is_world else "Python callable"
    if env is not None and not experiment.is_callable and experiment.backend != "gymnasium":
        raise UphillError(
            f"env is {getattr(env, '__name__', repr(env))}: the run's environment is "
            f"{experiment.env}, so leave env out; it is for a Python callable, to be given again."
        )
    if env is not None and not (callable(env) or looks_like_world(env)):
        raise UphillError(f"env is {env!r}: give the {kind} of training, or leave it out.")
    if env is not None and looks_like_world(env) != is_world:
        raise UphillError(
            f"env is {name_of(env)}: the run's environment was the {kind} {experiment.env!r}, so "
            "give that."
        )
    if experiment.is_callable and env is None:
        call = f"{experiment.env}()" if is_world else "…"
        raise UphillError(
            f"The run's environment was the {kind} {experiment.env!r}: give it again, "
            f"uphill.load(run, env={call})."
        )
    if ":" in experiment.env and env is None and not allow_import:
        module = experiment.env.split(":")[0]
        raise UphillError(
            f"The run's environment {experiment.env!r} imports the module {module!r}: add "
            "--allow-import if you trust it."
        )
    given = experiment.env if env is None else env
    return choose(given, experiment.backend, experiment.env_kwargs, experiment.is_async)


def check_network(experiment: Experiment, network: NetworkFactory | None) -> None:
    """Raises:
    UphillError: unless networks of the user's own are given exactly where they were trained.
    """
    if experiment.network and network is None:
        raise UphillError(
            f"The run's networks are your own, made by {experiment.network!r}: give it again, "
            "uphill.load(run, network=…)."
        )
    if network is not None and not experiment.network:
        raise UphillError("The run's networks are none of your own: leave network out.")


def read_learners(
    path: Path, experiment: Experiment, name: str, network: NetworkFactory | None = None
) -> Learner:
    """The learners of a checkpoint.

    Raises:
        UphillError: if it is damaged or does not fit the experiment, or the network.
    """
    check_network(experiment, network)
    manifest = read_manifest(path / "checkpoint", name)
    tensors = read_tensors(path / "checkpoint", manifest)
    facts = manifest.facts
    learners = [
        make_learner(experiment.algorithm, facts.encoding, facts.action_kind, seed, network)
        for seed in experiment.all_seeds
    ]
    return jax.tree.map(jnp.asarray, restore(stack(learners), tensors, "learners."))
