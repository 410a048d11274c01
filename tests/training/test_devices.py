"""A seed that several devices share learns what it would learn on one, up to rounding."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import uphill
from plain import ppo
from uphill import devices
from uphill.batch import Batch, mean_of
from uphill.errors import UphillError
from uphill.parts import Algorithm, Episodes, KLPenalty, PolicySettings, Steps
from uphill.parts.algorithms import a2c, reinforce, trpo
from uphill.runs.machine import differences, machine
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
BETA = ppo(
    sampling=Steps(num_envs=4, num_steps=16),
    policy=PolicySettings(hidden=(8,), distribution="beta"),
    surrogate=KLPenalty(),
    num_epochs=1,
    num_minibatches=1,
)
EVERY = {
    "ppo": PPO,
    "uneven": UNEVEN,
    "whole episodes": WHOLE,
    "natural step, own critic": NATURAL,
    "beta, KL penalty": BETA,
}


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


@pytest.mark.parametrize("name", EVERY)
def test_two_devices_learn_what_one_does(name: str) -> None:
    env = "Pendulum-v1" if name.startswith("beta") else "CartPole-v1"
    (state, rows), (alone, expected) = (advanced(EVERY[name], n, env=env) for n in (2, 1))
    for x in jax.tree.leaves(state.learners):
        copies = [np.asarray(shard.data) for shard in x.addressable_shards]
        assert len(copies) == 2
        np.testing.assert_array_equal(*copies, "both devices have learned the same bits")
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
            rows, is_own = devices.own_share(x[None], len(x))
            return devices.added_up(shared * jnp.where(is_own[None], rows, 0.0).sum())

        return devices.on_each(one, (shared,), devices.spread(x, 4), [0])

    batch = devices.with_environments_divided(
        lambda shared, x: jax.vmap(lambda one: total(shared, one))(x), 2
    )

    x = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    np.testing.assert_array_equal(jax.jit(batch)(np.float32(2), x), 2 * x.sum(1))
    np.testing.assert_array_equal(jax.jit(over_seeds(total, 3, 2))(np.float32(2), x), 2 * x.sum(1))


def test_all_kinds_of_numbers_arrive_at_every_device() -> None:
    trees = {
        "bytes": np.uint8([[1, 2, 3, 255]]),
        "flags": np.arange(8).reshape(2, 4) % 3 == 0,
        "floats": np.float32([1.5, np.inf, -0.0, np.nan]),
        "scalar": np.int32(7),
        "whole": np.int32([[-1], [2**31 - 1], [0], [7]]),
    }
    axes = [1, 1, 0, None, 0]
    program = devices.with_environments_divided(
        lambda x: devices.on_each(lambda whole: whole, (), x, axes), 2
    )
    found = jax.jit(program)(trees)
    for name, expected in trees.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)


def in_shares(function: Any, *shared: Any) -> Any:
    """The function on two devices, each of which has its share of sums."""
    lanes = np.zeros(2, np.float32)

    def program(*shared: Any) -> Any:
        return devices.on_each(lambda *given: function(*given[:-1]), shared, lanes, [0])

    return jax.jit(devices.with_environments_divided(program, 2))(*shared)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_every_sample_is_summed_once(size: int) -> None:
    rows = np.arange(1.0, 2 * size + 1, dtype=np.float32).reshape(2, size)

    def sums(rows: Any) -> Any:
        own, is_own = devices.own_share(rows, size)
        assert own.shape[1] == -(-size // 2)
        mask = jnp.broadcast_to(is_own[None], own.shape)
        return devices.added_up({"rows": jnp.where(mask, own, 0.0).sum(1), "count": mask.sum()})

    found = in_shares(sums, rows)
    np.testing.assert_array_equal(found["rows"], rows.sum(1))
    assert found["count"] == 2 * size
    assert found["count"].dtype == np.int32


def test_sums_of_whole_numbers_are_exact() -> None:
    numbers = np.int32([2**24 + 1, -(2**24) - 1, 70_000, -70_000, -1, 0])
    np.testing.assert_array_equal(in_shares(devices.added_up, numbers), 2 * numbers)


def test_the_slope_of_a_sum_is_refused_rather_than_wrong() -> None:
    batch = Batch(
        *[np.ones((1, 4, 2), np.float32)], *[np.ones((1, 4), np.float32)] * 4, np.ones((1, 4), bool)
    )

    def mean(w: Any) -> Any:
        return mean_of(lambda samples: w * samples.advantage, batch)

    assert jax.grad(mean)(2.0) == 1.0
    with pytest.raises(UphillError, match="differentiates through a sum over samples"):
        in_shares(jax.grad(mean), np.float32(2.0))


def test_on_one_device_nothing_is_done() -> None:
    lanes = jnp.ones((1, 3))
    assert devices.spread(lanes, 1) is lanes
    assert devices.on_each(lambda *given: given, (1,), lanes, [0]) == (1, lanes)
    assert devices.with_environments_divided(advanced, 1) is advanced
    assert not devices.environments_are_divided()
    assert not devices.sums_are_divided()


def test_the_users_own_axes_of_devices_change_nothing() -> None:
    """Whatever an axis over seeds is called."""
    mesh = jax.make_mesh((2,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.set_mesh(mesh):
        assert not devices.environments_are_divided()
        spec = jax.sharding.PartitionSpec("devices")
        seen = jax.shard_map(
            lambda x: x + devices.sums_are_divided(), in_specs=spec, out_specs=spec
        )(jnp.zeros(2))
    np.testing.assert_array_equal(seen, 0)


@pytest.mark.parametrize(
    ("algorithm", "given", "said"),
    [
        (PPO, {"devices": 0}, r"^devices is 0: use at least 1\.$"),
        (
            PPO,
            {"devices": 3},
            r"^devices=3 is more than the 2 that JAX has started with: use at most 2, or start "
            r"Python with JAX_NUM_CPU_DEVICES=3 in the environment\.$",
        ),
        (
            ppo(sampling=Steps(num_envs=5, num_steps=4)),
            {"devices": 2},
            r"^5 environments can't be divided evenly among 2 devices: use devices=1, or a number "
            r"of environments that can be\.$",
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
    parts = [uphill.train("CartPole-v1", PPO, out=tmp_path / n, **short) for n in ("on", "off")]
    more: dict[str, Any] = {"steps": 64 * 6, "episodes": 2}
    two = uphill.resume(parts[0].path, quiet=True, **more)
    capfd.readouterr()
    one = uphill.resume(parts[1].path, devices=1, **more)
    assert "devices of a seed 1 in place of 2" in " ".join(capfd.readouterr().err.split())
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
    with pytest.raises(
        UphillError, match=r"^devices=2 asks for several devices of one.*without ray\.$"
    ):
        uphill.train("CartPole-v1", PPO, devices=2, ray="local")


def test_a_shared_seed_is_told_from_seeds_beside_each_other() -> None:
    beside, shared = machine(2), machine(2, 2)
    assert "devices of a seed 2 in place of 1" in differences(beside, shared)
    assert "devices of a seed 1 in place of 2" in differences(shared, beside)
    assert not differences(shared, machine(2, 2))
    assert not differences({"platform": "cpu"}, beside), "older checkpoints say less"


def test_each_command_starts_jax_with_the_devices_that_it_needs(tmp_path: Path) -> None:
    """In processes of their own, where nothing else has set their number."""
    env = {k: x for k, x in os.environ.items() if not k.startswith("JAX_NUM")} | {"NPROC": "2"}

    def uphill_said(*words: str) -> str:
        command = [sys.executable, "-m", "uphill.cli", *words]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout + done.stderr

    small = ("--sampling.num-steps", "8", "--num-epochs", "1", "--episodes", "1")
    shared = ("--devices", "2", "--steps", "64", "--out", "shared")
    uphill_said("train", "CartPole-v1", "--algo", "ppo", *small, *shared)
    assert "Resuming" in uphill_said("resume", "shared", "--steps", "128")
