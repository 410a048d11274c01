"""A memory of past transitions, from which a value function learns off-policy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PyTree, UInt32

from uphill.trajectory import Array


class Memory(eqx.Module):
    """A ring buffer of the last `C` transitions: the k-th transition lies at k mod C.

    Observations are encoded, but not normalised, since the normaliser changes while they are
    stored.
    """

    observation: Float[Array, "C D"]
    next_observation: Float[Array, "C D"]
    reward: Float[Array, " C"]
    terminated: Bool[Array, " C"]
    reward_to_go: Float[Array, " C"]
    count: UInt32[Array, ""]
    """transitions seen so far; from 2³¹ on, less a multiple of C"""


def empty_memory(capacity: int, num_features: int) -> Memory:
    """An empty memory."""
    rows, numbers = np.zeros((capacity, num_features), np.float32), np.zeros(capacity, np.float32)
    return Memory(rows, rows, numbers, np.zeros(capacity, bool), numbers, np.zeros((), np.uint32))


def with_transitions(memory: Memory, rows: PyTree[Array], mask: Bool[Array, "T N"]) -> Memory:
    """The memory after a trajectory. `rows` are its fields except `count`, each `[T, N, …]`; if
    there are more transitions than fit, the last ones are kept."""
    capacity = memory.reward.shape[0]
    valid = mask.ravel()
    order = jnp.cumsum(valid) - 1
    stays = valid & (order >= valid.sum() - capacity)
    # Indices out of bounds are dropped, so no slot is written twice.
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
    count = memory.count + valid.sum(dtype=jnp.uint32)
    is_small = count < np.uint32(2**31)
    return Memory(*written, count=jnp.where(is_small, count, capacity + count % capacity))
