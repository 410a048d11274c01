"""Fine-tuning: training that starts from the networks of another run (`--init-from`).

The policy is taken over with its observation normaliser, and so are the networks of the baseline if
both runs have the same ones. They are read by the names of their tensors: the rest of the other
run, such as another optimiser or custom parts, does not matter.
"""

from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import equinox as eqx
import gymnasium
import jax
import numpy as np
from jaxtyping import PyTree

from uphill.errors import UphillError
from uphill.learning.learner import Learner, take
from uphill.parts import Algorithm
from uphill.parts.baselines import Baseline
from uphill.policies.actions import is_for
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding, scaled_features
from uphill.policies.normalizer import fresh_normalizer
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import NetworkSettings, PolicySettings, make_policy
from uphill.runs.checkpoint import Standing, read_manifest, read_tensors
from uphill.runs.configuration import decode, encode, flags, part_of
from uphill.runs.experiment import Experiment, Origin, as_path, read_experiment
from uphill.runs.files import Tensors, manifest_file, named_leaves, tree_from
from uphill.runs.given import check_network
from uphill.runs.own_parts import is_own_name, type_name
from uphill.runs.saved import SavedRun
from uphill.training.state import TrainState
from uphill.words import is_typed, option


def encoding_in(init_from: str | PathLike[str]) -> Encoding:
    """How the policies of a run read observations.

    Raises:
        UphillError: if it is no run, or has no checkpoint.
    """
    run = as_path(init_from, "init_from")
    read_experiment(run)  # what is no run at all says so
    return read_manifest(run, "latest").facts.encoding


def initialized(
    state: TrainState,
    experiment: Experiment,
    init_from: str | PathLike[str],
    network: NetworkFactory | None,
    action_space: gymnasium.Space,
) -> tuple[TrainState, Origin, str]:
    """The fresh state with the networks of another run's best seed, where they are from, and what
    was taken, in a sentence. `action_space` is that of this run's environment.

    Raises:
        UphillError: if it is no run, or its policy does not fit.
    """
    other = SavedRun(as_path(init_from, "init_from"))
    index, manifest = other.best_seed_index, read_manifest(other.path, "latest")
    tensors = read_tensors(other.path, manifest)
    theirs = _Policies(other.path, other.experiment, manifest.facts)
    theirs.check_settings(experiment.composition, state.learners.actor, action_space)
    actor = take(theirs.read(tensors, state.learners.actor, experiment, network), index)
    learners = eqx.tree_at(lambda x: x.actor, state.learners, _repeated(actor, experiment.seeds))
    networks = _baseline_networks(tensors, experiment.composition, other.experiment, learners)
    if networks:
        each = [np.repeat(x[index][None], experiment.seeds, 0) for x in networks]
        learners = eqx.tree_at(lambda x: _of_baseline(experiment.composition, x), learners, each)
    seed = other.experiment.all_seeds[index]
    done = manifest.facts.num_transitions[index]
    sentence = _sentence(experiment, bool(networks), f"seed {seed} of {other.path}", done)
    origin = Origin(str(other.path), seed, manifest.sha256)
    return replace(state, learners=learners), origin, sentence


def _sentence(experiment: Experiment, has_networks: bool, source: str, steps: int) -> str:
    start = "Starts from the policy"
    if has_networks:
        return f"{start} and the value function of {source}, after {steps:,} steps there."
    has_own = experiment.composition.baseline.has_value
    rest = "; the value function starts anew, for that run has none like it" if has_own else ""
    return f"{start} of {source}, after {steps:,} steps there{rest}."


