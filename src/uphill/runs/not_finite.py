"""Seeds that stopped at a non-finite number: the message about them, and the batch that is kept.

The batch is `not_finite/seedS.safetensors`, the fields of a trajectory [T, N, …]: what the last
finite policy collected, and the seed could not learn from.
"""

from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from uphill.parts import Algorithm
from uphill.runs.files import NOT_FINITE_FOLDER, not_written, to_tensors
from uphill.runs.folder import Folder
from uphill.runs.own_parts import own_parts_in, transformation_name
from uphill.training.guard import NETWORKS, NotFinite
from uphill.trajectory import Trajectory
from uphill.words import listed, option

LARGEST_BATCH = 2**26
"""The largest batch to keep, in bytes. Of a larger one, as many environments as fit are kept (those
with non-finite numbers first), or the last steps of one."""


def sentence(why: NotFinite, seed: int, env: str, algorithm: Algorithm) -> str:
    """What happened, and how to fix it."""
    if why.step is None:
        what = "of the networks a number" if why.quantity == NETWORKS else why.quantity
        return (
            f"Learning diverged in update {why.update:,} (seed {seed}): {what} is not finite. "
            f"Lower {option('optimizer.learning_rate')}{_or_own(algorithm)}."
        )
    wrong, mend = "is NaN or infinite", "fix the environment"
    categories = algorithm.observation_categories
    if why.quantity == "observation" and categories is not None:
        wrong += f", or has a category above {categories - 1},"
        mend += f", or use a larger {option('observation_categories')}"
    article = "an" if why.quantity == "observation" else "a"
    return (
        f"{env} returned {article} {why.quantity} that {wrong} in update {why.update:,}, at its "
        f"step {why.step} (seed {seed}): {mend}."
    )


def _or_own(algorithm: Algorithm) -> str:
    """What else may be at fault: custom parts, by name."""
    own = [
        x.__name__ if isinstance(x, type) else transformation_name(x)
        for x in own_parts_in(algorithm)
    ]
    return f", or look for the cause in {listed(own)}" if own else ""


def told_not_finite(stopped: Sequence[NotFinite | None], seeds: Sequence[int]) -> str:
    """Which seeds of a run stopped, in words; empty if none did."""
    pairs = [(seed, x) for seed, x in zip(seeds, stopped, strict=False) if x is not None]
    if not pairs:
        return ""
    seed, first = min(pairs, key=lambda pair: pair[1].steps)
    who = f"Seed {seed}" if len(pairs) == 1 else f"{len(pairs)} of {len(seeds)} seeds"
    whose = "" if len(pairs) == 1 else f" of seed {seed}"
    return (
        f"{who} stopped, and the policy is that of before: {first.quantity}{whose} was not finite "
        f"after {first.steps:,} steps."
    )


def keep_batch(run: Path, seed: int, batch: Trajectory) -> Path:
    """Write the batch that a seed could not learn from; its path.

    Raises:
        UphillError: if it can't be written.
    """
    path = run / NOT_FINITE_FOLDER / f"seed{seed}.safetensors"
    try:
        with Folder(run) as folder, folder.inner(NOT_FINITE_FOLDER) as inner:
            inner.write(path.name, to_tensors(_bounded(batch)))
    except OSError as error:
        raise not_written(path, error) from error
    return path


def _bounded(batch: Trajectory) -> Trajectory:
    """The rows that were filled, or as much of them as is kept."""
    num_steps = len(batch.mask) if batch.length is None else int(batch.length)
    batch = _part(batch, slice(num_steps), slice(None))
    size, num_envs = sum(x.nbytes for x in jax.tree.leaves(batch)), batch.mask.shape[1]
    if size <= LARGEST_BATCH:
        return batch
    suspect = _is_bad(batch.reward, (0,)) | _is_bad(batch.observation, (0,))
    suspect |= _is_bad(batch.final_observation, ())
    fitting = LARGEST_BATCH * num_envs // size
    first = np.argsort(~suspect, kind="stable")[: max(1, fitting)]
    last_steps = num_steps if fitting else LARGEST_BATCH * num_envs * num_steps // size
    return _part(batch, slice(-max(1, last_steps), None), np.sort(first))


def _part(batch: Trajectory, rows: slice, envs: slice | np.ndarray) -> Trajectory:
    """These rows of these environments."""

    def cut(tree: PyTree) -> PyTree:
        return jax.tree.map(lambda x: np.asarray(x)[rows][:, envs], tree)

    b = batch
    columns = (b.action, b.log_prob, b.reward, b.terminated, b.truncated, b.mask)
    final = jax.tree.map(lambda x: np.asarray(x)[envs], b.final_observation)
    return Trajectory(cut(b.observation), final, *map(cut, columns))


def _is_bad(tree: PyTree, axes: tuple[int, ...]) -> np.ndarray:
    """The environments with a number that is not finite; time has these axes."""
    first = len(axes)
    found = np.zeros(np.shape(jax.tree.leaves(tree)[0])[first], bool)
    for x in jax.tree.leaves(tree):
        if x.dtype.kind == "f":
            found |= (~np.isfinite(x)).any((*axes, *range(first + 1, x.ndim)))
    return found
