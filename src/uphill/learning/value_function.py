"""Fitting a learned baseline, V(s), with an optimiser of its own."""

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PyTree

from uphill.learning.gradient import Batch, accumulate
from uphill.learning.parts import ValueFunction
from uphill.policies.policy import Critic
from uphill.trajectory import Array


def squared_error(critic: Critic, samples: Batch) -> tuple[Float[Array, ""], None]:
    """Σ ½ (V(s) − G)² over the valid samples."""
    error = critic(samples.features) - samples.target
    return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), None


def fit(
    settings: ValueFunction, critic: Critic, optimizer_state: PyTree, batch: Batch
) -> tuple[Critic, PyTree]:
    """`num_steps` steps down the mean squared error of the whole batch."""
    assert settings.optimizer is not None
    transform = settings.optimizer.transform()
    count = jnp.maximum(batch.mask.sum(), 1)
    parameters, unflatten = ravel_pytree(critic)

    def step(_: Array, carry: tuple) -> tuple:
        parameters, state = carry
        gradient, _ = accumulate(squared_error, unflatten(parameters), batch)
        updates, state = transform.update(ravel_pytree(gradient)[0] / count, state, parameters)
        return optax.apply_updates(parameters, updates), state

    carry = (parameters, optimizer_state)
    parameters, state = jax.lax.fori_loop(0, settings.num_steps, step, carry)
    return unflatten(parameters), state
