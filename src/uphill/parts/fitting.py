"""Fitting a network by least squares, with its own optimiser."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Float, PyTree

from uphill.batch import Batch, accumulate
from uphill.parts.optimizers import GradientOptimizer
from uphill.trajectory import Array, divided

FittedNetwork = TypeVar("FittedNetwork")


def descend(
    optimizer: GradientOptimizer,
    num_steps: int,
    gradient: Callable[[FittedNetwork, Array], FittedNetwork],
    network: FittedNetwork,
    state: PyTree,
) -> tuple[FittedNetwork, PyTree]:
    """The network and the optimiser's state after `num_steps` steps down the gradient, which is
    `gradient(network, k)` in step k."""
    transform = optimizer.transform()
    parameters, unflatten = optimizer.flattened(network)

    def step(k: Array, carry: tuple) -> tuple:
        parameters, state = carry
        slope, _ = optimizer.flattened(gradient(unflatten(parameters), k))
        updates, state = transform.update(slope, state, parameters)
        return optax.apply_updates(parameters, updates), state

    parameters, state = jax.lax.fori_loop(0, num_steps, step, (parameters, state))
    return unflatten(parameters), state


def least_squares(
    errors: Callable[[FittedNetwork, Batch], Float[Array, " B"]], batch: Batch
) -> Callable[[FittedNetwork, Array], FittedNetwork]:
    """The gradient of the mean squared error of the whole batch: Σ ½ e² / n."""

    def loss(network: FittedNetwork, samples: Batch) -> tuple[Float[Array, ""], None]:
        error = errors(network, samples)
        return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), None

    def gradient(network: FittedNetwork, step: Array) -> FittedNetwork:
        total, _ = accumulate(loss, network, batch)
        return jax.tree.map(lambda x: divided(x, jnp.maximum(batch.mask.sum(), 1)), total)

    return gradient
