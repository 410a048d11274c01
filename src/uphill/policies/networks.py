"""Networks. Their leaves are arrays only: `jit`, `grad` and `vmap` take them as they are.

A network is a trunk, which turns features into hidden units, and linear heads on top of it.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod
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


def over_vectors(
    layer: Callable[[jax.Array], jax.Array], x: Float[Array, "*batch inputs"]
) -> Float[Array, "*batch outputs"]:
    """`layer`, a function of one vector, of every vector along the last axis."""
    return jnp.vectorize(layer, signature="(i)->(o)")(x)


# --- multilayer perceptrons ---------------------------------------------------------------------


class MLP(eqx.Module):
    """The hidden layers of a multilayer perceptron, over any leading axes.

    h ← activation(W h + b) for every layer; without any, it is the identity.
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return over_vectors(self.one, x) if self.layers else x

    def one(self, x: Float[jax.Array, " inputs"]) -> Float[jax.Array, " outputs"]:
        """The hidden units of a single vector."""
        for layer in self.layers:
            x = ACTIVATIONS[self.activation](layer(x))
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
    # The skeleton without its arrays: its own initial weights would be computed and thrown away.
    skeleton = eqx.filter_eval_shape(lambda: eqx.nn.Linear(inputs, outputs, key=jax.random.key(0)))
    weight = gain * orthogonal(outputs, inputs, generator)
    return _with_arrays(skeleton, weight, np.zeros(outputs))


def orthogonal(
    rows: int, columns: int, generator: np.random.Generator
) -> Float[np.ndarray, "rows columns"]:
    """A random matrix with orthonormal rows (or columns, if it has more rows), uniformly."""
    tall = generator.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T


Layer = TypeVar("Layer", eqx.nn.Linear, eqx.nn.Conv2d)


def _with_arrays(skeleton: Layer, weight: np.ndarray, bias: np.ndarray) -> Layer:
    arrays = (weight.astype(np.float32), bias.astype(np.float32))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), skeleton, arrays)


# --- convolutions -------------------------------------------------------------------------------


class Convolution(eqx.Module):
    """Convolutional layers before the hidden ones, for observations that are one image.

    Reference: Mnih et al. (2015), https://doi.org/10.1038/nature14236
    """

    filters: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(32, 64, 64))
    """Channels that each layer gives."""
    kernels: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(8, 4, 3))
    """Height and width, in pixels, that each layer looks at."""
    strides: tuple[int, ...] = eqx.field(static=True, converter=tuple, default=(4, 2, 1))
    """Pixels from one look to the next."""

    def __check_init__(self) -> None:
        for name in ("filters", "kernels", "strides"):
            given = getattr(self, name)
            if not given or any(number < 1 for number in given):
                raise UphillError(f"{name} is {given}: give every layer a number of at least 1.")
            if len(given) != len(self.filters):
                raise UphillError(
                    f"{name} is {given}: give as many numbers as filters has, {len(self.filters)}."
                )

    def output_size(self, size: int) -> int:
        """What is left of a height or width; below 1 if the image is too small."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            size = (size - kernel) // stride + 1 if size >= kernel else 0
        return size


class ConvolutionalTrunk(eqx.Module):
    """Convolutions over an image, given as flat features, then hidden layers.

    Features beyond those of the image join after the convolutions.
    """

    layers: tuple[eqx.nn.Conv2d, ...]
    hidden: MLP
    shape: tuple[int, int, int] = eqx.field(static=True)
    activation: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return over_vectors(self._one, x)

    def _one(self, x: Float[jax.Array, " inputs"]) -> Float[jax.Array, " outputs"]:
        size = prod(self.shape)
        image = x[:size].reshape(self.shape)
        if not channels_first(self.shape):
            image = jnp.moveaxis(image, -1, 0)
        for layer in self.layers:
            image = ACTIVATIONS[self.activation](layer(image))
        flat = image.ravel()
        return self.hidden.one(jnp.concatenate([flat, x[size:]]) if x.size > size else flat)


def channels_first(shape: tuple[int, int, int]) -> bool:
    """Whether an image of this shape is (channels, height, width), since its first axis is the
    smallest; else it is (height, width, channels)."""
    return shape[0] < min(shape[1:])


def convolutional(
    convolution: Convolution,
    shape: tuple[int, int, int],
    num_others: int,
    sizes: tuple[int, ...],
    activation: str,
    generator: np.random.Generator,
) -> tuple[ConvolutionalTrunk, int]:
    """A convolutional trunk, orthogonal like the rest, and how many hidden units it gives; `sizes`
    are those of the hidden layers.

    Raises:
        UphillError: if the image is too small for the kernels.
    """
    channels, height, width = shape if channels_first(shape) else (shape[2], *shape[:2])
    height, width = convolution.output_size(height), convolution.output_size(width)
    if min(height, width) < 1:
        raise UphillError(
            f"convolution has kernels {convolution.kernels} and strides {convolution.strides}: "
            f"an image of shape {shape} is too small for them, so use smaller or fewer ones."
        )
    layers, inputs = [], channels
    for filters, kernel, stride in zip(
        convolution.filters, convolution.kernels, convolution.strides, strict=True
    ):
        layers.append(_conv2d(inputs, filters, kernel, stride, generator))
        inputs = filters
    sizes = (inputs * height * width + num_others, *sizes)
    hidden = mlp(sizes, activation, generator)
    return ConvolutionalTrunk(tuple(layers), hidden, shape, activation), sizes[-1]


def _conv2d(
    inputs: int, outputs: int, kernel: int, stride: int, generator: np.random.Generator
) -> eqx.nn.Conv2d:
    skeleton = eqx.filter_eval_shape(
        lambda: eqx.nn.Conv2d(inputs, outputs, kernel, stride, key=jax.random.key(0))
    )
    weight = 2.0**0.5 * orthogonal(outputs, inputs * kernel**2, generator)
    shape = (outputs, inputs, kernel, kernel)
    return _with_arrays(skeleton, weight.reshape(shape), np.zeros((outputs, 1, 1)))
