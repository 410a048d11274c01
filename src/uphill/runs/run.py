"""A run: the directory that training wrote, as an object."""

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from uphill.envs.make import EnvironmentChoice, choose
from uphill.errors import UphillError
from uphill.learning.learner import Actor, Learner, make_learner, stack, take
from uphill.learning.process import use_compile_cache, use_cores
from uphill.learning.rollout import narrow_on_host
from uphill.policies.spaces import Choice, batch_shape
from uphill.runs.checkpoint import read_json, read_manifest, read_tensors, restore, write_file
from uphill.runs.evaluate import evaluate_actors, report
from uphill.runs.experiment import Experiment, read_experiment
from uphill.trajectory import Array

EVALUATION_FILE = "evaluation.json"

EnvironmentFactory = Callable[..., Any]


class TrainedPolicy:
    """A policy that acts: NumPy in, NumPy out, ready for `env.step`. Needs no environment."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self._mode = jax.jit(lambda actor, o: _to_environment(actor, actor(o).mode()))
        self._sample = jax.jit(lambda actor, o, key: actor.act(o, key)[2])
        self._generator = np.random.default_rng()

    def act(self, observation: PyTree, sample: bool = False, seed: int | None = None) -> Any:
        """The action for one observation, or for several stacked along leading axes.

        The distribution's mode, or with `sample=True` a sample; `seed` makes it repeatable.

        Raises:
            UphillError: if the observation has not the shape of the environment's.
        """
        observation = jax.tree.map(lambda x: narrow_on_host(np.asarray(x)), observation)
        batch_shape(self.actor.encoding, observation)
        if not sample:
            action = self._mode(self.actor, observation)
        else:
            seed = int(self._generator.integers(2**31)) if seed is None else seed
            action = self._sample(self.actor, observation, jax.random.key(seed))
        kind = self.actor.policy.action_kind
        action = np.asarray(action).astype(kind.dtype)
        # A single choice is a number, not an array: environments look things up by it.
        return action[()] if isinstance(kind, Choice) else action


def _to_environment(actor: Actor, action: Array) -> Array:
    return actor.policy.action_kind.to_environment(action)


class Run:
    """What is in a run directory.

    Raises:
        UphillError: if `path` is no run directory.
    """

    def __init__(
        self,
        path: str | Path,
        env: EnvironmentFactory | None = None,
        seed_index: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.experiment: Experiment = read_experiment(self.path)
        self._env, self._seed_index = env, seed_index
        if seed_index is not None:
            self._check_seed_index(seed_index)

    def __repr__(self) -> str:
        e = self.experiment
        return (
            f"Run({str(self.path)!r}: {e.algo} on {e.env}, {e.seeds} seed(s), {e.steps:,} steps; "
            f"policy of seed {e.all_seeds[self.seed_index]})"
        )

    @cached_property
    def learners(self) -> Learner:
        """The final learners of all seeds, with a leading axis for the seeds."""
        return read_learners(self.path, self.experiment, "latest")

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The contents of `evaluation.json`, or None before it is written.

        Raises:
            UphillError: if it was altered.
        """
        path = self.path / EVALUATION_FILE
        if not path.exists():
            return None
        document = read_json(path)
        try:
            per_seed = [float(x) for x in document["deterministic"]["per_seed"]]
        except (TypeError, KeyError, ValueError):
            per_seed = []
        if len(per_seed) != self.experiment.seeds:
            raise UphillError(f"{path} is damaged: `uphill evaluate {self.path}` writes it again.")
        return document

    @property
    def best_seed_index(self) -> int:
        """The seed with the best deterministic evaluation; the first one before there is any."""
        if self.experiment.seeds == 1:
            return 0
        evaluation = self.evaluation
        return int(np.argmax(evaluation["deterministic"]["per_seed"])) if evaluation else 0

    @property
    def seed_index(self) -> int:
        """The seed whose policy `policy` is: the one asked for, else the best."""
        return self.best_seed_index if self._seed_index is None else self._seed_index

    @property
    def policy(self) -> TrainedPolicy:
        """The final policy of the seed that was asked for, or of the best one."""
        return self.policy_of(self.seed_index)

    def policy_of(self, seed_index: int) -> TrainedPolicy:
        """The final policy of one seed.

        Raises:
            UphillError: if there is no such seed.
        """
        self._check_seed_index(seed_index)
        return TrainedPolicy(take(self.learners, seed_index).actor)

    def _check_seed_index(self, seed_index: int) -> None:
        if not 0 <= seed_index < self.experiment.seeds:
            raise UphillError(
                f"seed_index is {seed_index}: the run has {self.experiment.seeds} seed(s), so use "
                f"0 to {self.experiment.seeds - 1}."
            )

    def choice(self, allow_import: bool = False) -> EnvironmentChoice:
        """The environment to evaluate in.

        Raises:
            UphillError: if it would have to import a module that only the run directory names.
        """
        return environment_of(self.experiment, self._env, allow_import)

    def evaluate(self, episodes: int = 100, allow_import: bool = False) -> dict[str, Any]:
        """Evaluate the final policies of all seeds, and write `evaluation.json`.

        Raises:
            UphillError: if the environment can't be made, or `episodes` is not positive.
        """
        if episodes < 1:
            raise UphillError(f"episodes is {episodes}: use at least 1.")
        choice, seeds = self.choice(allow_import), self.experiment.seeds
        use_cores(seeds, is_python=self.experiment.backend == "gymnasium")
        use_compile_cache()
        result = report(evaluate_actors(choice, self.learners.actor, seeds, episodes))
        write_evaluation(self.path, result)
        return result

    def summary(self) -> dict[str, Any]:
        """What `uphill train --json` prints."""
        facts = read_manifest(self.path / "checkpoint", "latest").facts
        evaluation, threshold = self.evaluation, facts.reward_threshold
        per_seed = evaluation["deterministic"]["per_seed"] if evaluation else []
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
            "solved": [None if threshold is None else x >= threshold for x in per_seed],
            "evaluation": evaluation,
        }

    def plot(self) -> Path:
        """Draw the learning curve; the path of the picture."""
        from uphill.runs.plots import plot_run

        facts = read_manifest(self.path / "checkpoint", "latest").facts
        return plot_run(self.path, self.experiment, facts.reward_threshold)


