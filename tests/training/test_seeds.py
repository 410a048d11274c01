"""The seed axis: over devices, each with floats of its own, and back from flat lanes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.parts import GAE, Adam, Algorithm, Episodes, PolicySettings, Steps
from uphill.parts.algorithms import ppo, reinforce
from uphill.training.seeds import over_seeds, padding_of
from uphill.training.trainer import Trainer, iterate

SMALL = PolicySettings(hidden=(8,))


@pytest.mark.parametrize("num_seeds", [1, 2, 3, 4, 5])
def test_every_seed_is_computed_once_wherever_it_is(num_seeds: int) -> None:
    """Three seeds on two devices: the last fills them, and is not returned twice."""
    assert len(jax.devices()) == 2

    def function(shared: jax.Array, x: jax.Array, y: dict[str, jax.Array]) -> Any:
        return {"sum": shared + x, "rows": y["rows"] * x}

    x = jnp.arange(1.0, num_seeds + 1)
    y = {"rows": jnp.arange(3.0 * num_seeds).reshape(num_seeds, 3)}
    found = jax.jit(over_seeds(function, num_seeds))(100.0, x, y)
    np.testing.assert_array_equal(found["sum"], 100 + np.asarray(x))
    np.testing.assert_array_equal(found["rows"], y["rows"] * x[:, None])
    devices = {shard.device for shard in found["sum"].addressable_shards}
    assert len(devices) == min(num_seeds, 2)


@pytest.mark.parametrize("num_devices", [1, 2, 3, 4, 7])
def test_padding_fills_the_devices_and_no_more(num_devices: int) -> None:
    for num_seeds in range(1, 20):
        padding = padding_of(num_seeds, num_devices)
        assert 0 <= padding < num_devices
        assert (num_seeds + padding) % num_devices == 0


def small_ppo(learning_rate: Any, gamma: float, entropy: float = 0.0) -> Algorithm:
    return ppo(
        policy=SMALL,
        sampling=Steps(num_envs=4, num_steps=16),
        estimator=GAE(gamma=gamma),
        optimizer=Adam(learning_rate),
        entropy=entropy,
        num_epochs=2,
        num_minibatches=2,
    )


def small_reinforce(learning_rate: float, mixture: float) -> Algorithm:
    return reinforce(
        policy=SMALL,
        sampling=Episodes(4),
        optimizer=Adam(learning_rate),
        uniform_mixture=mixture,
    )


def trained(algorithm: Any, seeds: tuple[int, ...], backend: Any) -> Any:
    trainer = Trainer(choose("CartPole-v1", backend), algorithm, seeds, 250)
    tables = []
    for after, rows in iterate(trainer):
        state = after
        tables.append(rows)
    trainer.close()
    rows = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return state, rows


def assert_lanes_are_as_alone(algorithms: list[Algorithm], backend: Any) -> None:
    seeds = tuple(range(5, 5 + len(algorithms)))
    together, rows = trained(algorithms, seeds, backend)
    for s, (algorithm, seed) in enumerate(zip(algorithms, seeds, strict=True)):
        alone, own = trained(algorithm, (seed,), backend)
        learners = take(together.learners, s), take(alone.learners, 0)
        for x, y in zip(*map(jax.tree.leaves, learners), strict=True):
            np.testing.assert_array_equal(x, y)
        for name, column in own.items():
            np.testing.assert_array_equal(rows[name][: len(column), s], column[:, 0], err_msg=name)


@pytest.mark.bits
@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_each_seed_learns_by_floats_of_its_own_as_it_would_alone(backend: Any) -> None:
    # The first has the schedule that the others have, but falls from elsewhere to elsewhere.
    algorithms = [
        small_ppo("linear:1e-2:1e-3", 0.9),
        small_ppo("linear:1e-3:0", 0.99, entropy=0.1),
        small_ppo("linear:3e-2:1e-2", 0.5),
    ]
    assert_lanes_are_as_alone(algorithms, backend)


@pytest.mark.bits
@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_each_seed_mixes_in_its_own_share_of_chance(backend: Any) -> None:
    assert_lanes_are_as_alone([small_reinforce(1e-2, 0.9), small_reinforce(1e-1, 0.1)], backend)


def test_one_algorithm_for_each_seed() -> None:
    one = small_ppo(1e-3, 0.9)
    with pytest.raises(UphillError, match="a list of 2, and there are 3 seeds"):
        Trainer(choose("CartPole-v1"), [one, one], (0, 1, 2), 100)


@pytest.mark.parametrize(
    "other",
    [
        small_ppo("linear:1e-3:0", 0.9),
        ppo(policy=SMALL, sampling=Steps(num_envs=4, num_steps=32)),
        small_reinforce(1e-3, 0.1),
    ],
    ids=["schedule", "size", "parts"],
)
def test_seeds_differ_in_nothing_but_floats(other: Algorithm) -> None:
    with pytest.raises(UphillError, match="algorithm 1 of the list differs from the first"):
        Trainer(choose("CartPole-v1"), [small_ppo(1e-3, 0.9), other], (0, 1), 100)
