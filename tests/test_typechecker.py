"""Types and shapes are checked while tests run: `typechecker.py`."""

from dataclasses import dataclass

import jax.numpy as jnp
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Array, Float, PyTree, TypeCheckError

from typechecker import checked, jaxtyped
from uphill.words import abridged

TWO, THREE = jnp.ones(2), jnp.ones(3)
decorate = jaxtyped(typechecker=checked)


@decorate
def first(
    x: Float[Array, " n"], y: PyTree[Float[Array, " n"]], *, is_right: bool = True
) -> Float[Array, " n"]:
    assert y is not None
    return x if is_right else x[1:]


@decorate
@dataclass
class Pair:
    x: Float[Array, " n"]
    y: Float[Array, " n"]


def test_shapes() -> None:
    assert first(TWO, [TWO]) is TWO
    assert Pair(TWO, TWO).x is TWO
    with pytest.raises(TypeCheckError, match="parameter 'y'"):
        first(TWO, [TWO, THREE])
    with pytest.raises(TypeCheckError, match="return value"):
        first(TWO, TWO, is_right=False)
    with pytest.raises(TypeCheckError, match="parameter 'y'"):
        Pair(TWO, THREE)


def test_other_types() -> None:
    assert decorate(half)(1) == 0.5
    for wrong in ("1", None):
        with pytest.raises(BeartypeCallHintViolation):
            decorate(half)(wrong)


def half(x: float) -> float:
    return x / 2


def test_it_is_on() -> None:
    with pytest.raises(BeartypeCallHintViolation):
        abridged("text", most="5")