def load(
    path: str | Path, env: EnvironmentFactory | None = None, seed_index: int | None = None
) -> Run:
    """Open a run directory. `env` is needed to evaluate a run whose environment was a callable;
    `seed_index` chooses the seed whose policy is used, by default the one that evaluated best.

    Raises:
        UphillError: if `path` is no run directory, or has no such seed.
    """
    return Run(path, env, seed_index)


def evaluate(
    path: str | Path,
    episodes: int = 100,
    *,
    env: EnvironmentFactory | None = None,
    allow_import: bool = False,
) -> dict[str, Any]:
    """Evaluate the final policies of a run, and write its `evaluation.json`: `Run.evaluate`.

    Raises:
        UphillError: if `path` is no run directory, or the environment can't be made.
    """
    return Run(path, env).evaluate(episodes, allow_import)


def write_evaluation(path: Path, result: dict[str, Any]) -> None:
    """Write `evaluation.json` in the run directory `path`."""
    write_file(path / EVALUATION_FILE, (json.dumps(result, indent=1) + "\n").encode())


def environment_of(
    experiment: Experiment, env: EnvironmentFactory | None, allow_import: bool
) -> EnvironmentChoice:
    """The environment that an experiment names. Nothing is imported on a file's say-so."""
    if experiment.is_callable and env is None:
        raise UphillError(
            f"The run's environment was the Python callable {experiment.env!r}: give it again, "
            "uphill.load(run, env=…)."
        )
    if ":" in experiment.env and env is None and not allow_import:
        module = experiment.env.split(":")[0]
        raise UphillError(
            f"The run's environment {experiment.env!r} imports the module {module!r}: add "
            "--allow-import if you trust it."
        )
    return choose(
        env or experiment.env, experiment.backend, experiment.env_kwargs, experiment.is_async
    )


def read_learners(path: Path, experiment: Experiment, name: str) -> Learner:
    """The learners of a checkpoint.

    Raises:
        UphillError: if it is damaged or does not fit the experiment.
    """
    manifest = read_manifest(path / "checkpoint", name)
    tensors = read_tensors(path / "checkpoint", manifest)
    facts = manifest.facts
    learners = [
        make_learner(experiment.algorithm, facts.encoding, facts.action_kind, seed)
        for seed in experiment.all_seeds
    ]
    return jax.tree.map(jnp.asarray, restore(stack(learners), tensors, "learners."))
