"""The learned return estimator: Q(s, a)."""

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.batch import Batch
from uphill.parts.checks import DISCOUNTS, check_count, check_parts
from uphill.parts.estimators import Estimator, to_go
from uphill.parts.fitting import descend, least_squares
from uphill.parts.from_optax import as_optimizer
from uphill.parts.optimizers import Adam, GradientOptimizer
from uphill.parts.part import Setup
from uphill.parts.seen import Seen, Served
from uphill.policies.policy import ActionCritic, NetworkSettings, make_action_critic
from uphill.trajectory import Array, Scalar


class ActionValueState(eqx.Module):
    """Q, and the state of its optimiser."""

    critic: ActionCritic
    optimizer: PyTree


class ActionValue(Estimator):
    """A learned Q(s, a), fitted to the reward-to-go: little noise, and biased where Q is wrong.

    With `ValueFunction` as the baseline, the advantage is Q(s, a) − V(s), both of them learned.
    """

    needs_episodes: ClassVar[bool] = True
    is_learned: ClassVar[bool] = True

    gamma: Scalar = eqx.field(default=0.99, metadata=DISCOUNTS)
    """Discount factor."""
    network: NetworkSettings = NetworkSettings()
    optimizer: GradientOptimizer = eqx.field(
        converter=as_optimizer, default=Adam(learning_rate=1e-2)
    )
    num_steps: int = eqx.field(static=True, default=5)
    """Gradient steps per update, on the whole batch, after the policy's step."""

    def __check_init__(self) -> None:
        check_parts(self)
        check_count(num_steps=self.num_steps)

    def init(self, setup: Setup, generator: np.random.Generator) -> ActionValueState:
        settings = self.network.beside(setup.settings)
        critic = make_action_critic(
            settings, setup.encoding, setup.action_kind, generator, setup.network
        )
        return ActionValueState(critic, self.optimizer.start(critic))

    def networks(self, state: ActionValueState) -> ActionCritic:
        return state.critic

    def __call__(self, state: ActionValueState, seen: Seen) -> Float[Array, "T N"]:
        return seen.deviation * seen.every(state.critic, seen.features, seen.trajectory.action)

    def target(self, seen: Seen, estimated: Float[Array, "T N"]) -> Float[Array, "T N"]:
        """The target of Q: the discounted reward-to-go."""
        return to_go(seen.trajectory, self.gamma)

    def learned(
        self, state: ActionValueState, served: Served, key: PRNGKeyArray
    ) -> ActionValueState:
        def errors(critic: ActionCritic, samples: Batch) -> Float[Array, " B"]:
            assert samples.estimator_target is not None
            return critic(samples.features, samples.action) - samples.estimator_target

        gradient = least_squares(errors, served.batch)
        fitted = descend(self.optimizer, self.num_steps, gradient, state.critic, state.optimizer)
        return ActionValueState(*fitted)
