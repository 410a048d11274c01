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

Network = TypeVar("Network")


def descend(
    optimizer: GradientOptimizer,
    num_steps: int,
    gradient: Callable[[Network, Array], Network],
    network: Network,
    state: PyTree,
) -> tuple[Network, PyTree]:
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
    errors: Callable[[Network, Batch], Float[Array, " B"]], batch: Batch
) -> Callable[[Network, Array], Network]:
    """The gradient of the mean squared error of the whole batch: Σ ½ e² / n."""

    def loss(network: Network, samples: Batch) -> tuple[Float[Array, ""], None]:
        error = errors(network, samples)
        return jnp.where(samples.mask, 0.5 * error**2, 0.0).sum(), None

    def gradient(network: Network, step: Array) -> Network:
        total, _ = accumulate(loss, network, batch)
        return jax.tree.map(lambda x: divided(x, jnp.maximum(batch.mask.sum(), 1)), total)

    return gradient
