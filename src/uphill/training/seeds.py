"""The seed axis: several agents trained at once.

On CPUs, seeds are spread over devices (one for each core) and looped over inside each, which keeps
the single seed's program: in a compiled world each learns, to the bit, what it would alone. On a
GPU they are one batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Key


def over_seeds(function: Callable[..., Any], num_seeds: int) -> Callable[..., Any]:
    """`function(shared, *own)` for every seed: each of `own` gets a leading axis for the seeds.

    Where the devices don't divide the seeds, the last seed is computed again to fill them.
    """
    devices = jax.devices()
    num_devices = min(len(devices), num_seeds)
    is_cpu = devices[0].platform == "cpu"

    def each(shared: Any, *own: Any) -> Any:
        if is_cpu:
            return lax.map(lambda one: function(shared, *one), own)
        return jax.vmap(lambda *one: function(shared, *one))(*own)

    if num_devices == 1:
        return each
    mesh = Mesh(np.array(devices[:num_devices]), ("seeds",))
    per_seed, everywhere = PartitionSpec("seeds"), PartitionSpec()
    padding = -num_seeds % num_devices

    def spread(shared: Any, *own: Any) -> Any:
        specs = (everywhere, *(per_seed for _ in own))
        sharded = jax.shard_map(
            each, mesh=mesh, in_specs=specs, out_specs=per_seed, check_vma=False
        )
        padded = jax.tree.map(lambda x: _pad(x, padding), own)
        return jax.tree.map(lambda x: x[:num_seeds], sharded(shared, *padded))

    return spread


def _pad(x: Any, padding: int) -> Any:
    return jnp.concatenate([x, jnp.repeat(x[-1:], padding, axis=0)]) if padding else x


def seed_keys(seeds: tuple[int, ...]) -> Key[jax.Array, " S"]:
    """The key of each seed, on which all its random numbers rest: `jax.random.key(seed)`."""
    numbers = np.asarray(seeds, np.uint32)
    config: Any = jax.config
    if config.jax_default_prng_impl != "threefry2x32":
        return jax.vmap(jax.random.key)(numbers)
    # The same keys from NumPy: nothing is compiled on the way to the first update.
    data = np.stack([np.zeros_like(numbers), numbers], -1)
    return jax.random.wrap_key_data(jnp.asarray(data), impl="threefry2x32")
