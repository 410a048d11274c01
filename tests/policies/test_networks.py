"""Networks: how they start, and what they compute."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.policies.networks import ACTIVATIONS, linear, mlp, orthogonal


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
