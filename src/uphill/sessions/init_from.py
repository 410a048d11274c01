"""A training that starts from the networks of another run (`--init-from`)."""

from collections.abc import Callable
from dataclasses import replace
from os import PathLike

import equinox as eqx
import jax
import numpy as np

from uphill.errors import UphillError
from uphill.learning.learner import Learner, take
from uphill.policies.encodings import Encoding
from uphill.policies.own_network import NetworkFactory
from uphill.runs.checkpoint import read_manifest
from uphill.runs.experiment import Experiment, Origin, as_path, read_experiment
from uphill.runs.own_parts import own_parts_in
from uphill.runs.saved import SavedRun
from uphill.training.state import TrainState


def encoding_in(init_from: str | PathLike[str]) -> Encoding:
    """How the policies of a run read observations.

    Raises:
        UphillError: if it is no run, or has no checkpoint.
    """
    run = as_path(init_from, "init_from")
    read_experiment(run)  # what is no run at all says so
    return read_manifest(run / "checkpoint", "latest").facts.encoding


def initialized(
    state: TrainState,
    experiment: Experiment,
    init_from: str | PathLike[str],
    network: NetworkFactory | None,
) -> tuple[TrainState, Origin]:
    """The fresh state, with the policy and value function of another run's best seed.

    Raises:
        UphillError: if it is no run, or its networks do not fit.
    """
    has_own = bool(read_experiment(as_path(init_from, "init_from")).network)
    other = SavedRun(
        init_from,
        network=network if has_own else None,
        parts=own_parts_in(experiment.algorithm),
    )
    seed = other.experiment.all_seeds[other.best_seed_index]
    manifest = read_manifest(other.path / "checkpoint", "latest")
    origin = Origin(str(other.path), seed, manifest.sha256)
    trained = _taken(other.experiment)(take(other.learners, other.best_seed_index))
    fresh = _taken(experiment)(take(state.learners, 0))
    shapes = [jax.tree.map(np.shape, x) for x in (trained, fresh)]
    has_structure = jax.tree.structure(trained) == jax.tree.structure(fresh)
    if not has_structure or jax.tree.leaves(shapes[0]) != jax.tree.leaves(shapes[1]):
        raise UphillError(
            f"init_from is {init_from}, whose networks, spaces or normalisation differ from those "
            "of this run: use the same --algo and network settings."
        )
    repeated = [
        np.repeat(np.asarray(x)[None], experiment.seeds, 0) for x in jax.tree.leaves(trained)
    ]
    taken = _taken(experiment)
    learners = eqx.tree_at(lambda x: jax.tree.leaves(taken(x)), state.learners, repeated)
    return replace(state, learners=learners), origin


def _taken(of: Experiment) -> Callable[[Learner], tuple]:
    """The networks that are taken over, in a learner of that experiment."""

    def find(learner: Learner) -> tuple:
        networks = of.composition.baseline.networks(learner.parts.baseline)
        return (learner.actor,) if networks is None else (learner.actor, networks)

    return find
