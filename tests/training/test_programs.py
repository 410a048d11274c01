"""Functions that are compiled once, and what is said of the time that takes."""

import jax.numpy as jnp
import pytest

from uphill.training.programs import Programs
from uphill.trajectory import Array


@pytest.mark.parametrize("way", ["call", "fast"])
def test_while_it_compiles_it_says_since_when(way: str) -> None:
    programs, seen = Programs(), []

    def double(x: Array) -> Array:
        seen.append(programs.waiting_since)  # while it is traced
        return 2 * x

    assert programs.waiting_since is None
    for _ in range(2):
        getattr(programs, way)("double", double, jnp.ones(2))
        assert programs.waiting_since is None
    assert len(seen) == 1
    assert seen[0] is not None
    assert programs.seconds > 0


def test_what_can_not_be_compiled_is_waited_for_no_longer() -> None:
    programs = Programs()

    def wrong(x: Array) -> Array:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        programs.call("wrong", wrong, jnp.ones(2))
    assert programs.waiting_since is None
