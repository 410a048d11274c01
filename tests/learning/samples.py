"""A batch of random samples, and what its filled part holds."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from uphill.batch import Batch
from uphill.parts import Served
from uphill.trajectory import Trajectory


def samples_of(generator: np.random.Generator) -> Batch:
    """Two blocks of six; the second is not all valid, a third not filled."""
    shape = (3, 6)
    numbers = [jnp.asarray(generator.normal(size=shape), jnp.float32) for _ in range(4)]
    features = jnp.asarray(generator.normal(size=(*shape, 3)), jnp.float32)
    action = jnp.asarray(generator.integers(0, 2, shape))
    mask = jnp.asarray(np.arange(18).reshape(shape) < 10)
    old_log_prob, advantage, target, q_target = numbers
    rows = (features, action, old_log_prob, advantage, target, mask, q_target)
    return Batch(*rows, num_blocks=jnp.int32(2))


def valid(batch: Batch, x: Any) -> np.ndarray:
    return np.asarray(x)[:2][np.asarray(batch.mask)[:2]]


def served_of(batch: Batch, scale: float = 1.0) -> Served:
    """The batch after it has served; networks see observations times `scale`. No step of its
    trajectory counts, so that a memory stays as it is."""
    zeros, never = jnp.zeros((2, 1)), jnp.zeros((2, 1), bool)
    observation = jnp.zeros((2, 1, 3))
    rows = (observation, observation[0], zeros, zeros, zeros, never, never, never)
    return Served(Trajectory(*rows), batch, 0.9, lambda x: x, lambda x: scale * x)
