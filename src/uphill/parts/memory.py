"""A memory of past transitions, from which a value function learns off-policy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, PyTree, UInt32

from uphill.trajectory import Array


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
    """transitions seen so far; from 2³¹ on fewer, by a multiple of C"""


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
    count = memory.count + valid.sum(dtype=jnp.uint32)
    is_small = count < np.uint32(2**31)
    return Memory(*written, count=jnp.where(is_small, count, capacity + count % capacity))
