"""Convolutions: what they compute, how they start, and which suit an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.errors import UphillError
from uphill.policies.convolutions import (
    AutoConvolution,
    Convolution,
    ConvolutionalTrunk,
    by_blocks,
    convolutional,
)
from uphill.policies.images import Image, rows_axis

SMALL = Convolution(filters=(4, 5), kernels=(3, 2), strides=(2, 1))


def one_image(shape: tuple[int, ...], start: int = 0) -> Image:
    return Image(start, shape, rows_axis(shape))


def small_trunk(
    shape: tuple[int, int, int], num_others: int = 0, hidden: tuple[int, ...] = (6,)
) -> tuple[ConvolutionalTrunk, int]:
    generator, image = np.random.default_rng(0), one_image(shape)
    size = image.size + num_others
    trunk, size = convolutional(SMALL, (image,), size, hidden, "relu", generator)
    noise = jax.tree.map(lambda x: x + generator.normal(size=x.shape).astype(np.float32), trunk)
    return noise, size


def convolved(image: np.ndarray, weight: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """The definition: [channels, height, width] in and out."""
    _, _, k, _ = weight.shape
    rows = range(0, image.shape[1] - k + 1, stride)
    columns = range(0, image.shape[2] - k + 1, stride)
    patches = [[image[:, i : i + k, j : j + k] for j in columns] for i in rows]
    return np.maximum(np.einsum("ijchw,ochw->oij", np.array(patches), weight) + bias, 0)


@pytest.mark.parametrize("shape", [(2, 9, 8), (9, 8, 2)], ids=str)
@pytest.mark.parametrize("num_others", [0, 3])
def test_a_convolutional_trunk_is_its_definition(
    shape: tuple[int, int, int], num_others: int
) -> None:
    trunk, size = small_trunk(shape, num_others)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 3, 144 + num_others)).astype(np.float32)
    found = np.asarray(trunk(x))
    assert found.shape == (2, 3, size) == (2, 3, 6)
    image = x[1, 2, :144].reshape(shape)
    if shape[-1] == 2:
        image = image.transpose(2, 0, 1)
    for layer, stride in zip(trunk.layers, SMALL.strides, strict=True):
        image = convolved(image, layer.weight, layer.bias, stride)
    flat = np.concatenate([image.ravel(), x[1, 2, 144:]])
    layer = trunk.hidden.layers[0]
    expected = np.maximum(layer.weight @ flat + layer.bias, 0)
    np.testing.assert_allclose(found[1, 2], expected, rtol=1e-4, atol=1e-4)


def test_a_convolutional_trunk_is_that_of_lax() -> None:
    trunk, size = small_trunk((2, 9, 8), hidden=())
    x = np.random.default_rng(1).normal(size=(5, 144)).astype(np.float32)
    image = jnp.asarray(x.reshape(5, 2, 9, 8))
    for layer, stride in zip(trunk.layers, SMALL.strides, strict=True):
        image = jax.lax.conv(image, layer.weight, (stride, stride), "VALID")
        image = jax.nn.relu(image + jnp.broadcast_to(layer.bias, image.shape))
    assert size == image[0].size
    np.testing.assert_allclose(trunk(x), image.reshape(5, -1), rtol=1e-4, atol=1e-5)


def test_convolutions_start_orthogonal_without_bias() -> None:
    trunk, size = convolutional(
        Convolution(),
        (one_image((4, 84, 84)),),
        4 * 84 * 84,
        (512,),
        "relu",
        np.random.default_rng(0),
    )
    assert size == 512
    assert trunk.hidden.layers[0].weight.shape == (512, 3136)  # that of Mnih et al.
    for layer in trunk.layers:
        weight = layer.weight.reshape(len(layer.weight), -1)
        np.testing.assert_allclose(weight @ weight.T, 2 * np.eye(len(weight)), atol=1e-5)
        assert not layer.bias.any()
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(trunk))


@pytest.mark.parametrize("shape", [(1, 4, 40), (40, 4, 1), (3, 2, 2)], ids=str)
def test_an_image_too_small_for_the_kernels_is_refused(shape: tuple[int, int, int]) -> None:
    match = r"^convolution has kernels \(3, 2\) and strides .* too small for them, so use .*\.$"
    with pytest.raises(UphillError, match=match):
        small_trunk(shape)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"filters": ()},
            r"filters is \(\): give every layer a whole number of at least 1, as in \(32, 64, 64\)",
        ),
        ({"kernels": (8, 0, 3)}, r"kernels is \(8, 0, 3\): give every layer .*"),
        ({"filters": ("a",)}, r"filters is \('a',\): give every layer .*"),
        ({"filters": 32}, r"kernels is \(8, 4, 3\): give as many numbers as filters has, 1"),
        ({"strides": (4.0, 2, 1)}, r"strides is \(4\.0, 2, 1\): give every layer .*"),
        ({"units": -1}, r"units is -1: use 0 for no such layer, or more"),
        ({"activation": "step"}, "activation is 'step': choose one of tanh, .*"),
        ({"strides": (1,)}, r"strides is \(1,\): give as many numbers as filters has, 3"),
    ],
)
def test_convolutions_that_mean_nothing_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UphillError, match=rf"^{sentence}\.$"):
        Convolution(**settings)


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_layer_by_blocks_is_that_of_lax(kernel: int, stride: int) -> None:
    convolution = Convolution(filters=(3,), kernels=(kernel,), strides=(stride,))
    images = (one_image((2, 13, 11)),)
    trunk, _ = convolutional(convolution, images, 286, (), "relu", np.random.default_rng(0))
    layer = jax.tree.map(lambda x: x + np.float32(0.1), trunk.layers[0])
    image = jnp.asarray(np.random.default_rng(1).normal(size=(2, 13, 11)), jnp.float32)

    def score(layer, image, of) -> jax.Array:
        return jnp.sin(of(layer, image)).sum()

    np.testing.assert_allclose(by_blocks(layer, image), layer(image), rtol=1e-4, atol=1e-5)
    ours, lax = (
        jax.grad(score, (0, 1))(layer, image, of)
        for of in (by_blocks, lambda layer, image: layer(image))
    )
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(lax), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("side", [1, 4, 5, 7, 19, 20, 36, 63, 64, 84, 210])
def test_the_layers_fit_images_of_any_size(side: int) -> None:
    image = one_image((side, side + 3, 3))
    convolution = AutoConvolution().fitting(image)
    assert convolution.fitting(image) == convolution
    assert (convolution.filters == (32, 64, 64)) == (side >= 64)  # Nature's
    assert convolution.activation == "relu"


def test_nature_s_trunk_has_its_sizes() -> None:
    images = (one_image((4, 84, 84)),)
    trunk, size = convolutional(
        AutoConvolution(), images, 28_224, (64,), "tanh", np.random.default_rng(0)
    )
    assert size == 64
    shapes = [x.shape for x in jax.tree.leaves((trunk.units, trunk.hidden))]
    assert shapes == [(512, 3136), (512,), (64, 512), (64,)]


def test_several_images_go_through_layers_of_their_own_and_join_the_rest() -> None:
    images = (one_image((6, 5), 2), one_image((4, 7, 3), 33))
    generator = np.random.default_rng(0)
    kind = Convolution((4,), (3,), (1,), units=5, activation="relu")
    trunk, size = convolutional(kind, images, 120, (6,), "tanh", generator)
    assert size == 6
    x = generator.normal(size=120).astype(np.float32)
    alone = [
        convolutional(kind, (one_image(i.shape),), i.size, (), "tanh", np.random.default_rng(0))[0]
        for i in images
    ]
    parts = []
    for k, image in enumerate(images):
        of_image = ConvolutionalTrunk(
            (trunk.layers[k],), (trunk.units[k],), alone[k].hidden, alone[k].images, (kind,)
        )
        parts.append(of_image(x[image.start : image.stop]))
    others = [x[:2], x[32:33], x[33 + 84 :]]
    expected = trunk.hidden(np.concatenate([*parts, *others]))
    np.testing.assert_allclose(trunk(x), expected, rtol=1e-5, atol=1e-6)
