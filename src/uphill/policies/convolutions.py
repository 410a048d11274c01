"""Convolutions: layers that suit the size of an image, and hidden layers on top of them."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from uphill.errors import UphillError
from uphill.policies.images import Image
from uphill.policies.networks import (
    ACTIVATIONS,
    MLP,
    check_activation,
    linear,
    mlp,
    orthogonal,
    over_vectors,
    with_arrays,
)
from uphill.trajectory import Array
from uphill.words import listed


def _sizes(given: Any) -> Any:
    """One number for each layer; what is no sequence is refused later."""
    return tuple(given) if isinstance(given, Iterable) else (given,)


class Convolution(eqx.Module):
    """Convolutional layers of these sizes before the hidden ones, for observations that are images
    or have some.

    Reference: Mnih et al. (2015), https://doi.org/10.1038/nature14236
    """

    filters: tuple[int, ...] = eqx.field(static=True, converter=_sizes, default=(32, 64, 64))
    """Channels that each layer gives."""
    kernels: tuple[int, ...] = eqx.field(static=True, converter=_sizes, default=(8, 4, 3))
    """Height and width, in pixels, that each layer looks at."""
    strides: tuple[int, ...] = eqx.field(static=True, converter=_sizes, default=(4, 2, 1))
    """Pixels from one look to the next."""
    units: int = eqx.field(static=True, default=0)
    """Units of a layer that takes all that the last one gives of an image; 0 for none."""
    activation: str | None = eqx.field(static=True, default=None)
    """Activation of these layers; by default that of the hidden ones."""

    def __check_init__(self) -> None:
        usual = {field.name: field.default for field in fields(self)}
        for name in ("filters", "kernels", "strides"):
            given = getattr(self, name)
            if not given or not all(isinstance(x, int | np.integer) and x >= 1 for x in given):
                raise UphillError(
                    f"{name} is {given}: give every layer a whole number of at least 1, as in "
                    f"{usual[name]}."
                )
            if len(given) != len(self.filters):
                raise UphillError(
                    f"{name} is {given}: give as many numbers as filters has, {len(self.filters)}."
                )
        if not isinstance(self.units, int | np.integer) or self.units < 0:
            raise UphillError(f"units is {self.units}: use 0 for no such layer, or more.")
        if self.activation is not None:
            check_activation(self.activation)

    def __str__(self) -> str:
        filters = listed([str(number) for number in self.filters])
        units = f" and {self.units} units" if self.units else ""
        return f"convolutions of {filters} filters{units}"

    def fitting(self, image: Image) -> "Convolution":
        """These layers, if the image is large enough.

        Raises:
            UphillError: if it is too small for the kernels.
        """
        if min(map(self.output_size, (image.height, image.width))) < 1:
            raise UphillError(
                f"convolution has kernels {self.kernels} and strides {self.strides}: an image of "
                f"shape {image.shape} is too small for them, so use smaller or fewer ones."
            )
        return self

    def output_size(self, size: int) -> int:
        """What is left of a height or width; below 1 if the image is too small."""
        for kernel, stride in zip(self.kernels, self.strides, strict=True):
            size = (size - kernel) // stride + 1 if size >= kernel else 0
        return size


class AutoConvolution(eqx.Module):
    """Convolutional layers that suit the size of each image: those of Mnih et al. (2015) where it
    has 64 pixels a side or more, smaller ones where it has less; none where there is no image."""

    def fitting(self, image: Image) -> Convolution:
        """The layers for an image of this size."""
        side = min(image.height, image.width)
        if side >= 64:
            return Convolution(units=512, activation="relu")
        if side >= 20:
            return Convolution((16, 32), (4, 3), (2, 2), 128, "relu")
        if side >= 5:
            return Convolution((16, 32), (3, 3), (1, 1), 128, "relu")
        return Convolution((16,), (side,), (1,), 128, "relu")


class ConvolutionalTrunk(eqx.Module):
    """Hidden layers over features of which some are images, and these go through convolutions.

    What comes of the images is followed by all other features, in their order. The layers of all
    images are in one row: those of the first, then those of the next.
    """

    layers: tuple[eqx.nn.Conv2d, ...]
    units: tuple[eqx.nn.Linear, ...]
    """one for each image, or none"""
    hidden: MLP
    images: tuple[Image, ...] = eqx.field(static=True)
    convolutions: tuple[Convolution, ...] = eqx.field(static=True)
    """what the layers of each image are"""

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return self.hidden(over_vectors(self._seen, x))

    def _seen(self, x: Float[jax.Array, " inputs"]) -> Float[jax.Array, " features"]:
        """What the hidden layers get to see."""
        layers, units, start = iter(self.layers), iter(self.units), 0
        seen, others = [], []
        for image, convolution in zip(self.images, self.convolutions, strict=True):
            activation = ACTIVATIONS[convolution.activation or self.hidden.activation]
            pixels = image.among(x)
            for _ in convolution.filters:
                pixels = activation(convolved(next(layers), pixels))
            flat = pixels.ravel()
            seen.append(activation(next(units)(flat)) if convolution.units else flat)
            others.append(x[start : image.start])
            start = image.stop
        parts = [part for part in (*seen, *others, x[start:]) if part.size]
        return jnp.concatenate(parts) if len(parts) > 1 else parts[0]


def convolutional(
    convolution: Convolution | AutoConvolution,
    images: tuple[Image, ...],
    num_features: int,
    sizes: tuple[int, ...],
    activation: str,
    generator: np.random.Generator,
) -> tuple[ConvolutionalTrunk, int]:
    """A convolutional trunk, orthogonal like the rest, and how many hidden units it gives; `sizes`
    are those of the hidden layers.

    Raises:
        UphillError: if an image is too small for the kernels.
    """
    convolutions = tuple(convolution.fitting(image) for image in images)
    layers, units = [], []
    inputs = num_features - sum(image.size for image in images)
    for image, kind in zip(images, convolutions, strict=True):
        channels = image.channels
        for each in zip(kind.filters, kind.kernels, kind.strides, strict=True):
            layers.append(_conv2d(channels, *each, generator))
            channels = each[0]
        size = channels * kind.output_size(image.height) * kind.output_size(image.width)
        if kind.units:
            units.append(linear(size, kind.units, 2.0**0.5, generator))
        inputs += kind.units or size
    sizes = (inputs, *sizes)
    hidden = mlp(sizes, activation, generator)
    return ConvolutionalTrunk(tuple(layers), tuple(units), hidden, images, convolutions), sizes[-1]


def _conv2d(
    inputs: int, outputs: int, kernel: int, stride: int, generator: np.random.Generator
) -> eqx.nn.Conv2d:
    skeleton = eqx.filter_eval_shape(
        lambda: eqx.nn.Conv2d(inputs, outputs, kernel, stride, key=jax.random.key(0))
    )
    weight = 2.0**0.5 * orthogonal(outputs, inputs * kernel**2, generator)
    shape = (outputs, inputs, kernel, kernel)
    return with_arrays(skeleton, weight.reshape(shape), np.zeros((outputs, 1, 1)))


# --- one layer ----------------------------------------------------------------------------------


def convolved(
    layer: eqx.nn.Conv2d, image: Float[jax.Array, "channels height width"]
) -> Float[jax.Array, "filters rows columns"]:
    """What a layer makes of an image. On a CPU it is `by_blocks`: XLA's own convolution is twenty
    times slower there in a loop, and whatever learns is one."""
    if jax.default_backend() == "cpu":
        return by_blocks(layer, image)
    return layer(image)


def by_blocks(
    layer: eqx.nn.Conv2d, image: Float[jax.Array, "channels height width"]
) -> Float[jax.Array, "filters rows columns"]:
    """The same convolution as one product of matrices.

    An image in blocks of `stride` × `stride` pixels, each block one long pixel, is convolved with a
    stride of 1: the blocks that a kernel covers lie side by side in a row of the first matrix.
    """
    weight, bias, stride = layer.weight, jnp.asarray(layer.bias), layer.stride[0]
    filters, channels, kernel, _ = weight.shape
    across = -(-kernel // stride)  # blocks that a kernel covers; beyond it its weights are 0
    rows, columns = ((size - kernel) // stride + 1 for size in image.shape[1:])
    down, right = rows + across - 1, columns + across - 1
    image = image[:, : stride * down, : stride * right]
    below, beside = stride * down - image.shape[1], stride * right - image.shape[2]
    blocks = jnp.pad(image, [(0, 0), (0, below), (0, beside)])
    blocks = blocks.reshape(channels, down, stride, right, stride)
    blocks = blocks.transpose(1, 3, 0, 2, 4).reshape(down, right, -1)
    offsets = [(i, j) for i in range(across) for j in range(across)]
    covered = jnp.concatenate([blocks[i : i + rows, j : j + columns] for i, j in offsets], -1)
    beyond = (0, stride * across - kernel)
    weight = jnp.pad(weight, [(0, 0), (0, 0), beyond, beyond])
    weight = weight.reshape(filters, channels, across, stride, across, stride)
    matrix = weight.transpose(2, 4, 1, 3, 5, 0).reshape(-1, filters)
    made = jnp.moveaxis(covered @ matrix, -1, 0)
    return made + jnp.broadcast_to(bias, made.shape)
