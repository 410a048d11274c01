"""Files of a run: written atomically, read with clear errors, never executed.

Pytrees of arrays are stored as safetensors, named by their place in the tree.
"""

import errno
import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from safetensors import SafetensorError
from safetensors.numpy import load, save

from uphill.errors import UphillError
from uphill.runs.bounds import (
    LARGEST_HEADER,
    LARGEST_JSON,
    MOST_HOLES,
    MOST_VALUES,
    SURELY_READ,
    fault_in,
)
from uphill.runs.folder import Folder, mend_of, open_regular, read_regular
from uphill.trajectory import is_key
from uphill.words import abridged, option

P = TypeVar("P", bound=Path)
Tensors = dict[str, np.ndarray]
"""By their place in the tree that was stored."""

EXPERIMENT_FILE = "experiment.json"
SWEEP_FILE = "sweep.json"
SWEEP_PICTURE = "sweep.png"
SENSITIVITY_FILE = "sensitivity.json"
SENSITIVITY_PICTURE = "sensitivity.png"
METRICS_FILE = "metrics.csv"
MILESTONES_FILE = "milestones.json"
EVALUATION_FILE = "evaluation.json"
CURVE_FILE = "curve.png"
CURVE_FILES = (CURVE_FILE, "curve.svg")
REPORT_FILE = "report.html"
MILESTONES_FOLDER = "milestones"
NOT_FINITE_FOLDER = "not_finite"
CHECKPOINT_FOLDER = "checkpoint"


def manifest_file(run: Path, name: str) -> Path:
    """The file of a checkpoint that says which tensors belong to it."""
    return run / CHECKPOINT_FOLDER / f"{name}.json"


def write_file(path: Path, content: bytes, is_durable: bool = True) -> None:
    """Write a file atomically: whatever happens, it holds either the old or the new content. One
    that is not durable may be lost if the power fails, and costs no wait for the disk.

    Raises:
        UphillError: if it can't be written.
    """
    try:
        write_atomically(path, content, is_durable)
    except OSError as error:
        raise not_written(path, error) from error


def write_json(path: Path, document: Any, indent: int = 1, is_durable: bool = True) -> None:
    """Write plain JSON, atomically.

    Raises:
        UphillError: if it can't be written, or has a number that is not finite, which no JSON has.
    """
    try:
        text = json.dumps(document, indent=indent, allow_nan=False)
    except ValueError as error:
        raise UphillError(
            f"{path} was not written: one of its numbers is NaN or infinite. Fix the environment, "
            "if it returned that."
        ) from error
    write_file(path, f"{text}\n".encode(), is_durable)


def delete_files(run: Path, names: Iterable[str]) -> None:
    """Delete those of these files that are there.

    Raises:
        UphillError: if one can't be deleted.
    """
    for name in names:
        try:
            with Folder(run) as folder:
                folder.delete(name)
        except OSError as error:
            raise NotWrittenError(
                f"{run / name} could not be deleted ({error.strerror}): {mend_of(error)}."
            ) from error


class NotWrittenError(UphillError):
    """A file or a folder could not be written: no fault of what was to be written there."""


def not_written(path: Path, error: OSError) -> NotWrittenError:
    """What to raise where a file or a folder could not be written."""
    return NotWrittenError(
        f"{path} could not be written ({error.strerror}): {mend_of(error)}, or choose another "
        "folder. What was saved before is whole."
    )


