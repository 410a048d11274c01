"""Reading a run directory: what was requested, what was learned, and the results."""

import os
from collections.abc import Iterable
from dataclasses import asdict, replace
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from uphill.envs.make import EnvironmentChoice
from uphill.envs.wrappers import Wrapper, wrappings_of
from uphill.errors import UphillError
from uphill.learning.counting import MOST_COUNTED
from uphill.learning.learner import Learner, make_learner, policy_of, stack_learners, take
from uphill.policies.actor import Actor
from uphill.policies.own_network import NetworkFactory
from uphill.policies.trained import TrainedPolicy
from uphill.runs.bounds import FARTHEST, check_sizes
from uphill.runs.checkpoint import Standing, read_manifest, read_tensors
from uphill.runs.configuration import decode, encode
from uphill.runs.experiment import Experiment, as_path, read_experiment
from uphill.runs.files import (
    CHECKPOINT_FOLDER,
    EVALUATION_FILE,
    EXPERIMENT_FILE,
    Tensors,
    manifest_file,
    read_json,
    tree_from,
    write_json,
)
from uphill.runs.given import EnvironmentFactory, check_network, environment_of
from uphill.runs.kept_policies import read_milestones, read_policy
from uphill.runs.milestones import SOLVED_OVER, Milestone
from uphill.runs.own_parts import OwnPart, OwnParts, own_parts_in
from uphill.training.evaluate import tell
from uphill.words import call, count, option, span

CHECKPOINTS = ("latest", "best")


