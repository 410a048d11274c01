"""One seed on several devices: each device steps some of the seed's environments, and computes its
share of the sums over samples.

    collecting    each device steps its own environments             `spread`
    learning      each has what all collected, and does the same     `on_each`
    sums          over samples: each adds up its own, and all these  `own_share`, `added_up`

So every part sees what it would see on one device, and only the order of summation differs. What
passes between devices goes in one piece: after collecting once, and once for each sum. In several
pieces they may wait for each other for ever, since devices may begin with different ones.

On one device, all of this leaves the program as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from uphill.trajectory import Array

T = TypeVar("T")

_DEVICES = "devices"
"""The axis of the mesh."""


@contextmanager
def several(num_devices: int) -> Iterator[Callable[[T], T]]:
    """While a program is traced that is to run on so many devices; it gives the function that its
    arguments pass through, by which they are known to be on all of them."""
    if num_devices == 1:
        yield lambda tree: tree
        return
    mesh = Mesh(np.array(jax.devices()[:num_devices]), (_DEVICES,))
    everywhere = NamedSharding(mesh, PartitionSpec())
    with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
        yield lambda tree: jax.tree.map(lambda x: lax.with_sharding_constraint(x, everywhere), tree)


def spread(lanes: T, num_envs: int) -> T:
    """The environments, the first axis of arrays, divided among the devices; what all of them share
    has no such axis, and is everywhere."""
    if not are_several():
        return lanes

    def placed(x: Any) -> Any:
        is_of_lanes = x.ndim > 0 and x.shape[0] == num_envs
        spec = PartitionSpec(_DEVICES) if is_of_lanes else PartitionSpec()
        return lax.with_sharding_constraint(x, spec)

    return jax.tree.map(placed, lanes)


def are_several() -> bool:
    """Whether environments are divided among devices, so that asking for all of them takes time."""
    return _num_devices(AxisType.Auto) > 1


def on_each(function: Callable[..., T], shared: tuple, *collected: tuple[int, Any]) -> T:
    """`function(*shared, *trees)` on every device, with the same result.

    `collected` are the trees of what environments led to, each with the axis that these have in it.
    """
    axes, trees = zip(*collected, strict=True)
    if not are_several():
        return function(*shared, *trees)

    def one(shared: tuple, *own: Any) -> T:
        return function(*shared, *_of_all(own, axes))

    everywhere = PartitionSpec()
    specs = [PartitionSpec(*[None] * axis, _DEVICES) for axis in axes]
    program = jax.shard_map(
        one, in_specs=(everywhere, *specs), out_specs=everywhere, check_vma=False
    )
    return program(shared, *trees)


def is_shared() -> bool:
    """Whether the sums of what is traced are shared by several devices."""
    return _num_devices(AxisType.Manual) > 1


def own_share(rows: T, mask: Any) -> tuple[T, Any]:
    """The samples that this device sums up, from the second axis of every array and of the `mask`;
    what fills its share up where they can't be divided evenly is masked out."""
    size = mask.shape[1]
    share = -(-size // _num_devices(AxisType.Manual))
    places = lax.axis_index(_DEVICES) * share + jnp.arange(share)
    own = jnp.minimum(places, size - 1)
    taken = jax.tree.map(lambda x: x[:, own], rows)
    return taken, mask[:, own] & (places < size)[None]


def added_up(sums: T) -> T:
    """The sums of this device and those of the others, together; whole numbers pass as floats."""
    leaves, structure = jax.tree.flatten(sums)
    parts = [jnp.ravel(x).astype(jnp.float32) for x in leaves]
    total = lax.psum(jnp.concatenate(parts), _DEVICES)
    ends = np.cumsum([part.size for part in parts])[:-1]
    added = [
        part.reshape(leaf.shape).astype(leaf.dtype)
        for part, leaf in zip(jnp.split(total, ends), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, added)


def _of_all(own: tuple, axes: tuple[int, ...]) -> tuple:
    """What all devices have of these trees, from what this one has; sent in one piece."""
    trees = [
        jax.tree.map(lambda x, axis=axis: jnp.moveaxis(x, axis, 0), tree)
        for tree, axis in zip(own, axes, strict=True)
    ]
    leaves, structure = jax.tree.flatten(trees)
    pieces = [_to_bytes(x) for x in leaves]
    everything = lax.all_gather(jnp.concatenate(pieces, axis=1), _DEVICES, axis=0, tiled=True)
    ends = np.cumsum([piece.shape[1] for piece in pieces])[:-1]
    split = jnp.split(everything, ends, axis=1)
    whole = [_from_bytes(piece, like) for piece, like in zip(split, leaves, strict=True)]
    return tuple(
        jax.tree.map(lambda x, axis=axis: jnp.moveaxis(x, 0, axis), tree)
        for tree, axis in zip(jax.tree.unflatten(structure, whole), axes, strict=True)
    )


def _to_bytes(x: Array) -> Array:
    """Every lane's numbers as bytes `[N, K]`."""
    if x.dtype == bool:
        return x.astype(jnp.uint8).reshape(len(x), -1)
    return lax.bitcast_convert_type(x, jnp.uint8).reshape(len(x), -1)


def _from_bytes(data: Array, like: Array) -> Array:
    """The numbers again; `like` has their type and, but for the first axis, their shape."""
    shape = (len(data), *like.shape[1:])
    if like.dtype == bool:
        return data.reshape(shape).astype(bool)
    if like.dtype.itemsize > 1:
        shape = (*shape, like.dtype.itemsize)
    return lax.bitcast_convert_type(data.reshape(shape), like.dtype)


def _num_devices(kind: AxisType) -> int:
    """Devices of the mesh that is traced for, if what is traced sees it in this way: all devices at
    once (`Auto`), or from one of them (`Manual`)."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or _DEVICES not in mesh.axis_names:
        return 1
    place = mesh.axis_names.index(_DEVICES)
    return mesh.axis_sizes[place] if mesh.axis_types[place] == kind else 1
