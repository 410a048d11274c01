"""The learned baseline V(s), fitted jointly with the policy, separately, or from a memory."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.batch import Batch
from uphill.parts.baselines import Baseline, PerSample
from uphill.parts.checks import (
    check_choice,
    check_count,
    check_not_negative,
    check_parts,
    check_unit,
    one_of,
    require,
)
from uphill.parts.estimators import bootstrapped, to_go
from uphill.parts.fitting import descend, least_squares
from uphill.parts.from_optax import as_optimizer
from uphill.parts.memory import Memory, empty_memory, with_transitions
from uphill.parts.optimizers import GradientOptimizer
from uphill.parts.part import Setup
from uphill.parts.seen import Seen, Served
from uphill.policies.policy import Critic, NetworkSettings, Policy, make_critic, values
from uphill.theory.moments import Moments, batch_moments, merge
from uphill.theory.returns import following, lambda_return, one_step_return
from uphill.theory.scaling import deviation, fresh_scale
from uphill.trajectory import Array, Scalar

_TARGETS = ("estimator", "monte-carlo", "td", "lambda")


class Replay(eqx.Module):
    """A replay memory of the latest transitions, from which V learns off-policy."""

    capacity: int = eqx.field(static=True, default=2000)
    """Transitions kept in the memory."""
    num_samples: int = eqx.field(static=True, default=256)
    """Transitions sampled for each gradient step."""

    def __check_init__(self) -> None:
        check_count(capacity=self.capacity, num_samples=self.num_samples)


class ValueState(eqx.Module):
    """V, and the state of its own optimiser, its replay memory and its scale, if it has these."""

    critic: Critic
    optimizer: PyTree
    memory: Memory | None
    targets: Moments | None = None
    """Moments of all targets so far, if targets are scaled."""


class ValueFunction(Baseline):
    """Subtracts a learned V(s), fitted to `targets` by least squares.

    Without its own optimiser, its loss is added to the policy's, weighted by `coefficient`, and it
    learns in the same minibatches. With its own optimiser, it takes `num_steps` gradient steps
    after the policy's, on the whole batch or from a replay memory.
    """

    network: NetworkSettings = NetworkSettings()
    shares_trunk: bool = eqx.field(static=True, default=False)
    """V is a head on the policy's hidden layers; `network` is then ignored."""
    targets: str = eqx.field(static=True, default="estimator", metadata=one_of(*_TARGETS))
    """The regression targets: estimator (the estimator's return), monte-carlo (the discounted
    rewards to the end of the episode), td (r + γ V(s')) or lambda (the λ-return)."""
    lam: Scalar = 0.95
    """λ of the λ-return, if that is the target."""
    scale_targets: bool = eqx.field(static=True, default=False)
    """Divide targets by their running standard deviation, and multiply the network's output by it;
    the first batch only measures. Unlike normalize_rewards, this does not scale advantages."""
    coefficient: Scalar = 0.5
    """Weight of (V − G)² in the joint loss."""
    optimizer: GradientOptimizer | None = eqx.field(converter=as_optimizer, default=None)
    num_steps: int = eqx.field(static=True, default=1)
    """Gradient steps per update, with its own optimiser."""
    replay: Replay | None = None

    def init(self, setup: Setup, generator: np.random.Generator) -> ValueState:
        shared = setup.policy if self.shares_trunk else None
        settings = self.network.beside(setup.settings)
        critic = make_critic(settings, setup.encoding, generator, shared, setup.network)
        own = None if self.optimizer is None else self.optimizer.start(critic)
        memory = None
        if self.replay is not None:
            memory = empty_memory(self.replay.capacity, setup.encoding.size)
        moments = fresh_scale(1).moments if self.scale_targets else None
        return ValueState(critic, own, memory, moments)

    def networks(self, state: ValueState) -> Critic:
        return state.critic

    @property
    def ignored(self) -> tuple[str, ...]:
        return ("network",) if self.shares_trunk else ()

    # --- its values ------------------------------------------------------------------------------

    def value(
        self, state: ValueState, policy: Policy, features: Float[Array, "*batch D"]
    ) -> Float[Array, "*batch"]:
        return self.unit(state) * values(policy, state.critic, features)

    def __call__(self, state: ValueState, seen: Seen, returns: Array) -> Float[Array, "T N"]:
        assert seen.value is not None
        return seen.value

    # --- learning --------------------------------------------------------------------------------

    def target(
        self, seen: Seen, returns: Float[Array, "T N"], gamma: Scalar
    ) -> Float[Array, "T N"]:
        if self.targets == "estimator":
            return returns
        if self.targets == "monte-carlo":
            return to_go(seen.trajectory, gamma)
        length = seen.trajectory.length
        if self.targets == "td":
            return one_step_return(*bootstrapped(seen), gamma, length)
        return lambda_return(*bootstrapped(seen), gamma, self.lam, length)

    def unit(self, state: ValueState) -> Scalar:
        """The standard deviation of all targets so far; 1 unless targets are scaled."""
        return 1.0 if state.targets is None else jnp.asarray(deviation(state.targets))

    def counts(self, state: ValueState) -> list[Array]:
        return [] if state.targets is None else [jnp.asarray(state.targets.count)]

    @property
    def is_joint(self) -> bool:
        return self.optimizer is None

    def joint(self, state: ValueState) -> Critic | None:
        return state.critic if self.is_joint else None

    def joined(self, state: ValueState, networks: Critic) -> ValueState:
        return ValueState(networks, state.optimizer, state.memory, state.targets)

    def objective(
        self, networks: Critic, features: Array, hidden: Array, target: PerSample
    ) -> tuple[PerSample, dict[str, PerSample]]:
        """− c (V(s) − G)²"""
        error = (networks(features, hidden) - target) ** 2
        return -self.coefficient * error, {"value/loss": error}

    def learned(self, state: ValueState, served: Served, key: PRNGKeyArray) -> ValueState:
        memory = None if state.memory is None else _with_batch(state.memory, served)
        critic, own = state.critic, state.optimizer
        if self.optimizer is not None:
            if memory is None:
                gradient = least_squares(_errors, served.batch)
            else:
                gradient = self._from_memory(memory, served, key)
            critic, own = descend(self.optimizer, self.num_steps, gradient, critic, own)
        return ValueState(critic, own, memory, self._measured(state, served.batch))

    def unlearned(self, before: ValueState, after: ValueState) -> ValueState:
        """The networks from before; memory and moments stay as they are after."""
        return ValueState(before.critic, before.optimizer, after.memory, after.targets)

    def _measured(self, state: ValueState, batch: Batch) -> Moments | None:
        """The moments of the targets, including those of a batch."""
        if state.targets is None:
            return None
        targets = self.unit(state) * batch.target
        return merge(state.targets, batch_moments(targets[..., None], batch.mask))

    def _from_memory(self, memory: Memory, served: Served, key: PRNGKeyArray) -> Any:
        """The gradient on transitions sampled from the memory, new ones at each step.

        The TD target r + γ V(s') uses the current V, and is not differentiated.
        """
        assert self.replay is not None
        shape = (self.replay.num_samples,)
        filled = jnp.minimum(memory.count, memory.reward.shape[0])

        def gradient(critic: Critic, step: Array) -> Critic:
            i = jax.random.randint(jax.random.fold_in(key, step), shape, 0, jnp.maximum(filled, 1))
            if self.targets == "td":
                after = critic(served.normalized(jnp.asarray(memory.next_observation)[i]))
                after = jnp.where(jnp.asarray(memory.terminated)[i], 0.0, after)
                target = jnp.asarray(memory.reward)[i] + served.gamma * after
            else:
                target = jnp.asarray(memory.reward_to_go)[i]
            features = served.normalized(jnp.asarray(memory.observation)[i])

            def loss(critic: Critic) -> Float[Array, ""]:
                return 0.5 * ((critic(features) - target) ** 2).mean()

            return jax.grad(loss)(critic)

        return gradient

    # --- checks ----------------------------------------------------------------------------------

    def __check_init__(self) -> None:
        check_parts(self)
        check_not_negative(coefficient=self.coefficient)
        check_unit(lam=self.lam)
        check_count(num_steps=self.num_steps)
        check_choice(_TARGETS, targets=self.targets)
        self._check_optimizer()
        require(
            self.replay is None or self.targets in ("monte-carlo", "td"),
            "targets",
            repr(self.targets),
            "a memory holds single transitions, so use td or monte-carlo",
        )
        require(
            self.replay is None or not self.scale_targets,
            "scale_targets",
            True,
            "a memory would mix targets of different scales, so leave this or replay out",
        )

    def _check_optimizer(self) -> None:
        is_own = self.optimizer is not None
        require(
            is_own or self.num_steps == 1,
            "num_steps",
            self.num_steps,
            "without its own optimizer, the value function learns in the policy's steps, so use 1, "
            "or give it an optimizer",
        )
        require(
            is_own or self.replay is None,
            "replay",
            "Replay",
            "without its own optimizer, the value function learns from the policy's batch, so "
            "leave it out, or give it an optimizer",
        )
        require(
            not (is_own and self.shares_trunk),
            "shares_trunk",
            True,
            "the value function's own steps would change the policy, so leave its optimizer out",
        )

    def check(self, algorithm: Any) -> None:
        require(
            algorithm.sampling.has_whole_episodes or self.targets != "monte-carlo",
            "targets",
            "'monte-carlo'",
            "a window cuts off later rewards, so use lambda, or Episodes as the sampling",
        )
        for name in ("normalize_rewards", "normalize_returns"):
            require(
                self.replay is None or not getattr(algorithm, name),
                name,
                True,
                "a memory would mix rewards of different scales, so leave this or replay out",
            )
        require(
            not (self.scale_targets and algorithm.normalize_returns),
            "scale_targets",
            True,
            "targets are already in units of the returns' standard deviation, so leave this or "
            "normalize_returns out",
        )


def _errors(critic: Critic, samples: Batch) -> Float[Array, " B"]:
    return critic(samples.features) - samples.target


def _with_batch(memory: Memory, served: Served) -> Memory:
    """The memory with a batch's transitions added."""
    t = served.trajectory
    observation, final = served.encode(t.observation), served.encode(t.final_observation)
    after = following(observation, final, t.length)
    rows = (observation, after, t.reward, t.terminated, to_go(t, served.gamma))
    return with_transitions(memory, rows, t.mask)