class SavedRun:
    """The contents of a run directory. It is path-like, so it can be passed wherever a run's path
    is expected.

    Its policies are those of `checkpoint`: the final ones, or each seed's best.

    Raises:
        UphillError: if `path` is not a run directory.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        env: EnvironmentFactory | None = None,
        seed_index: int | None = None,
        network: NetworkFactory | None = None,
        checkpoint: str = "latest",
        parts: Iterable[OwnPart] = (),
        allow_import: bool = False,
        wrappers: Iterable[Wrapper] = (),
    ) -> None:
        self.path = as_path(path)
        if checkpoint not in CHECKPOINTS:
            raise UphillError(f"checkpoint is {checkpoint!r}: use 'latest' or 'best'.")
        self.checkpoint = checkpoint
        own = OwnParts(parts, allow_import, self.path.current)
        self.experiment: Experiment = read_experiment(self.path, own)
        self._env, self._seed_index, self._network = env, seed_index, network
        self._allow_import, self._wrappers = allow_import, wrappings_of(wrappers)
        self._policies: dict[int, TrainedPolicy] = {}
        self._is_seed_told = False
        if seed_index is not None:
            self._check_seed_index(seed_index)

    def __repr__(self) -> str:
        e = self.experiment
        try:
            steps = span(self.steps)
        except UphillError:  # it is damaged, and can be shown all the same
            steps = f"{e.steps:,}"
        return (
            f"{type(self).__name__}({str(self.path)!r}: {e.algo} on {e.env}, "
            f"{count(e.seeds, 'seed')}, {steps} steps; "
            f"{self.kind} policy of seed {e.all_seeds[self.seed_index]})"
        )

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def given(self) -> dict[str, Any]:
        """The keyword arguments it was opened with, for `load` and `resume` of another run of the
        same experiment."""
        return {
            "env": self._env,
            "network": self._network,
            "parts": tuple(own_parts_in(self.experiment.algorithm)),
            "allow_import": self._allow_import,
            "wrappers": self._wrappers,
        }

    @property
    def steps(self) -> tuple[int, ...]:
        """How many steps each seed has trained; as many as were asked for, if it has no
        checkpoint."""
        facts = self.reached
        if facts is None:
            return (self.experiment.steps,) * self.experiment.seeds
        return facts.num_transitions

    @property
    def reached(self) -> Standing | None:
        """The facts of the latest checkpoint; None where there is none."""
        is_saved = manifest_file(self.path, "latest").exists()
        return self._standing("latest") if is_saved else None

    @property
    def kind(self) -> Literal["final", "best"]:
        """Which policies these are, in one word."""
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
        facts = self._standing(self.checkpoint)
        if self.checkpoint == "best":
            return facts.moment_of_best(seed_index)
        return facts.num_transitions[seed_index], facts.seconds

    def _standing(self, checkpoint: str) -> Standing:
        return read_manifest(self.path, checkpoint, self.experiment.seeds).facts

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
        """The contents of `evaluation.json` (on the final policies); None before it is written.

        Raises:
            UphillError: if it was altered.
        """
        path = self.path / EVALUATION_FILE
        if not path.exists():
            return None
        document = read_json(path)
        if not _is_evaluation(document, self.experiment.seeds):
            raise UphillError(
                f"{path} is damaged: `{call('evaluate', self.path)}` writes it again."
            )
        return document

    @property
    def best_seed_index(self) -> int:
        """The seed with the best deterministic evaluation; the first seed before there is one. For
        the best checkpoint, the seed that had the best score when it was saved."""
        if self.experiment.seeds == 1:
            return 0
        if self.checkpoint == "best":
            scores = self._standing("best").best_scores
            return int(np.argmax([-np.inf if score is None else score for score in scores]))
        evaluation = self.evaluation
        return int(np.argmax(evaluation["deterministic"]["per_seed"])) if evaluation else 0

    @property
    def seed_index(self) -> int:
        """The seed whose policy `policy` is: the one asked for, else the best."""
        return self.best_seed_index if self._seed_index is None else self._seed_index

    @property
    def milestones(self) -> tuple[Milestone, ...]:
        """The milestones that the seeds reached in training, in the order of steps.

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
        """The policy of the requested seed, or else of the best one; the choice is printed."""
        return self.policy_of(self.told_seed_index())

    def told_seed_index(self) -> int:
        """`seed_index`; unless it was requested, the choice is printed, once."""
        seed_index, experiment = self.seed_index, self.experiment
        if self._seed_index is None and experiment.seeds > 1 and not self._is_seed_told:
            why = "evaluated best" if self.evaluation else "is the first: none was evaluated yet"
            if self.checkpoint == "best":
                why = "scored best while it trained"
            tell(
                f"The policy is that of seed {experiment.all_seeds[seed_index]}, which {why}; "
                f"{option('seed_index')} chooses another."
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
            learner = take(self.learners, seed_index)
            self._policies[seed_index] = policy_of(self.experiment.composition, learner)
        return self._policies[seed_index]

    def _check_seed_index(self, seed_index: int) -> None:
        decode(int, encode(seed_index), "seed_index")
        if not 0 <= seed_index < self.experiment.seeds:
            raise UphillError(
                f"{option('seed_index')} is {seed_index}: the run has "
                f"{count(self.experiment.seeds, 'seed')}, so use "
                f"0 to {self.experiment.seeds - 1}."
            )

    def choice(self, allow_import: bool = False, **changes: Any) -> EnvironmentChoice:
        """The environment to evaluate in, with `changes` to the experiment. An import that was
        allowed when the run was opened need not be allowed again.

        Raises:
            UphillError: if it would have to import a module that only the run directory names.
        """
        experiment = replace(self.experiment, **changes)
        is_allowed = allow_import or self._allow_import
        current = self.path.current
        return environment_of(experiment, self._env, is_allowed, self._wrappers, current)

    def summary(self) -> dict[str, Any]:
        """What `uphill train --json` prints."""
        facts = self._standing("latest")
        evaluation, threshold = self.evaluation, facts.reward_threshold
        solved: list[bool | None] = [None] * self.experiment.seeds
        if evaluation and threshold is not None and evaluation["episodes"] >= SOLVED_OVER:
            solved = [x >= threshold for x in evaluation["deterministic"]["per_seed"]]
        diverged = facts.diverged or (None,) * self.experiment.seeds
        not_finite = facts.not_finite or (None,) * self.experiment.seeds
        return {
            "run": str(self.path),
            "env": self.experiment.env,
            "backend": self.experiment.backend,
            "algo": self.experiment.algo,
            "seeds": self.experiment.seeds,
            "steps": list(facts.num_transitions),
            "seconds": facts.seconds,
            "compile_seconds": facts.compile_seconds,
            "steps_per_second": sum(facts.num_transitions) / facts.steady_seconds,
            "solved": solved,
            "diverged": [x and asdict(x) for x in diverged],
            "not_finite": [x and asdict(x) for x in not_finite],
            "evaluation": evaluation,
        }


def opened_with(run: str | PathLike[str] | SavedRun, **arguments: Any) -> dict[str, Any]:
    """These arguments of `load` or `resume`; those that are left out as the run was opened with
    them, if it was."""
    known = run.given if isinstance(run, SavedRun) else {}
    return {name: value or known.get(name, value) for name, value in arguments.items()}


def read_learners(
    path: Path, experiment: Experiment, name: str, network: NetworkFactory | None = None
) -> Learner:
    """The learners of a checkpoint.

    Raises:
        UphillError: if it is damaged or does not fit the experiment, or the network.
    """
    check_network(experiment, network)
    manifest = read_manifest(path, name, experiment.seeds)
    tensors = read_tensors(path, manifest)
    facts, algorithm = manifest.facts, experiment.composition
    check_fits(path, experiment, name, facts, tensors, network is not None)
    learners = [
        make_learner(algorithm, facts.encoding, facts.action_kind, seed, network)
        for seed in experiment.all_seeds
    ]
    found = tree_from(stack_learners(learners), tensors, "learners.", manifest_file(path, name))
    return jax.tree.map(jnp.asarray, found)


def check_fits(
    path: Path,
    experiment: Experiment,
    name: str,
    facts: Standing,
    tensors: Tensors,
    has_own_network: bool,
) -> None:
    """Raises:
    UphillError: if networks or environments of these settings would be larger than the checkpoint.
    """
    algorithm = experiment.composition
    try:
        check_sizes(algorithm, facts.encoding, facts.action_kind, tensors, has_own_network)
    except UphillError as error:
        raise UphillError(
            f"{path / EXPERIMENT_FILE} does not fit {CHECKPOINT_FOLDER}/{name}.json: {error}"
        ) from error


def write_evaluation(path: Path, result: dict[str, Any]) -> None:
    """Write `evaluation.json` in the run directory `path`."""
    write_json(path / EVALUATION_FILE, result)


def _is_evaluation(document: Any, seeds: int) -> bool:
    """Whether it holds what `evaluation_of` says of this many seeds."""
    try:
        for kind in ("deterministic", "stochastic"):
            result = document[kind]
            low, high = result["ci95"]
            numbers = [result["mean"], result["iqm"], low, high, *result["per_seed"]]
            if len(result["per_seed"]) != seeds or not (np.abs(numbers) <= FARTHEST).all():
                return False
        episodes = document["episodes"]
        return type(episodes) is int and 1 <= episodes <= MOST_COUNTED
    except (TypeError, KeyError, ValueError):
        return False