class _Policies:
    """The policies of a run, whatever else it was made of."""

    def __init__(self, path: Path, experiment: Experiment, facts: Standing) -> None:
        self.path, self.experiment, self.facts = path, experiment, facts

    def check_settings(self, ours: Algorithm, actor: Actor, action_space: gymnasium.Space) -> None:
        """Raises:
        UphillError: if settings make another thing of the same spaces than they did there.
        """
        name = "observation_categories"
        theirs = encode(self.experiment.algorithm).get(name)  # older runs have none
        if theirs != ours.observation_categories:
            mend = f"leave out {option(name)}" if theirs is None else f"use {option(name, theirs)}"
            raise self._differ(name, mend)
        kind = self.facts.action_kind
        if kind == actor.policy.action_kind or not is_for(kind, action_space):
            return  # other spaces are reported by `read`
        policy = self._settings()
        if policy.distribution != ours.policy.distribution:
            mend = option("policy.distribution", policy.distribution)
            raise self._differ("distributions of actions", f"use {mend}")
        bounds = policy.action_bounds
        if bounds is not None and bounds != ours.policy.action_bounds:
            shown = " ".join(map(str, bounds)) if is_typed() else bounds
            mend = option("policy.action_bounds", shown)
            raise self._differ("bounds of actions", f"use {mend}")

    def read(
        self, tensors: Tensors, ours: Actor, experiment: Experiment, network: NetworkFactory | None
    ) -> Actor:
        """The actors of all its seeds.

        Raises:
            UphillError: unless they fit in the place of `ours`.
        """
        facts, settings = self.facts, self._settings()
        if facts.encoding != ours.encoding or facts.action_kind != ours.policy.action_kind:
            raise self._differ("spaces", "start from a run on an environment with the same spaces")
        is_scaled = any(name.startswith("learners.actor.normalizer.") for name in tensors)
        if is_scaled != (ours.normalizer is not None):
            verb, mend = "add" if is_scaled else "use", option("normalize_observations", is_scaled)
            raise self._differ("normalised observations", f"{verb} {mend}")
        has_own = bool(self.experiment.network)
        if has_own:
            check_network(self.experiment, network)
        generator = np.random.default_rng(0)
        policy = make_policy(
            settings, facts.encoding, facts.action_kind, generator, network if has_own else None
        )
        normalizer = fresh_normalizer(scaled_features(facts.encoding)) if is_scaled else None
        skeleton = Actor(policy, normalizer, ours.encoding)
        if _shape(skeleton) != _shape(take(ours, 0)):
            raise self._differ("networks", _network_mend(experiment.composition.policy, settings))
        path, seeds = manifest_file(self.path, "latest"), self.experiment.seeds
        return tree_from(_repeated(skeleton, seeds), tensors, "learners.actor.", path)

    def _settings(self) -> PolicySettings:
        """Of its policy, which are ours also where its other parts are not."""
        document = encode(self.experiment.algorithm)
        return decode(PolicySettings, document["policy"], "policy")

    def _differ(self, what: str, mend: str) -> UphillError:
        return UphillError(
            f"init_from is {self.path}, whose {what} differ from those of this run: {mend}."
        )


def _network_mend(ours: PolicySettings, theirs: PolicySettings) -> str:
    """What makes this run's policy like that one's."""
    if encode(ours) == encode(theirs):
        return "give both the same network=… (in Python, uphill.train), or neither"
    if is_typed():
        return f"use {' '.join(flags(ours, theirs, '--policy.'))}"
    return f"use policy={' '.join(repr(theirs).split())}"


def _baseline_networks(
    tensors: Tensors, algorithm: Algorithm, other: Experiment, learners: Learner
) -> list[np.ndarray] | None:
    """The numbers of a baseline's networks in that run, for all its seeds; None where this run's
    baseline has no networks, or other ones."""
    if not _are_alike(algorithm, encode(other.algorithm)):
        return None
    wanted = {id(x) for x in _of_baseline(algorithm, learners)}
    found = []
    for name, leaf in named_leaves(learners):
        if id(leaf) in wanted:
            tensor = tensors.get(f"learners.{name}")
            if tensor is None or tensor.shape[1:] != leaf.shape[1:] or tensor.dtype != leaf.dtype:
                return None
            found.append(tensor)
    return found or None


def _are_alike(ours: Algorithm, theirs: dict[str, Any]) -> bool:
    """Whether two baselines are of one type and make their networks alike; the sizes of a custom
    baseline's are seen in its tensors."""
    document, name = theirs["baseline"], type_name(type(ours.baseline))
    if document.get("$type") != name or is_own_name(name):
        return document.get("$type") == name
    # What makes its networks; an optimiser may be one that no file can hold.
    made_by = {
        name: x
        for name, x in document.items()
        if isinstance(x, bool)
        or (isinstance(x, dict) and x.get("$type") == NetworkSettings.__name__)
    }
    baseline: Baseline = part_of(type(ours.baseline), made_by, "baseline")
    policy = decode(PolicySettings, theirs["policy"], "policy")
    return _networks_of(ours.baseline, ours.policy) == _networks_of(baseline, policy)


def _networks_of(baseline: Baseline, policy: PolicySettings) -> list[Any]:
    """The settings that its networks are made by; what they leave out is the policy's."""
    settings = (
        getattr(baseline, f.name) for f in fields(baseline) if f.name not in baseline.ignored
    )
    whole = [x.beside(policy) for x in settings if isinstance(x, NetworkSettings)]
    return [[getattr(x, f.name) for f in fields(NetworkSettings)] for x in whole]


def _of_baseline(algorithm: Algorithm, learners: Learner) -> list[Any]:
    """The networks that a baseline has for itself."""
    return jax.tree.leaves(algorithm.baseline.networks(learners.parts.baseline))


def _shape(tree: PyTree) -> tuple:
    return jax.tree.structure(tree), [np.shape(x) for x in jax.tree.leaves(tree)]


def _repeated(tree: PyTree, num_seeds: int) -> PyTree:
    return jax.tree.map(lambda x: np.repeat(np.asarray(x)[None], num_seeds, 0), tree)
