"""Samples without a time axis; sums over them and their gradients, block by block where a batch is
only partly filled."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, PyTree, Shaped

from uphill.devices import added_up, own_share, sums_are_divided
from uphill.trajectory import Array, divided

Networks = TypeVar("Networks")


class Batch(eqx.Module):
    """Samples without time: `K` blocks of `B`. Only the first `num_blocks` blocks are filled (all
    of them where it is None), and only they are computed."""

    features: Float[Array, "K B D"]
    action: Shaped[Array, "K B ..."]
    old_log_prob: Float[Array, "K B"]
    advantage: Float[Array, "K B"]
    target: Float[Array, "K B"]
    """the target of the baseline, scaled; without a learned one, the return"""
    mask: Bool[Array, "K B"]
    estimator_target: Float[Array, "K B"] | None = None
    """the target of a learned estimator"""
    num_blocks: Int[Array, ""] | None = None


def summed(function: Callable[[Batch], PyTree], batch: Batch) -> PyTree:
    """Σ function(block) over the filled blocks; `function` gets samples without their axis. Where
    several devices learn, each computes its share."""
    if not sums_are_divided():
        return _summed(function, batch)
    return added_up(_summed(function, _own(batch)))


def _summed(function: Callable[[Batch], PyTree], batch: Batch) -> PyTree:
    if batch.num_blocks is None and batch.mask.shape[0] == 1:
        return function(block_of(batch, 0))

    def add(k: Array, so_far: PyTree) -> PyTree:
        return jax.tree.map(jnp.add, so_far, function(block_of(batch, k)))

    shapes = jax.eval_shape(function, block_of(batch, 0))
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    filled = batch.mask.shape[0] if batch.num_blocks is None else batch.num_blocks
    return lax.fori_loop(0, filled, add, zeros)


def averaged(function: Callable[[Batch], PyTree], batch: Batch) -> PyTree:
    """The mean over the valid samples, from the sums that `function` returns for each block."""
    count = jnp.maximum(batch.mask.sum(), 1)
    return jax.tree.map(lambda total: divided(total, count), summed(function, batch))


def mean_of(function: Callable[[Batch], PyTree], batch: Batch) -> PyTree:
    """The mean over the valid samples of `function`, which returns a number for each."""

    def sums(samples: Batch) -> PyTree:
        valid = samples.mask
        return jax.tree.map(lambda x: jnp.where(valid, x, 0.0).sum(), function(samples))

    return averaged(sums, batch)


def accumulate(
    total: Callable[[Networks, Batch], tuple[Float[Array, ""], PyTree]],
    model: Networks,
    batch: Batch,
) -> tuple[Networks, PyTree]:
    """The gradient of `total(model, samples)[0]`, a sum over samples, for the whole batch; and the
    sum of its second result."""
    gradient = jax.grad(total, has_aux=True)
    return summed(lambda samples: gradient(model, samples), batch)


def _own(batch: Batch) -> Batch:
    """The rows of every block that this device sums up."""
    rows, is_own = own_share(replace(batch, num_blocks=None), batch.mask.shape[1])
    return replace(rows, mask=rows.mask & is_own[None], num_blocks=batch.num_blocks)


def block_of(batch: Batch, k: Any) -> Batch:
    """One block, without its axis."""
    rows = replace(batch, num_blocks=None)
    return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, k, 0, keepdims=False), rows)


def in_blocks(
    function: Callable[..., Array],
    rows: tuple[Shaped[Array, "K B ..."], ...],
    num_blocks: Array | None,
) -> Float[Array, "K B ..."]:
    """`function(*rows)` of every filled block; 0 in the others."""
    if num_blocks is None:
        return function(*rows)
    shape = jax.eval_shape(function, *rows)

    def block(k: Array, out: Array) -> Array:
        return lax.dynamic_update_index_in_dim(out, function(*(x[k] for x in rows)), k, 0)

    return lax.fori_loop(0, num_blocks, block, jnp.zeros(shape.shape, shape.dtype))
