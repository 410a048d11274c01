"""The metrics of an update: a row of numbers for each seed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Bool, Int, PyTree, Shaped, UInt32

from uphill.policies.encodings import Encoding, strangers
from uphill.trajectory import Array, EpisodeStatistics, Trajectory

REACHED = "reached:"
"""Before the name of a world's milestone: the row's number of episodes that came to it."""

Rows = dict[str, np.ndarray]
"""Metrics by name: a row for each update, a column for each seed, [U, S].

    policy/…, value/…, gradient/…   as in docs/metrics.md, of each update
    updated                         1; 0 if the seed had its steps already (then all else is 0)
    num_transitions                 steps of the environment that it learned from
    num_episodes                    episodes that ended
    return_sum, length_sum          of these episodes
    return_max                      the best of them
    reached:NAME                    how many of them reached a milestone of the world
    bad_reward, bad_observation     the first step whose number was not finite, or −1
    bad_learner                     whether the networks hold one
"""

LoggedRow = dict[str, Any]
"""A row of metrics.csv."""


class PackedRows(eqx.Module):
    """Rows packed into one array, each number by its 32 bits. Separate arrays would all have to be
    compiled and fetched separately.
    """

    columns: tuple[tuple[str, str], ...] = eqx.field(static=True)
    """name and type of each number"""
    words: UInt32[Array, "... C"]


def pack(row: dict[str, Shaped[Array, ""]]) -> PackedRows:
    """Numbers of 32 bits, and truth values, as one row."""
    by_type: dict[str, dict[str, Array]] = {}
    for name, x in row.items():
        by_type.setdefault(np.dtype(x.dtype).name, {})[name] = x
    columns = tuple((name, dtype) for dtype, named in by_type.items() for name in named)
    # All of a type at once: of each by itself, turning it into bits would be a kernel.
    words = [_words(jnp.stack(list(named.values()))) for named in by_type.values()]
    return PackedRows(columns, jnp.concatenate(words))


def unpack(packed: PackedRows) -> Rows:
    """The numbers that were packed, on the host, by name."""
    words = np.asarray(packed.words)
    rows = {}
    for k, (name, dtype) in enumerate(packed.columns):
        column = np.asarray(words[..., k])
        rows[name] = column.astype(bool) if dtype == "bool" else column.view(dtype)
    return rows


def stacked(rows: list[PackedRows]) -> PackedRows:
    """The rows of updates, one after the other, on the host."""
    return PackedRows(rows[0].columns, np.stack([np.asarray(row.words) for row in rows]))


def concatenate(first: Rows | None, second: Rows) -> Rows:
    """The rows of earlier updates, if there are any, and those of later ones."""
    if first is None:
        return second
    return {name: np.concatenate([first[name], rows]) for name, rows in second.items()}


def numbers_of(
    metrics: dict[str, Array],
    trajectory: Trajectory,
    episodes: EpisodeStatistics,
    networks: PyTree,
    encoding: Encoding | None = None,
) -> dict[str, Array]:
    """All that an update says: its metrics, its episodes, and where numbers are not finite (or no
    categories, where the encoding says that they are). Built-in metrics have a group before a
    slash; a custom part may choose any name."""
    return {logged_name(name): x for name, x in metrics.items()} | {
        "updated": jnp.int32(1),
        "num_transitions": trajectory.mask.sum(dtype=jnp.int32),
        "num_episodes": episodes.num_episodes,
        "return_sum": episodes.return_sum,
        "length_sum": episodes.length_sum,
        "return_max": episodes.return_max,
        **{REACHED + name: count for name, count in episodes.reached.items()},
        "bad_reward": _first_bad(trajectory.reward, trajectory.mask),
        "bad_observation": _first_bad_observation(trajectory, encoding),
        "bad_learner": ~_is_finite(networks),
    }


def logged_name(name: str) -> str:
    """The column of a custom metric: its name, under `own/` if it has no group.

    >>> logged_name("success"), logged_name("arm/reach")
    ('own/success', 'arm/reach')
    """
    return name if "/" in name else f"own/{name}"


def _words(x: Shaped[Array, " n"]) -> UInt32[Array, " n"]:
    return x.astype(jnp.uint32) if x.dtype == bool else lax.bitcast_convert_type(x, jnp.uint32)


def _first_bad(x: Shaped[Array, "T N"], mask: Bool[Array, "T N"]) -> Int[Array, ""]:
    """The first step with a number that is not finite, or −1."""
    return _first((~jnp.isfinite(x) & mask).any(1))


def _first_bad_observation(trajectory: Trajectory, encoding: Encoding | None) -> Int[Array, ""]:
    """The step that returned the first observation that is not finite or has what is no category,
    or −1."""
    t = trajectory
    bad = jnp.zeros(t.mask.shape[0] + 1, bool)
    for rows, final in zip(
        jax.tree.leaves(t.observation), jax.tree.leaves(t.final_observation), strict=True
    ):
        if jnp.issubdtype(rows.dtype, jnp.inexact):
            all_rows = jnp.concatenate([rows, final[None]])
            bad |= ~jnp.isfinite(all_rows).reshape(len(bad), -1).all(1)
    if encoding is not None:
        of_rows, of_final = (strangers(encoding, x) for x in (t.observation, t.final_observation))
        for rows, final in zip(of_rows, of_final, strict=True):
            bad |= jnp.concatenate([rows, final[None]]).reshape(len(bad), -1).any(1)
    # Row k is what step k − 1 returned; row 0 is the first observation of all.
    first = _first(bad)
    return jnp.where(first > 0, first - 1, first)


def _first(x: Bool[Array, " T"]) -> Int[Array, ""]:
    """The first place that is True, or −1: one reduction, where `argmax` and `any` are two."""
    place = jnp.where(x, jnp.arange(len(x)), len(x)).min()
    return jnp.where(place < len(x), place, -1)


def _is_finite(tree: PyTree) -> Bool[Array, ""]:
    # As one vector: what is asked of every array by itself is compiled for every array.
    return jnp.isfinite(ravel_pytree(tree)[0]).all()
