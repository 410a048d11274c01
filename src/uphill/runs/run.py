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
from uphill.learning.rollout import narrow_on_host
from uphill.policies.spaces import ActionKind, Encoding, batch_shape
from uphill.runs.checkpoint import read_facts, read_tensors, restore
from uphill.runs.configuration import decode
from uphill.runs.evaluate import evaluate_actors, report
from uphill.runs.experiment import Experiment, read_experiment

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
        return np.asarray(action).astype(self.actor.policy.action_kind.dtype)


def _to_environment(actor: Actor, action: jax.Array) -> jax.Array:
    return actor.policy.action_kind.to_environment(action)


class Run:
    """What is in a run directory.

    Raises:
        UphillError: if `path` is no run directory.
    """

    def __init__(self, path: str | Path, env: EnvironmentFactory | None = None) -> None:
        self.path = Path(path)
        self.experiment: Experiment = read_experiment(self.path)
        self._env = env

    def __repr__(self) -> str:
        e = self.experiment
        return f"Run({str(self.path)!r}: {e.algo} on {e.env}, {e.seeds} seed(s), {e.steps} steps)"

    @cached_property
    def learners(self) -> Learner:
        """The final learners of all seeds, with a leading axis for the seeds."""
        return read_learners(self.path, self.experiment, "latest")

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """The contents of `evaluation.json`, or None before it is written."""
        path = self.path / "evaluation.json"
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def best_seed_index(self) -> int:
        """The seed with the best deterministic evaluation; the first one before there is any."""
        evaluation = self.evaluation
        return int(np.argmax(evaluation["deterministic"]["per_seed"])) if evaluation else 0

    @property
    def policy(self) -> TrainedPolicy:
        """The final policy of the best seed."""
        return self.policy_of(self.best_seed_index)

    def policy_of(self, seed_index: int) -> TrainedPolicy:
        """The final policy of one seed.

        Raises:
            UphillError: if there is no such seed.
        """
        if not 0 <= seed_index < self.experiment.seeds:
            raise UphillError(
                f"seed index is {seed_index}: the run has {self.experiment.seeds}, so use 0 to "
                f"{self.experiment.seeds - 1}."
            )
        return TrainedPolicy(take(self.learners, seed_index).actor)

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
        choice = self.choice(allow_import)
        actors = self.learners.actor
        result = report(evaluate_actors(choice, actors, self.experiment.seeds, episodes))
        (self.path / "evaluation.json").write_text(json.dumps(result, indent=1) + "\n")
        return result

    def summary(self) -> dict[str, Any]:
        """What `uphill train --json` prints."""
        facts = read_facts(self.path / "checkpoint", "latest")
        evaluation, threshold = self.evaluation, facts["reward_threshold"]
        per_seed = evaluation["deterministic"]["per_seed"] if evaluation else []
        seconds, compiling = facts["seconds"], facts["compile_seconds"]
        return {
            "run": str(self.path),
            "env": self.experiment.env,
            "backend": self.experiment.backend,
            "algo": self.experiment.algo,
            "seeds": self.experiment.seeds,
            "steps": facts["num_transitions"],
            "seconds": seconds,
            "compile_seconds": compiling,
            "steps_per_second": sum(facts["num_transitions"]) / max(seconds - compiling, 1e-9),
            "solved": [None if threshold is None else x >= threshold for x in per_seed],
            "evaluation": evaluation,
        }

    def plot(self) -> Path:
        """Draw the learning curve; the path of the picture."""
        from uphill.runs.plots import plot_run

        facts = read_facts(self.path / "checkpoint", "latest")
        return plot_run(self.path, self.experiment, facts["reward_threshold"])


def load(
    path: str | Path, env: EnvironmentFactory | None = None, seed_index: int | None = None
) -> Run:
    """Open a run directory. `env` is needed to evaluate a run whose environment was a callable.

    Raises:
        UphillError: if `path` is no run directory.
    """
    return Run(path, env)


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
    facts = read_facts(path / "checkpoint", name)
    tensors = read_tensors(path / "checkpoint", facts)
    encoding = decode(Encoding, facts["encoding"], "encoding")
    action_kind = decode(ActionKind, facts["action_kind"], "action_kind")
    learners = [
        make_learner(experiment.algorithm, encoding, action_kind, seed)
        for seed in experiment.all_seeds
    ]
    return jax.tree.map(jnp.asarray, restore(stack(learners), tensors, "learners."))
