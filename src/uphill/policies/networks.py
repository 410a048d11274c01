"""Networks. All their leaves are arrays: `jit`, `grad` and `vmap` accept them as they are.

A network is a trunk, which turns features into hidden units, and linear heads on top of it.
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from uphill.errors import UphillError
from uphill.trajectory import Array

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}


def check_activation(name: str) -> None:
    """Raises:
    UphillError: if there is no activation of that name.
    """
    if name not in ACTIVATIONS:
        raise UphillError(f"activation is {name!r}: choose one of {', '.join(ACTIVATIONS)}.")


def over_vectors(
    layer: Callable[[jax.Array], jax.Array], x: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch outputs"]:
    """`layer`, a function of one vector, of every vector along the last axis."""
    return jnp.vectorize(layer, signature="(i)->(o)")(x)


def over_columns(
    layer: Callable[[jax.Array], jax.Array], x: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch outputs"]:
    """`layer`, a function of vectors that are the columns of a matrix, of every vector along the
    last axis.

    Weights then multiply from the left, which CPUs do in two thirds of the time.
    """
    y = layer(jnp.asarray(x).reshape(-1, x.shape[-1]).T)
    return y.T.reshape(*x.shape[:-1], y.shape[0])


def affine(
    layer: eqx.nn.Linear, x: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch outputs"]:
    """W x + b of every vector along the last axis."""
    return over_columns(lambda columns: _affine(layer, columns), x)


def _affine(layer: eqx.nn.Linear, x: Float[jax.Array, "inputs B"]) -> Float[jax.Array, "outputs B"]:
    assert layer.bias is not None
    return layer.weight @ x + layer.bias[:, None]


# --- multilayer perceptrons ---------------------------------------------------------------------


class MLP(eqx.Module):
    """The hidden layers of a multilayer perceptron, over any leading axes.

    h ← activation(W h + b) for every layer; without any, it is the identity.
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return over_columns(self._hidden, x) if self.layers else x

    def _hidden(self, x: Float[jax.Array, "inputs B"]) -> Float[jax.Array, "outputs B"]:
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](_affine(layer, x))
        return x


def mlp(sizes: tuple[int, ...], activation: str, generator: np.random.Generator) -> MLP:
    """Hidden layers with orthogonal weights, gain √2, and zero biases; `sizes[0]` inputs.

    Reference: Saxe et al. (2014), https://arxiv.org/abs/1312.6120
    """
    layers = tuple(linear(a, b, 2.0**0.5, generator) for a, b in pairwise(sizes))
    return MLP(layers, activation)


def linear(inputs: int, outputs: int, gain: float, generator: np.random.Generator) -> eqx.nn.Linear:
    """A layer, or a head, with orthogonal weights times `gain` and zero biases.

    NumPy draws them: QR under `vmap` inside a compiled program can wait for itself for ever on a
    CPU, and many small shapes would cost a compilation each.
    """
    weight = gain * orthogonal(outputs, inputs, generator)
    return with_arrays(_skeleton(inputs, outputs), weight, np.zeros(outputs))


@cache  # tracing one takes ten times as long as drawing its weights, and each seed needs some
def _skeleton(inputs: int, outputs: int) -> eqx.nn.Linear:
    """A layer without its arrays: its own initial weights would be computed and thrown away."""
    return eqx.filter_eval_shape(lambda: eqx.nn.Linear(inputs, outputs, key=jax.random.key(0)))


def orthogonal(
    rows: int, columns: int, generator: np.random.Generator
) -> Float[np.ndarray, "rows columns"]:
    """A random matrix with orthonormal rows (or columns, if it has more rows), uniformly."""
    tall = generator.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


Layer = TypeVar("Layer", eqx.nn.Linear, eqx.nn.Conv2d)


def with_arrays(skeleton: Layer, weight: np.ndarray, bias: np.ndarray) -> Layer:
    """The layer with these weights and biases, in 32 bits."""
    arrays = (weight.astype(np.float32), bias.astype(np.float32))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), skeleton, arrays)
