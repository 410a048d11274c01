"""The learner: all that learning changes. Immutable; `update` returns the next one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, Int, PRNGKeyArray, PyTree, UInt32

from uphill.learning.parts import Algorithm, ValueFunction
from uphill.policies.normalizer import Normalizer, fresh_normalizer
from uphill.policies.own_network import NetworkFactory
from uphill.policies.policy import Critic, Policy, make_critic, make_policy
from uphill.policies.spaces import ActionKind, Encoding, scaled_features
from uphill.theory.distributions import Distribution, FiniteDistribution
from uphill.trajectory import Array, Scalar


class Actor(eqx.Module):
    """All that acting needs: from an observation to a distribution over actions."""

    policy: Policy
    normalizer: Normalizer | None
    encoding: Encoding = eqx.field(static=True)

    def features(self, observation: PyTree) -> Float[Array, "*batch D"]:
        """The observation as the networks see it."""
        encoded = self.encoding.encode(observation)
        return encoded if self.normalizer is None else self.normalizer(encoded)

    def __call__(self, observation: PyTree) -> Distribution:
        return self.policy(self.features(observation))

    def act(
        self, observation: PyTree, key: PRNGKeyArray, epsilon: Scalar | None = None
    ) -> tuple[Array, Array, Array]:
        """A sampled action, its log-probability, and the action for the environment; with
        `epsilon`, of the policy's mixture with the uniform one."""
        distribution = self(observation)
        if epsilon is not None:
            assert isinstance(distribution, FiniteDistribution)
            distribution = distribution.mixed_with_uniform(epsilon)
        action = distribution.sample(key)
        env_action = self.policy.action_kind.to_environment(action)
        return action, distribution.log_prob(action), env_action


class Learner(eqx.Module):
    """Policy, value function, optimisers and counters of one seed."""

    actor: Actor
    critic: Critic | None
    optimizer_state: Any
    critic_optimizer_state: Any
    num_updates: Int[Array, ""]
    num_transitions: UInt32[Array, ""]


def make_learner(
    algorithm: Algorithm,
    encoding: Encoding,
    action_kind: ActionKind,
    seed: int,
    network: NetworkFactory | None = None,
) -> Learner:
    """A learner that knows nothing yet. Everything in it is NumPy: nothing is compiled here.

    Raises:
        UphillError: if the networks don't fit the observations, or `network` can't be one.
    """
    generator = np.random.default_rng(seed)
    policy = make_policy(algorithm.policy, encoding, action_kind, generator, network)
    normalizer, scaled = None, scaled_features(encoding)
    if algorithm.normalize_observations and any(scaled):
        normalizer = fresh_normalizer(scaled)
    critic, critic_state = None, None
    baseline = algorithm.baseline
    if isinstance(baseline, ValueFunction):
        critic = make_critic(baseline.network, encoding, generator, network=network)
        if baseline.optimizer is not None:
            critic_state = _zeros(baseline.optimizer.transform().init, critic)
    model = joint_model(algorithm, policy, critic)
    return Learner(
        Actor(policy, normalizer, encoding),
        critic,
        _zeros(algorithm.optimizer.transform().init, model),
        critic_state,
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


def _zeros(init: Any, model: Any) -> Any:
    # Optimisers see a model as one flat vector: a dozen small arrays would cost a dozen kernels a
    # step. Every state of the optimisers that we offer starts as zeros.
    shapes = jax.eval_shape(lambda model: init(ravel_pytree(model)[0]), model)
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
