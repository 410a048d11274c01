"""Networks. Their leaves are arrays only: `jit`, `grad` and `vmap` take them as they are."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from uphill.trajectory import Array

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
}


class MLP(eqx.Module):
    """A multilayer perceptron over any leading axes.

    h ← activation(W h + b) for every layer but the last, which is linear.
    """

    layers: tuple[eqx.nn.Linear, ...]
    activation: str = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return jnp.vectorize(self._one, signature="(i)->(o)")(x)

    def _one(self, x: Float[jax.Array, " inputs"]) -> Float[jax.Array, " outputs"]:
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x)


def mlp(
    sizes: tuple[int, ...], activation: str, final_gain: float, generator: np.random.Generator
) -> MLP:
    """An MLP with orthogonal weights, gain √2 in hidden layers, and zero biases.

    NumPy draws them: QR under `vmap` inside a compiled program can wait for itself for ever on a
    CPU, and many small shapes would cost a compilation each.

    Reference: Saxe et al. (2014), https://arxiv.org/abs/1312.6120
    """
    gains = [2.0**0.5] * (len(sizes) - 2) + [final_gain]
    layers = tuple(
        _linear(inputs, outputs, gain, generator)
        for inputs, outputs, gain in zip(sizes[:-1], sizes[1:], gains, strict=True)
    )
    return MLP(layers, activation)


def _linear(
    inputs: int, outputs: int, gain: float, generator: np.random.Generator
) -> eqx.nn.Linear:
    # The skeleton without its arrays: its own initial weights would be computed and thrown away.
    skeleton = eqx.filter_eval_shape(lambda: eqx.nn.Linear(inputs, outputs, key=jax.random.key(0)))
    weight = gain * orthogonal(outputs, inputs, generator)
    arrays = (weight.astype(np.float32), np.zeros(outputs, np.float32))
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), skeleton, arrays)


def orthogonal(
    rows: int, columns: int, generator: np.random.Generator
) -> Float[np.ndarray, "rows columns"]:
    """A random matrix with orthonormal rows (or columns, if it has more rows), uniformly."""
    tall = generator.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T