def make_folder(folder: P, is_named: bool = True) -> P:
    """The folder, made if it is not there; one that the user has not named is made anew, with
    another name if something is there.

    Raises:
        UphillError: if it can't be made.
    """
    try:
        if not is_named:
            return make_unused(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotWrittenError(
            f"The folder {folder} can't be made ({error.strerror}): {mend_of(error)}, or choose "
            f"another {option('out')}."
        ) from error
    return folder


def make_unused(path: P) -> P:
    """Make a folder where nothing is yet: at the path, or the first of NAME-2, NAME-3, …; nobody
    else has it, even if others do the same at this moment.

    Raises:
        OSError: if it can't be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with suppress(FileExistsError):
            (free := unused(path)).mkdir()
            return free


def make_inner(run: Path, *names: str) -> Path:
    """A folder in a run directory, made if it is not there, and no link on the way to it.

    Raises:
        UphillError: if it can't be made.
    """
    try:
        with ExitStack() as stack:
            folder = stack.enter_context(Folder(run))
            for name in names:
                folder = stack.enter_context(folder.inner(name))
    except OSError as error:
        raise not_written(run.joinpath(*names), error) from error
    return run.joinpath(*names)


def unused(path: P) -> P:
    """The path, or the first of NAME-2, NAME-3, … where nothing is yet."""
    others = (path.with_name(f"{path.name}-{k}") for k in itertools.count(2))
    return next(free for free in itertools.chain([path], others) if not os.path.lexists(free))


def read_json(path: Path) -> Any:
    """A file of plain JSON.

    Raises:
        UphillError: if it can't be read, or is none.
    """
    try:
        content = read_regular(path, LARGEST_JSON)
        if sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
            raise OSError(errno.EFBIG, f"it holds more than {MOST_VALUES:,} values")
        document = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not valid JSON"
        if isinstance(error, json.JSONDecodeError):
            reason = f"{reason} (line {error.lineno}, column {error.colno})"
        raise UphillError(f"{path} can't be read: {reason}.") from error
    if fault := fault_in(document):
        raise UphillError(f"{path} can't be read: {fault}.")
    return document


def damaged(path: Path, why: object) -> UphillError:
    """What to raise where a file of a checkpoint is not what was written."""
    return UphillError(
        f"The checkpoint {path} is damaged ({abridged(why).rstrip('.')}): {mend(path)}."
    )


def mend(path: Path) -> str:
    """Advice if a file of a run is lost."""
    other = "best" if path.name.startswith("latest") else "latest"
    advice = "copy the run directory again, or train again with the command in experiment.json"
    if (path.parent / f"{other}.json").exists():
        advice += f" (uphill.load(run, checkpoint={other!r}) has other policies)"
    return advice


def to_tensors(tree: PyTree, without: str = "") -> bytes:
    """The contents of a safetensors file; tensors are named by their place in the tree."""
    named = {name: leaf for name, leaf in named_leaves(tree) if name != without}
    return save({name: np.asarray(_plain(leaf), order="C") for name, leaf in named.items()})


def from_tensors(path: Path, sha256: str, named_in: str) -> Tensors:
    """The tensors of a safetensors file with this checksum, by name. `named_in` is the file that
    says both.

    Raises:
        UphillError: if they are missing, truncated or altered.
    """
    try:
        content = read_tensors_file(path)
    except OSError as error:
        raise UphillError(
            f"The checkpoint {path}, which {named_in} names, can't be read ({error.strerror}): "
            f"{mend(path)}."
        ) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise damaged(path, f"its checksum is not that in {named_in}")
    try:
        return load(content)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def read_tensors_file(path: Path) -> bytes:
    """The contents of a safetensors file. The size of its header is limited, since every tensor
    that it names costs memory. A file that is almost all holes is refused, since it may claim any
    size for free.

    Raises:
        OSError: if it can't be read, or is none.
    """
    with open_regular(path) as file:
        found, length = os.fstat(file.fileno()), int.from_bytes(file.read(8), "little")
        if LARGEST_HEADER < length < found.st_size:  # else it is damaged anyway
            raise OSError(errno.EFBIG, f"its header has more than {LARGEST_HEADER:,} bytes")
        held = 512 * getattr(found, "st_blocks", found.st_size)
        if found.st_size > max(SURELY_READ, MOST_HOLES * held):
            raise OSError(
                errno.EFBIG, f"of its {found.st_size:,} bytes only {held:,} are on the disk"
            )
        file.seek(0)
        return file.read()


def tree_from(
    skeleton: PyTree,
    tensors: Tensors,
    prefix: str = "",
    path: Path | None = None,
) -> PyTree:
    """`skeleton`, with the numbers of the checkpoint `path`.

    Raises:
        UphillError: if a tensor is missing or has another shape or type.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(skeleton)
    restored = []
    for place, leaf in leaves:
        name = prefix + _name(place)
        expected = _plain(leaf)
        found = tensors.get(name)
        if found is None or found.shape != expected.shape or found.dtype != expected.dtype:
            have = "none" if found is None else f"{found.dtype}{list(found.shape)}"
            which = "The checkpoint" if path is None else f"The checkpoint {path}"
            raise UphillError(
                f"{which} does not fit: {name} should be "
                f"{expected.dtype}{list(expected.shape)}, and the file has {have}: give the "
                "network of training, and leave experiment.json as training wrote it."
            )
        restored.append(_like(leaf, found))
    return jax.tree_util.tree_unflatten(structure, restored)


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """The arrays of a tree, each with the name that its tensor has."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(_name(path), leaf) for path, leaf in leaves]


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


def _plain(leaf: Any) -> np.ndarray:
    """An array of a type that NumPy has: bfloat16 and the like in the next larger one."""
    array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
    if array.dtype.kind != "V":
        return array
    return array.astype(np.float32 if jnp.issubdtype(array.dtype, np.floating) else np.int8)


def _like(leaf: Any, found: np.ndarray) -> Any:
    if not is_key(leaf):
        return found.astype(np.asarray(leaf).dtype, copy=False)
    return jax.random.wrap_key_data(jnp.asarray(found), impl=jax.random.key_impl(leaf))


def write_atomically(path: Path, content: bytes, is_durable: bool = True) -> None:
    """`write_file`, with the system's own error.

    Raises:
        OSError: if it can't be written.
    """
    with Folder(path.parent) as folder:
        folder.write(path.name, content, is_durable)
