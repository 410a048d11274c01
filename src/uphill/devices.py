"""One seed on several devices: each device steps some of the seed's environments, and computes its
share of the sums over samples.

    collecting    each device steps its own environments               `spread`
    learning      each has what all collected, and does the same       `on_each`
    sums          each adds up some of the samples, and then all do    `own_share`, `added_up`

So estimators, baselines and optimisers work as on one device, and only the order of summation
differs. What a surrogate or an objective gets are some samples of a minibatch, as with blocks of
whole episodes.

Messages between devices are large and few: what was collected, and each sum, go in one piece. Whole
episodes are asked after every block of steps whether all are done, and a random draw or a world
that repeats something until a condition holds (`while_loop`) is asked each time. On one device, all
of this leaves the program as it is.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from uphill.errors import UphillError
from uphill.trajectory import Array

T = TypeVar("T")

_AXIS = "uphill_devices_of_a_seed"
"""The axis of the mesh; the name is no one else's."""


def with_environments_divided(function: Callable[..., T], num_devices: int) -> Callable[..., T]:
    """The function, of arrays alone, as a program on so many devices."""

    def on_all(*arguments: Any) -> T:
        mesh = Mesh(np.array(jax.devices()[:num_devices]), (_AXIS,))
        everywhere = NamedSharding(mesh, PartitionSpec())
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            placed = jax.tree.map(lambda x: lax.with_sharding_constraint(x, everywhere), arguments)
            return function(*placed)

    return on_all if num_devices > 1 else function


def environments_are_divided() -> bool:
    """Whether what is traced runs on several devices, each with some of the environments."""
    return _size_if(AxisType.Auto) > 1


def spread(lanes: T, num_envs: int) -> T:
    """The environments, the first axis of arrays, divided among the devices; what all of them share
    has no such axis, and is everywhere."""
    if not environments_are_divided():
        return lanes

    def placed(x: Any) -> Any:
        is_of_lanes = x.ndim > 0 and x.shape[0] == num_envs
        spec = PartitionSpec(_AXIS) if is_of_lanes else PartitionSpec()
        return lax.with_sharding_constraint(x, spec)

    return jax.tree.map(placed, lanes)


def on_each(
    function: Callable[..., T], shared: tuple, collected: Any, axes: Sequence[int | None]
) -> T:
    """`function(*shared, collected)` on every device, with the same result.

    `axes` says of every leaf of `collected` which axis is that of the environments; None if it has
    none.
    """
    if not environments_are_divided():
        return function(*shared, collected)
    leaves, structure = jax.tree.flatten(collected)

    def one(shared: tuple, *own: Any) -> T:
        return function(*shared, jax.tree.unflatten(structure, _of_all(own, axes)))

    everywhere = PartitionSpec()
    specs = [everywhere if k is None else PartitionSpec(*[None] * k, _AXIS) for k in axes]
    program = jax.shard_map(
        one, in_specs=(everywhere, *specs), out_specs=everywhere, check_vma=False
    )
    return program(shared, *leaves)


def sums_are_divided() -> bool:
    """Whether what is traced runs on one of several devices that add up what they sum."""
    return _size_if(AxisType.Manual) > 1


def own_share(rows: T, size: int) -> tuple[T, Array]:
    """The samples that this device sums up, of the `size` along the second axis of every array; and
    which of them it is to count: shares are equally long, and the last may repeat its last one."""
    share = -(-size // _size_if(AxisType.Manual))
    places = lax.axis_index(_AXIS) * share + jnp.arange(share)
    own = jnp.minimum(places, size - 1)
    return jax.tree.map(lambda x: jnp.asarray(x)[:, own], rows), places < size


def added_up(sums: T) -> T:
    """The sums of this device and those of the others, together."""
    leaves, structure = jax.tree.flatten(sums)
    pieces = [_as_floats(x) for x in leaves]
    total = _total(jnp.concatenate(pieces))
    split = _cut(total, pieces, axis=0)
    return jax.tree.unflatten(structure, list(map(_from_floats, split, leaves)))


@jax.custom_jvp
def _total(sums: Array) -> Array:
    return lax.psum(sums, _AXIS)


@_total.defjvp
def _no_slope(*_: Any) -> Any:
    raise UphillError(
        "A part differentiates through a sum over samples, which several devices add up: take the "
        "gradient of what is summed, inside the sum, or leave devices out."
    )


def _as_floats(x: Array) -> Array:
    """A row of numbers whose sums are exact where those of `x` are: whole numbers in two halves."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        return jnp.ravel(x).astype(jnp.float32)
    whole = jnp.ravel(x).astype(jnp.int32)
    return jnp.concatenate([whole >> 16, whole & 0xFFFF]).astype(jnp.float32)


def _from_floats(row: Array, like: Array) -> Array:
    """The numbers again; `like` has their type and shape."""
    if jnp.issubdtype(like.dtype, jnp.floating):
        return row.reshape(like.shape).astype(like.dtype)
    high, low = jnp.split(row.astype(jnp.int32), 2)
    return ((high << 16) + low).reshape(like.shape).astype(like.dtype)


def _of_all(own: Sequence[Array], axes: Sequence[int | None]) -> list[Array]:
    """What all devices have of these arrays, from what this one has; sent in one piece."""
    placed = [(k, axis) for k, axis in enumerate(axes) if axis is not None]
    moved = [jnp.moveaxis(own[k], axis, 0) for k, axis in placed]
    pieces = [_to_bytes(x) for x in moved]
    everything = lax.all_gather(jnp.concatenate(pieces, axis=1), _AXIS, axis=0, tiled=True)
    whole, split = list(own), _cut(everything, pieces, axis=1)
    for (k, axis), piece, like in zip(placed, split, moved, strict=True):
        whole[k] = jnp.moveaxis(_from_bytes(piece, like), 0, axis)
    return whole


def _cut(x: Array, pieces: Sequence[Array], axis: int) -> list[jax.Array]:
    """An array in pieces that are as long as those that it was made of."""
    return jnp.split(jnp.asarray(x), np.cumsum([piece.shape[axis] for piece in pieces])[:-1], axis)


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


def _size_if(kind: AxisType) -> int:
    """How many devices share the seed that is traced, if it is traced as a program for all of them
    (`Auto`), or as that of one of them (`Manual`); else 1."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or _AXIS not in mesh.axis_names:
        return 1
    place = mesh.axis_names.index(_AXIS)
    return mesh.axis_sizes[place] if mesh.axis_types[place] == kind else 1
