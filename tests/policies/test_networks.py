"""Networks: how they start, and what they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.errors import UphillError
from uphill.policies.networks import (
    ACTIVATIONS,
    Convolution,
    ConvolutionalTrunk,
    channels_first,
    convolutional,
    linear,
    mlp,
    orthogonal,
)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (1, 4), (64, 64)])
def test_orthogonal_matrices_are(shape: tuple[int, int]) -> None:
    matrix = orthogonal(*shape, np.random.default_rng(0))
    assert matrix.shape == shape
    gram = matrix @ matrix.T if shape[0] <= shape[1] else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(min(shape)), atol=1e-12)


def test_orthogonal_matrices_are_uniform() -> None:
    # Without the correction of signs, QR favours some: the diagonal would not average to 0.
    rng = np.random.default_rng(1)
    corner = [orthogonal(3, 3, rng)[0, 0] for _ in range(2000)]
    assert abs(np.mean(corner)) < 4 * np.std(corner) / 2000**0.5
    assert np.var(corner) == pytest.approx(1 / 3, rel=0.1)


def test_layers_start_orthogonal_with_their_gains_and_without_bias() -> None:
    generator = np.random.default_rng(0)
    hidden = mlp((6, 8, 8), "tanh", generator).layers
    layers = (*hidden, linear(8, 3, 0.01, generator))
    for layer, gain in zip(layers, (2**0.5, 2**0.5, 0.01), strict=True):
        singular = np.linalg.svd(layer.weight, compute_uv=False)
        np.testing.assert_allclose(singular, gain, rtol=1e-5)
        assert (np.asarray(layer.bias) == 0).all()
        assert layer.weight.dtype == layer.bias.dtype == np.float32


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_network_is_its_formula(activation: str) -> None:
    network = mlp((4, 5, 2), activation, np.random.default_rng(0))
    x = np.random.default_rng(1).normal(size=(3, 2, 4)).astype(np.float32)
    hidden = jnp.asarray(x)
    for layer in network.layers:
        hidden = ACTIVATIONS[activation](hidden @ layer.weight.T)
    np.testing.assert_allclose(network(x), hidden, rtol=1e-4, atol=1e-6)


def test_without_hidden_layers_it_is_the_identity() -> None:
    x = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(mlp((4,), "tanh", np.random.default_rng(0))(x), x)


def test_seeds_decide_the_weights() -> None:
    a, b, c = (mlp((3, 4, 2), "tanh", np.random.default_rng(seed)) for seed in (0, 0, 1))
    same = jax.tree.map(np.array_equal, a, b)
    assert all(jax.tree.leaves(same))
    assert not np.allclose(a.layers[0].weight, c.layers[0].weight)


def test_leaves_are_arrays_only() -> None:
    network = mlp((3, 4, 2), "relu", np.random.default_rng(0))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(network))


# --- convolutions -------------------------------------------------------------------------------

SMALL = Convolution(filters=(4, 5), kernels=(3, 2), strides=(2, 1))


def small_trunk(
    shape: tuple[int, int, int], num_others: int = 0, hidden: tuple[int, ...] = (6,)
) -> tuple[ConvolutionalTrunk, int]:
    generator = np.random.default_rng(0)
    trunk, size = convolutional(SMALL, shape, num_others, hidden, "relu", generator)
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
        Convolution(), (4, 84, 84), 0, (512,), "relu", np.random.default_rng(0)
    )
    assert size == 512
    assert trunk.hidden.layers[0].weight.shape == (512, 3136)  # that of Mnih et al.
    for layer in trunk.layers:
        weight = layer.weight.reshape(len(layer.weight), -1)
        np.testing.assert_allclose(weight @ weight.T, 2 * np.eye(len(weight)), atol=1e-5)
        assert not layer.bias.any()
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(trunk))


@pytest.mark.parametrize(
    ("shape", "is_first"),
    [((3, 84, 84), True), ((84, 84, 3), False), ((4, 8, 9), True), ((210, 160, 3), False)],
)
def test_channels_are_the_smallest_axis(shape: tuple[int, int, int], is_first: bool) -> None:
    assert channels_first(shape) == is_first


@pytest.mark.parametrize("shape", [(1, 4, 40), (40, 4, 1), (3, 2, 2)], ids=str)
def test_an_image_too_small_for_the_kernels_is_refused(shape: tuple[int, int, int]) -> None:
    match = r"^convolution has kernels \(3, 2\) and strides .* too small for them, so use .*\.$"
    with pytest.raises(UphillError, match=match):
        small_trunk(shape)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"filters": ()}, r"filters is \(\): give every layer a number of at least 1"),
        ({"kernels": (8, 0, 3)}, r"kernels is \(8, 0, 3\): give every layer .*"),
        ({"strides": (1,)}, r"strides is \(1,\): give as many numbers as filters has, 3"),
    ],
)
def test_convolutions_that_mean_nothing_are_refused(settings: dict, sentence: str) -> None:
    with pytest.raises(UphillError, match=rf"^{sentence}\.$"):
        Convolution(**settings)
