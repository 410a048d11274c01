"""Functions that are compiled once, and what is said of the time that takes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from counting_world import CountingWorld
from plain import ppo
from uphill.envs.worlds.cartpole import CartPole
from uphill.training import programs as module
from uphill.training.programs import Built, Programs, is_ours, quickly
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


@pytest.mark.parametrize("is_quick", [False, True])
def test_what_was_begun_is_traced_once_and_says_the_shapes_before(is_quick: bool) -> None:
    programs, traced = Programs(), []

    def halves(x: Array) -> tuple[Array, Array]:
        traced.append(x.shape)
        return x[:2], x[2:] / 2

    shapes = programs.begin("halves", halves, jax.ShapeDtypeStruct((4,), "f"), is_quick=is_quick)
    assert [(x.shape, x.dtype) for x in shapes] == [((2,), np.float32)] * 2
    assert "halves" in programs
    for start in (0.0, 4.0):
        x = start + np.arange(4, dtype=np.float32)
        first, second = programs.call("halves", halves, x, is_quick=is_quick)
        np.testing.assert_array_equal(np.concatenate([first, 2 * second]), x)
    assert traced == [(4,)]


def test_what_was_begun_takes_arguments_from_any_device() -> None:
    programs, devices = Programs(), jax.devices()
    assert len(devices) == 2  # conftest.py
    programs.begin("double", lambda x: 2 * x, jax.ShapeDtypeStruct((3,), np.float32))
    for device in devices:
        x = jax.device_put(np.ones(3, np.float32), device)
        assert programs.call("double", None, x).sum() == 6


@pytest.mark.parametrize("is_quick", [False, True])
def test_what_is_built_alike_is_traced_once(
    is_quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced = []

    def times(factor: int) -> Any:
        def function(x: Array) -> Array:
            traced.append(factor)
            return factor * x

        return function

    def tripled(like: Any, factor: int = 3, size: int = 2) -> None:
        function = Built(times, (factor,))
        found = Programs(like).call("times", function, np.ones(size, "f"), is_quick=is_quick)
        assert (found == factor).all()

    for _ in range(2):
        tripled("ppo")
    assert traced == [3]
    tripled("ppo", factor=4)
    tripled("ppo", size=5)
    tripled("a2c")
    assert traced == [3, 4, 3, 3]
    tripled(None)
    tripled(None)
    assert len(traced) == 6


def test_a_users_own_parts_and_worlds_are_not_known_by_their_fields() -> None:
    assert is_ours((CartPole(500, 475.0), ppo()))
    assert not is_ours(CountingWorld())
    assert not is_ours(ppo(optimizer=optax.adam(1e-3)))


def test_options_that_xla_does_not_know_are_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUICK", {"xla_cpu_no_such_option": True})
    programs = Programs()
    assert programs.call("double", lambda x: 2 * x, np.ones(3), is_quick=True).sum() == 6
    add = quickly(lambda n, x: n + x, static_argnums=(0,))
    assert add(1, np.ones(3)).sum() == 6
