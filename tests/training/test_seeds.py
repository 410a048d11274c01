"""The seed axis: over devices, each with floats of its own, and back from flat lanes."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plain import ppo
from uphill.envs.make import choose
from uphill.errors import UphillError
from uphill.learning.learner import take
from uphill.parts import GAE, Adam, Algorithm, Episodes, PolicySettings, Steps
from uphill.parts.algorithms import reinforce
from uphill.training.seeds import act_by_seed, over_seeds, padding_of, seed_keys, split_lanes
from uphill.training.trainer import Trainer, iterate
from uphill.trajectory import Trajectory

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


def test_the_key_of_a_seed_is_jaxs_own() -> None:
    keys = seed_keys((0, 7, 2**31 - 1))
    expected = jax.vmap(jax.random.key)(np.array([0, 7, 2**31 - 1], np.uint32))
    np.testing.assert_array_equal(jax.random.key_data(keys), jax.random.key_data(expected))
    assert keys.dtype == expected.dtype


def test_trap_25_each_seed_acts_in_its_own_lanes() -> None:
    class Offset(eqx.Module):
        offset: jax.Array

        def act(self, observation: Any, key: Any, uniform: None) -> tuple:
            action = self.offset + observation[:, 0]
            return action, jnp.full_like(action, jax.random.uniform(key)), action[:, None]

    actors = Offset(jnp.array([100.0, 200.0]))
    keys = jax.random.split(jax.random.key(0), 2)
    lanes = jnp.arange(6.0)[:, None]
    act = act_by_seed(actors, None, 2)
    action, log_prob, env_action = act(lanes, keys)
    np.testing.assert_array_equal(action, [100, 101, 102, 203, 204, 205])
    np.testing.assert_array_equal(env_action, np.asarray(action)[:, None])
    drawn = [jax.random.uniform(key) for key in keys]
    np.testing.assert_allclose(log_prob, np.repeat(np.asarray(drawn), 3), rtol=1e-6)


def test_trap_25_lanes_go_back_to_their_seeds() -> None:
    num_steps, num_seeds, num_envs = 5, 3, 4
    lane = np.tile(np.arange(num_seeds * num_envs), (num_steps, 1))
    flags = np.zeros_like(lane, bool)
    columns = [lane.astype(np.float32)] * 2
    flat = Trajectory(lane[..., None], lane[0][:, None], lane, *columns, flags, flags, ~flags)
    split = split_lanes(flat, num_seeds)
    expected = np.arange(num_seeds * num_envs).reshape(num_seeds, num_envs)
    for t in range(num_steps):
        np.testing.assert_array_equal(split.observation[:, t, :, 0], expected)
        np.testing.assert_array_equal(split.action[:, t], expected)
    np.testing.assert_array_equal(split.final_observation[..., 0], expected)


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


def trained(algorithm: Any, seeds: tuple[int, ...], backend: Any, num_steps: int) -> Any:
    trainer = Trainer(choose("CartPole-v1", backend), algorithm, seeds, num_steps)
    tables = []
    for after, rows in iterate(trainer):
        state = after
        tables.append(rows)
    trainer.close()
    rows = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    return state, rows


def assert_lanes_are_as_alone(
    algorithms: list[Algorithm], backend: Any, num_steps: int = 250
) -> None:
    """What is learned, to the bit; what is said of it, to rounding.

    On the host all seeds act in one batch, whose size decides how sums are rounded: there each is
    compared with a training of as many seeds, all by its algorithm.
    """
    seeds = tuple(range(5, 5 + len(algorithms)))
    together, rows = trained(algorithms, seeds, backend, num_steps)
    for s, (algorithm, seed) in enumerate(zip(algorithms, seeds, strict=True)):
        company, place = ((seed,), 0) if backend == "compiled" else (seeds, s)
        alone, own = trained(algorithm, company, backend, num_steps)
        learners = take(together.learners, s), take(alone.learners, place)
        for x, y in zip(*map(jax.tree.leaves, learners), strict=True):
            np.testing.assert_array_equal(x, y)
        for name, column in own.items():
            both = min(len(column), len(rows[name]))
            ours, theirs = rows[name][:both, s], column[:both, place]
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6, err_msg=name)


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
def test_what_is_divided_by_deviations_is_as_alone() -> None:
    """XLA divides in one program where it multiplies in another: unless it is given no choice."""
    ours = replace(
        small_ppo(1e-2, 0.9),
        normalize_observations=True,
        normalize_rewards=True,
        scale_advantages="batch",
    )
    assert_lanes_are_as_alone([ours, ours], "compiled")


@pytest.mark.bits
@pytest.mark.parametrize("backend", ["compiled", "gymnasium"])
def test_each_seed_mixes_in_its_own_share_of_chance(backend: Any) -> None:
    # On the host one update: the next episodes begin where the streams of random numbers are, and
    # an environment goes on playing until the last one of all seeds has its episodes.
    num_steps = 250 if backend == "compiled" else 1
    algorithms = [small_reinforce(1e-2, 0.9), small_reinforce(1e-1, 0.1)]
    assert_lanes_are_as_alone(algorithms, backend, num_steps)


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
