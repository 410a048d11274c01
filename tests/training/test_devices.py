"""A seed that several devices share learns what it would learn on one, up to rounding."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from plain import ppo
from uphill import devices
from uphill.errors import UphillError
from uphill.parts import Algorithm, Episodes, PolicySettings, Steps
from uphill.parts.algorithms import a2c, reinforce, trpo
from uphill.sessions.resume import restore
from uphill.training.seeds import over_seeds
from uphill.training.state import TrainState
from uphill.training.trainer import Trainer

SMALL = PolicySettings(hidden=(8,))
PPO = ppo(
    sampling=Steps(num_envs=4, num_steps=16),
    policy=SMALL,
    num_epochs=2,
    num_minibatches=2,
    normalize_observations=True,
    normalize_rewards=True,
    target_kl=0.05,
)
UNEVEN = ppo(sampling=Steps(num_envs=2, num_steps=9), policy=SMALL, num_epochs=2, num_minibatches=2)
WHOLE = reinforce(sampling=Episodes(num_envs=4), policy=SMALL)
NATURAL = trpo(sampling=Steps(num_envs=4, num_steps=16), policy=SMALL)


def advanced(algorithm: Algorithm, num_devices: int, **options: Any) -> tuple[TrainState, Any]:
    given = {"env": "CartPole-v1", "seeds": (3,), "updates": 3} | options
    env, seeds = given["env"], given["seeds"]
    with Trainer(env, algorithm, seeds, 10**6, devices=num_devices) as trainer:
        return trainer.advance(trainer.start(), given["updates"])


def close(found: Any, expected: Any) -> None:
    """All numbers, up to rounding."""
    found, expected = jax.tree.map(np.asarray, jax.device_get((found, expected)))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("algorithm", [PPO, UNEVEN, WHOLE, NATURAL], ids=lambda x: x.name)
def test_two_devices_learn_what_one_does(algorithm: Algorithm) -> None:
    (state, rows), (alone, expected) = (advanced(algorithm, n) for n in (2, 1))
    assert state.num_transitions == alone.num_transitions
    close(state.learners, alone.learners)
    close(rows, expected)


def test_each_device_has_its_own_environments_and_all_of_what_is_learned() -> None:
    state, _ = advanced(PPO, 2)
    assert state.lanes is not None
    for x in (state.lanes.running_return, jax.tree.leaves(state.lanes.observation)[0]):
        shapes = {shard.device: shard.data.shape[:2] for shard in x.addressable_shards}
        assert list(shapes.values()) == [(1, 2)] * 2, "one seed, two of its four environments"
    weights = jax.tree.leaves(state.learners.actor.policy)[0]
    assert [shard.data.shape for shard in weights.addressable_shards] == [weights.shape] * 2


def test_what_passes_between_devices_goes_in_one_piece() -> None:
    """Once what was collected, and once for each sum: nothing for each step of the environments."""
    with Trainer("CartPole-v1", UNEVEN, (0,), 10**6, devices=2) as trainer:
        trainer.advance(trainer.start(), 1)
        program = trainer._programs._compiled["chunk"].as_text()
    kinds = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter")
    found = {kind: len(re.findall(rf" {kind}[-\w]*\(", program)) for kind in kinds}
    assert found == dict.fromkeys(kinds, 0) | {"all-gather": 1, "all-reduce": 1}


def test_several_seeds_share_the_same_devices() -> None:
    """In turns on processors; as one batch on GPUs, for which `over_seeds` takes `jax.vmap`."""
    (state, _), (alone, _) = (advanced(UNEVEN, n, seeds=(3, 4), updates=2) for n in (2, 1))
    close(state.learners, alone.learners)

    def total(shared: Any, x: jax.Array) -> jax.Array:
        def one(shared: Any, x: jax.Array) -> jax.Array:
            mask = jnp.ones((1, x.shape[0]), bool)
            rows, mask = devices.own_share(x[None], mask)
            return devices.added_up(shared * jnp.where(mask, rows, 0.0).sum())

        return devices.on_each(one, (shared,), (0, devices.spread(x, 4)))

    def batch(shared: Any, x: jax.Array) -> jax.Array:
        with devices.several(2) as placed:
            return jax.vmap(lambda one: total(shared, one))(placed(x))

    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(jax.jit(batch)(np.float32(2), x), 2 * x.sum(1))
    np.testing.assert_array_equal(jax.jit(over_seeds(total, 3, 2))(np.float32(2), x), 2 * x.sum(1))


def test_all_kinds_of_numbers_arrive_at_every_device() -> None:
    trees = (
        {"flags": np.arange(8).reshape(2, 4) % 3 == 0, "bytes": np.uint8([[1, 2, 3, 255]])},
        (np.float32([1.5, np.inf, -0.0, np.nan]), np.int32([[-1], [2**31 - 1], [0], [7]])),
    )

    def program(trees: Any) -> Any:
        with devices.several(2) as placed:
            rows, ends = placed(trees)
            return devices.on_each(lambda *whole: whole, (), (1, rows), (0, ends))

    found = jax.jit(program)(trees)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(trees), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_every_sample_is_summed_once(size: int) -> None:
    rows = np.arange(1.0, 2 * size + 1, dtype=np.float32).reshape(2, size)
    mask = np.ones((2, size), bool)

    def one(rows: Any, mask: Any, _: Any) -> Any:
        own, mask = devices.own_share(rows, mask)
        assert own.shape[1] == -(-size // 2)
        return devices.added_up({"rows": jnp.where(mask, own, 0.0).sum(1), "count": mask.sum()})

    def program(*shared: Any) -> Any:
        with devices.several(2) as placed:
            return devices.on_each(one, placed(shared), (0, np.zeros(2, np.float32)))

    found = jax.jit(program)(rows, mask)
    np.testing.assert_array_equal(found["rows"], rows.sum(1))
    assert found["count"] == 2 * size
    assert found["count"].dtype == np.int32


def test_on_one_device_nothing_is_done() -> None:
    lanes = jnp.ones((1, 3))
    assert devices.spread(lanes, 1) is lanes
    assert devices.on_each(lambda *given: given, (1,), (0, lanes)) == (1, lanes)
    assert not devices.are_several()
    assert not devices.is_shared()
    with devices.several(1) as placed:
        assert placed(lanes) is lanes


@pytest.mark.parametrize(
    ("algorithm", "given", "said"),
    [
        (PPO, {"devices": 0}, r"^devices is 0: use a whole number of at least 1\.$"),
        (
            PPO,
            {"devices": 3},
            r"^devices=3 is more than the 2 that JAX has here: use at most 2, or set "
            r"JAX_NUM_CPU_DEVICES=3\.$",
        ),
        (
            ppo(sampling=Steps(num_envs=5, num_steps=4)),
            {"devices": 2},
            r"^5 environments can't be divided evenly among 2 devices: use envs=6\.$",
        ),
        (
            a2c(),
            {"devices": 2, "env": "FrozenLake-v1"},
            r"^devices=2 divides .* and those of FrozenLake-v1 are stepped by \w+: leave it out\.$",
        ),
    ],
)
def test_what_devices_cannot_share_is_refused(
    algorithm: Algorithm, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UphillError, match=said):
        Trainer(given.pop("env", "CartPole-v1"), algorithm, (0,), 1000, **given)


def test_a_run_on_two_devices_is_resumed_on_them_or_on_one(tmp_path: Path, capfd: Any) -> None:
    asked: dict[str, Any] = {"devices": 2, "episodes": 2, "quiet": True, "steps": 64 * 6}
    whole = uphill.train("CartPole-v1", PPO, out=tmp_path / "whole", **asked)
    assert json.loads((whole.path / "experiment.json").read_text())["devices"] == 2

    short = asked | {"steps": 64 * 3}
    parts = [uphill.train("CartPole-v1", PPO, out=tmp_path / n, **short) for n in ("two", "one")]
    more: dict[str, Any] = {"steps": 64 * 6, "episodes": 2}
    two = uphill.resume(parts[0].path, quiet=True, **more)
    capfd.readouterr()
    one = uphill.resume(parts[1].path, devices=1, **more)
    assert "devices 1 in place of 2" in " ".join(capfd.readouterr().err.split())
    assert one.experiment.devices == 1
    for run, check in ((two, np.testing.assert_array_equal), (one, np.testing.assert_allclose)):
        learned = zip(*(jax.tree.leaves(x.learners.actor) for x in (run, whole)), strict=True)
        for a, b in learned:
            extra = {} if run is two else {"rtol": 1e-3, "atol": 1e-4}
            check(np.asarray(a), np.asarray(b), **extra)
    trainer, _ = restore(two.path, steps=10**4, devices=1)
    assert trainer.devices == 1
    trainer.close()


def test_tasks_of_a_cluster_have_one_device_each() -> None:
    with pytest.raises(UphillError, match=r"^devices=2 are those of one machine.*without ray\.$"):
        uphill.train("CartPole-v1", PPO, devices=2, ray="local")
