"""The learner: all that learning changes. Immutable; `update` returns the next one."""

from collections.abc import Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PyTree, UInt32

from uphill.errors import UphillError
from uphill.learning.counting import Count
from uphill.learning.scales import Scales, fresh_scales
from uphill.parts import Algorithm
from uphill.parts.baselines import Baseline
from uphill.parts.part import Setup
from uphill.policies.actions import ActionKind
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding, scaled_features
from uphill.policies.normalizer import fresh_normalizer
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import Policy, make_policy
from uphill.policies.trained import TrainedPolicy
from uphill.trajectory import Array, fits_narrow, is_key, narrow_on_host

Model = tuple[Policy, PyTree]
"""What the policy's optimiser trains: the policy, and the baseline's joint networks."""


class PartStates(eqx.Module):
    """The states of the parts; only the part itself knows what its state holds."""

    estimator: PyTree
    baseline: PyTree
    surrogate: PyTree
    optimizer: PyTree


class Learner(eqx.Module):
    """Networks, the parts' states, scales and counters of one seed."""

    actor: Actor
    parts: PartStates
    scales: Scales
    num_updates: Int[Array, ""]
    num_transitions: UInt32[Array, ""]
    num_wraps: UInt32[Array, ""]
    """how often `num_transitions` has passed 2³² and wrapped to 0"""

    @property
    def steps(self) -> Count:
        """All transitions that it has learned from."""
        return Count(self.num_wraps, self.num_transitions)


def with_steps(learner: Learner, steps: Count) -> Learner:
    """The learner with this step count."""
    return eqx.tree_at(lambda x: (x.num_transitions, x.num_wraps), learner, (steps.low, steps.high))


def make_learner(
    algorithm: Algorithm,
    encoding: Encoding,
    action_kind: ActionKind,
    seed: int,
    network: NetworkFactory | None = None,
) -> Learner:
    """An untrained learner. Everything in it is NumPy: nothing is compiled here, except for a
    custom `network`.

    Raises:
        UphillError: if the algorithm does not fit the spaces.
    """
    if algorithm.uniform_mixture is not None and not action_kind.is_finite:
        raise UphillError(
            f"uniform_mixture is {algorithm.uniform_mixture}: continuous actions have no finite "
            "number of choices to mix in, so use entropy or policy.initial_log_std to explore."
        )
    generator = np.random.default_rng(seed)
    policy = make_policy(algorithm.policy, encoding, action_kind, generator, network)
    normalizer, scaled = None, scaled_features(encoding)
    if algorithm.normalize_observations and any(scaled):
        normalizer = fresh_normalizer(scaled)
    num_envs = algorithm.sampling.num_envs
    setup = Setup(encoding, action_kind, num_envs, policy, network, algorithm.policy)
    baseline = algorithm.baseline.init(setup, generator)
    estimator = algorithm.estimator.init(setup, generator)
    surrogate = algorithm.surrogate.init(setup, generator)
    optimizer = algorithm.optimizer.start((policy, algorithm.baseline.joint(baseline)))
    parts = PartStates(estimator, baseline, surrogate, optimizer)
    return Learner(
        Actor(policy, normalizer, encoding),
        _on_host(algorithm, parts),
        fresh_scales(algorithm),
        np.zeros((), np.int32),
        np.zeros((), np.uint32),
        np.zeros((), np.uint32),
    )


def _on_host(algorithm: Algorithm, states: PartStates) -> PartStates:
    """The states of the parts as NumPy arrays of 32 bits at most.

    Raises:
        UphillError: if one holds what is no number, or what neither 32 bits nor a checkpoint hold.
    """
    names = set[str]()

    def on_host(path: Any, x: Any) -> np.ndarray:
        part = type(getattr(algorithm, path[0].name)).__name__
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        array = np.zeros(0, object) if is_key(x) else np.asarray(x)
        wrong = ""
        if is_key(x):
            wrong = "a random key of JAX: keep jax.random.key_data of it, or use no noise"
        elif not jnp.issubdtype(array.dtype, np.number) and array.dtype != bool:
            wrong = f"{x!r:.80}, which is no number: keep numbers alone"
        elif name in names:
            wrong = f"two arrays called {name}: use keys without dots"
        elif not fits_narrow(array):
            wrong = f"{x!r:.80}, which 32 bits don't hold: use smaller numbers"
        if wrong:
            raise UphillError(f"The state of {part} has {wrong}.")
        names.add(name)
        return narrow_on_host(array)

    return jax.tree_util.tree_map_with_path(on_host, states)


def policy_of(algorithm: Algorithm, learner: Learner) -> TrainedPolicy:
    """One seed's trained policy: π, and V if the baseline has it."""
    if not algorithm.baseline.has_value:
        return TrainedPolicy(learner.actor)
    known = (algorithm.baseline, learner.parts.baseline, learner.scales)
    return TrainedPolicy(learner.actor, jax.tree_util.Partial(_value, *known))


def _value(
    baseline: Baseline, state: PyTree, scales: Scales, actor: Actor, observation: PyTree
) -> Float[Array, "*batch"]:
    """V(s) in the environment's units."""
    return scales.unit * baseline.value(state, actor.policy, actor.features(observation))


def current(algorithm: Algorithm, learner: Learner) -> Algorithm:
    """The algorithm with its surrogate in the current state."""
    surrogate = algorithm.surrogate.now(learner.parts.surrogate)
    return eqx.tree_at(lambda a: a.surrogate, algorithm, surrogate)


def joint_model(algorithm: Algorithm, learner: Learner) -> Model:
    """What the policy's optimiser improves."""
    return learner.actor.policy, algorithm.baseline.joint(learner.parts.baseline)


def networks_of(algorithm: Algorithm, learner: Learner) -> PyTree:
    """All that learns by gradients: the policy, and any networks in the parts' states."""
    parts = learner.parts
    of_baseline = algorithm.baseline.networks(parts.baseline)
    return learner.actor.policy, of_baseline, algorithm.estimator.networks(parts.estimator)


def with_model(algorithm: Algorithm, learner: Learner, model: Model) -> Learner:
    """The learner with these networks."""
    (policy, networks), baseline = model, learner.parts.baseline
    if networks is not None:
        baseline = algorithm.baseline.joined(baseline, networks)
    return eqx.tree_at(
        lambda x: (x.actor.policy, x.parts.baseline),
        learner,
        (policy, baseline),
        is_leaf=lambda x: x is None,
    )


def stack_learners(learners: list[Learner]) -> Learner:
    """Several learners as one, with a leading axis for the seeds."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *learners)


def form_of(state: PyTree) -> Hashable:
    """What states of algorithms that differ only in floats share: their structure and shapes."""
    leaves, structure = jax.tree.flatten(state)
    return structure, tuple(x.shape for x in leaves)


def take(stacked: Any, index: int) -> Any:
    """One seed's slice of anything that is stacked over seeds."""
    return jax.tree.map(lambda x: x[index], stacked)


def seeds_where(condition: Any, yes: Any, no: Any) -> Any:
    """`np.where` by seed, for two trees that are stacked over seeds; on the host, outside of any
    program."""
    if np.all(condition):
        return yes

    def one(yes: Any, no: Any) -> Any:
        where = np.reshape(condition, (-1, *[1] * (np.ndim(no) - 1)))
        if jnp.issubdtype(no.dtype, jax.dtypes.prng_key):
            return jnp.where(where, yes, no)
        return np.where(where, np.asarray(yes), np.asarray(no))

    return jax.tree.map(one, yes, no)


def select(condition: Array, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`, for two trees of the same structure."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
