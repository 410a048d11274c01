"""The seed axis: several agents trained at once.

On CPUs, seeds are spread over devices (one for each core) and looped over within each device. This
keeps the program of a single seed: in a compiled world each seed learns, bit for bit, what it would
learn alone. On a GPU they are one batch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Key, PyTree

from uphill.collecting.lanes import Act, Keys
from uphill.devices import with_environments_divided
from uphill.errors import UphillError
from uphill.learning.counting import Count, count_of
from uphill.parts import Algorithm
from uphill.training.checks import check_algorithm
from uphill.trajectory import Array, Trajectory, narrow_on_host


def over_seeds(
    function: Callable[..., Any], num_seeds: int, devices_each: int = 1
) -> Callable[..., Any]:
    """`function(shared, *own)` for every seed: each of `own` gets a leading axis for the seeds.

    Seeds are spread over devices; with several `devices_each`, all seeds are on the same ones.
    """

    def each(shared: Any, *own: Any) -> Any:
        if jax.devices()[0].platform == "cpu":
            return lax.map(lambda one: function(shared, *one), own)
        return jax.vmap(lambda *one: function(shared, *one))(*own)

    return (
        with_environments_divided(each, devices_each)
        if devices_each > 1
        else _seeds_over_devices(each, num_seeds)
    )


def _seeds_over_devices(each: Callable[..., Any], num_seeds: int) -> Callable[..., Any]:
    """`each` with some of the seeds on every device. Where the number of devices doesn't divide
    that of seeds, the last seed is repeated as padding."""
    devices = jax.devices()
    num_devices = min(len(devices), num_seeds)
    if num_devices == 1:
        return each
    mesh = Mesh(np.array(devices[:num_devices]), ("seeds",))
    per_seed, everywhere = PartitionSpec("seeds"), PartitionSpec()
    padding = padding_of(num_seeds, num_devices)

    def on_all(shared: Any, *own: Any) -> Any:
        specs = (everywhere, *(per_seed for _ in own))
        sharded = jax.shard_map(
            each, mesh=mesh, in_specs=specs, out_specs=per_seed, check_vma=False
        )
        padded = jax.tree.map(lambda x: _pad(x, padding), own)
        return jax.tree.map(lambda x: x[:num_seeds], sharded(shared, *padded))

    return on_all


def padding_of(num_seeds: int, num_devices: int) -> int:
    """How many seeds to add so that the devices divide them evenly."""
    return -num_seeds % num_devices


def _pad(x: Any, padding: int) -> Any:
    return jnp.concatenate([x, jnp.repeat(x[-1:], padding, axis=0)]) if padding else x


def seed_keys(seeds: tuple[int, ...]) -> Key[jax.Array, " S"]:
    """The key of each seed, from which all its random numbers derive: `jax.random.key(seed)`."""
    numbers = np.asarray(seeds, np.uint32)
    config: Any = jax.config
    if config.jax_default_prng_impl != "threefry2x32":
        return jax.vmap(jax.random.key)(numbers)
    # The same keys from NumPy: nothing is compiled on the way to the first update.
    data = np.stack([np.zeros_like(numbers), numbers], -1)
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")


@dataclass(frozen=True)
class Population:
    """The agents that are trained together."""

    algorithms: Algorithm
    """one, whose floats have a leading axis for the seeds"""
    keys: Key[jax.Array, " S"]
    num_steps: Count
    """of each seed"""
    devices: int = 1
    """that share each seed"""

    @property
    def num_seeds(self) -> int:
        return len(self.keys)


def one_for_each(
    algorithm: Algorithm | Sequence[Algorithm], seeds: tuple[int, ...]
) -> tuple[Algorithm, ...]:
    """An algorithm for each seed: the same for all, or one each.

    Raises:
        UphillError: unless there is one for each seed, and they differ only in floats.
    """
    if isinstance(algorithm, Algorithm):
        return (algorithm,) * len(seeds)
    is_several = isinstance(algorithm, Sequence) and not isinstance(algorithm, str)
    algorithms: tuple[Any, ...] = tuple(algorithm) if is_several else (algorithm,)
    for one in algorithms:
        check_algorithm(one)
    if len(algorithms) != len(seeds):
        raise UphillError(
            f"algorithm is a list of {len(algorithms)}, and there are {len(seeds)} seeds: give one "
            "algorithm for each, or a single one for all."
        )
    first = jax.tree.structure(algorithms[0])
    for k, other in enumerate(algorithms):
        if jax.tree.structure(other) != first:
            raise UphillError(
                f"algorithm {k} of the list differs from the first in more than floats: train "
                "those with other parts, sizes or kinds of schedules apart."
            )
    return algorithms


def population_of(
    algorithms: Sequence[Algorithm], seeds: tuple[int, ...], num_steps: int, devices: int = 1
) -> Population:
    """An algorithm and a key for each seed."""
    stacked = jax.tree.map(lambda *x: narrow_on_host(np.stack(x)), *algorithms)
    return Population(stacked, seed_keys(seeds), count_of(num_steps), devices)


def act_by_seed(actors: PyTree, uniform: Array | None, num_seeds: int) -> Act:
    """One policy for each seed's lanes, over flat lanes."""

    def act(observation: PyTree, keys: Keys) -> tuple[Array, Array, PyTree]:
        by_seed = lanes_by_seed(observation, num_seeds, axis=0)
        out = jax.vmap(lambda actor, *rest: actor.act(*rest))(actors, by_seed, keys, uniform)
        return jax.tree.map(lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), out)

    return act


def split_lanes(trajectory: Trajectory, num_seeds: int) -> Trajectory:
    """A trajectory of `S · N` flat lanes as one with a leading axis for the seeds."""
    t = trajectory
    rows = (t.observation, t.action, t.log_prob, t.reward, t.terminated, t.truncated, t.mask)

    def one_seed(rows: tuple, final: PyTree) -> Trajectory:
        observation, *columns = rows
        return Trajectory(observation, final, *columns, length=t.length)

    final = lanes_by_seed(t.final_observation, num_seeds, axis=0)
    return jax.vmap(one_seed)(lanes_by_seed(rows, num_seeds, axis=1), final)


def lanes_by_seed(tree: PyTree, num_seeds: int, axis: int) -> PyTree:
    """Flat lanes `[…, S·N, …]` to one leading axis for the seeds `[S, …, N, …]`."""

    def split(x: Array) -> Array:
        each = x.shape[axis] // num_seeds  # not −1: of a part of size 0 that is any number
        by_seed = x.reshape(*x.shape[:axis], num_seeds, each, *x.shape[axis + 1 :])
        return jnp.moveaxis(by_seed, axis, 0)

    return jax.tree.map(split, tree)


def gathered(tree: PyTree) -> PyTree:
    """The same numbers on the host, if there are several devices; else unchanged."""
    return jax.device_get(tree) if len(jax.devices()) > 1 else tree
