"""Fitting a learned baseline, V(s), with an optimiser of its own."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, PyTree

from uphill.learning.gradient import Batch, accumulate
from uphill.learning.parts import ValueFunction
from uphill.policies.policy import Critic
from uphill.trajectory import Array


def squared_error(critic: Critic, samples: Batch) -> tuple[Float[Array, ""], dict]:
    """Σ ½ (V(s) − G)² over the valid samples."""
    error = critic(samples.features) - samples.target
    return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), {}


def fit(
    settings: ValueFunction, critic: Critic, optimizer_state: PyTree, batch: Batch
) -> tuple[Critic, PyTree]:
    """`num_steps` steps down the mean squared error of the whole batch."""
    assert settings.optimizer is not None
    transform = settings.optimizer.transform()
    count = jnp.maximum(batch.mask.sum(), 1)

    def step(_: Array, carry: tuple) -> tuple:
        critic, state = carry
        gradient, _ = accumulate(squared_error, critic, batch)
        gradient = jax.tree.map(lambda g: g / count, gradient)
        updates, state = transform.update(gradient, state, critic)
        return optax.apply_updates(critic, updates), state

    return jax.lax.fori_loop(0, settings.num_steps, step, (critic, optimizer_state))
