"""The learner: all that learning changes. Immutable; `update` returns the next one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, UInt32

from uphill.errors import UphillError
from uphill.learning.remembered import Remembered, nothing_remembered
from uphill.parts import ActionValue, Algorithm, Optax, ValueFunction
from uphill.parts.optimizers import GradientStep, NaturalStep, as_seen_by
from uphill.policies.actions import ActionKind, Bounded
from uphill.policies.actor import Actor
from uphill.policies.encodings import Encoding, scaled_features
from uphill.policies.normalizer import fresh_normalizer
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import (
    ActionCritic,
    Critic,
    Policy,
    make_action_critic,
    make_critic,
    make_policy,
)
from uphill.trajectory import Array


class Learner(eqx.Module):
    """Networks, optimisers and counters of one seed."""

    actor: Actor
    critic: Critic | None
    action_critic: ActionCritic | None
    optimizer_state: Any
    critic_optimizer_state: Any
    action_critic_optimizer_state: Any
    remembered: Remembered
    num_updates: Int[Array, ""]
    num_transitions: UInt32[Array, ""]


def make_learner(
    algorithm: Algorithm,
    encoding: Encoding,
    action_kind: ActionKind,
    seed: int,
    network: NetworkFactory | None = None,
) -> Learner:
    """A learner that knows nothing yet. Everything in it is NumPy: nothing is compiled here, but
    for a `network` of the user's own.

    Raises:
        UphillError: if the algorithm does not fit the spaces.
    """
    if algorithm.uniform_mixture is not None and isinstance(action_kind, Bounded):
        raise UphillError(
            f"uniform_mixture is {algorithm.uniform_mixture}: continuous actions have no finite "
            "number of choices to mix in, so use entropy or policy.initial_log_std to explore."
        )
    generator = np.random.default_rng(seed)
    policy = make_policy(algorithm.policy, encoding, action_kind, generator, network)
    normalizer, scaled = None, scaled_features(encoding)
    if algorithm.normalize_observations and any(scaled):
        normalizer = fresh_normalizer(scaled)
    baseline, estimator = algorithm.baseline, algorithm.estimator
    critic = critic_state = action_critic = action_critic_state = None
    if isinstance(baseline, ValueFunction):
        shared = policy if baseline.shares_trunk else None
        critic = make_critic(baseline.network, encoding, generator, shared, network)
        critic_state = initial_state(baseline.optimizer, critic)
    if isinstance(estimator, ActionValue):
        action_critic = make_action_critic(
            estimator.network, encoding, action_kind, generator, network
        )
        action_critic_state = initial_state(estimator.optimizer, action_critic)
    return Learner(
        Actor(policy, normalizer, encoding),
        critic,
        action_critic,
        initial_state(algorithm.optimizer, joint_model(algorithm, policy, critic)),
        critic_state,
        action_critic_state,
        nothing_remembered(algorithm, encoding.size),
        np.zeros((), np.int32),
        np.zeros((), np.uint32),
    )


def joint_model(
    algorithm: Algorithm, policy: Policy, critic: Critic | None
) -> tuple[Policy, Critic | None]:
    """What the policy's optimiser improves: the policy, and the value function if it has no
    optimiser of its own."""
    baseline = algorithm.baseline
    is_joint = isinstance(baseline, ValueFunction) and baseline.optimizer is None
    return policy, critic if is_joint else None


def initial_state(optimizer: GradientStep | NaturalStep | None, model: Any) -> Any:
    """The state of an optimiser that has not taken a step; None for one that has no state."""
    if optimizer is None or isinstance(optimizer, NaturalStep):
        return None
    init = optimizer.transform().init
    if isinstance(optimizer, Optax):
        return jax.tree.map(np.asarray, init(as_seen_by(optimizer, model)[0]))
    # The states of the others start as zeros: no program has to be compiled to know them.
    shapes = jax.eval_shape(lambda model: init(as_seen_by(optimizer, model)[0]), model)
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


def stack(learners: list[Learner]) -> Learner:
    """Several learners as one, with a leading axis for the seeds."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *learners)


def take(stacked: Any, index: int) -> Any:
    """One seed's part of anything that is stacked over seeds."""
    return jax.tree.map(lambda x: x[index], stacked)


def choose(condition: Array, yes: Any, no: Any) -> Any:
    """`yes` where the condition holds, else `no`, for two trees of the same structure."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)
