"""A custom network as a trunk: any Equinox module from one vector to one vector.

All leaves of a learner are arrays, stacked over seeds; but a module's leaves also include
activation functions and the like. So the arrays are held apart from the rest, which is static.
"""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray, PyTree

from uphill.errors import UphillError
from uphill.policies.networks import over_vectors
from uphill.trajectory import Array

NetworkFactory = Callable[[int, PRNGKeyArray], eqx.Module]
"""`network(num_features, key)`: a module that maps one vector of features to one vector."""


class OwnTrunk(eqx.Module):
    """A user's module: its arrays, and its static rest."""

    arrays: PyTree
    rest: Any = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return over_vectors(eqx.combine(self.arrays, self.rest), x)


def own_trunk(
    network: NetworkFactory, num_features: int, generator: np.random.Generator
) -> tuple[OwnTrunk, int]:
    """The trunk that `network` makes, with float32 arrays, and the length of its output.

    Raises:
        UphillError: if it can't be one.
    """
    key = jax.random.key(int(generator.integers(2**31)))
    _check_factory(network, num_features, key)
    module = network(num_features, key)
    arrays, rest = eqx.partition(module, _is_floating)
    others = {str(x.dtype) for x in jax.tree.leaves(rest) if isinstance(x, jax.Array | np.ndarray)}
    if others:
        raise UphillError(
            f"network has arrays of {', '.join(sorted(others))}: keep what is not learned as "
            "Python numbers in static fields."
        )
    again = eqx.partition(eqx.filter_eval_shape(network, num_features, key), _is_floating)[1]
    if not _is_same(rest, again):
        raise UphillError(
            "network gives a different module at every call: define its functions once, outside "
            "of it, instead of as lambdas inside."
        )
    trunk = OwnTrunk(jax.tree.map(lambda x: np.asarray(x, np.float32), arrays), rest)
    return trunk, _output_size(trunk, num_features)


def _check_factory(network: Any, num_features: int, key: PRNGKeyArray) -> None:
    wanted = "give a function network(num_features, key) that makes an Equinox module"
    if isinstance(network, eqx.Module):
        raise UphillError(
            f"network is a module ({type(network).__name__}), made already: {wanted}."
        )
    if not callable(network):
        raise UphillError(f"network is {network!r}: {wanted}.")
    try:
        inspect.signature(network).bind(num_features, key)
    except TypeError as error:
        name = getattr(network, "__name__", repr(network))
        raise UphillError(
            f"network is {name}, which can't be called with two arguments ({error}): {wanted}."
        ) from error


def _output_size(trunk: OwnTrunk, num_features: int) -> int:
    row = jax.ShapeDtypeStruct((num_features,), jnp.float32)
    try:
        module = eqx.combine(trunk.arrays, trunk.rest)
        out = jax.eval_shape(module, row)
    except Exception as error:
        raise UphillError(
            f"network gives a module that can't be called with one vector of {num_features} "
            f"features ({error}): make it map one vector to one vector."
        ) from error
    if not isinstance(out, jax.ShapeDtypeStruct) or len(out.shape) != 1 or not _is_floating(out):
        raise UphillError(
            f"network gives a module that returns {out}: make it map one vector to one vector of "
            "floats."
        )
    return out.shape[0]


def _is_floating(x: Any) -> bool:
    is_array = isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct)
    return is_array and jnp.issubdtype(x.dtype, jnp.floating)


def _is_same(a: Any, b: Any) -> bool:
    try:
        return hash(a) == hash(b) and bool(a == b)
    except TypeError:
        return False
