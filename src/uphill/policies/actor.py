"""The actor: from an observation to a distribution over actions, and to an action."""

import equinox as eqx
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.policies.encodings import Encoding
from uphill.policies.normalizer import Normalizer
from uphill.policies.policy import Policy
from uphill.theory.distributions import Distribution, FiniteDistribution
from uphill.trajectory import Array, Scalar


class Actor(eqx.Module):
    """All that acting needs: from an observation to a distribution over actions."""

    policy: Policy
    normalizer: Normalizer | None
    encoding: Encoding = eqx.field(static=True)

    def features(self, observation: PyTree) -> Float[Array, "*batch D"]:
        """The observation as the networks see it."""
        return self.normalized(self.encoding.encode(observation))

    def normalized(self, encoded: Float[Array, "*batch D"]) -> Float[Array, "*batch D"]:
        """Encoded observations, scaled if they are to be."""
        return encoded if self.normalizer is None else self.normalizer(encoded)

    def __call__(self, observation: PyTree) -> Distribution:
        return self.policy(self.features(observation))

    def act(
        self, observation: PyTree, key: PRNGKeyArray, uniform: Scalar | None = None
    ) -> tuple[Array, Array, PyTree]:
        """A sampled action, its log-probability, and the action for the environment. With the
        probability `uniform` the action is one of all with equal chances."""
        distribution = with_uniform(self(observation), uniform)
        action = distribution.sample(key)
        env_action = self.policy.action_kind.to_environment(action)
        return action, distribution.log_prob(action), env_action


def with_uniform(distribution: Distribution, uniform: Scalar | None) -> Distribution:
    """The mixture in which each action has at least the probability `uniform` over their number."""
    if uniform is None:
        return distribution
    assert isinstance(distribution, FiniteDistribution)
    return distribution.mixed_with_uniform(uniform)
