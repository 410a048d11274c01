"""Fitting a learned baseline, V(s), and a learned action value, Q(s, a), with an optimiser of their
own: on the batch, or from a memory of past transitions."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool, Float, PRNGKeyArray, PyTree, UInt32

from uphill.batch import Batch, accumulate
from uphill.parts import ActionValue, ValueFunction
from uphill.parts.optimizers import as_seen_by
from uphill.policies.policy import ActionCritic, Critic
from uphill.trajectory import Array, Scalar

Network = TypeVar("Network")


def fit(
    settings: ValueFunction, critic: Critic, optimizer_state: PyTree, batch: Batch
) -> tuple[Critic, PyTree]:
    """`num_steps` steps of V down the mean squared error of the whole batch.

    Σ ½ (V(s) − G)² / n
    """

    def loss(critic: Critic, samples: Batch) -> tuple[Float[Array, ""], None]:
        error = critic(samples.features) - samples.target
        return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), None

    def gradient(critic: Critic, step: Array) -> Critic:
        return _mean(accumulate(loss, critic, batch)[0], batch)

    return _descend(settings, gradient, critic, optimizer_state)


def fit_action_value(
    settings: ActionValue, action_critic: ActionCritic, optimizer_state: PyTree, batch: Batch
) -> tuple[ActionCritic, PyTree]:
    """`num_steps` steps of Q down the mean squared error of the whole batch.

    Σ ½ (Q(s, a) − G)² / n
    """

    def loss(action_critic: ActionCritic, samples: Batch) -> tuple[Float[Array, ""], None]:
        assert samples.action_target is not None
        error = action_critic(samples.features, samples.action) - samples.action_target
        return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), None

    def gradient(action_critic: ActionCritic, step: Array) -> ActionCritic:
        return _mean(accumulate(loss, action_critic, batch)[0], batch)

    return _descend(settings, gradient, action_critic, optimizer_state)


def _mean(gradient: Network, batch: Batch) -> Network:
    return jax.tree.map(lambda x: x / jnp.maximum(batch.mask.sum(), 1), gradient)


def _descend(
    settings: ValueFunction | ActionValue,
    gradient: Callable[[Network, Array], Network],
    network: Network,
    optimizer_state: PyTree,
) -> tuple[Network, PyTree]:
    assert settings.optimizer is not None
    optimizer, transform = settings.optimizer, settings.optimizer.transform()
    parameters, unflatten = as_seen_by(optimizer, network)

    def step(k: Array, carry: tuple) -> tuple:
        parameters, state = carry
        slope, _ = as_seen_by(optimizer, gradient(unflatten(parameters), k))
        updates, state = transform.update(slope, state, parameters)
        return optax.apply_updates(parameters, updates), state

    carry = (parameters, optimizer_state)
    parameters, state = jax.lax.fori_loop(0, settings.num_steps, step, carry)
    return unflatten(parameters), state


# --- from a memory ------------------------------------------------------------------------------


class Memory(eqx.Module):
    """The last `C` transitions, as a ring: the k-th that was ever seen lies at k mod C.

    Observations are encoded, but not normalised: their scale changes while they wait.
    """

    observation: Float[Array, "C D"]
    next_observation: Float[Array, "C D"]
    reward: Float[Array, " C"]
    terminated: Bool[Array, " C"]
    reward_to_go: Float[Array, " C"]
    count: UInt32[Array, ""]
    """transitions seen so far"""


def empty_memory(capacity: int, num_features: int) -> Memory:
    """A memory of nothing."""
    rows, numbers = np.zeros((capacity, num_features), np.float32), np.zeros(capacity, np.float32)
    return Memory(rows, rows, numbers, np.zeros(capacity, bool), numbers, np.zeros((), np.uint32))


def with_transitions(memory: Memory, rows: PyTree[Array], mask: Bool[Array, "T N"]) -> Memory:
    """The memory after a trajectory. `rows` are its fields but `count`, `[T, N, …]` each; of more
    transitions than there is room for, the last stay."""
    capacity = memory.reward.shape[0]
    valid = mask.ravel()
    order = jnp.cumsum(valid) - 1
    stays = valid & (order >= valid.sum() - capacity)
    # Out of bounds is dropped, and no slot is written twice.
    slot = jnp.where(stays, (memory.count + order.astype(jnp.uint32)) % capacity, capacity)

    def write(old: Array, new: Array) -> Array:
        return jnp.asarray(old).at[slot].set(new.reshape(-1, *old.shape[1:]), mode="drop")

    old = (
        memory.observation,
        memory.next_observation,
        memory.reward,
        memory.terminated,
        memory.reward_to_go,
    )
    written = jax.tree.map(write, old, rows)
    return Memory(*written, count=memory.count + valid.sum(dtype=jnp.uint32))


def fit_from_memory(
    settings: ValueFunction,
    critic: Critic,
    optimizer_state: PyTree,
    memory: Memory,
    normalized: Callable[[Array], Array],
    gamma: Scalar,
    key: PRNGKeyArray,
) -> tuple[Critic, PyTree]:
    """`num_steps` steps of V, each on transitions drawn from the memory.

    The TD target r + γ V(s') is that of the V that learns, which it is not differentiated by.
    """
    assert settings.replay is not None
    shape = (settings.replay.num_samples,)
    filled = jnp.minimum(memory.count, memory.reward.shape[0])

    def gradient(critic: Critic, step: Array) -> Critic:
        i = jax.random.randint(jax.random.fold_in(key, step), shape, 0, jnp.maximum(filled, 1))
        if settings.targets == "td":
            following = critic(normalized(jnp.asarray(memory.next_observation)[i]))
            following = jnp.where(jnp.asarray(memory.terminated)[i], 0.0, following)
            target = jnp.asarray(memory.reward)[i] + gamma * following
        else:
            target = jnp.asarray(memory.reward_to_go)[i]
        features = normalized(jnp.asarray(memory.observation)[i])

        def loss(critic: Critic) -> Float[Array, ""]:
            return 0.5 * ((critic(features) - target) ** 2).mean()

        return jax.grad(loss)(critic)

    return _descend(settings, gradient, critic, optimizer_state)
